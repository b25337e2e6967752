package bus

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"
)

// Value is one entry of a bucket.
type Value struct {
	Data     []byte
	Revision uint64
}

// Mirror is a local copy of the keys of a bucket, kept up to date by Run.
type Mirror struct {
	bucket *Bucket
	filter string
	poke   func()

	// mu guards the rest: Run's goroutine writes, others read, and a writer
	// notes its own writes so that it need not wait to see them come back.
	mu      sync.Mutex
	created time.Time
	values  map[string]Value
	told    map[string]bool
	isSync  bool
}

// Mirror returns a copy of the keys that match filter ("proxy.>", ">"). poke is
// called after every change.
func (k *Bucket) Mirror(filter string, poke func()) *Mirror {
	return &Mirror{bucket: k, filter: filter, poke: poke, values: map[string]Value{}, told: map[string]bool{}}
}

// Run keeps the copy up to date until the context ends.
func (m *Mirror) Run(ctx context.Context) error {
	m.bucket.b.follow(ctx, m.bucket.name, m.filter, m)
	return nil
}

// Values returns a copy of all entries and whether they are all there are. It is
// false until the first complete reading, and after the bucket was created anew
// until it has been read again.
func (m *Mirror) Values() (map[string]Value, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]Value, len(m.values))
	for k, v := range m.values {
		out[k] = v
	}
	return out, m.isSync
}

// Value returns one entry.
func (m *Mirror) Value(key string) (Value, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	return v, ok
}

// Synced reports whether the copy is complete.
func (m *Mirror) Synced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isSync
}

// Put writes a value, unless the copy says that it is there already, and notes it in the copy.
func (m *Mirror) Put(ctx context.Context, key string, data []byte, options ...PutOption) (wrote bool, err error) {
	if old, ok := m.Value(key); ok && bytes.Equal(old.Data, data) && m.Synced() {
		return false, nil
	}
	revision, err := m.bucket.Put(ctx, key, data, options...)
	if err != nil {
		return false, err
	}
	m.note(key, data, revision)
	return true, nil
}

// Delete removes a key, unless the copy says that it is not there.
func (m *Mirror) Delete(ctx context.Context, key string) error {
	if _, ok := m.Value(key); !ok && m.Synced() {
		return nil
	}
	if err := m.bucket.Delete(ctx, key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

// note takes an own write into the copy, if nothing newer is there.
func (m *Mirror) note(key string, data []byte, revision uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.values[key]; !ok || old.Revision < revision {
		m.values[key] = Value{Data: data, Revision: revision}
	}
}

func (m *Mirror) begin(created time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = map[string]bool{}
	if !created.Equal(m.created) {
		m.created, m.isSync = created, false
		m.values = map[string]Value{}
	}
}

func (m *Mirror) put(key string, data []byte, sequence uint64) {
	m.mu.Lock()
	m.told[key] = true
	old, ok := m.values[key]
	changed := !ok || old.Revision < sequence
	if changed {
		m.values[key] = Value{Data: data, Revision: sequence}
	}
	changed = changed && !(ok && bytes.Equal(old.Data, data))
	m.mu.Unlock()
	if changed {
		m.poke()
	}
}

func (m *Mirror) remove(key string, sequence uint64) {
	m.mu.Lock()
	old, ok := m.values[key]
	ok = ok && old.Revision < sequence
	if ok {
		delete(m.values, key)
	}
	m.mu.Unlock()
	if ok {
		m.poke()
	}
}

func (m *Mirror) synced() {
	m.mu.Lock()
	for key := range m.values {
		if !m.told[key] {
			delete(m.values, key)
		}
	}
	m.told = map[string]bool{}
	m.isSync = true
	m.mu.Unlock()
	m.poke()
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
