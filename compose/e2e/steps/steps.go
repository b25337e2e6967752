package steps

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/scalercase"
)

// between lies between two alerts that are measured. It is no multiple of any interval of the
// scaler's, so that they come at all moments of it.
const between = 137 * time.Millisecond

// bounds let a service with one replica have more, and no fewer.
func bounds() map[string]string { return map[string]string{"scaleMin": "1", "scaleMax": "9"} }

func named(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}

// Measured are the services of which each is scaled once, to be measured.
func Measured(n int) func(*scalercase.Recorded) error { return services("web", n) }

func services(prefix string, n int) func(*scalercase.Recorded) error {
	return func(r *scalercase.Recorded) error {
		for _, name := range named(prefix, n) {
			if err := r.Create(name, bounds(), 1); err != nil {
				return err
			}
		}
		return nil
	}
}

// Steps fires an alert about each of n services, one after the other, and returns how long
// each took from its delivery to the change.
func (w *World) Steps(ctx context.Context, n int) ([]time.Duration, error) {
	var out []time.Duration
	tick := time.NewTicker(between)
	defer tick.Stop()
	for _, name := range named("web", n) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		began := time.Now()
		if err := w.fire(ctx, "firing", "up", name); err != nil {
			return nil, err
		}
		if err := w.scaled(ctx, name); err != nil {
			return nil, err
		}
		out = append(out, time.Since(began))
		if err := w.fire(ctx, "resolved", "up", name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Standing returns, for Open, services with an alert down that can do nothing, beside those
// that are measured.
func Standing(n, measured int) func(*scalercase.Recorded) error {
	return func(r *scalercase.Recorded) error {
		if err := services("idle", n)(r); err != nil {
			return err
		}
		return Measured(measured)(r)
	}
}

// Redeliver delivers an alert down about each of n services once, and then again and again,
// evenly spread over a time, until what it returns is called.
func (w *World) Redeliver(ctx context.Context, n int, every time.Duration) (stop func() error, err error) {
	names := named("idle", n)
	for len(names) > 0 {
		some := min(len(names), 50)
		if err := w.fire(ctx, "firing", "down", names[:some]...); err != nil {
			return nil, err
		}
		names = names[some:]
	}
	if err := w.calm(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var g errgroup.Group
	g.Go(func() error {
		tick := time.NewTicker(every / time.Duration(n))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if err := w.fire(ctx, "firing", "down", fmt.Sprint("idle", i%n)); err != nil && ctx.Err() == nil {
				return err
			}
		}
	})
	return func() error {
		cancel()
		return g.Wait()
	}, nil
}

// calm waits until the scaler has done what was to be done: a second in which it does next
// to nothing.
func (w *World) calm(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		before, err := w.used()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		after, err := w.used()
		if err != nil || after-before < time.Second/20 {
			return err
		}
	}
}

// Cost returns the calls of Docker by the scaler, per second, and its processor time, in
// percent of a core, within d.
func (w *World) Cost(ctx context.Context, d time.Duration) (calls, percent float64, err error) {
	had := w.swarm.Calls()
	before, err := w.used()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(d):
	}
	took := time.Since(began).Seconds()
	after, err := w.used()
	return float64(w.swarm.Calls()-had) / took, 100 * (after - before).Seconds() / took, err
}

// Failing returns, for Open, a service whose updates are all refused, beside those that are
// measured.
func Failing(measured int) func(*scalercase.Recorded) error {
	return func(r *scalercase.Recorded) error {
		if err := r.Create("failing", bounds(), 1); err != nil {
			return err
		}
		if err := r.Refuse("failing"); err != nil {
			return err
		}
		return Measured(measured)(r)
	}
}

// Fail has an alert stand for that service.
func (w *World) Fail(ctx context.Context) error { return w.fire(ctx, "firing", "up", "failing") }

// AtOnce delivers alerts about n services in one notification, and returns how long it took
// until that was taken, and until all were changed.
func (w *World) AtOnce(ctx context.Context, n int) (stored, decided time.Duration, err error) {
	names := named("web", n)
	began := time.Now()
	if err := w.fire(ctx, "firing", "up", names...); err != nil {
		return 0, 0, err
	}
	stored = time.Since(began)
	err = w.scaled(ctx, names...)
	return stored, time.Since(began), err
}
