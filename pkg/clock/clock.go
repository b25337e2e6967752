// Package clock lets a component take its time from somebody else: from the machine, or, in
// a test that runs for hours, from the test.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and wakes those who wait.
type Clock interface {
	Now() time.Time
	// Timer returns one that fires once, after a time. Whoever waits for it is at work
	// from then until it resets or stops the timer, so that it is known when all is done
	// that was due.
	Timer(d time.Duration) Timer
	// AfterFunc calls f after a time, in a goroutine of its own, unless it is stopped before.
	AfterFunc(d time.Duration, f func()) (stop func())
	// WithTimeout is that of package context.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// Timer is like that of package time.
type Timer interface {
	C() <-chan time.Time
	Reset(d time.Duration)
	Stop()
}

// Wait waits for a time, and returns false if the context ends before.
func Wait(ctx context.Context, c Clock, d time.Duration) bool {
	t := c.Timer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C():
		return true
	}
}

// Real returns the clock of the machine.
func Real() Clock { return machine{} }

type machine struct{}

func (machine) Now() time.Time { return time.Now() }

func (machine) Timer(d time.Duration) Timer { return timer{time.NewTimer(d)} }

func (machine) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

func (machine) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

type timer struct{ t *time.Timer }

func (t timer) C() <-chan time.Time   { return t.t.C }
func (t timer) Reset(d time.Duration) { t.t.Reset(d) }
func (t timer) Stop()                 { t.t.Stop() }
