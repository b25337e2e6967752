// Package recorder judges everything that was written to the bucket of the catalog:
// whether something was deleted that was there, and whether an older value took the
// place of a newer one. What was there is told by whoever creates and removes the
// services; nothing in the bucket is believed about that.
package recorder

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Message is one message of the bucket's stream.
type Message struct {
	// Store tells apart stores that number their messages anew: one that was lost,
	// or that came back without its last messages.
	Store    string
	Sequence uint64
	Key      string
	// Value is empty if the message marks the key as deleted.
	Value   []byte
	Deleted bool
	// Version is Swarm's version of what the entry tells of, 0 if it carries none.
	Version uint64
	// Time is when the store took the message.
	Time time.Time
}

// Counter reads from the labels of a service the number that its owner only raises.
type Counter func(labels map[string]string) (uint64, bool)

// life is how long a service existed.
type life struct {
	name string
	// from is when it certainly existed, until when its removal was begun; zero if
	// it was not.
	from, until time.Time
}

// Recorder collects messages, which may come several times and in any order.
type Recorder struct {
	counter Counter

	mu       sync.Mutex // readers of several servers and the owner of the services write at once
	messages map[string]map[uint64]Message
	lives    map[string]life
}

// New returns an empty Recorder.
func New(counter Counter) *Recorder {
	return &Recorder{counter: counter, messages: map[string]map[uint64]Message{}, lives: map[string]life{}}
}

// Created says that a service exists from now on.
func (r *Recorder) Created(id, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives[id] = life{name: name, from: time.Now()}
}

// Removing says, before its removal is asked for, that a service may go.
func (r *Recorder) Removing(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lives[id]
	l.until = time.Now()
	r.lives[id] = l
}

// Take takes a message in.
func (r *Recorder) Take(m Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.messages[m.Store] == nil {
		r.messages[m.Store] = map[uint64]Message{}
	}
	r.messages[m.Store][m.Sequence] = m
}

// Newest is when a store took the newest message; zero if there is none.
func (r *Recorder) Newest() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	var newest time.Time
	for _, messages := range r.messages {
		for _, m := range messages {
			if m.Time.After(newest) {
				newest = m.Time
			}
		}
	}
	return newest
}

// Verdict is what a Recorder has to say.
type Verdict struct {
	// Messages is how many different ones were seen, Stores of how many stores.
	Messages, Stores int
	// Unseen are sequences between the first and the last after Since that nobody
	// has seen: they were replaced before a reader came to them.
	Unseen []uint64
	// Faults are the deletions and the older values, in order.
	Faults []string
}

// Verdict judges what was taken in since a moment; what came before only says what
// was there then.
func (r *Recorder) Verdict(since time.Time) Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	var v Verdict
	for _, store := range slices.Sorted(maps.Keys(r.messages)) {
		v.Stores++
		j := judge{lives: r.lives, counter: r.counter, known: map[string]entry{}, tasks: map[string]task{}}
		var last uint64
		common := r.common(store)
		for _, sequence := range slices.Sorted(maps.Keys(r.messages[store])) {
			m := r.messages[store][sequence]
			faults := j.take(m)
			if m.Time.Before(since) {
				last = sequence
				continue
			}
			v.Messages++
			for gap := last + 1; last > 0 && gap < sequence; gap++ {
				if gap > common {
					v.Unseen = append(v.Unseen, gap)
				}
			}
			last = sequence
			for _, fault := range faults {
				v.Faults = append(v.Faults, fmt.Sprintf("%s message %d of %s: %s", m.Time.Format("15:04:05.000"), sequence, store, fault))
			}
		}
	}
	return v
}

// common is the last sequence up to which a store and another one hold the same messages:
// a store that went back begins with what was seen before, and has lost of it what was
// replaced since.
func (r *Recorder) common(store string) uint64 {
	var last uint64
	for sequence, m := range r.messages[store] {
		for other, messages := range r.messages {
			was, told := messages[sequence]
			if other != store && told && was.Time.Equal(m.Time) && was.Key == m.Key {
				last = max(last, sequence)
			}
		}
	}
	return last
}
