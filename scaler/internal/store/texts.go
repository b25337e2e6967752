package store

import (
	"bytes"
	"encoding/json"
	"sync"
)

// texts remember what texts of the bucket say, by key: each pass asks for all of them, and
// hardly any has changed. The zero value remembers nothing. What is read is shared, and must
// not be changed.
type texts[T any] struct {
	// mu guards the rest: the loop reads, and so do handlers of HTTP.
	mu    sync.Mutex
	known map[string]text[T]
}

// text is what one says. A revision instead of it would not do: a bus that lost its store
// counts anew.
type text[T any] struct {
	data  []byte
	value T
	err   error
}

func (t *texts[T]) read(key string, data []byte) (T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.known[key]
	if !ok || !bytes.Equal(one.data, data) {
		one = text[T]{data: data}
		one.err = json.Unmarshal(data, &one.value)
		if t.known == nil {
			t.known = map[string]text[T]{}
		}
		t.known[key] = one
	}
	return one.value, one.err
}

func (t *texts[T]) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, key)
}

func (t *texts[T]) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.known)
}

// forget drops what was known of a key that is gone.
func (s *Store) forget(key string) {
	s.signals.forget(key)
	s.steps.forget(key)
	s.numbers.forget(key)
}
