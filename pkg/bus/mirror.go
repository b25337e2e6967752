package bus

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"sync"
	"time"
)

// Value is one entry of a bucket.
type Value struct {
	Data     []byte
	Revision uint64
	// Index is Swarm's version of what the entry tells, 0 if it tells none.
	Index uint64
	// Time is when the server took the value, by the server's clock; zero for an own
	// write that has not come back yet.
	Time time.Time
}

// store says which store a session reads, and how far it has come.
type store struct {
	created time.Time
	last    uint64
	// rewinds is how often it was seen to have lost something, recreated how often another one
	// was found in its place.
	rewinds, recreated int
}

// Mirror is a local copy of the keys of a bucket, kept up to date by Run.
//
// A session begins with a replay of all keys, and what the replay tells is so, whatever
// was known before: a store that comes back with an older content is another store. Only
// within a session, and for own writes that were noted in it, a higher revision is newer.
type Mirror struct {
	bucket *Bucket
	filter string
	poke   func()
	// hook is told what changes, while mu is held; nil if nobody listens.
	hook hook

	// mu guards the rest: Run's goroutine writes, others read, and a writer
	// notes its own writes so that it need not wait to see them come back.
	mu     sync.Mutex
	store  store
	values map[string]Value
	// gone are the deletions of keys, as far as they are known: whoever writes such a key
	// must name the revision.
	gone map[string]deletion
	// told are the keys of which this session has told or noted something; nil once the
	// replay has ended, when all is told.
	told map[string]struct{}
	// own are the values that are being written here, nil for a deletion. What is written
	// may come back before its answer does, and is no news.
	own map[string][]byte
	// before is how far the store had come, for all that was known, when the session
	// asked for it.
	before uint64
	isSync bool
	// telling is how many changes are being told of at this moment.
	telling int
}

// deletion is the mark of a deleted key.
type deletion struct {
	revision uint64
	// at is when the server took it, or for an own one that has not come back yet, when it
	// was noted.
	at time.Time
}

// hook follows a mirror.
type hook interface {
	// put says that a key has another value.
	put(key string, v Value)
	// touch says that a key has the same value under another revision.
	touch(key string, v Value)
	remove(key string)
	// clear says that nothing is known any more.
	clear()
}

// Mirror returns a copy of the keys that match filter ("proxy.>", ">"). poke is
// called after every change of a value that others have made.
func (k *Bucket) Mirror(filter string, poke func()) *Mirror {
	return &Mirror{bucket: k, filter: filter, poke: poke, values: map[string]Value{}, gone: map[string]deletion{}}
}

// Changes are told what changes in a mirror, own writes included, while nothing else changes
// there. They must not ask the mirror.
type Changes struct {
	// Put is told of a value that is another one, Removed of a key that is gone.
	Put     func(key string, v Value)
	Removed func(key string)
	// Cleared says that nothing is known any more.
	Cleared func()
}

// Follow has c told of changes. It is called before Run.
func (m *Mirror) Follow(c Changes) { m.hook = changesHook{c} }

// changesHook is a hook for others than this package.
type changesHook struct{ Changes }

func (f changesHook) put(key string, v Value) { f.Put(key, v) }
func (f changesHook) touch(string, Value)     {}
func (f changesHook) remove(key string)       { f.Removed(key) }
func (f changesHook) clear()                  { f.Cleared() }

// Run keeps the copy up to date until the context ends.
func (m *Mirror) Run(ctx context.Context) error {
	m.bucket.b.follow(ctx, m.bucket.name, m.filter, m)
	return nil
}

// Values returns a copy of all entries and whether they are all there are. It is
// false until the first complete reading, and after the bucket was created anew or
// lost something until it has been read again.
func (m *Mirror) Values() (map[string]Value, bool) {
	values, _, whole := m.State()
	return values, whole
}

// State is Values, and how often the bucket was seen to have lost something, as when a backup
// is restored, or all, as when it is another one: what is missing after that was not removed by
// anybody.
func (m *Mirror) State() (values map[string]Value, losses int, whole bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values), m.store.rewinds + m.store.recreated, m.isSync
}

// Value returns one entry.
func (m *Mirror) Value(key string) (Value, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	return v, ok
}

// Deleted returns the revision by which a key was deleted, which whoever writes it again with
// IfRevision must name, and when that was; 0 if that is not known.
func (m *Mirror) Deleted(key string) (revision uint64, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.gone[key]
	return d.revision, d.at
}

// Synced reports whether the copy is complete.
func (m *Mirror) Synced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isSync
}

// read calls f while nothing changes, and reports whether the copy is complete.
func (m *Mirror) read(f func(*Mirror)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
	return m.isSync
}

// is reports whether the copy is of the store that was seen, which has lost nothing since.
func (m *Mirror) is(seen store) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.created.Equal(seen.created) && m.store.rewinds == seen.rewinds
}

// Put writes a value, unless the copy says that it is there already, and notes it in the copy.
func (m *Mirror) Put(ctx context.Context, key string, data []byte, options ...PutOption) (wrote bool, err error) {
	if old, ok := m.Value(key); ok && bytes.Equal(old.Data, data) && m.Synced() {
		return false, nil
	}
	m.expect(key, data)
	defer m.landed(key)
	revision, err := m.bucket.Put(ctx, key, data, options...)
	if err != nil {
		return false, err
	}
	m.note(key, Value{Data: data, Revision: revision})
	return true, nil
}

