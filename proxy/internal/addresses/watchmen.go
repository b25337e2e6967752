package addresses

import (
	"cmp"
	"slices"
	"time"
)

// perWatchman: watchmen are asked at most ten times per second in all, which costs Docker
// about a sixth of a percent of a core.
const perWatchman = 100 * time.Millisecond

// watchmen chooses targets that together have a task on every node that any target has
// one on, preferring those with many nodes. A node that dies takes its tasks out of DNS
// at one time, so that asking these few often finds what happened to all.
func (s *state) watchmen() {
	byNodes := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		e.watchman = false
		if len(e.target.Nodes) > 0 {
			byNodes = append(byNodes, e)
		}
	}
	slices.SortFunc(byNodes, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(len(b.target.Nodes), len(a.target.Nodes)), cmp.Compare(a.key, b.key))
	})
	watched := map[string]struct{}{}
	s.watching = 0
	for _, e := range byNodes {
		before := len(watched)
		for _, node := range e.target.Nodes {
			watched[node] = struct{}{}
		}
		if len(watched) > before {
			e.watchman = true
			s.watching++
		}
	}
}

// rest is how often a quiet target is asked.
func (s *state) rest(e *entry) time.Duration {
	rest := min(max(quiet, time.Duration(len(s.entries))*perQuiet), quietMost)
	if e.watchman {
		return min(rest, max(inMotion, time.Duration(s.watching)*perWatchman))
	}
	return rest
}

// shareNodes reports whether two sorted lists of nodes have one in common.
func shareNodes(a, b []string) bool {
	for len(a) > 0 && len(b) > 0 {
		switch cmp.Compare(a[0], b[0]) {
		case 0:
			return true
		case -1:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}
