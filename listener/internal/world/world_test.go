package world

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// state reads "service.a=labels@12 node.n=ready@3 index=12".
func state(text string) State {
	s := State{Entries: catalog.Entries{}, Indexes: map[string]uint64{}}
	for _, word := range strings.Fields(text) {
		key, rest, _ := strings.Cut(word, "=")
		value, index, _ := strings.Cut(rest, "@")
		if key == "index" {
			index = value
		}
		n, err := strconv.ParseUint(index, 10, 64)
		if err != nil {
			panic(err)
		}
		if key == "index" {
			s.Index = n
			continue
		}
		s.Entries[key], s.Indexes[key] = []byte(value), n
	}
	return s
}

// said is a plan as text.
func said(p Plan) string {
	var words []string
	for _, e := range p.Put {
		words = append(words, fmt.Sprintf("put %s=%s", e.Key, e.Value))
	}
	for _, key := range p.Delete {
		words = append(words, "delete "+key)
	}
	for _, key := range slices.Sorted(maps.Keys(p.New)) {
		words = append(words, "doubt "+key)
	}
	return strings.Join(append(words, fmt.Sprint("index ", p.Index)), ", ")
}

func TestOneList(t *testing.T) {
	for name, c := range map[string]struct{ bus, list, want string }{
		"an empty bucket takes all":                       {"", "service.a=1@5 node.n=x@7", "put node.n=x, put service.a=1, index 7"},
		"nothing has changed":                             {"service.a=1@5 node.n=x@7 index=7", "service.a=1@5 node.n=x@7", "index 7"},
		"a deploy that changed nothing":                   {"service.a=1@5 index=7", "service.a=1@9", "index 9"},
		"another label":                                   {"service.a=1@5 index=7", "service.a=2@9", "put service.a=2, index 9"},
		"an older list changes nothing back":              {"service.a=2@9 index=9", "service.a=1@5", "doubt service.a, index 9"},
		"another version of Waggle writes other bytes":    {"service.a=1@5 index=5", "service.a=1,more@5", "put service.a=1,more, index 5"},
		"a new service":                                   {"service.a=1@5 index=7", "service.a=1@5 service.b=1@8", "put service.b=1, index 8"},
		"a service is removed, others are newer":          {"service.a=1@5 service.b=1@8 index=8", "service.b=1@8", "delete service.a, index 8"},
		"the newest is removed, without an event":         {"service.a=1@5 service.b=1@8 index=8", "service.a=1@5", "doubt service.b, index 8"},
		"the last is removed, without an event":           {"service.a=1@5 node.n=x@3 index=5", "node.n=x@3", "doubt service.a, index 5"},
		"newer nodes do not make services look gone":      {"service.a=1@5 service.b=1@8 node.n=x@3 index=8", "service.a=1@5 node.n=y@9", "put node.n=y, doubt service.b, index 9"},
		"an older list brings nothing back":               {"service.b=1@8 index=9", "service.a=1@5 service.b=1@8", "doubt service.a, index 9"},
		"versions that are not known are believed":        {"service.a=1@0", "service.a=2@0 service.b=1@0", "put service.a=2, put service.b=1, index 0"},
		"tasks are not a list's":                          {"service.a=1@5 tasks.a=x@0 tasks.b=x@0 index=5", "service.a=1@5 tasks.c=x@0", "index 5"},
		"texts that are withheld come with their service": {"service.a=1@5 index=5", "service.a=2@6 secret.a=x@0", "put secret.a=x, put service.a=2, index 6"},
		"and alone, if they are lost":                     {"service.a=2@6 index=6", "service.a=2@6 secret.a=x@0", "put secret.a=x, index 6"},
		"they go when the service withholds nothing":      {"service.a=2@6 secret.a=x@0 index=6", "service.a=3@7", "put service.a=3, delete secret.a, index 7"},
		"they go with their service":                      {"service.a=2@6 secret.a=x@0 service.b=1@7 index=7", "service.b=1@7", "delete secret.a, delete service.a, index 7"},
		"they stay while a missing service is in doubt":   {"service.a=2@6 secret.a=x@0 index=6", "", "doubt service.a, index 6"},
		"those of an older list are not written":          {"service.a=2@6 secret.a=x@0 index=6", "service.a=1@5 secret.a=old@0", "doubt service.a, index 6"},
		"those of a service that nobody knows are no use": {"secret.a=x@0 service.b=1@7 index=7", "service.b=1@7", "delete secret.a, index 7"},
		"what came back with another store is removed":    {"service.old=1@3 service.a=1@5 index=5", "service.a=1@5 service.b=1@9", "put service.b=1, delete service.old, index 9"},
	} {
		t.Run(name, func(t *testing.T) {
			var m Memory
			if got := said(m.Plan(time.Unix(0, 0), state(c.bus), state(c.list))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestDoubtsEnd follows one listener through several lists; the bus stays as it is.
func TestDoubtsEnd(t *testing.T) {
	type step struct {
		at         time.Duration
		list, want string
	}
	const bus = "service.a=1@5 service.b=2@8 index=8"
	for name, c := range map[string]struct {
		bus   string
		steps []step
	}{
		"a service that stays missing is removed": {bus, []step{
			{0, "service.a=1@5", "doubt service.b, index 8"}, {5 * time.Second, "service.a=1@5", "index 8"}, {20 * time.Second, "service.a=1@5", "delete service.b, index 5"},
		}},
		"one that is there again begins anew": {bus, []step{
			{0, "service.a=1@5", "doubt service.b, index 8"}, {10 * time.Second, "service.a=1@5 service.b=2@8", "index 8"},
			{20 * time.Second, "service.a=1@5", "doubt service.b, index 8"}, {39 * time.Second, "service.a=1@5", "index 8"}, {40 * time.Second, "service.a=1@5", "delete service.b, index 5"},
		}},
		"a swarm restored from a backup is taken over": {bus, []step{
			{0, "service.a=1@4 service.b=1@3 service.c=1@2", "doubt service.a, doubt service.b, doubt service.c, index 8"},
			{20 * time.Second, "service.a=1@4 service.b=1@3 service.c=1@2", "put service.a=1, put service.b=1, put service.c=1, index 4"},
		}},
		"a manager that answers the past for 15 s changes nothing": {bus, []step{
			{0, "service.a=1@5 service.b=1@6 service.gone=1@7", "doubt service.b, doubt service.gone, index 8"}, {15 * time.Second, "service.a=1@5 service.b=1@6 service.gone=1@7", "index 8"},
			{16 * time.Second, "service.a=1@5 service.b=2@8", "index 8"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var m Memory
			for _, s := range c.steps {
				if got := said(m.Plan(time.Unix(0, 0).Add(s.at), state(c.bus), state(s.list))); got != s.want {
					t.Errorf("after %s: got  %s\nwant %s", s.at, got, s.want)
				}
			}
		})
	}
}

func TestTheNextListIsDueWhileSomethingIsInDoubt(t *testing.T) {
	var m Memory
	bus, list := state("service.a=1@5 service.b=2@8 index=8"), state("service.a=1@5")
	start := time.Unix(0, 0)
	for _, c := range []struct{ at, again time.Duration }{{0, 5 * time.Second}, {10 * time.Second, 5 * time.Second}, {18 * time.Second, 2 * time.Second}, {20 * time.Second, 0}} {
		if got := m.Plan(start.Add(c.at), bus, list).Again; got != c.again {
			t.Errorf("after %s the next list is due in %s, want %s", c.at, got, c.again)
		}
	}
}

func TestWhoseRemovalWasHeardOfIsRemovedAtOnce(t *testing.T) {
	var m Memory
	m.Removed("service.b")
	bus := state("service.a=1@5 service.b=2@8 index=8")
	if got := said(m.Plan(time.Unix(0, 0), bus, state("service.a=1@5"))); got != "delete service.b, index 8" {
		t.Error(got)
	}
	// A list that names it still is of no account.
	if got := said(m.Plan(time.Unix(1, 0), state("service.a=1@5 index=5"), state("service.a=1@5 service.b=2@8"))); got != "doubt service.b, index 8" {
		t.Error(got)
	}
	m.Plan(time.Unix(2, 0), state("service.a=1@5 index=5"), state("service.a=1@5"))
	if len(m.removed) > 0 {
		t.Errorf("still remembered: %v", m.removed)
	}
}

func TestAListOfTheOnlyManagerNeedsNoOtherForARemoval(t *testing.T) {
	var m Memory
	bus, list := state("service.a=1@5 service.b=2@8 index=8"), state("service.a=1@5")
	list.Alone = true
	if got := said(m.Plan(time.Unix(0, 0), bus, list)); got != "delete service.b, index 8" {
		t.Error(got)
	}
	// A version that went back may still be that of a list which began before a change.
	older := state("service.a=0@4 service.b=2@8")
	older.Alone = true
	if got := said(m.Plan(time.Unix(1, 0), bus, older)); got != "doubt service.a, index 8" {
		t.Error(got)
	}
}

func TestAFailureBeginsTheWaitAnew(t *testing.T) {
	var m Memory
	bus, list := state("service.a=1@5 service.b=2@8 index=8"), state("service.a=1@5")
	m.Plan(time.Unix(0, 0), bus, list)
	m.Doubts()
	if got := said(m.Plan(time.Unix(20, 0), bus, list)); got != "doubt service.b, index 8" {
		t.Error(got)
	}
}

func TestWhatOtherHandsDeletedIsThereAtOnce(t *testing.T) {
	var m Memory
	list := state("service.a=1@5 service.b=2@8")
	m.Plan(time.Unix(0, 0), state("service.a=1@5 service.b=2@8 index=8"), list)
	if got := said(m.Plan(time.Unix(1, 0), state("service.b=2@8 index=8"), list)); got != "put service.a=1, index 8" {
		t.Error(got)
	}
}
