package engine_test

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// TestAShortPeakMovesNothing: up is wanted for less than the window, twice.
func TestAShortPeakMovesNothing(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9 scaleCooldownUp=0 scaleStabilizeUp=1m") })
	i := s.start("a")
	i.pass()
	for range 2 {
		s.after(2 * time.Minute)
		i.fires("web", signal.Up)
		i.pass()
		s.after(40 * time.Second)
		i.pass()
		i.resolves("web", signal.Up)
		i.pass()
	}
	s.wantChanges("web")
	if d := i.told[0]; d.Code != decide.CodeStabilizing {
		t.Errorf("%s: %s", d.Code, d.Reason)
	}
	i.fires("web", signal.Up)
	i.pass()
	s.after(time.Minute)
	i.pass()
	s.wantChanges("web", 3)
}

// TestWhatAPersonAddsCountsForTheLimit, also for an instance that is started later.
func TestWhatAPersonAddsCountsForTheLimit(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9 scaleCooldownUp=0 scaleUpMost=2/1m") })
	a := s.start("a")
	a.asks("r1", "web", signal.Up)
	a.pass()
	s.after(10 * time.Second)
	a.pass()
	b := s.start("b")
	b.fires("web", signal.Up)
	b.pass()
	s.wantChanges("web", 3, 4)
	s.after(10 * time.Second)
	b.pass()
	b.pass()
	s.wantChanges("web", 3, 4)
	if d := b.told[len(b.told)-1]; d.Code != decide.CodeLimit {
		t.Errorf("%s: %s", d.Code, d.Reason)
	}
	s.after(41 * time.Second)
	b.pass()
	s.wantChanges("web", 3, 4, 5)
}
