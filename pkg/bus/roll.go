package bus

import (
	"slices"
	"strings"
	"time"
)

// How long the statuses of an instance stay that is not heard of.
const (
	// replacedAfter is for one whose component has another instance that is heard of:
	// its word counts no more.
	replacedAfter = 2 * time.Minute
	// lastWordAfter is for one that nobody replaced: its last word is all that there is
	// to tell.
	lastWordAfter = 24 * time.Hour
)

// Roll is called over the content of StatusBucket again and again, and remembers since
// when which instance has not answered. Its zero value is ready. It is for one goroutine.
type Roll struct {
	// away are by "component.token of the instance".
	away map[string]time.Time
}

// Called is what a roll call found.
type Called struct {
	// Away tells of each instance that has statuses and is not heard of, since when
	// that has been seen, by "component.token of the instance". The instance itself
	// went up to catalog.AwayAfter earlier.
	Away map[string]time.Time
	// Sweep are the keys of statuses that are to be deleted, sorted.
	Sweep []string
}

// Call takes all of the bucket's entries, and the time by this process's clock.
func (r *Roll) Call(values map[string]Value, now time.Time) Called {
	isHeard, isReplaced := map[string]bool{}, map[string]bool{}
	for key := range values {
		if instance, ok := strings.CutPrefix(key, instancePrefix); ok {
			component, _, _ := strings.Cut(instance, ".")
			isHeard[instance], isReplaced[component] = true, true
		}
	}
	out := Called{Away: map[string]time.Time{}}
	for key := range values {
		component, rest, _ := strings.Cut(key, ".")
		token, _, isStatus := strings.Cut(rest, ".")
		instance := component + "." + token
		if !isStatus || isHeard[instance] || strings.HasPrefix(key, instancePrefix) {
			continue
		}
		since, known := r.away[instance]
		if !known {
			since = now
		}
		out.Away[instance] = since
		limit := lastWordAfter
		if isReplaced[component] {
			limit = replacedAfter
		}
		if now.Sub(since) >= limit {
			out.Sweep = append(out.Sweep, key)
		}
	}
	slices.Sort(out.Sweep)
	r.away = out.Away
	return out
}
