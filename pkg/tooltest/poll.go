package tooltest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// often is how often a condition is tried that costs little.
const often = 5 * time.Millisecond

// Slowly is how often Poll should try what costs a process or a call of Docker.
const Slowly = 100 * time.Millisecond

// Patience is how long Eventually waits for what should come at once, on a machine too that has
// much else to do.
const Patience = 30 * time.Second

// Eventually waits until so returns nil, and fails the test after Patience. It returns
// how long that took.
func Eventually(t testing.TB, what string, so func() error) time.Duration {
	t.Helper()
	return Within(t, Patience, what, so)
}

// Within is Eventually with a limit of its own.
func Within(t testing.TB, limit time.Duration, what string, so func() error) time.Duration {
	t.Helper()
	began := time.Now()
	// It may be used by what cleans up.
	ctx := context.WithoutCancel(t.Context())
	Must(t, PollFor(ctx, limit, often, what, func(context.Context) error { return so() }))
	return time.Since(began)
}

// Must fails the test if there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Context is the test's with a limit.
func Context(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// PollFor is Poll with a limit.
func PollFor(ctx context.Context, limit, every time.Duration, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	return Poll(ctx, every, what, try)
}

// Poll tries at least once, and then again every so often, until there is no error. An
// error that is Final ends it at once; else it ends with the context, for the reason of
// that and with what was still missing.
func Poll(ctx context.Context, every time.Duration, what string, try func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		err := try(ctx)
		var final *finalError
		if err == nil || errors.As(err, &final) {
			return err
		}
		// What the end of the time itself breaks off says nothing.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if what != "" {
				what += ": "
			}
			return fmt.Errorf("%w: %s%w", context.Cause(ctx), what, last)
		case <-tick.C:
		}
	}
}

// Final marks an error after which trying again is of no use.
func Final(err error) error { return &finalError{err} }

type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// Pause waits, unless the context ends before.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
