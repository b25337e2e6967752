package listenercase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/swarmcase"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// name is that of the form; program is what it starts.
const (
	name    = "listener's edge"
	program = "listener"
)

// steady is for how long what was found must hold, limit how long it is looked for.
const (
	steady = 3.0
	limit  = 10.0
)

// Form is the form of the listener's cases.
func Form() acceptance.Form {
	steps := map[string]acceptance.Reader{
		"receiver": receives, "notified": notified, "not_notified": notNotified, "count": counts, "forget": forget, "last": last,
		"believes": believes, "get": get, "metric": metric, "catalog": inCatalog, "log_has": logHas, "log_lacks": logLacks,
		"stop": stop, "kill": kill, "start": start, "restart": restart, "no_start": noStart,
		"sleep": acceptance.Common()["sleep"],
	}
	for kind, read := range swarmcase.Steps() {
		steps[kind] = func(values []json.RawMessage) (acceptance.Step, error) {
			c, err := read(values)
			return step(c.About, func(_ context.Context, w *world) error { return c.Do(w.swarm) }), err
		}
	}
	return acceptance.Form{Name: name, Builds: []string{program}, Steps: steps, Read: read}
}

type attempt func(context.Context, *world) error

// step is one that is done once.
func step(about string, do attempt) acceptance.Step {
	return acceptance.Step{About: about, Do: func(ctx context.Context, w acceptance.World) error { return do(ctx, w.(*world)) }}
}

// look is a step that is tried again until it holds, for so many seconds, or as long as by default.
func look(about string, within float64, do attempt) acceptance.Step {
	return step(about, func(ctx context.Context, w *world) error {
		if within == 0 {
			within = limit
		}
		return acceptance.Poll(ctx, w, seconds(within), func(ctx context.Context) error { return do(ctx, w) })
	})
}

