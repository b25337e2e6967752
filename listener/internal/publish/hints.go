package publish

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
)

// mostHints is how many services are read one by one before a list; with more of
// them the list itself is quicker.
const mostHints = 4

// hints are the services of which events spoke since the last list. An event
// remains a poke: what it says only decides what is looked at first.
type hints struct {
	// mu guards the rest, which the stream of events and the loop share.
	mu      sync.Mutex
	ids     map[string]bool
	removed []string
	// more says that something else was heard, which takes a list.
	more bool
}

func newHints() *hints { return &hints{ids: map[string]bool{}} }

func (h *hints) add(e docker.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Removed {
		h.removed = append(h.removed, keyOf(e))
	}
	if e.Kind != "service" || e.Removed {
		h.more = true
		return
	}
	h.ids[e.ID] = true
}

// take returns the services to look at first, the keys of what was removed, and whether
// a list is due as well, and forgets all.
func (h *hints) take() (ids, removed []string, more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids, removed, more = slices.Sorted(maps.Keys(h.ids)), h.removed, h.more || len(h.ids) == 0
	clear(h.ids)
	h.removed, h.more = nil, false
	if len(ids) > mostHints {
		return nil, removed, true
	}
	return ids, removed, more
}

// keyOf is the key of the entry that an event is about.
func keyOf(e docker.Event) string {
	if e.Kind == "node" {
		return catalog.NodeKey(e.ID)
	}
	return catalog.ServiceKey(e.ID)
}

// missed finds changes that no event told of, which a list found all the same: the
// stream of events may be dead without having been closed.
type missed struct {
	// mu guards the rest, which the stream of events and the loop share.
	mu       sync.Mutex
	heard    map[string]time.Time
	opened   time.Time
	lastList time.Time
	suspects map[string]time.Time
}

// grace is how much later than a list an event may come.
const grace = 2 * time.Second

// event notes what was heard.
func (m *missed) event(now time.Time, e docker.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Kind == "" {
		m.opened, m.suspects = now, nil
		return
	}
	if m.heard == nil {
		m.heard = map[string]time.Time{}
	}
	m.heard[keyOf(e)] = now
	delete(m.suspects, keyOf(e))
}

// list notes what a list that began at start found changed. The first list has
// nothing to compare with.
func (m *missed) list(start, now time.Time, changed []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.lastList
	m.lastList = start
	defer maps.DeleteFunc(m.heard, func(_ string, at time.Time) bool { return start.Sub(at) > grace })
	if last.IsZero() || m.opened.After(last.Add(-grace)) {
		return
	}
	for _, key := range changed {
		if _, ok := m.heard[key]; ok {
			continue
		}
		if m.suspects == nil {
			m.suspects = map[string]time.Time{}
		}
		if _, ok := m.suspects[key]; !ok {
			m.suspects[key] = now
		}
	}
}

// overdue returns how many changes nobody told of in time, and forgets them, and when
// to ask again, which is never for 0.
func (m *missed) overdue(now time.Time) (n int, again time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, since := range m.suspects {
		if left := grace - now.Sub(since); left > 0 {
			again = max(again, left)
			continue
		}
		delete(m.suspects, key)
		n++
	}
	return n, again
}

// forget makes the next list the first.
func (m *missed) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suspects, m.lastList = nil, time.Time{}
}
