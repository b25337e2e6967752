package reconcile

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/clock/clocktest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestALoopByAnotherClockRunsWhenThatSaysSo(t *testing.T) {
	noon := time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)
	c := clocktest.New(noon)
	m := c.Member()
	poke := NewPokeOn(m)
	var passes atomic.Int64
	var fails atomic.Bool
	l := New(Options{Name: "test", Poke: poke, Clock: m, Resync: time.Hour}, func(context.Context) error {
		passes.Add(1)
		if fails.Load() {
			return errors.New("not now")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	rests := func(want int64) {
		t.Helper()
		tooltest.Eventually(t, "the loop rests", func() error {
			if n, _ := c.AtWork(); n > 0 || !l.Idle() || passes.Load() != want {
				return errors.New("it does not")
			}
			return nil
		})
	}
	rests(1)
	poke.Now()
	rests(2)
	poke.After(5 * time.Minute)
	poke.After(10 * time.Minute)
	c.Set(noon.Add(4 * time.Minute))
	rests(2)
	c.Set(noon.Add(5 * time.Minute))
	rests(3)
	c.Set(noon.Add(time.Hour))
	rests(3)
	fails.Store(true)
	c.Set(noon.Add(65 * time.Minute))
	rests(4)
	poke.Now() // it waits for the next try
	rests(4)
	fails.Store(false)
	c.Set(noon.Add(66 * time.Minute))
	rests(5)
}
