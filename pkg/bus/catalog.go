package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Catalog reads the catalog bucket into snapshots.
type Catalog struct {
	b    *Bus
	poke func()

	// mu guards the rest: Run's goroutine writes, the loop's takes snapshots.
	mu        sync.Mutex
	created   time.Time
	builder   *catalog.Builder
	revisions map[string]uint64
	told      map[string]bool
	isSync    bool
	last      uint64
}

// Catalog returns a reader of the catalog. poke is called after every change.
func (b *Bus) Catalog(poke func()) *Catalog {
	return &Catalog{b: b, poke: poke, builder: catalog.NewBuilder(), revisions: map[string]uint64{}, told: map[string]bool{}}
}

// Run reads until the context ends.
func (c *Catalog) Run(ctx context.Context) error {
	c.b.follow(ctx, CatalogBucket, ">", c)
	return nil
}

// Snapshot returns the present state. It is false while the state is not known
// to be complete: before the first reading, between two entries of one list, and
// after the bus lost its store. Whoever gets false changes nothing.
func (c *Catalog) Snapshot() (catalog.Snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isSync || !c.builder.Complete() {
		return catalog.Snapshot{}, false
	}
	return c.builder.Snapshot(c.last), true
}

func (c *Catalog) begin(created time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = map[string]bool{}
	if !created.Equal(c.created) {
		c.created, c.isSync, c.last = created, false, 0
		c.builder, c.revisions = catalog.NewBuilder(), map[string]uint64{}
	}
}

func (c *Catalog) put(key string, value []byte, sequence uint64) {
	c.mu.Lock()
	c.told[key] = true
	c.last = max(c.last, sequence)
	changed := c.revisions[key] < sequence
	if changed {
		c.revisions[key] = sequence
		if err := c.builder.Put(key, value); err != nil {
			c.b.log.Error("catalog entry is kept as it was", "key", key, "error", err)
		}
	}
	c.mu.Unlock()
	if changed {
		c.poke()
	}
}

func (c *Catalog) remove(key string, sequence uint64) {
	c.mu.Lock()
	c.last = max(c.last, sequence)
	known := c.revisions[key] != 0 && c.revisions[key] < sequence
	if known {
		delete(c.revisions, key)
		c.builder.Delete(key)
	}
	c.mu.Unlock()
	if known {
		c.poke()
	}
}

func (c *Catalog) synced() {
	c.mu.Lock()
	for key := range c.revisions {
		if !c.told[key] {
			delete(c.revisions, key)
			c.builder.Delete(key)
		}
	}
	c.told = map[string]bool{}
	c.isSync = true
	c.mu.Unlock()
	c.poke()
}

// CatalogWriter makes the catalog bucket equal to what the listener lists.
type CatalogWriter struct {
	b      *Bus
	mirror *Mirror
}

// ErrNotSynced says that the present content of a bucket is not known yet, so
// that nothing can be compared with it.
var ErrNotSynced = errors.New("bus: the bucket has not been read yet")

// listEvery is how old the list key may grow while nothing changes.
const listEvery = 25 * time.Second

// CatalogWriter returns a writer of the catalog. poke is called when the bucket
// changed by other hands, above all when it lost its content.
func (b *Bus) CatalogWriter(poke func()) *CatalogWriter {
	return &CatalogWriter{b: b, mirror: b.Bucket(CatalogBucket).Mirror(">", poke)}
}

// Run follows the bucket until the context ends.
func (w *CatalogWriter) Run(ctx context.Context) error { return w.mirror.Run(ctx) }

// State returns the present entries of the bucket, without the list key, and
// their revision. It is false while they are not known.
func (w *CatalogWriter) State() (catalog.Entries, catalog.Revision, bool) {
	values, ok := w.mirror.Values()
	entries := make(catalog.Entries, len(values))
	var revision catalog.Revision
	for key, v := range values {
		revision.Sequence = max(revision.Sequence, v.Revision)
		if key != catalog.ListKey {
			entries[key] = v.Data
			continue
		}
		var list catalog.List
		if err := json.Unmarshal(v.Data, &list); err == nil {
			revision.Epoch = list.Epoch
		}
	}
	return entries, revision, ok
}

// Write makes the bucket equal to want, which came from one full list, and says
// so under the list key. versions, by key, travel in a header and are not
// compared. It returns what it changed.
func (w *CatalogWriter) Write(ctx context.Context, want catalog.Entries, versions map[string]uint64) (catalog.Changes, error) {
	values, ok := w.mirror.Values()
	if !ok {
		return catalog.Changes{}, ErrNotSynced
	}
	have := make(catalog.Entries, len(values))
	for key, v := range values {
		have[key] = v.Data
	}
	changes := catalog.Diff(have, want)
	if err := w.write(ctx, changes, versions); err != nil {
		return catalog.Changes{}, err
	}
	return changes, w.writeList(ctx, have[catalog.ListKey], want, changes.Empty())
}

// write sends all changes at once and waits for every acknowledgement.
func (w *CatalogWriter) write(ctx context.Context, changes catalog.Changes, versions map[string]uint64) error {
	type sent struct {
		key   string
		value []byte
		ack   jetstream.PubAckFuture
	}
	var all []sent
	bucket := w.mirror.bucket
	for _, e := range changes.Put {
		var options []PutOption
		if v := versions[e.Key]; v != 0 {
			options = append(options, WithHeader("Waggle-Swarm-Version", strconv.FormatUint(v, 10)))
		}
		msg, opts := bucket.message(e.Key, e.Value, options)
		ack, err := w.b.js.PublishMsgAsync(msg, opts...)
		if err != nil {
			return wrap("put", bucket.name, e.Key, err)
		}
		all = append(all, sent{key: e.Key, value: e.Value, ack: ack})
	}
	for _, key := range changes.Delete {
		if err := w.mirror.Delete(ctx, key); err != nil {
			return err
		}
	}
	for _, s := range all {
		select {
		case ack := <-s.ack.Ok():
			w.mirror.note(s.key, s.value, ack.Sequence)
		case err := <-s.ack.Err():
			return wrap("put", bucket.name, s.key, err)
		case <-ctx.Done():
			return wrap("put", bucket.name, s.key, ctx.Err())
		}
	}
	return nil
}

func (w *CatalogWriter) writeList(ctx context.Context, have []byte, want catalog.Entries, unchanged bool) error {
	list := catalog.List{Schema: catalog.Schema, Time: time.Now().UTC()}
	list.Services, list.Nodes = catalog.Count(want)
	var old catalog.List
	if have != nil {
		if err := json.Unmarshal(have, &old); err != nil {
			w.b.log.Error("the list key is written anew", "error", err)
			old = catalog.List{}
		}
	}
	list.Epoch = old.Epoch
	if list.Epoch == "" {
		list.Epoch = rand.Text()
	}
	same := old
	same.Time = list.Time
	if unchanged && same == list && list.Time.Sub(old.Time) < listEvery {
		return nil
	}
	value, err := catalog.Encode(list)
	if err != nil {
		return err
	}
	_, err = w.mirror.Put(ctx, catalog.ListKey, value)
	return err
}
