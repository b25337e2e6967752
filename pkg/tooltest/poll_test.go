package tooltest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPoll(t *testing.T) {
	missing := errors.New("one is missing")
	for name, tc := range map[string]struct {
		// try is the n-th one.
		try   func(ctx context.Context, n int) error
		tries int
		took  time.Duration
		err   string
	}{
		"at once": {func(context.Context, int) error { return nil }, 1, 0, ""},
		"at the third try": {func(_ context.Context, n int) error {
			if n < 3 {
				return missing
			}
			return nil
		}, 3, 2 * time.Second, ""},
		"never":     {func(context.Context, int) error { return missing }, 4, 3500 * time.Millisecond, "context deadline exceeded: all: one is missing"},
		"of no use": {func(context.Context, int) error { return Final(missing) }, 1, 0, "one is missing"},
		"cut off by the end": {func(ctx context.Context, n int) error {
			if n < 4 {
				return missing
			}
			<-ctx.Done()
			return ctx.Err()
		}, 4, 3500 * time.Millisecond, "context deadline exceeded: all: one is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
				defer cancel()
				began, tries := time.Now(), 0
				err := Poll(ctx, time.Second, "all", func(ctx context.Context) error { tries++; return tc.try(ctx, tries) })
				if tries != tc.tries || time.Since(began) != tc.took {
					t.Errorf("%d tries in %v, want %d in %v", tries, time.Since(began), tc.tries, tc.took)
				}
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != tc.err || err != nil && !errors.Is(err, missing) {
					t.Errorf("it ends with %v, want %q", err, tc.err)
				}
			})
		})
	}
}

func TestWithinFailsTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Within(r, time.Second, "the door opens", func() error { return errors.New("it is shut") })
		}()
		<-done
		if want := "not within 1s: the door opens: it is shut"; r.failure != want {
			t.Errorf("it fails with %q, want %q", r.failure, want)
		}
	})
}
