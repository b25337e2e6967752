package engine_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// TestOneChangeThatTwoHaveClaimedIsToldOnce: between the claim of the one and its change the
// other claims the same one, some seconds later, and comes too late to make it. Whom people
// hear it from, it is one step of one moment.
func TestOneChangeThatTwoHaveClaimedIsToldOnce(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9") })
	var mu sync.Mutex // two instances tell
	told := map[time.Time]bool{}
	notify := func(o *engine.Options) {
		o.Notify = func(d decide.Decision) {
			mu.Lock()
			defer mu.Unlock()
			if d.Code == decide.CodeScaled {
				told[d.Time.UTC()] = true
			}
		}
	}
	a, b := s.start("a", notify), s.start("b", notify)
	a.fires("web", signal.Up)
	b.hears("web", signal.Up, true)
	var calls atomic.Int32
	claimed, made, passed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.swarm.After(func(string) error {
		close(made)
		return nil
	})
	s.swarm.Before(func(string) error {
		switch calls.Add(1) {
		case 1:
			s.after(3 * time.Second)
			go func() {
				defer close(passed)
				_, _ = b.Pass(t.Context())
			}()
			<-claimed
		case 2:
			close(claimed)
			<-made
		}
		return nil
	})
	a.crashes()
	<-passed
	a.rests()
	b.rests()
	s.wantChanges("web", 3)
	scaled := 0
	for _, d := range a.decisions() {
		if d == "web scaled up" {
			scaled++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 1 {
		t.Errorf("people are told of scalings at %v, want one moment", told)
	}
	if scaled != 1 {
		t.Errorf("%d scalings are told, want 1: %q", scaled, a.decisions())
	}
}

// TestTwoRequestsThatClaimOneVersion: two instances claim the same version of a service, each
// for a request of its own, and one change is made. It is one request's, and the other gets
// one of its own, whoever of the two is the first to say whose it was.
func TestTwoRequestsThatClaimOneVersion(t *testing.T) {
	for _, c := range []struct {
		name string
		// isLate has the one who made the change say so after the other one has looked.
		isLate bool
		// by is the step of the other one.
		by  uint64
		set []uint64
	}{
		{"the one who made it says so first", false, 1, []uint64{3, 4}},
		{"the other one takes it for its own", true, 1, []uint64{3, 4}},
		{"the other one wants another number", false, 2, []uint64{3, 5}},
		{"the other one wants another number, and is faster", true, 2, []uint64{3, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9") })
			made, claimed, answered, looks := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
			var seen atomic.Int32
			a := s.start("a")
			b := s.start("b", func(o *engine.Options) {
				o.Swarm = reading{o.Swarm, func() {
					// The third look is for the request of a.
					if seen.Add(1) == 3 {
						close(looks)
						<-answered
					}
				}}
			})
			a.asks("r1", "web", signal.Up)
			var calls atomic.Int32
			var both sync.WaitGroup
			s.swarm.Before(func(string) error {
				switch calls.Add(1) {
				case 1:
					b.puts(signal.Request{
						ID: "r2", ServiceID: swarmtest.ID("web"), Service: "web", Direction: signal.Up, By: c.by, ReceivedAt: s.clock().Add(-time.Second),
					})
					both.Go(func() { _, _ = b.Pass(t.Context()) })
					<-claimed
				case 2:
					close(claimed)
					<-made
					if !c.isLate {
						<-answered
					}
				}
				return nil
			})
			var changes atomic.Int32
			s.swarm.After(func(string) error {
				if changes.Add(1) == 1 {
					close(made)
					if c.isLate {
						<-looks
					}
				}
				return nil
			})
			a.crashes()
			close(answered)
			both.Wait()
			d1, d2 := a.answerTo("r1", "web"), a.answerTo("r2", "web")
			s.wantChanges("web", c.set...)
			if d1.Code != decide.CodeScaled || d2.Code != decide.CodeScaled || d1.To == d2.To {
				t.Errorf("answered %q and %q, want a change for each", d1.Message, d2.Message)
			}
		})
	}
}

// TestRequestsAtOnceToTwoInstances: each one that is answered with a change has its own.
func TestRequestsAtOnceToTwoInstances(t *testing.T) {
	const rounds, requests = 25, 6
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=10000") })
	instances := []*instance{s.start("a"), s.start("b")}
	for round := range rounds {
		before := s.swarm.Replicas("web")
		var all sync.WaitGroup
		for n := range requests {
			all.Go(func() {
				i := instances[n%2]
				_, err := i.Ask(t.Context(), signal.Request{
					ID: fmt.Sprint(round, "-", n), ServiceID: swarmtest.ID("web"), Service: "web", Direction: signal.Up, By: 1, ReceivedAt: s.clock(),
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		over := make(chan struct{})
		var loops sync.WaitGroup
		for _, i := range instances {
			loops.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					if _, err := i.Pass(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		answers, granted := map[uint64]string{}, uint64(0)
		for n := range requests {
			id := fmt.Sprint(round, "-", n)
			d := instances[n%2].answerTo(id, "web")
			if d.Code != decide.CodeScaled {
				continue // too many conflicts, and so it was told
			}
			granted++
			if other, isTwice := answers[d.To]; isTwice {
				t.Errorf("%s and %s have one change: %s", other, id, d.Message)
			}
			answers[d.To] = id
		}
		close(over)
		loops.Wait()
		if got, want := s.swarm.Replicas("web"), before+granted; got != want {
			t.Fatalf("round %d: %d replicas, want %d: %d requests were granted", round, got, want, granted)
		}
	}
}

// TestARequestAndAnAlertThatClaimOneVersion: the alert's instance makes the change, and the
// request that came in between gets one of its own.
func TestARequestAndAnAlertThatClaimOneVersion(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9") })
	a, b := s.start("a"), s.start("b")
	a.fires("web", signal.Up)
	var calls atomic.Int32
	claimed, passed := make(chan struct{}), make(chan struct{})
	var both sync.WaitGroup
	s.swarm.Before(func(string) error {
		switch calls.Add(1) {
		case 1:
			b.asks("r1", "web", signal.Up)
			both.Go(func() { _, _ = b.Pass(t.Context()) })
			<-claimed
		case 2:
			close(claimed)
			<-passed
		}
		return nil
	})
	a.crashes()
	close(passed)
	both.Wait()
	if d := b.answerTo("r1", "web"); d.Code != decide.CodeScaled || d.From != 3 || d.To != 4 {
		t.Errorf("the request is answered %q, want a change of its own after the alert's", d.Message)
	}
	s.wantChanges("web", 3, 4)
}