// stays is look, and then it must still hold for a while.
func stays(about string, within float64, do attempt) acceptance.Step {
	first := look(about, within, do)
	return step(about, func(ctx context.Context, w *world) error {
		if err := first.Do(ctx, w); err != nil {
			return err
		}
		if err := tooltest.Pause(ctx, seconds(steady)); err != nil {
			return err
		}
		if err := do(ctx, w); err != nil {
			return fmt.Errorf("%v s later: %w", steady, err)
		}
		return nil
	})
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// about reads the values of a step of a receiver, behind its letter.
func about(values []json.RawMessage, targets ...any) (letter string, err error) {
	if err := acceptance.Fill(values, append([]any{&letter}, targets...)...); err != nil {
		return "", err
	}
	if !slices.Contains(letters(), letter) {
		return "", fmt.Errorf("receiver %q: want one of %v", letter, letters())
	}
	return letter, nil
}

// bounded is about, with the seconds that may stand behind all others.
func bounded(values []json.RawMessage, targets ...any) (letter string, within float64, err error) {
	if len(values) > len(targets)+1 {
		targets = append(targets, &within)
	}
	letter, err = about(values, targets...)
	return letter, within, err
}

func receives(values []json.RawMessage) (acceptance.Step, error) {
	var m manners
	r, err := about(values, &m)
	return step(r, func(_ context.Context, w *world) error { return w.receivers[r].behave(m) }), err
}

func notified(values []json.RawMessage) (acceptance.Step, error) {
	var want want
	r, err := about(values, &want)
	return look(r, want.Within, func(_ context.Context, w *world) error { return w.receivers[r].notified(want) }), err
}

func notNotified(values []json.RawMessage) (acceptance.Step, error) {
	var want want
	r, err := about(values, &want)
	span := want.For
	if span == 0 {
		span = steady
	}
	return step(r, func(ctx context.Context, w *world) error {
		check := func() error { return w.receivers[r].notNotified(want) }
		if err := check(); err != nil {
			return err
		}
		if err := tooltest.Pause(ctx, seconds(span)); err != nil {
			return err
		}
		return check()
	}), err
}

func counts(values []json.RawMessage) (acceptance.Step, error) {
	var (
		want   want
		number json.RawMessage
		bounds []int
		n      int
	)
	r, within, err := bounded(values, &want, &number)
	switch {
	case err != nil:
	case json.Unmarshal(number, &n) == nil:
		bounds = []int{n, n}
	default:
		if err = acceptance.Strict(number, &bounds); err == nil && len(bounds) != 2 {
			err = errors.New("want a number, or the least and the most")
		}
	}
	if err != nil {
		return acceptance.Step{}, err
	}
	if within == 0 {
		within = want.Within
	}
	return stays(r, within, func(_ context.Context, w *world) error { return w.receivers[r].count(want, bounds[0], bounds[1]) }), nil
}

func forget(values []json.RawMessage) (acceptance.Step, error) {
	r, err := about(values)
	return step(r, func(_ context.Context, w *world) error { w.receivers[r].forget(); return nil }), err
}

func last(values []json.RawMessage) (acceptance.Step, error) {
	var of string
	var want want
	r, within, err := bounded(values, &of, &want)
	if within == 0 {
		within = want.Within
	}
	return stays(r+" "+of, within, func(_ context.Context, w *world) error { return w.receivers[r].last(of, want) }), err
}

func believes(values []json.RawMessage) (acceptance.Step, error) {
	var all map[string]map[string]any
	r, within, err := bounded(values, &all)
	return stays(r, within, func(_ context.Context, w *world) error { return w.receivers[r].believe(all) }), err
}

func get(values []json.RawMessage) (acceptance.Step, error) {
	var path string
	var of struct {
		Status    int     `json:"status"`
		StatusNot int     `json:"status_not"`
		JSON      any     `json:"json"`
		Within    float64 `json:"within"`
	}
	err := acceptance.Fill(values, &path, &of)
	return look(path, of.Within, func(ctx context.Context, w *world) error {
		status, body, err := w.ask(ctx, path)
		switch {
		case err != nil:
			return err
		case of.StatusNot != 0 && status == of.StatusNot:
			return fmt.Errorf("the status is %d", status)
		case of.Status != 0 && status != of.Status, of.StatusNot == 0 && of.Status == 0 && status != 200:
			return fmt.Errorf("the status is %d: %s", status, body)
		case of.JSON == nil:
			return nil
		}
		var got any
		if err := json.Unmarshal(body, &got); err != nil {
			return fmt.Errorf("%s is no JSON", body)
		}
		return swarmcase.Fits(of.JSON, got)
	}), err
}

func metric(values []json.RawMessage) (acceptance.Step, error) {
	var (
		of     string
		labels map[string]string
		bounds []float64
	)
	err := acceptance.Fill(values, &of, &labels, &bounds)
	if err == nil && len(bounds) != 2 {
		err = errors.New("want the least and the most")
	}
	return look(of, 0, func(ctx context.Context, w *world) error {
		sum, err := w.sample(ctx, of, labels)
		if err == nil && (sum < bounds[0] || sum > bounds[1] || math.IsNaN(sum)) {
			err = fmt.Errorf("it is %v, want %v to %v", sum, bounds[0], bounds[1])
		}
		return err
	}), err
}

func inCatalog(values []json.RawMessage) (acceptance.Step, error) {
	if len(values) != 2 {
		return acceptance.Step{}, errors.New("want a key, and fields or null")
	}
	var key string
	var want any
	err := acceptance.Fill(values[:1], &key)
	if err == nil {
		err = json.Unmarshal(values[1], &want)
	}
	if err == nil {
		_, _, err = split(key)
	}
	return look(key, 0, func(ctx context.Context, w *world) error {
		got, err := w.entry(ctx, key)
		if err != nil {
			return err
		}
		if got == nil && want != nil {
			return fmt.Errorf("there is no %s", key)
		}
		return swarmcase.Fits(want, got)
	}), err
}

func logHas(values []json.RawMessage) (acceptance.Step, error) {
	var text string
	err := acceptance.Fill(values, &text)
	return look(text, 0, func(_ context.Context, w *world) error { return w.said(text, true) }), err
}

func logLacks(values []json.RawMessage) (acceptance.Step, error) {
	var text string
	err := acceptance.Fill(values, &text)
	return step(text, func(_ context.Context, w *world) error { return w.said(text, false) }), err
}

func stop(values []json.RawMessage) (acceptance.Step, error) {
	return step("", func(_ context.Context, w *world) error { return w.stop(false) }), acceptance.Fill(values)
}

func kill(values []json.RawMessage) (acceptance.Step, error) {
	return step("", func(_ context.Context, w *world) error { return w.stop(true) }), acceptance.Fill(values)
}

func start(values []json.RawMessage) (acceptance.Step, error) {
	var of struct {
		Env  map[string]*string `json:"env"`
		Lost bool               `json:"lost"`
	}
	err := acceptance.Fill(values, &of)
	return step("", func(_ context.Context, w *world) error { return w.again(of.Env, of.Lost) }), err
}

func restart(values []json.RawMessage) (acceptance.Step, error) {
	return step("", func(_ context.Context, w *world) error {
		if err := w.stop(false); err != nil {
			return err
		}
		return w.run()
	}), acceptance.Fill(values)
}

func noStart(values []json.RawMessage) (acceptance.Step, error) {
	var texts []string
	err := acceptance.Fill(values, &texts)
	return step("", func(ctx context.Context, w *world) error { return w.hasFailed(ctx, texts) }), err
}
