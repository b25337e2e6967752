package listener

import (
	"maps"
	"slices"
	"sync"

	"github.com/wagglehq/waggle/pkg/docker"
)

// mostHints is how many services are read one by one before a list; with more of
// them the list itself is quicker.
const mostHints = 4

// hints are the services of which events spoke since the last list. An event
// remains a poke: what it says only decides what is looked at first.
type hints struct {
	// mu guards the rest, which the stream of events and the loop share.
	mu  sync.Mutex
	ids map[string]bool
	// more says that something else was heard, which takes a list.
	more bool
}

func newHints() *hints { return &hints{ids: map[string]bool{}} }

func (h *hints) add(e docker.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Kind != "service" || e.Removed {
		h.more = true
		return
	}
	h.ids[e.ID] = true
}

// take returns the services to look at first and whether that is all that was
// heard, and forgets both.
func (h *hints) take() (ids []string, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids, all = slices.Sorted(maps.Keys(h.ids)), !h.more
	clear(h.ids)
	h.more = false
	if len(ids) > mostHints {
		return nil, false
	}
	return ids, all && len(ids) > 0
}
