package counts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// reach is how far back the alert looks: its cause has ended when what was asked for has run as
// long, and not before. It says that it settles a little later, as the monitor has its alerts say,
// which adds a scrape and an evaluation. again is how often it is delivered meanwhile.
const (
	reach  = time.Minute
	settle = reach + 2*time.Second
	again  = 5 * time.Second
)

// steps has an alert stand for services whose tasks start soon and late, all at once.
func (w *world) steps(ctx context.Context) error {
	starts := []time.Duration{0, 10 * time.Second, 40 * time.Second, 90 * time.Second}
	changes := make([][]int, len(starts))
	g, inGroup := errgroup.WithContext(ctx)
	for i, start := range starts {
		g.Go(func() error {
			var err error
			changes[i], err = w.cause(inGroup, fmt.Sprintf("starts-%d", int(start.Seconds())), start)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, start := range starts {
		w.Say("tasks that take %s to start: the number was %v", start, changes[i])
		if !slices.Equal(changes[i], []int{1, 2}) {
			w.Fault("tasks that take %s to start: the number was %v, want one step, from 1 to 2", start, changes[i])
		}
	}
	return nil
}

// cause has an alert stand for a new service until the step that it asks for shows, and returns
// the numbers that were wanted meanwhile.
func (w *world) cause(ctx context.Context, name string, start time.Duration) (numbers []int, err error) {
	err = w.Create(ctx, stack.Demo{
		Name: name, Replicas: 1, Unchecked: start == 0, Start: start,
		Labels: map[string]string{"com.df.notify": "true", "com.df.scaleMin": "1", "com.df.scaleMax": "5"},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Remove(context.WithoutCancel(ctx), name)) }()
	if _, err := w.Running(ctx, name, 1); err != nil {
		return nil, err
	}
	began := time.Now()
	say := func(status string) error {
		return tooltest.PollFor(ctx, long, time.Second, "the scaler takes the alert", func(ctx context.Context) error {
			_, err := w.ask(ctx, "/v1/alerts", map[string]any{"version": "4", "status": status, "alerts": []any{map[string]any{
				"status": status, "labels": map[string]string{"alertname": "slow", "service": name, "scale": "up", "type": "service"},
				"annotations": map[string]string{"settle": settle.String()}, "startsAt": began.UTC().Format(time.RFC3339Nano), "fingerprint": name,
			}}})
			return err
		})
	}
	var said, shows time.Time
	for shows.IsZero() || time.Since(shows) < reach {
		if time.Since(said) >= again {
			if err := say("firing"); err != nil {
				return nil, err
			}
			said = time.Now()
		}
		tasks, err := w.Tasks(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(numbers) == 0 || numbers[len(numbers)-1] != len(tasks) {
			numbers = append(numbers, len(tasks))
		}
		running := 0
		for _, t := range tasks {
			if t.Status.State == "running" {
				running++
			}
		}
		if running > 1 && shows.IsZero() {
			shows = time.Now()
		}
		if err := tooltest.Pause(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return numbers, say("resolved")
}
