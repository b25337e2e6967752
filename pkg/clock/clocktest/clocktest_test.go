package clocktest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/clock"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

var noon = time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC)

func TestATimerIsWorkFromWhenItFiresUntilItsOwnerSetsItAgain(t *testing.T) {
	c := New(noon)
	m := c.Member()
	timer := m.Timer(time.Minute)
	if at, ok := c.Next(); !ok || !at.Equal(noon.Add(time.Minute)) {
		t.Fatalf("the next one is at %v, %v", at, ok)
	}
	c.Set(noon.Add(59 * time.Second))
	if n, _ := c.AtWork(); n != 0 {
		t.Fatalf("%d at work before it is due", n)
	}
	c.Set(noon.Add(time.Minute))
	if n, _ := c.AtWork(); n != 1 {
		t.Fatalf("%d at work when it is due", n)
	}
	<-timer.C()
	if n, _ := c.AtWork(); n != 1 {
		t.Fatalf("%d at work when its owner has heard", n)
	}
	timer.Reset(time.Minute)
	if n, _ := c.AtWork(); n != 0 {
		t.Fatalf("%d at work when it is set again", n)
	}
	m.Leave()
	if _, ok := c.Next(); ok {
		t.Fatal("a timer of a component that has ended is still set")
	}
}

func TestAFunctionIsWorkUntilItReturns(t *testing.T) {
	c := New(noon)
	begun, goOn := make(chan struct{}), make(chan struct{})
	c.Member().AfterFunc(time.Second, func() {
		close(begun)
		<-goOn
	})
	stop := c.Member().AfterFunc(time.Second, func() { t.Error("a stopped function was called") })
	stop()
	c.Set(noon.Add(time.Hour))
	<-begun
	if n, _ := c.AtWork(); n != 1 {
		t.Fatalf("%d at work", n)
	}
	close(goOn)
	tooltest.Eventually(t, "it is done", func() error {
		if n, _ := c.AtWork(); n != 0 {
			return errors.New("still at work")
		}
		return nil
	})
}

func TestAContextEndsAtItsTime(t *testing.T) {
	c := New(noon)
	m := c.Member()
	ctx, cancel := m.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c.Set(noon.Add(4 * time.Second))
	if ctx.Err() != nil {
		t.Fatal("it has ended before its time")
	}
	c.Set(noon.Add(5 * time.Second))
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("it ended with %v", ctx.Err())
	}
	given, giveUp := m.WithTimeout(t.Context(), 5*time.Second)
	giveUp()
	if !errors.Is(given.Err(), context.Canceled) {
		t.Fatalf("given up, it ended with %v", given.Err())
	}
}

func TestWhoWaitsStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if clock.Wait(ctx, New(noon).Member(), time.Hour) {
		t.Error("it waited")
	}
	if !clock.Wait(t.Context(), clock.Real(), time.Millisecond) {
		t.Error("it did not wait")
	}
}
