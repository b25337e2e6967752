package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/scalercase"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/compose/e2e/steps"
)

// What is promised of a step, in milliseconds.
const (
	stepMedian  = 20
	stepP99     = 100
	storedAll   = 200
	decidedAll  = 1000
	mostPercent = 1
)

// scaling is what the parts that measure the scaler share.
type scaling struct {
	session
	samples, standing, burst int
	every, still             time.Duration
}

// ofScaler measures the scaler, which is a process on the loopback with a recorded Docker API.
func ofScaler(ctx context.Context, args []string) error {
	var m scaling
	fs := flag.NewFlagSet("measure scaler", flag.ContinueOnError)
	choose := m.begin(fs, []part{
		{"quiet", 5 * time.Minute, m.quiet},
		{"standing", 10 * time.Minute, m.whileOthersStand},
		{"failing", 5 * time.Minute, m.whileOneFails},
		{"burst", 5 * time.Minute, m.atOnce},
	})
	fs.IntVar(&m.samples, "samples", 100, "alerts that are measured in each state")
	fs.IntVar(&m.standing, "standing", 1000, "services with an alert down that can do nothing")
	fs.DurationVar(&m.every, "every", 65*time.Second, "how often each of these is delivered again")
	fs.DurationVar(&m.still, "still", 60*time.Second, "how long it is measured what they cost")
	fs.IntVar(&m.burst, "alerts", 100, "alerts in one notification")
	parts, err := choose(args)
	if err != nil {
		return err
	}
	if err := each(ctx, parts); err != nil {
		return err
	}
	return m.Missed()
}

// in opens a world and does something there.
func (m *scaling) in(ctx context.Context, services func(*scalercase.Recorded) error, do func(*steps.World) error) (err error) {
	dir, err := os.MkdirTemp("/tmp", "wms") // not below $TMPDIR: the path of a socket may have 107 bytes
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := steps.Open(ctx, dir, services)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return do(w)
}

// alerts fires one alert after the other.
func (m *scaling) alerts(ctx context.Context, w *steps.World, state string) error {
	took, err := w.Steps(ctx, m.samples)
	if err != nil {
		return err
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	m.Table(fmt.Sprintf("From the delivery of an alert to the change of the service, %s, %d alerts", state, len(took)), "what", "ms", "goal", "met")
	m.Result("median", ms(report.Median(took)), report.AtMost(stepMedian, "%.1f"))
	m.Result("p99", ms(took[(len(took)-1)*99/100]), report.AtMost(stepP99, "%.1f"))
	return nil
}

func (m *scaling) quiet(ctx context.Context) error {
	return m.in(ctx, steps.Measured(m.samples), func(w *steps.World) error { return m.alerts(ctx, w, "nothing else happens") })
}

func (m *scaling) whileOthersStand(ctx context.Context) error {
	return m.in(ctx, steps.Standing(m.standing, m.samples), func(w *steps.World) error {
		stop, err := w.Redeliver(ctx, m.standing, m.every)
		if err != nil {
			return err
		}
		calls, percent, err := w.Cost(ctx, m.still)
		if err != nil {
			return errors.Join(err, stop())
		}
		m.Table(fmt.Sprintf("%d services with an alert down that can do nothing, each delivered every %v", m.standing, m.every), "what", "cost", "goal", "met")
		m.Result("calls of Docker per second", calls, report.AtMost(0, "%.2f"))
		m.Result("% of a core", percent, report.AtMost(mostPercent, "%.2f"))
		return errors.Join(m.alerts(ctx, w, "while they stand"), stop())
	})
}

func (m *scaling) whileOneFails(ctx context.Context) error {
	return m.in(ctx, steps.Failing(m.samples), func(w *steps.World) error {
		if err := w.Fail(ctx); err != nil {
			return err
		}
		return m.alerts(ctx, w, "while Docker refuses each update of another service")
	})
}

func (m *scaling) atOnce(ctx context.Context) error {
	return m.in(ctx, steps.Measured(m.burst), func(w *steps.World) error {
		stored, decided, err := w.AtOnce(ctx, m.burst)
		if err != nil {
			return err
		}
		m.Table(fmt.Sprintf("%d alerts in one notification", m.burst), "what", "ms", "goal", "met")
		m.Result("all are stored", float64(stored.Milliseconds()), report.AtMost(storedAll, "%.0f"))
		m.Result("all services are changed", float64(decided.Milliseconds()), report.AtMost(decidedAll, "%.0f"))
		return nil
	})
}
