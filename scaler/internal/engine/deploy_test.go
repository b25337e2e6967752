package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// sets has a number set by hand.
func (i *instance) sets(service string, to uint64) {
	i.s.t.Helper()
	id := fmt.Sprintf("%s-%d-%d", service, to, i.s.clock().UnixNano())
	if _, err := i.Ask(i.s.t.Context(), signal.Request{ID: id, ServiceID: swarmtest.ID(service), Service: service, To: &to, ReceivedAt: i.s.clock()}); err != nil {
		i.s.t.Fatal(err)
	}
	tooltest.Eventually(i.s.t, "the instance hears of the request", func() error {
		asked, _ := i.Asked(i.s.clock())
		if !slices.ContainsFunc(asked.Requests, func(r signal.Request) bool { return r.ID == id }) {
			return errors.New("not yet")
		}
		return nil
	})
	i.rests()
}

// rests has the instance pass until it has seen what it made, some seconds later.
func (i *instance) rests() {
	i.s.t.Helper()
	for range 3 {
		i.pass()
		i.s.after(time.Second)
		tooltest.Eventually(i.s.t, "the instance hears of the number", func() error {
			for id, svc := range i.s.swarm.Snapshot().Services {
				if _, _, ok := i.Number(id); !ok && svc.Labels["com.df.scaleMax"] != "" {
					return fmt.Errorf("%s has none", svc.Name)
				}
			}
			return nil
		})
	}
}

// deploy is what docker stack deploy does: the number of the file, and other labels.
func deploy(replicas uint64, labels string) func(*engine.Scale) {
	return func(s *engine.Scale) {
		s.Replicas, s.Running, s.Labels = replicas, replicas, swarmtest.Labels(labels)
	}
}

// rollout is one that changes the tasks as well.
func rollout(replicas uint64, failure string) func(*engine.Scale) {
	return func(s *engine.Scale) {
		s.Replicas, s.Running, s.Rebuilt, s.Failure, s.UpdateState = replicas, replicas, true, failure, "updating"
	}
}

func person(replicas uint64) func(*engine.Scale) {
	return func(s *engine.Scale) { s.Replicas, s.Running = replicas, replicas }
}

func state(word string) func(*engine.Scale) {
	// It is the update's word, and the specification before stays what it was.
	return func(s *engine.Scale) { s.UpdateState = word }
}

// told returns the decisions about deploys and people, without repetitions.
func (i *instance) toldOfOthers() string {
	var out []string
	for _, d := range i.told {
		if d.Want == decide.WantDeploy || d.Want == decide.WantPerson {
			out = append(out, fmt.Sprintf("%s from %d to %d", d.Code, d.From, d.To))
		}
	}
	return strings.Join(out, ", ")
}

const bounds = "scaleMin=2 scaleMax=12"

// TestNumbersOfOthers: a service of 3 in its file, which the scaler has brought to 9.
func TestNumbersOfOthers(t *testing.T) {
	for _, c := range []struct {
		name    string
		labels  string
		changes []func(*engine.Scale)
		set     []uint64
		told    string
	}{
		{"a deploy brings the file's number, twice", bounds, []func(*engine.Scale){deploy(3, bounds+" scaleUpBy=2"), person(3)}, []uint64{9, 9, 9}, "restored from 3 to 9, restored from 3 to 9"},
		{"a deploy with lower bounds", bounds, []func(*engine.Scale){deploy(3, "scaleMin=2 scaleMax=5")}, []uint64{9, 5}, "restored from 3 to 5"},
		{"a deploy with more", bounds, []func(*engine.Scale){deploy(10, bounds+" scaleUpBy=2"), deploy(3, bounds)}, []uint64{9, 10}, "restored from 3 to 10"},
		{"a deploy that is not to be made good", bounds + " scaleRestore=off", []func(*engine.Scale){deploy(3, bounds+" scaleUpBy=2 scaleRestore=off"), person(4)}, []uint64{9}, "adopted from 3 to 4"},
		{"a person", bounds, []func(*engine.Scale){person(5)}, []uint64{9}, "adopted from 9 to 5"},
		{"a person, and then a deploy", bounds, []func(*engine.Scale){person(5), deploy(3, bounds+" scaleUpBy=2")}, []uint64{9, 5}, "adopted from 9 to 5, restored from 3 to 5"},
		{"a person with the number of the file", bounds, []func(*engine.Scale){person(3), person(4)}, []uint64{9, 9}, "restored from 3 to 9, adopted from 9 to 4"},
		{"a person who stops it", bounds, []func(*engine.Scale){person(0)}, []uint64{9}, "adopted from 9 to 0"},
		{"a rollout that Swarm rolls back", bounds, []func(*engine.Scale){rollout(3, "rollback"), state("rollback_started"), person(9), state("rollback_completed")}, []uint64{9}, "update from 3 to 3, update from 3 to 3"},
		{"a rollout that Swarm would have rolled back", bounds, []func(*engine.Scale){rollout(3, "rollback"), state("")}, []uint64{9, 9}, "update from 3 to 3, restored from 3 to 9"},
		{"a rollout that Swarm would leave", bounds, []func(*engine.Scale){rollout(3, "pause"), state("")}, []uint64{9, 9}, "restored from 3 to 9"},
		{"a rollout that stops", bounds, []func(*engine.Scale){rollout(3, "rollback"), state("paused"), person(4)}, []uint64{9}, "update from 3 to 3, update_paused from 3 to 3, adopted from 3 to 4"},
		{"a deploy that switches it off", bounds, []func(*engine.Scale){deploy(3, bounds+" scale=off"), deploy(3, bounds)}, []uint64{9, 9}, "off from 3 to 3, restored from 3 to 9"},
		{"a deploy that only tries", bounds, []func(*engine.Scale){deploy(3, bounds+" scale=dry-run")}, []uint64{9}, "dry_run from 3 to 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, c.labels) })
			i := s.start("a")
			i.rests()
			i.sets("web", 9)
			for _, change := range c.changes {
				s.swarm.Set("web", change)
				i.rests()
			}
			s.wantChanges("web", c.set...)
			if got := i.toldOfOthers(); got != c.told {
				t.Errorf("told %s, want %s", got, c.told)
			}
			looks := s.swarm.Looks()
			i.rests()
			if more := s.swarm.Looks() - looks; more > 0 {
				t.Errorf("Docker is asked %d times more although nothing changes", more)
			}
		})
	}
}

