package motion

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"pgregory.net/rapid"
)

func tasks(states ...string) []catalog.Task {
	var out []catalog.Task
	for i, s := range states {
		out = append(out, catalog.Task{ID: fmt.Sprint(i), State: s, Desired: "running"})
	}
	return out
}

func TestSettled(t *testing.T) {
	for name, c := range map[string]struct {
		svc   catalog.Service
		tasks []catalog.Task
		want  bool
	}{
		"all run":                     {catalog.Service{Mode: catalog.Replicated, Replicas: 2}, tasks("running", "running"), true},
		"one is missing":              {catalog.Service{Mode: catalog.Replicated, Replicas: 2}, tasks("running"), false},
		"one is starting":             {catalog.Service{Mode: catalog.Replicated, Replicas: 2}, tasks("running", "starting"), false},
		"one too many":                {catalog.Service{Mode: catalog.Replicated, Replicas: 1}, tasks("running", "running"), false},
		"none are wanted":             {catalog.Service{Mode: catalog.Replicated}, nil, true},
		"an update is under way":      {catalog.Service{Mode: catalog.Replicated, UpdateState: "updating"}, nil, false},
		"a way back is under way":     {catalog.Service{Mode: catalog.Replicated, UpdateState: "rollback_started"}, nil, false},
		"an update was stopped":       {catalog.Service{Mode: catalog.Replicated, UpdateState: "paused"}, nil, true},
		"a global service":            {catalog.Service{Mode: catalog.Global}, tasks("running", "running"), true},
		"a global service that comes": {catalog.Service{Mode: catalog.Global}, tasks("running", "preparing"), false},
		"a job":                       {catalog.Service{Mode: catalog.ReplicatedJob, Replicas: 3}, tasks("starting"), true},
	} {
		if got := Settled(c.svc, c.tasks); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestNext follows one service through its life.
func TestNext(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var tracker Tracker
	step := func(what string, at time.Duration, want time.Duration, services map[string]catalog.Service, all []catalog.Task) {
		t.Helper()
		got := tracker.Next(start.Add(at), services, map[string][]catalog.Task{"web": all}, func(id string) ([]byte, []byte) {
			return fmt.Append(nil, services[id]), fmt.Append(nil, all)
		}, nil)
		if got != want {
			t.Errorf("%s: look again in %s, want %s", what, got, want)
		}
	}
	two := map[string]catalog.Service{"web": {Mode: catalog.Replicated, Replicas: 2}}
	step("no service at all", 0, Quiet, nil, nil)
	step("created", 0, Fast, two, nil)
	step("one task runs", time.Second, Fast, two, tasks("running"))
	step("both run", 2*time.Second, Fast, two, tasks("running", "running"))
	step("still new", 6*time.Second, Fast, two, tasks("running", "running"))
	step("quiet", 8*time.Second, Quiet, two, tasks("running", "running"))
	step("a task died", 100*time.Second, Fast, two, tasks("running"))
	step("and is not replaced", 150*time.Second, Fast, two, tasks("running"))
	step("for more than a minute", 161*time.Second, Waiting, two, tasks("running"))
	step("for an hour", time.Hour, Waiting, two, tasks("running"))
	step("and is at last", time.Hour+time.Second, Waiting, two, tasks("running", "running"))
	step("quiet again", time.Hour+7*time.Second, Quiet, two, tasks("running", "running"))
	step("removed", time.Hour+8*time.Second, Quiet, nil, nil)
	step("there again", time.Hour+9*time.Second, Fast, two, tasks("running", "running"))
}

// TestACrashLoopIsLookedAtLessOften has a task that dies every five seconds, for two minutes.
func TestACrashLoopIsLookedAtLessOften(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var tracker Tracker
	looks := func(svc catalog.Service, from, to time.Duration) (n int) {
		services := map[string]catalog.Service{"web": svc}
		for at := from; at < to; n++ {
			states := [][]catalog.Task{tasks("starting"), tasks("running")}[at/(2500*time.Millisecond)%2]
			at += tracker.Next(start.Add(at), services, map[string][]catalog.Task{"web": states}, func(string) ([]byte, []byte) {
				return fmt.Append(nil, svc), fmt.Append(nil, states)
			}, nil)
		}
		return n
	}
	svc := catalog.Service{Mode: catalog.Replicated, Replicas: 1}
	if n := looks(svc, 0, time.Minute); n != 240 {
		t.Errorf("%d looks in the first minute, want four a second", n)
	}
	if n := looks(svc, time.Minute, 2*time.Minute); n != 60 {
		t.Errorf("%d looks in the second minute, want one a second", n)
	}
	svc.UpdateState = "updating"
	if n := looks(svc, 2*time.Minute, 3*time.Minute); n != 240 {
		t.Errorf("%d looks in a minute of an update, want four a second", n)
	}
}

// TestWhatChangedIsEnoughToLookAt leads two trackers through the same life of a swarm: one
// is told which services have changed, the other looks at all.
func TestWhatChangedIsEnoughToLookAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var told, all Tracker
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		services, theirs := map[string]catalog.Service{}, map[string][]catalog.Task{}
		value := func(id string) ([]byte, []byte) {
			return fmt.Append(nil, services[id]), fmt.Append(nil, theirs[id])
		}
		changed := []string{}
		change := func(id string) { changed = append(changed, id) }
		one := func(t *rapid.T) string { return rapid.SampledFrom([]string{"api", "db", "web"}).Draw(t, "service") }
		same := func(t *rapid.T) {
			if got, want := told.Moving(now, services, theirs, value, changed), all.Moving(now, services, theirs, value, nil); !slices.Equal(got, want) {
				t.Fatalf("moving are %q, and of all %q", got, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": same,
			"a service comes, or changes": func(t *rapid.T) {
				id := one(t)
				services[id] = catalog.Service{
					ID: id, Mode: rapid.SampledFrom([]catalog.Mode{catalog.Replicated, catalog.Global, catalog.ReplicatedJob}).Draw(t, "mode"),
					Replicas:    rapid.Uint64Max(2).Draw(t, "replicas"),
					UpdateState: rapid.SampledFrom([]string{"", "", "updating", "paused"}).Draw(t, "update"),
				}
				change(id)
			},
			"a service goes": func(t *rapid.T) {
				id := one(t)
				delete(services, id)
				change(id)
			},
			"tasks come, go or change": func(t *rapid.T) {
				id := one(t)
				theirs[id] = tasks(rapid.SliceOfN(rapid.SampledFrom([]string{"starting", "running"}), 0, 2).Draw(t, "tasks")...)
				change(id)
			},
			"one is looked at for nothing": func(t *rapid.T) { change(one(t)) },
			"time goes by": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "milliseconds")) * time.Millisecond)
			},
			"a look": func(t *rapid.T) {
				got, want := told.Next(now, services, theirs, value, changed), all.Next(now, services, theirs, value, nil)
				if got != want {
					t.Fatalf("look again in %s, and after a look at all in %s", got, want)
				}
				if len(told.seen) != len(services) || !slices.Equal(slices.Sorted(maps.Keys(told.restless)), slices.Sorted(maps.Keys(all.restless))) {
					t.Fatalf("it remembers %d services of %d, and as restless %q instead of %q", len(told.seen), len(services), told.restless, all.restless)
				}
				changed = []string{}
			},
		})
	})
}