// Delete removes a key, unless the copy says that it is not there.
func (m *Mirror) Delete(ctx context.Context, key string, options ...PutOption) error {
	if _, ok := m.Value(key); !ok && m.Synced() {
		return nil
	}
	m.expect(key, nil)
	defer m.landed(key)
	revision, err := m.bucket.remove(ctx, key, options...)
	if err != nil {
		return err
	}
	m.noteGone(key, revision)
	return nil
}

// note takes an own write into the copy, if nothing newer is there.
func (m *Mirror) note(key string, v Value) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take(key, v)
}

// noteGone takes an own deletion into the copy, if nothing newer is there.
func (m *Mirror) noteGone(key string, revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key, deletion{revision, time.Now()})
}

// expect says that a value, or nil for a deletion, is being written here, which may
// come back at any time until landed is called.
func (m *Mirror) expect(key string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.own == nil {
		m.own = map[string][]byte{}
	}
	m.own[key] = data
}

func (m *Mirror) landed(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.own, key)
}

// isOwn reports whether a value that came is one that is being written here.
func (m *Mirror) isOwn(key string, data []byte) bool {
	own, ok := m.own[key]
	return ok && (own == nil) == (data == nil) && bytes.Equal(own, data)
}

// forget gives up what is known of a deletion: the server forgets it, too, and says
// nothing of that.
func (m *Mirror) forget(key string, revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone[key].revision == revision {
		delete(m.gone, key)
	}
}

func (m *Mirror) open() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told, m.before = map[string]struct{}{}, m.store.last
}

func (m *Mirror) begin(s store) {
	m.mu.Lock()
	defer m.mu.Unlock()
	isSame := s.created.Equal(m.store.created)
	if isSame && s.last >= m.before {
		m.store.last = max(m.store.last, s.last)
		return
	}
	s.rewinds, s.recreated = m.store.rewinds, m.store.recreated
	switch {
	case isSame:
		s.rewinds++
	case !m.store.created.IsZero():
		s.recreated++
	}
	m.store, m.isSync = s, false
	m.told = map[string]struct{}{}
	m.values, m.gone = map[string]Value{}, map[string]deletion{}
	if m.hook != nil {
		m.hook.clear()
	}
}

func (m *Mirror) put(key string, v Value) {
	m.mu.Lock()
	changed := m.take(key, v) && !m.isOwn(key, v.Data)
	m.tell(changed)
}

func (m *Mirror) remove(key string, revision uint64, at time.Time) {
	m.mu.Lock()
	changed := m.drop(key, deletion{revision, at}) && !m.isOwn(key, nil)
	m.tell(changed)
}

// tell gives mu back, and pokes if something has changed.
func (m *Mirror) tell(changed bool) {
	if !changed {
		m.mu.Unlock()
		return
	}
	m.telling++
	m.mu.Unlock()
	m.poke()
	m.mu.Lock()
	m.telling--
	m.mu.Unlock()
}

// Reached reports whether the copy holds all up to a number of the bucket's stream, and
// everybody was told of it.
func (m *Mirror) Reached(last uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isSync && m.telling == 0 && m.store.last >= last
}

// take takes a value in unless it is older than what this session told, and reports
// whether it is another.
func (m *Mirror) take(key string, v Value) (changed bool) {
	if !m.isNews(key, v.Revision) {
		return false
	}
	old, ok := m.values[key]
	m.values[key] = v
	delete(m.gone, key)
	changed = !ok || !bytes.Equal(old.Data, v.Data)
	switch {
	case m.hook == nil:
	case changed:
		m.hook.put(key, v)
	case old.Revision != v.Revision:
		m.hook.touch(key, v)
	}
	return changed
}

// drop is take for a deletion.
func (m *Mirror) drop(key string, d deletion) (changed bool) {
	if !m.isNews(key, d.revision) {
		return false
	}
	_, changed = m.values[key]
	delete(m.values, key)
	m.gone[key] = d
	if changed && m.hook != nil {
		m.hook.remove(key)
	}
	return changed
}

// isNews reports whether a revision of a key is to be taken in, and notes that the
// session has told of it. The same revision is taken in again, because it may bring what
// an own write could not know.
func (m *Mirror) isNews(key string, revision uint64) bool {
	if m.told != nil {
		if _, ok := m.told[key]; !ok {
			m.told[key] = struct{}{}
			m.store.last = max(m.store.last, revision)
			return true
		}
	}
	known := m.gone[key].revision
	if v, ok := m.values[key]; ok {
		known = v.Revision
	}
	m.store.last = max(m.store.last, revision)
	return revision >= known
}

func (m *Mirror) synced() {
	m.mu.Lock()
	changed := !m.isSync
	if m.told != nil {
		for key := range m.values {
			if _, ok := m.told[key]; !ok {
				changed = true
				delete(m.values, key)
				if m.hook != nil {
					m.hook.remove(key)
				}
			}
		}
		for key := range m.gone {
			if _, ok := m.told[key]; !ok {
				delete(m.gone, key)
			}
		}
	}
	m.told, m.isSync = nil, true
	m.tell(changed)
}

// Under returns the entries whose key starts with prefix, without the prefix.
func Under(values map[string]Value, prefix string) map[string]Value {
	out := map[string]Value{}
	for key, v := range values {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			out[rest] = v
		}
	}
	return out
}
