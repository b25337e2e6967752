// Package instances tells which instances of the components are there, and since when
// the others have not been heard of. It is pure; the caller brings the time.
package instances

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Value is an entry of the status bucket; Time is when the server took it.
type Value struct {
	Data []byte
	Time time.Time
}

// Name is one instance of a component, as in keys of the status bucket.
type Name struct{ Component, Instance string }

// Instance is one instance that was heard of.
type Instance struct {
	Name
	// Said is what it said of itself last; only the names are known of one that
	// only left statuses behind.
	Said catalog.Instance
	// Heard is when it was last heard of. Exact is false if it was gone already when this
	// process began to listen: it is then when it last said something of a service.
	Heard time.Time
	Exact bool
	// Away says that it has not been heard of for catalog.AwayAfter.
	Away bool
}

// prefix begins the keys of what instances say of themselves.
const prefix = "instance."

// NameOf takes the key of a status apart; it is false for other keys.
func NameOf(key string) (Name, bool) {
	component, rest, ok := strings.Cut(key, ".")
	if !ok || strings.HasPrefix(key, prefix) {
		return Name{}, false
	}
	instance, _, ok := strings.Cut(rest, ".")
	if !ok {
		instance = "" // a version of Waggle that did not tell instances apart
	}
	return Name{component, instance}, true
}

// forgetAfter is how long an instance is remembered that left nothing behind.
const forgetAfter = time.Hour

// Tracker remembers when instances were heard of, since the bus forgets them. Its zero
// value is ready.
type Tracker struct {
	// mu guards seen, because whoever is asked about a service looks, and a loop does.
	mu   sync.Mutex
	seen map[Name]Instance
}

// Look takes the present entries of the status bucket in and returns all instances, by name.
func (t *Tracker) Look(now time.Time, values map[string]Value) map[Name]Instance {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[Name]Instance{}
	}
	left := map[Name]bool{}
	for key, v := range values {
		if name, ok := NameOf(key); ok {
			left[name] = true
			t.said(now, name, v.Time)
			continue
		}
		component, token, _ := strings.Cut(strings.TrimPrefix(key, prefix), ".")
		i := Instance{Name: Name{component, token}, Heard: v.Time, Exact: true}
		if json.Unmarshal(v.Data, &i.Said) != nil {
			continue
		}
		if i.Heard.IsZero() || i.Heard.After(now) { // an own write, or a clock that is ahead
			i.Heard = now
		}
		if old, known := t.seen[i.Name]; known && old.Exact && old.Heard.After(i.Heard) {
			i.Heard = old.Heard
		}
		left[i.Name] = true
		t.seen[i.Name] = i
	}
	out := make(map[Name]Instance, len(t.seen))
	for name, i := range t.seen {
		i.Away = now.Sub(i.Heard) >= catalog.AwayAfter
		if !left[name] && now.Sub(i.Heard) >= forgetAfter {
			delete(t.seen, name)
			continue
		}
		out[name] = i
	}
	return out
}

// said notes that an instance said something of a service.
func (t *Tracker) said(now time.Time, name Name, at time.Time) {
	if at.After(now) {
		at = now
	}
	i, known := t.seen[name]
	switch {
	case !known && at.IsZero():
		t.seen[name] = Instance{Name: name, Heard: now}
	case !known:
		t.seen[name] = Instance{Name: name, Heard: at}
	case at.After(i.Heard):
		i.Heard = at
		t.seen[name] = i
	}
}

// Sorted returns instances by component and name.
func Sorted(all map[Name]Instance) []Instance {
	out := make([]Instance, 0, len(all))
	for _, i := range all {
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Instance) int {
		return cmp.Or(strings.Compare(a.Component, b.Component), strings.Compare(a.Instance, b.Instance))
	})
	return out
}

// Lives reports whether any instance of a component is there.
func Lives(all map[Name]Instance, component string) bool {
	for name, i := range all {
		if name.Component == component && !i.Away {
			return true
		}
	}
	return false
}

// After what silence what an instance said is of no use any more.
const (
	// replacedAfter holds while another instance of its component lives.
	replacedAfter = 2 * time.Minute
	goneAfter     = time.Hour
)

// Stale returns the keys of statuses of instances that have been gone for long, sorted.
func Stale(now time.Time, all map[Name]Instance, values map[string]Value) []string {
	var out []string
	for key := range values {
		name, ok := NameOf(key)
		i := all[name]
		silent := now.Sub(i.Heard)
		if ok && i.Away && (silent >= goneAfter || silent >= replacedAfter && Lives(all, name.Component)) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}
