// Package replicas tells whether all proxies have applied the same.
package replicas

import (
	"cmp"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Grace is how long replicas may differ before they disagree: it takes them different
// times to apply a change, and what they say of themselves may be as old as their
// next word.
const Grace = 15 * time.Second

// Replica is what one of them last said, as another sees it.
type Replica struct {
	catalog.Instance
	// Self marks the one that answers.
	Self bool `json:"self,omitempty"`
	// AgeSeconds is how long ago it said so.
	AgeSeconds float64 `json:"ageSeconds"`
	// Disagrees: it has applied something else, of the same revision or a later one,
	// for longer than the grace.
	Disagrees bool `json:"disagrees,omitempty"`
}

// judge compares what others say with an own instance. since is when each began to
// differ, by name; the second result is what it is now.
func judge(own catalog.Instance, others []catalog.Instance, since map[string]time.Time, now time.Time) ([]Replica, map[string]time.Time) {
	next := map[string]time.Time{}
	var out []Replica
	for _, i := range others {
		r := Replica{Instance: i, Self: i.Instance == own.Instance, AgeSeconds: age(i, now)}
		if !r.Self && differs(own, i) {
			at, ok := since[i.Instance]
			if !ok {
				at = now
			}
			next[i.Instance] = at
			r.Disagrees = now.Sub(at) > Grace
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Replica) int { return cmp.Compare(a.Instance.Instance, b.Instance.Instance) })
	return out, next
}

// differs: one that knows an earlier revision is behind, and sees by itself that we
// differ. Revisions of different epochs cannot be compared.
func differs(own, other catalog.Instance) bool {
	behind := other.Revision.Epoch == own.Revision.Epoch && other.Revision.Sequence < own.Revision.Sequence
	return other.Hash != own.Hash && !behind
}