// TestADeployWhileNobodyIsThere: what the number was is known from the bus, and whether a
// deploy brought the one of now from Docker.
func TestADeployWhileNobodyIsThere(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, bounds) })
	a := s.start("a")
	a.rests()
	a.sets("web", 9)
	s.swarm.Set("web", deploy(3, bounds+" scaleUpBy=2"))
	s.after(72 * time.Hour) // the last step is known no longer
	b := s.start("b")
	b.rests()
	s.wantChanges("web", 9, 9)
	if got := b.toldOfOthers(); got != "restored from 3 to 9" {
		t.Errorf("told %s", got)
	}
}

// TestOneRestoreByAnyNumberOfInstances, whose clocks differ, and however one ends.
func TestOneRestoreByAnyNumberOfInstances(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, bounds) })
	late := func(o *engine.Options) { o.Now = func() time.Time { return s.clock().Add(-7 * time.Second) } }
	a, b := s.start("a"), s.start("b", late)
	a.rests()
	b.rests()
	a.sets("web", 9)
	b.rests()
	for round := range 3 {
		s.swarm.Set("web", deploy(3, fmt.Sprintf("%s scaleUpBy=%d", bounds, round+2)))
		s.list.Publish()
		for range 2 {
			a.learns()
			b.learns()
			if _, err := a.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.list.Publish()
		}
		b.rests()
		a.rests()
	}
	s.wantChanges("web", 9, 9, 9, 9)
	if got := len(a.toldOfOthers()) + len(b.toldOfOthers()); got != 3*len("restored from 3 to 9")+2*len(", ") && got != 3*len("restored from 3 to 9")+len(", ") {
		t.Errorf("told %s; %s", a.toldOfOthers(), b.toldOfOthers())
	}
}

// TestAfterARestoreAStepDownWaits, and a step up does not.
func TestAfterARestoreAStepDownWaits(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		s.Create("web", 3, bounds)
		s.Create("api", 3, bounds)
	})
	i := s.start("a")
	i.rests()
	i.sets("web", 9)
	i.sets("api", 9)
	s.after(time.Hour)
	s.swarm.Set("web", deploy(3, bounds+" scaleUpBy=2"))
	s.swarm.Set("api", deploy(3, bounds+" scaleUpBy=2"))
	i.rests()
	i.fires("web", signal.Down)
	i.fires("api", signal.Up)
	i.rests()
	s.wantChanges("web", 9, 9)
	s.wantChanges("api", 9, 9, 11)
	s.after(2 * time.Minute)
	i.rests()
	s.wantChanges("web", 9, 9, 8)
}

// TestARestoreThatDockerRefuses is tried again, and told.
func TestARestoreThatDockerRefuses(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, bounds) })
	i := s.start("a")
	i.rests()
	i.sets("web", 9)
	s.swarm.Before(func(string) error { return errors.New("no") })
	s.swarm.Set("web", deploy(3, bounds+" scaleUpBy=2"))
	i.rests()
	s.wantChanges("web", 9)
	if got := i.toldOfOthers(); !strings.HasPrefix(got, "docker from 3 to 3") {
		t.Errorf("told %s", got)
	}
	s.swarm.Before(nil)
	s.after(11 * time.Second)
	i.rests()
	s.wantChanges("web", 9, 9)
}

// TestAServiceThatWasNotScaledForAWhile is seen for the first time when it is again.
func TestAServiceThatWasNotScaledForAWhile(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, bounds) })
	i := s.start("a")
	i.rests()
	i.sets("web", 9)
	s.swarm.Set("web", func(svc *engine.Scale) { svc.Labels = map[string]string{} })
	tooltest.Eventually(t, "the number is forgotten", func() error {
		i.pass()
		if _, _, ok := i.Number(swarmtest.ID("web")); ok {
			return errors.New("it is there")
		}
		return nil
	})
	s.after(72 * time.Hour)
	s.swarm.Set("web", person(4))
	s.swarm.Set("web", deploy(4, bounds))
	b := s.start("b")
	b.rests()
	s.wantChanges("web", 9)
}

// TestWhatIsGoneIsForgotten: the number of a service that was removed.
func TestWhatIsGoneIsForgotten(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, bounds) })
	i := s.start("a")
	i.rests()
	s.swarm.Remove("web")
	tooltest.Eventually(t, "the number is forgotten", func() error {
		i.pass()
		if _, _, ok := i.Number(swarmtest.ID("web")); ok {
			return errors.New("it is there")
		}
		return nil
	})
}
