// Package world decides what of a list of the swarm is written to the catalog: a
// list may be older than what the bus holds already, for a manager that was cut
// from the others goes on answering for a while. It is pure; the caller brings
// the time.
package world

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Patience is how long lists must go on contradicting the bus, with every list
// succeeding, before they are believed although they look old: a swarm that was
// restored from a backup counts its versions from further down.
const Patience = 20 * time.Second

// lookAgain is how soon the next list is due while something is in doubt.
const lookAgain = 5 * time.Second

// State is a set of services and nodes with Swarm's version of each: those of the
// bus, or those of a list. The texts that a service withholds follow it; entries of
// other kinds are passed over.
type State struct {
	Entries catalog.Entries
	Indexes map[string]uint64
	// Index is the highest version that the bus was told of lately; the caller leaves
	// it out for a list.
	Index uint64
	// Alone says of a list that it names a single manager, the one that gave it. There is none
	// then from which it could have been cut off, so that what it does not name has gone.
	Alone bool
}

// Doubt says why an entry is left as it is for the time being.
type Doubt string

// The doubts.
const (
	// Missing: the bus has an entry that the list does not name, and that is newer than
	// all of its kind that the list names.
	Missing Doubt = "the list does not name it, but may be older than it"
	// Older: the list has a lower version than the bus.
	Older Doubt = "the bus holds a newer version"
	// Returned: the list names what the bus had, or could have had, and has no more.
	Returned Doubt = "it was removed, and the list may be from before that"
)

// Plan is what one list leads to.
type Plan struct {
	catalog.Changes
	// Index is the highest version that lists told of lately, for the next list.
	Index uint64
	// Doubts are the entries that stay as they are for the time being, New those among
	// them that this list made doubtful.
	Doubts, New map[string]Doubt
	// Again is how soon the next list is due, 0 if nothing is in doubt.
	Again time.Duration
}

// Memory is what must be remembered from list to list. Its zero value is ready.
// It belongs to one goroutine.
type Memory struct {
	doubts  map[string]doubt
	removed map[string]bool
	// known are the entries that the bus had at the last list, by their version.
	known map[string]uint64
	// behind is when the highest version of the lists fell below that of the bus.
	behind time.Time
}

type doubt struct {
	why   Doubt
	since time.Time
}

// mostRemoved bounds the removals that wait for a list.
const mostRemoved = 10_000

// Removed notes that the removal of a service or node was heard of; key is that
// of its entry. It counts for lists that begin later.
func (m *Memory) Removed(key string) {
	if m.removed == nil || len(m.removed) >= mostRemoved {
		m.removed = map[string]bool{}
	}
	m.removed[key] = true
}

// Doubts begins all waiting anew: a list failed, or somebody else wrote meanwhile.
func (m *Memory) Doubts() { m.doubts, m.known, m.behind = nil, nil, time.Time{} }

// kinds are the prefixes of the keys that lists own.
func kinds() []string { return []string{catalog.ServiceKey(""), catalog.NodeKey("")} }

// Plan compares what the bus held before the swarm was listed with the list.
func (m *Memory) Plan(now time.Time, have, list State) Plan {
	p := Plan{Doubts: map[string]Doubt{}, New: map[string]Doubt{}}
	next := map[string]doubt{}
	// sure reports whether a doubt has lasted long enough, and keeps it otherwise.
	sure := func(key string, why Doubt) bool {
		d, ok := m.doubts[key]
		if !ok || d.why != why {
			d = doubt{why: why, since: now}
			p.New[key] = why
		}
		if now.Sub(d.since) >= Patience {
			return true
		}
		next[key], p.Doubts[key] = d, why
		return false
	}
	highest := map[string]uint64{}
	for _, kind := range kinds() {
		for key := range list.Entries {
			if strings.HasPrefix(key, kind) {
				highest[kind] = max(highest[kind], list.Indexes[key])
			}
		}
		p.Index = max(p.Index, highest[kind])
	}
	for key, value := range list.Entries {
		if !slices.ContainsFunc(kinds(), func(kind string) bool { return strings.HasPrefix(key, kind) }) {
			continue
		}
		old, present := have.Entries[key]
		put := false
		switch index := list.Indexes[key]; {
		case !present:
			put = !m.returned(key, index, have.Index) || sure(key, Returned)
		case index != 0 && index < have.Indexes[key]:
			put = sure(key, Older)
		default:
			put = !bytes.Equal(old, value)
		}
		if put {
			p.Put = append(p.Put, catalog.Entry{Key: key, Value: value})
		}
	}
	for key := range have.Entries {
		i := slices.IndexFunc(kinds(), func(kind string) bool { return strings.HasPrefix(key, kind) })
		if _, listed := list.Entries[key]; listed || i < 0 {
			continue
		}
		if list.Alone || have.Indexes[key] <= highest[kinds()[i]] || m.removed[key] || sure(key, Missing) {
			p.Delete = append(p.Delete, key)
		}
	}
	p.follow(have, list)
	p.Index = m.index(now, p.Index, have.Index)
	m.remember(have, list, next)
	slices.SortFunc(p.Put, func(a, b catalog.Entry) int { return strings.Compare(a.Key, b.Key) })
	slices.Sort(p.Delete)
	for _, d := range next {
		if left := min(Patience-now.Sub(d.since), lookAgain); p.Again == 0 || left < p.Again {
			p.Again = left
		}
	}
	return p
}

// follow treats the withheld texts of a service like the service itself.
func (p *Plan) follow(have, list State) {
	follows := func(key string) bool {
		id, isSecret := catalog.SecretOf(key)
		return isSecret && p.Doubts[catalog.ServiceKey(id)] == ""
	}
	for key, value := range list.Entries {
		if follows(key) && !bytes.Equal(have.Entries[key], value) {
			p.Put = append(p.Put, catalog.Entry{Key: key, Value: value})
		}
	}
	for key := range have.Entries {
		if _, listed := list.Entries[key]; !listed && follows(key) {
			p.Delete = append(p.Delete, key)
		}
	}
}

// returned reports whether an entry that the bus does not have may be one that was
// removed: what is made new gets a version above all earlier ones. What this
// listener itself saw on the bus at its last list went by other hands.
func (m *Memory) returned(key string, index, bus uint64) bool {
	if m.removed[key] {
		return true
	}
	seen, known := m.known[key]
	return index != 0 && index <= bus && (!known || seen > index)
}

// index returns the version to be told with the list, which falls only when the
// lists have been lower for long.
func (m *Memory) index(now time.Time, list, bus uint64) uint64 {
	if list >= bus {
		m.behind = time.Time{}
		return list
	}
	if m.behind.IsZero() {
		m.behind = now
	}
	if now.Sub(m.behind) >= Patience {
		return list
	}
	return bus
}

func (m *Memory) remember(have, list State, doubts map[string]doubt) {
	m.doubts = doubts
	m.known = make(map[string]uint64, len(list.Entries))
	for key := range have.Entries {
		if _, listed := list.Entries[key]; listed {
			m.known[key] = max(have.Indexes[key], list.Indexes[key])
		}
	}
	for key := range m.removed {
		_, listed := list.Entries[key]
		if _, present := have.Entries[key]; !present && !listed {
			delete(m.removed, key)
		}
	}
}
