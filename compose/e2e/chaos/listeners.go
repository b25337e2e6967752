package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// killListeners kills the writer first, then whoever else is left of those that were there.
func (w *world) killListeners(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		first, err := w.writer(ctx)
		if err != nil {
			return err
		}
		before, err := w.Places(ctx, "waggle_listener", w.Nodes()...)
		if err != nil {
			return err
		}
		for _, place := range append([]stack.Place{first}, slices.DeleteFunc(slices.Clone(before), func(p stack.Place) bool { return p == first })...) {
			writes := place == first
			if !writes {
				now, err := w.writer(ctx)
				if err != nil {
					return err
				}
				writes = now == place
			}
			w.Say("kill -9 of the listener on %s (it writes: %v)", place.Node, writes)
			if err := w.Signal(ctx, place, syscall.SIGKILL); err != nil {
				return err
			}
			if writes {
				w.succession(ctx, place)
			}
			if err := w.listeners(ctx, len(before), place); err != nil {
				return err
			}
		}
		return nil
	}})
}

// listeners waits until so many listeners run, and one of old no longer does.
func (w *world) listeners(ctx context.Context, want int, old stack.Place) error {
	_, err := poll(ctx, time.Minute, "the listener to be started again", func(ctx context.Context) error {
		places, err := w.Places(ctx, "waggle_listener", w.Nodes()...)
		if err == nil && (len(places) != want || slices.Contains(places, old)) {
			err = fmt.Errorf("%d run", len(places))
		}
		return err
	})
	return err
}

// pauseWriter lets the writer sleep while another one writes, and wake up with what it
// believed then.
func (w *world) pauseWriter(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		place, err := w.writer(ctx)
		if err != nil {
			return err
		}
		return w.asleep(ctx, place, 30*time.Second)
	}})
}

// asleep stops a listener that writes for a while.
func (w *world) asleep(ctx context.Context, place stack.Place, d time.Duration) error {
	w.Say("SIGSTOP of the listener on %s", place.Node)
	if err := w.Signal(ctx, place, syscall.SIGSTOP); err != nil {
		return err
	}
	began := time.Now()
	w.succession(ctx, place)
	err := tooltest.Pause(ctx, d-time.Since(began))
	if err = errors.Join(err, w.Signal(context.WithoutCancel(ctx), place, syscall.SIGCONT)); err != nil {
		return err
	}
	w.Say("SIGCONT after %s", seconds(time.Since(began)))
	// What it believes is written, if it is, at once.
	return tooltest.Pause(ctx, 3*time.Second)
}
