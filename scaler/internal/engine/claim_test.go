package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// TestADeployAfterAClaimThatNobodyConfirmed: whoever claimed a step from 9 to 10 ended
// before or after it was made, and the next scaler starts after a deploy. What the service
// had before the deploy says which number comes back.
func TestADeployAfterAClaimThatNobodyConfirmed(t *testing.T) {
	ends := errors.New("it ends here")
	for _, c := range []struct {
		name string
		cut  func(*swarmtest.Swarm, error)
		away time.Duration
		set  []uint64
	}{
		{"before the change", func(s *swarmtest.Swarm, err error) { s.Before(func(string) error { return err }) }, 10 * time.Second, []uint64{9, 9}},
		{"before the change, long ago", func(s *swarmtest.Swarm, err error) { s.Before(func(string) error { return err }) }, time.Hour, []uint64{9, 9}},
		{"after the change", func(s *swarmtest.Swarm, err error) { s.After(func(string) error { return err }) }, 10 * time.Second, []uint64{9, 10, 10}},
		{"after the change, long ago", func(s *swarmtest.Swarm, err error) { s.After(func(string) error { return err }) }, time.Hour, []uint64{9, 10, 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, bounds) })
			a := s.start("a")
			a.rests()
			a.sets("web", 9)
			s.after(time.Hour)
			a.fires("web", signal.Up)
			c.cut(s.swarm, ends)
			a.pass()
			a.resolves("web", signal.Up)
			c.cut(s.swarm, nil)
			s.swarm.Before(nil)
			s.swarm.After(nil)
			s.swarm.Set("web", deploy(3, bounds+" scaleUpBy=2"))
			s.after(c.away)
			b := s.start("b")
			b.rests()
			b.rests()
			s.wantChanges("web", c.set...)
		})
	}
}
