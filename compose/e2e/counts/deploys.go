package counts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// on plays something on the user's stack at nine replicas.
func (w *world) on(ctx context.Context, do func(context.Context) error) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	return errors.Join(do(ctx), w.end(ctx))
}

// comes waits until the service is so, and says it.
func (w *world) comes(ctx context.Context, what string, so func(spec) bool) error {
	began := time.Now()
	err := tooltest.PollFor(ctx, long, often, what, func(ctx context.Context) error {
		s, err := w.spec(ctx, web)
		if err == nil && !so(s) {
			err = fmt.Errorf("it is %+v", s)
		}
		return err
	})
	if err != nil {
		w.Fault("%v", err)
		return nil
	}
	w.Say("%s (%.1f s)", what, time.Since(began).Seconds())
	return nil
}

// kept deploys by keep what is as it was, and then another version.
func (w *world) kept(ctx context.Context) error {
	return w.on(ctx, func(ctx context.Context) error {
		for _, version := range []string{"1", "2"} {
			container, err := w.Container(ctx, stack.Manager, scaler)
			if err != nil {
				return err
			}
			file, err := w.with(ctx, w.file(version, works), "exec", "-i", container, "/waggle-scaler", "keep", "-stack", shop, "-")
			if err != nil {
				return err
			}
			old, err := w.Tasks(ctx, web)
			if err != nil {
				return err
			}
			end, err := w.watch(ctx, web)
			if err != nil {
				return err
			}
			err = w.deploy(ctx, file)
			if err == nil && version == "2" {
				err = w.replaced(ctx, old)
			}
			seen, watched := end()
			if err := errors.Join(err, watched); err != nil {
				return err
			}
			fewest, longest := least(seen)
			w.Say("version %s: at least %d tasks ran of %d, in %d looks, at most %d ms apart", version, fewest.running, scaled, len(seen), longest.Milliseconds())
			if fewest.running < scaled {
				w.Fault("version %s: only %d tasks ran", version, fewest.running)
			}
		}
		return nil
	})
}

// replaced waits until none of the old tasks is left.
func (w *world) replaced(ctx context.Context, old []stack.Task) error {
	ids := map[string]bool{}
	for _, t := range old {
		ids[t.ID] = true
	}
	return tooltest.PollFor(ctx, long, 100*time.Millisecond, "all tasks are new ones", func(ctx context.Context) error {
		tasks, err := w.Tasks(ctx, web)
		if err != nil {
			return err
		}
		for _, t := range tasks {
			if ids[t.ID] || t.Status.State != "running" {
				return fmt.Errorf("%s is %s", t.ID, t.Status.State)
			}
		}
		return nil
	})
}

// rounds is how often it is measured how soon a number comes back, which is to be within soon.
const (
	rounds = 5
	soon   = 300 * time.Millisecond
)

func (w *world) restored(ctx context.Context) error {
	return w.on(ctx, func(ctx context.Context) error {
		for round := range rounds {
			end, err := w.watch(ctx, web)
			if err != nil {
				return err
			}
			err = w.deploy(ctx, w.file("1", works))
			if err == nil {
				err = w.comes(ctx, fmt.Sprintf("round %d: the number is back", round+1), func(s spec) bool { return s.Replicas == scaled })
			}
			if err == nil {
				_, err = w.Running(ctx, web, scaled)
			}
			seen, watched := end()
			if err := errors.Join(err, watched); err != nil {
				return err
			}
			gone := below(seen, scaled, func(s sample) int { return s.wanted })
			dip := below(seen, scaled, func(s sample) int { return s.running })
			fewest, longest := least(seen)
			w.Say("fewer than %d were wanted for %d ms, and fewer ran for %d ms, %d at least (looks at most %d ms apart)",
				scaled, gone.Milliseconds(), dip.Milliseconds(), fewest.running, longest.Milliseconds())
			if gone > soon {
				w.Fault("round %d: fewer than %d were wanted for %d ms, want at most %d", round+1, scaled, gone.Milliseconds(), soon.Milliseconds())
			}
		}
		return nil
	})
}

func (w *world) rolledBack(ctx context.Context) error {
	return w.on(ctx, func(ctx context.Context) error {
		if err := w.deploy(ctx, w.file("2", broken)); err != nil {
			return err
		}
		if err := w.comes(ctx, "Swarm has rolled the update back", func(s spec) bool { return s.Update == "rollback_completed" }); err != nil || w.Faulty() {
			return err
		}
		if err := w.comes(ctx, "the number is what it was", func(s spec) bool { return s.Replicas == scaled }); err != nil || w.Faulty() {
			return err
		}
		if _, err := w.Running(ctx, web, scaled); err != nil {
			return err
		}
		s, err := w.spec(ctx, web)
		if err != nil {
			return err
		}
		w.Say("it ends with %q and %d", s.Args, s.Replicas)
		if !strings.HasSuffix(s.Args, works) || s.Replicas != scaled {
			w.Fault("it ends with %q and %d replicas", s.Args, s.Replicas)
		}
		return nil
	})
}

// person is the number that somebody sets by Docker's own command, and stays how long it has to
// be that.
const (
	person = 4
	stays  = 40 * time.Second
)

func (w *world) byPerson(ctx context.Context) error {
	return w.on(ctx, func(ctx context.Context) error {
		if _, err := w.Docker(ctx, "service", "scale", "--detach", fmt.Sprintf("%s=%d", web, person)); err != nil {
			return err
		}
		if _, err := w.Running(ctx, web, person); err != nil {
			return err
		}
		return w.holds(ctx, person, stays)
	})
}

// holds looks for a while whether the number stays.
func (w *world) holds(ctx context.Context, n uint64, d time.Duration) error {
	for began := time.Now(); time.Since(began) < d; {
		s, err := w.spec(ctx, web)
		if err != nil {
			return err
		}
		if s.Replicas != n {
			w.Fault("after %.1f s it has %d replicas, want %d", time.Since(began).Seconds(), s.Replicas, n)
			return nil
		}
		if err := tooltest.Pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	w.Say("it has %d replicas for %s", n, d)
	return nil
}

func (w *world) whileAway(ctx context.Context) error {
	return w.on(ctx, func(ctx context.Context) error {
		if err := w.Resize(ctx, scaler, 0); err != nil {
			return err
		}
		if err := w.deploy(ctx, w.file("1", works)); err != nil {
			return err
		}
		if _, err := w.Running(ctx, web, own); err != nil {
			return err
		}
		w.Say("without a scaler it has the %d of its file", own)
		if err := w.Resize(ctx, scaler, 1); err != nil {
			return err
		}
		return w.comes(ctx, "the scaler is back, and so is the number", func(s spec) bool { return s.Replicas == scaled })
	})
}
