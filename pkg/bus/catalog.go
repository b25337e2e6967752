package bus

import (
	"context"
	"errors"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// ErrNotSynced says that the present content of a bucket is not known yet, so
// that nothing can be compared with it.
var ErrNotSynced = errors.New("bus: the bucket has not been read yet")

// Catalog reads the catalog bucket into snapshots.
type Catalog struct {
	b *Bus
	// entries holds what is on the bus, and its mutex guards builder, too.
	entries *Mirror
	builder *catalog.Builder
	// secrets are the withheld texts; nil if they are not to be read.
	secrets *Mirror
}

// Catalog returns a reader of the catalog. poke is called after every change.
func (b *Bus) Catalog(poke func()) *Catalog {
	c := &Catalog{b: b, entries: b.Bucket(CatalogBucket).Mirror(">", poke), builder: catalog.NewBuilder()}
	c.entries.hook = entryHook{c}
	return c
}

// CatalogWithSecrets is Catalog for a component that may read the texts that services
// withhold: its snapshots have them among the labels. While a text is missing, its
// service counts as it was before, or, if it was never whole, withholds it still.
func (b *Bus) CatalogWithSecrets(poke func()) *Catalog {
	c := b.Catalog(poke)
	c.builder = catalog.NewMergingBuilder()
	c.secrets = b.Bucket(SecretsBucket).Mirror(">", poke)
	c.secrets.hook = secretHook{c}
	return c
}

// Run reads until the context ends.
func (c *Catalog) Run(ctx context.Context) error {
	if c.secrets == nil {
		return c.entries.Run(ctx)
	}
	return both(ctx, c.entries.Run, c.secrets.Run)
}

// both runs two loops until the context ends.
func both(ctx context.Context, a, b func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() { ended <- a(ctx) }()
	err := b(ctx)
	return errors.Join(<-ended, err)
}

// Snapshot returns the present state. It is false while the state is not known
// to be complete: before the first reading, between the entries of one list, and
// after the bus lost its store or part of it. Whoever gets false changes nothing.
func (c *Catalog) Snapshot() (catalog.Snapshot, bool) {
	if c.secrets != nil && !c.secrets.Synced() {
		return catalog.Snapshot{}, false
	}
	m := c.entries
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isSync || !c.builder.Complete() {
		return catalog.Snapshot{}, false
	}
	return c.builder.Snapshot(m.store.last), true
}

// Reached is that of the copy of the bucket.
func (c *Catalog) Reached(last uint64) bool { return c.entries.Reached(last) }

// List returns what the listener said of its last list, and whether there is one.
func (c *Catalog) List() (catalog.List, bool) {
	c.entries.mu.Lock()
	defer c.entries.mu.Unlock()
	return c.builder.List()
}

// Index returns Swarm's version of what an entry tells, as far as it was told; 0 if not.
func (c *Catalog) Index(key string) uint64 {
	v, _ := c.entries.Value(key)
	return v.Index
}

func (c *Catalog) put(key string, v Value) {
	if err := c.builder.Put(key, v.Data, v.Revision); err != nil {
		c.b.log.Error("catalog entry is kept as it was", "key", key, "error", err)
	}
}

// entryHook brings entries to the builder, under the mutex of their mirror.
type entryHook struct{ c *Catalog }

func (h entryHook) put(key string, v Value)   { h.c.put(key, v) }
func (h entryHook) touch(key string, v Value) { h.c.builder.Touch(key, v.Revision) }
func (h entryHook) remove(key string)         { h.c.builder.Delete(key) }

// clear keeps the texts, which lie in another bucket.
func (h entryHook) clear() { h.c.builder.Clear() }

// secretHook brings withheld texts to the builder. Its mirror's mutex is held, and that
// of the entries is taken after it, never the other way round.
type secretHook struct{ c *Catalog }

func (h secretHook) put(id string, v Value) {
	h.c.entries.mu.Lock()
	defer h.c.entries.mu.Unlock()
	h.c.put(catalog.SecretKey(id), v)
}

func (h secretHook) touch(string, Value) {}

func (h secretHook) remove(id string) {
	h.c.entries.mu.Lock()
	defer h.c.entries.mu.Unlock()
	h.c.builder.Delete(catalog.SecretKey(id))
}

func (h secretHook) clear() {
	h.c.entries.mu.Lock()
	defer h.c.entries.mu.Unlock()
	h.c.builder.ForgetSecrets()
}
