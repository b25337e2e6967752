package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// CatalogWriter writes the catalog, and the texts that it withholds, by compare and set.
// Write is for one goroutine.
type CatalogWriter struct {
	b       *Bus
	entries *Mirror
	secrets *Mirror

	// mu guards the rest, because Seen and Write may be called by different goroutines.
	mu sync.Mutex
	// listed is the list that this process wrote or found last, and when.
	listed   uint64
	listedAt time.Time
	// rewinds are those of the entries' mirror of which the epoch knows.
	rewinds int
}

// Seen is what the bucket held at one moment: what a write is compared with.
type Seen struct {
	// Entries are all keys but catalog.ListKey, with the withheld texts under
	// catalog.SecretKey.
	Entries catalog.Entries
	// List is zero if there is none.
	List     catalog.List
	Revision catalog.Revision
	// Indexes are Swarm's versions of the entries that have one.
	Indexes map[string]uint64

	// revisions are those of all keys, of those that are gone too.
	revisions map[string]uint64
	entries   store
	secrets   store
}

// Plan is what one pass wants; it names keys of its own family alone.
type Plan struct {
	Put    []catalog.Entry
	Delete []string
	// Indexes are Swarm's versions, by key of Put.
	Indexes map[string]uint64
	// List, if not nil, is written last: the caller sets Cluster, Index and Writer, the
	// writer the rest, from what is on the bus then.
	List *catalog.List
}

// Written is what a write did, also when it returns an error.
type Written struct {
	// Changes is what landed, without the list.
	Changes catalog.Changes
	// Refused are the entries that the bus does not take; they were left out.
	Refused map[string]error
}

const (
	// listEvery is how old the list key may grow while nothing changes.
	listEvery = 25 * time.Second
	// stepTimeout bounds each of the steps of a write.
	stepTimeout = 10 * time.Second
)

// CatalogWriter returns a writer of the catalog. poke is called when the bucket
// changed by other hands, above all when it lost its content.
func (b *Bus) CatalogWriter(poke func()) *CatalogWriter {
	return &CatalogWriter{b: b, entries: b.Bucket(CatalogBucket).Mirror(">", poke), secrets: b.Bucket(SecretsBucket).Mirror(">", poke)}
}

// Run follows the buckets until the context ends.
func (w *CatalogWriter) Run(ctx context.Context) error {
	return both(ctx, w.entries.Run, w.secrets.Run)
}

// Seen returns what the bucket holds. It is false while that is not known.
func (w *CatalogWriter) Seen() (Seen, bool) {
	s := Seen{}
	ok := w.entries.read(func(m *Mirror) {
		s.entries = m.store
		s.Revision.Sequence = m.store.last
		s.Entries = make(catalog.Entries, len(m.values))
		s.Indexes = make(map[string]uint64, len(m.values))
		s.revisions = make(map[string]uint64, len(m.values)+len(m.gone))
		for key, d := range m.gone {
			s.revisions[key] = d.revision
		}
		for key, v := range m.values {
			s.revisions[key] = v.Revision
			if key == catalog.ListKey {
				s.List = w.list(v.Data)
				continue
			}
			s.Entries[key] = v.Data
			if v.Index != 0 {
				s.Indexes[key] = v.Index
			}
		}
	})
	s.Revision.Epoch = s.List.Epoch
	return s, ok && w.secrets.read(func(m *Mirror) {
		s.secrets = m.store
		for id, d := range m.gone {
			s.revisions[catalog.SecretKey(id)] = d.revision
		}
		for id, v := range m.values {
			s.revisions[catalog.SecretKey(id)] = v.Revision
			s.Entries[catalog.SecretKey(id)] = v.Data
		}
	})
}

// SeenOf is Seen of some keys alone, as if the bucket had no others; withheld texts are not
// among them, and neither is the list. It is for a plan that has no list.
func (w *CatalogWriter) SeenOf(keys ...string) (Seen, bool) {
	s := Seen{Entries: make(catalog.Entries, len(keys)), Indexes: map[string]uint64{}, revisions: make(map[string]uint64, len(keys))}
	ok := w.entries.read(func(m *Mirror) {
		s.entries = m.store
		s.Revision.Sequence = m.store.last
		for _, key := range keys {
			v, isThere := m.values[key]
			switch deleted, isGone := m.gone[key]; {
			case isThere:
				s.revisions[key], s.Entries[key] = v.Revision, v.Data
				if v.Index != 0 {
					s.Indexes[key] = v.Index
				}
			case isGone:
				s.revisions[key] = deleted.revision
			}
		}
	})
	return s, ok && w.secrets.read(func(m *Mirror) { s.secrets = m.store })
}

// list reads the list key. One that cannot be read is as good as none.
func (w *CatalogWriter) list(value []byte) catalog.List {
	var list catalog.List
	if err := json.Unmarshal(value, &list); err != nil {
		w.b.log.Error("the list key is written anew", "error", err)
		return catalog.List{}
	}
	return list
}

// Plan returns what makes all that was seen equal to want, and says so in the list.
func (s Seen) Plan(want catalog.Entries) Plan {
	changes := catalog.Diff(s.Entries, want)
	return Plan{Put: changes.Put, Delete: changes.Delete, List: &catalog.List{
		Cluster: s.List.Cluster, Index: s.List.Index, Writer: s.List.Writer,
	}}
}

