package bus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// speaker is one instance of a component with a clock of its own.
type speaker struct {
	t *testing.T
	b *bus.Bus
	*bus.Statuses
	instance string
	now      time.Time
	stop     func()
}

func speaks(t *testing.T, b *bus.Bus, instance string) *speaker {
	s := &speaker{t: t, b: b, instance: instance, Statuses: b.Statuses(instance, func() {}), now: time.Unix(1000, 0).UTC()}
	s.At(func() time.Time { return s.now })
	s.stop = bustest.Run(t, s.Run)
	return s
}

func (s *speaker) says(all ...catalog.Status) {
	s.t.Helper()
	tooltest.Eventually(s.t, "published", func() error { return s.Publish(s.t.Context(), all) })
}

// said returns what the bus has of a service.
func (s *speaker) said(id string) (catalog.Status, uint64) {
	s.t.Helper()
	value, revision, err := s.b.Bucket(bus.StatusBucket).Get(s.t.Context(), bus.StatusKey("listener", s.instance, id))
	if errors.Is(err, bus.ErrNotFound) {
		return catalog.Status{}, 0
	}
	var status catalog.Status
	if err == nil {
		err = json.Unmarshal(value, &status)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return status, revision
}

func TestStatusesAreOfAnInstance(t *testing.T) {
	b := bustest.Start(t).Prepared()
	one, two := speaks(t, b, "one"), speaks(t, b, "two.x")
	a := catalog.Status{ServiceID: "1", Service: "a", State: catalog.StateApplied}
	broken := a
	broken.State, broken.Reason = catalog.StateDegraded, "nobody answers"
	for range 3 {
		one.says(a)
		two.says(broken)
	}
	status, first := one.said("1")
	other, second := two.said("1")
	if status.Component != "listener" || status.Instance != "one" || status.State != catalog.StateApplied || other.Instance != "two.x" || other.State != catalog.StateDegraded {
		t.Errorf("%+v, %+v", status, other)
	}
	one.says(a)
	two.says(broken)
	if _, again := one.said("1"); again != first {
		t.Error("replicas that disagree overwrite each other")
	}
	if _, again := two.said("1"); again != second {
		t.Error("replicas that disagree overwrite each other")
	}
	one.says()
	if _, again := one.said("1"); again != 0 {
		t.Error("a service that is gone keeps its status")
	}
	if _, again := two.said("1"); again != second {
		t.Error("one replica deletes what the other says")
	}
}

// TestSinceIsWhenItWasFirstSaid, whatever happens that does not change the verdict.
func TestSinceIsWhenItWasFirstSaid(t *testing.T) {
	s := bustest.Start(t)
	one := speaks(t, s.Prepared(), "one")
	first := one.now
	status := catalog.Status{ServiceID: "1", Service: "a", State: catalog.StateRejected, Reason: "why", Warnings: []string{"w"}, Revision: catalog.Revision{Epoch: "e", Sequence: 1}}
	is := func(what string, since time.Time) {
		t.Helper()
		one.says(status)
		got, _ := one.said("1")
		if !got.Since.Equal(since) || got.Revision != status.Revision || got.Reason != status.Reason {
			t.Errorf("%s: since %v with revision %v, want %v", what, got.Since, got.Revision, since)
		}
	}
	is("at first", first)
	one.now = one.now.Add(time.Minute)
	is("a minute later", first)
	status.Revision.Sequence = 2
	is("other labels, the same verdict", first)
	one.stop()
	again := speaks(t, one.b, "one")
	again.now = one.now
	one = again
	is("after a restart", first)
	s.Stop()
	s.LoseStore()
	s.StartAgain()
	tooltest.Eventually(t, "the buckets are made anew", func() error { return one.b.Prepare(t.Context(), 1) })
	tooltest.Eventually(t, "the publisher knows that all is lost", func() error {
		if _, revision := one.said("1"); revision == 0 {
			return errors.Join(one.Publish(t.Context(), []catalog.Status{status}), errors.New("not yet"))
		}
		return nil
	})
	is("after the bus lost it", first)
	status.Reason = "another reason"
	is("another verdict", one.now)
}

func TestAStatusThatIsRefusedHoldsUpNobody(t *testing.T) {
	b := bustest.Start(t).Prepared()
	one := speaks(t, b, "one")
	one.says(catalog.Status{ServiceID: "old", Service: "old", State: catalog.StateApplied})
	err := one.Publish(t.Context(), []catalog.Status{
		{ServiceID: "1", Service: "a", State: catalog.StateApplied},
		{ServiceID: "2", Service: "b", State: catalog.StateRejected, Reason: strings.Repeat("x", 600<<10)},
		{ServiceID: "3", Service: "c", State: catalog.StateApplied},
	})
	if err == nil || !strings.Contains(err.Error(), "listener.one.2") {
		t.Errorf("it is not named: %v", err)
	}
	for id, want := range map[string]bool{"1": true, "2": false, "3": true, "old": false} {
		if _, revision := one.said(id); revision != 0 != want {
			t.Errorf("%s is on the bus: %v", id, !want)
		}
	}
}

func TestRollCall(t *testing.T) {
	var roll bus.Roll
	now := time.Unix(1000, 0)
	values := map[string]bus.Value{}
	for _, key := range []string{"instance.proxy.p1", "proxy.p1.s", "proxy.p2.s", "proxy.p2.t", "monitor.m1.s"} {
		values[key] = bus.Value{}
	}
	call := func(later time.Duration, sweep ...string) bus.Called {
		t.Helper()
		now = now.Add(later)
		got := roll.Call(values, now)
		if !slices.Equal(got.Sweep, sweep) {
			t.Errorf("to sweep are %v, want %v", got.Sweep, sweep)
		}
		return got
	}
	call(0)
	got := call(time.Minute)
	if len(got.Away) != 2 || now.Sub(got.Away["proxy.p2"]) != time.Minute || now.Sub(got.Away["monitor.m1"]) != time.Minute {
		t.Errorf("away are %v", got.Away)
	}
	call(time.Minute, "proxy.p2.s", "proxy.p2.t")
	values["instance.proxy.p2"] = bus.Value{}
	call(time.Minute)
	delete(values, "instance.proxy.p2")
	call(time.Minute) // it begins anew
	call(23*time.Hour, "proxy.p2.s", "proxy.p2.t")
	delete(values, "instance.proxy.p1")
	got = call(time.Hour, "monitor.m1.s", "proxy.p2.s", "proxy.p2.t")
	if len(got.Away) != 3 {
		t.Errorf("away are %v", got.Away)
	}
}

// TestAcceptedOutlivesItsServiceForAMinute: a listener that is mistaken for a moment must
// not cost a service whose present labels are rejected its route.
func TestAcceptedOutlivesItsServiceForAMinute(t *testing.T) {
	b := bustest.Start(t).Prepared()
	a := b.Accepted(func() {})
	now := time.Unix(1000, 0)
	a.At(func() time.Time { return now })
	bustest.Run(t, a.Run)
	web, api := catalog.Service{ID: "1", Name: "web"}, catalog.Service{ID: "2", Name: "api"}
	after := func(later time.Duration, present []catalog.Service, want ...string) {
		t.Helper()
		now = now.Add(later)
		services := map[string]catalog.Service{}
		for _, svc := range present {
			services[svc.ID] = svc
		}
		tooltest.Eventually(t, "recorded", func() error { return a.Record(t.Context(), services) })
		got, ok := a.Services()
		if !ok || len(got) != len(want) {
			t.Errorf("accepted are %v, want %v", got, want)
		}
		for _, id := range want {
			if got[id].ID != id {
				t.Errorf("accepted are %v, want %v", got, want)
			}
		}
	}
	both := []catalog.Service{web, api}
	after(0, both, "1", "2")
	after(0, both[:1], "1", "2")
	after(59*time.Second, both[:1], "1", "2")
	after(time.Second/2, both, "1", "2")
	after(time.Second, both[:1], "1", "2") // it begins anew
	after(59*time.Second, both[:1], "1", "2")
	after(time.Second, both[:1], "1")
	// One that the bus does not take is named, and the others are recorded.
	huge := catalog.Service{ID: "0", Name: strings.Repeat("x", 600<<10)}
	err := a.Record(t.Context(), map[string]catalog.Service{"0": huge, "1": web, "2": api})
	if got, _ := a.Services(); err == nil || !strings.Contains(err.Error(), "listener.0") || len(got) != 2 {
		t.Errorf("accepted are %s (%v)", fmt.Sprint(len(got)), err)
	}
}
