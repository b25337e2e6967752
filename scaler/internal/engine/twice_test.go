package engine_test

import (
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