// Write does what the plan says, if nothing that it touches has changed since seen was
// taken: texts first, then the other entries, then deletions, at last the list. The
// error is ErrConflict if something has, and nothing that comes later is written then;
// it is ErrNotSynced if it is not known what the bus holds.
func (w *CatalogWriter) Write(ctx context.Context, seen Seen, plan Plan) (Written, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	done := Written{}
	switch {
	case !w.entries.Synced() || !w.secrets.Synced():
		return done, ErrNotSynced
	case !w.entries.is(seen.entries) || !w.secrets.is(seen.secrets):
		return done, fmt.Errorf("bus: write the catalog: the store is another one: %w", ErrConflict)
	}
	for _, step := range w.steps(seen, plan) {
		if err := w.take(ctx, step, &done); err != nil {
			return done, err
		}
	}
	if plan.List == nil {
		return done, nil
	}
	return done, w.writeList(ctx, seen, *plan.List)
}

// steps are what a plan does, one after the other; what is in one step is done at once.
func (w *CatalogWriter) steps(seen Seen, plan Plan) [][]operation {
	var secrets, puts, deletes []operation
	for _, e := range plan.Put {
		o := operation{key: e.Key, value: e.Value, index: plan.Indexes[e.Key], revision: seen.revisions[e.Key], to: w.entries, place: e.Key}
		if id, ok := catalog.SecretOf(e.Key); ok {
			o.to, o.place = w.secrets, id
			secrets = append(secrets, o)
		} else {
			puts = append(puts, o)
		}
	}
	for _, key := range plan.Delete {
		o := operation{key: key, revision: seen.revisions[key], isDelete: true, to: w.entries, place: key}
		if id, ok := catalog.SecretOf(key); ok {
			o.to, o.place = w.secrets, id
		}
		deletes = append(deletes, o)
	}
	return [][]operation{secrets, puts, deletes}
}

// take does one step and notes what became of it. A service whose texts are refused is
// left out as well: it would mean texts that are not there.
func (w *CatalogWriter) take(ctx context.Context, step []operation, done *Written) error {
	kept := make([]operation, 0, len(step))
	for _, o := range step {
		if err := done.refusedTexts(o); err != nil {
			done.refuse(o.key, err)
		} else {
			kept = append(kept, o)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for _, o := range kept {
		o.to.expect(o.place, o.value)
		defer o.to.landed(o.place)
	}
	var errs []error
	for i, result := range w.b.pipeline(ctx, kept) {
		o := kept[i]
		switch {
		case result.err == nil:
			o.note(result.revision)
			if o.isDelete {
				done.Changes.Delete = append(done.Changes.Delete, o.key)
			} else {
				done.Changes.Put = append(done.Changes.Put, catalog.Entry{Key: o.key, Value: o.value})
			}
		case isRefusal(result.err):
			done.refuse(o.key, result.err)
		default:
			if errors.Is(result.err, ErrConflict) {
				o.to.forget(o.place, o.revision)
			}
			errs = append(errs, result.err)
		}
	}
	return join(errs)
}

func (d *Written) refuse(key string, err error) {
	if d.Refused == nil {
		d.Refused = map[string]error{}
	}
	d.Refused[key] = err
}

// refusedTexts returns why the texts of a service were refused, if this puts that service.
func (d *Written) refusedTexts(o operation) error {
	if len(d.Refused) == 0 || o.isDelete {
		return nil
	}
	for key, err := range d.Refused {
		if id, ok := catalog.SecretOf(key); ok && o.key == catalog.ServiceKey(id) {
			return err
		}
	}
	return nil
}

// writeList seals what is on the bus, unless the list says so already and is not old.
func (w *CatalogWriter) writeList(ctx context.Context, seen Seen, list catalog.List) error {
	rewinds := 0
	w.entries.read(func(m *Mirror) {
		rewinds = m.store.rewinds
		list.Services, list.Nodes, list.Keys = catalog.Tally(maps.Keys(m.values))
	})
	revision := seen.revisions[catalog.ListKey]
	// How old a list is that another process wrote cannot be told by its time: clocks
	// differ. So its age counts from when it was found.
	if revision != w.listed {
		if w.listed != 0 {
			w.listedAt = time.Now()
		}
		w.listed = revision
	}
	list.Schema, list.Epoch, list.Time = catalog.Schema, seen.List.Epoch, seen.List.Time
	if list.Epoch == "" || rewinds != w.rewinds {
		list.Epoch = rand.Text()
	}
	if list == seen.List && time.Since(w.listedAt) < listEvery {
		return nil
	}
	list.Time = time.Now().UTC()
	value, err := catalog.Encode(list)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	w.entries.expect(catalog.ListKey, value)
	defer w.entries.landed(catalog.ListKey)
	written, err := w.entries.bucket.Put(ctx, catalog.ListKey, value, IfRevision(revision))
	if err != nil {
		if errors.Is(err, ErrConflict) {
			w.entries.forget(catalog.ListKey, revision)
		}
		return err
	}
	w.entries.note(catalog.ListKey, Value{Data: value, Revision: written})
	w.listed, w.listedAt, w.rewinds = written, time.Now(), rewinds
	return nil
}
