package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// halved is the service of which each of two workers runs half of the tasks.
const halved = "halved"

// deadNode is what becomes of requests while a node that runs half of their tasks loses
// its power or its cable, or is drained.
func (m *swarm) deadNode(ctx context.Context) error {
	seen, err := load.Listen(ctx, m.Here())
	if err != nil {
		return err
	}
	defer seen.Close()
	m.Table("250 GETs/s kept alive and 250 on connections of their own, 25 and 25 POSTs/s, while half of the tasks go",
		"what", "DNS knew after", "GET kept alive", "GET one each", "POST kept alive", "POST one each", "worst GET", "last failed POST ended, from DNS's knowing", "POSTs twice", "machine busy")
	demo := stack.Demo{
		Name: halved, Replicas: 4, Workers: true, PerNode: 2, Labels: stack.Labels("/" + halved),
		Args: []string{"-concurrency", "100", "-service-time", "1ms", "-report", seen.Addr()},
	}
	return m.with(ctx, demo, func() error {
		for range m.runs {
			if err := m.without(ctx, "power cut", seen, func(context.Context) error { return m.PowerOff(stack.Worker) }, nil); err != nil {
				return err
			}
			if err := errors.Join(m.PowerOn(ctx, stack.Worker), m.whole(ctx)); err != nil {
				return err
			}
		}
		if err := m.without(ctx, "drained", seen, func(ctx context.Context) error { return m.Drain(ctx, stack.Worker, halved) }, nil); err != nil {
			return err
		}
		if err := errors.Join(m.Activate(ctx, stack.Worker), m.whole(ctx)); err != nil {
			return err
		}
		err := m.without(ctx, "cable out for 30 s", seen, func(context.Context) error { return m.Unplug(stack.Worker) }, func(ctx context.Context) error {
			return errors.Join(tooltest.Pause(ctx, 30*time.Second), m.Plug(stack.Worker))
		})
		return errors.Join(err, m.NodeReady(ctx, stack.Worker), m.whole(ctx))
	})
}

// whole waits until all tasks run and DNS has them.
func (m *swarm) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if _, err := m.Running(ctx, halved, 4); err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "all tasks in DNS", func(ctx context.Context) error {
		names, err := m.InDNS(ctx, halved)
		if err == nil && len(names) != 4 {
			err = fmt.Errorf("%d are", len(names))
		}
		return err
	})
}

// flow is one of the kinds of requests that are sent beside each other.
type flow struct {
	method    string
	keepAlive bool
	rate      float64
	report    load.Report
}

// without sends requests while half of the tasks go, for a minute from then on, and
// prints what became of them.
func (m *swarm) without(ctx context.Context, what string, seen *load.Arrivals, begin, then func(context.Context) error) error {
	if err := m.quiet(ctx); err != nil {
		return err
	}
	seen.Forget()
	flows := []*flow{
		{method: http.MethodGet, keepAlive: true, rate: 250}, {method: http.MethodGet, rate: 250},
		{method: http.MethodPost, keepAlive: true, rate: 25}, {method: http.MethodPost, rate: 25},
	}
	var knew time.Duration
	var at time.Time
	busy, err := proc.Busy(func() error {
		sending, stop := context.WithCancel(ctx)
		defer stop()
		var wait sync.WaitGroup
		errs := make([]error, len(flows))
		for i, f := range flows {
			wait.Go(func() {
				f.report, errs[i] = load.Run(sending, load.Config{
					URL: "http://" + m.Addr(stack.Manager) + "/" + halved, Method: f.method, Rate: f.rate, Connections: 20, KeepAlive: f.keepAlive,
					Duration: 10 * time.Minute, Timeout: 10 * time.Second,
				})
			})
		}
		err := tooltest.Pause(ctx, 2*time.Second)
		if err == nil {
			at = time.Now()
			err = begin(ctx)
		}
		if err == nil {
			knew, err = m.known(ctx, at)
		}
		if err == nil && then != nil {
			err = then(ctx)
		}
		if err == nil {
			err = tooltest.Pause(ctx, m.minute-time.Since(at))
		}
		stop()
		wait.Wait()
		return errors.Join(err, errors.Join(errs...))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	cells := []any{what, knew}
	var worst float64
	last := "none failed"
	var late time.Duration
	for _, f := range flows {
		cells = append(cells, failures(f.report))
		if f.method == http.MethodGet {
			worst = max(worst, f.report.Max)
			continue
		}
		for _, failure := range f.report.Failures {
			end := failure.Began.Add(failure.Took).Sub(at.Add(knew))
			if late = max(late, end); last == "none failed" || end == late {
				last = fmt.Sprintf("%+.1f s", end.Seconds())
			}
		}
	}
	m.Row(append(cells, fmt.Sprintf("%.1f ms", worst), last, arrived(seen), fmt.Sprintf("%d %%", busy))...)
	return nil
}

// known waits until DNS has half of the tasks, and returns how long that took.
func (m *swarm) known(ctx context.Context, from time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := tooltest.Poll(ctx, 20*time.Millisecond, "DNS to know", func(ctx context.Context) error {
		left, err := m.InDNS(ctx, halved)
		if err != nil {
			return tooltest.Final(err)
		}
		if len(left) == 4 {
			return errors.New("it has all four")
		}
		return nil
	})
	return time.Since(from), err
}

// failures are those of a report by kind.
func failures(r load.Report) string {
	text := fmt.Sprintf("%d failed of %d", r.Failed, r.Requests)
	if reasons := r.Reasons(); reasons != "" {
		text += " (" + reasons + ")"
	}
	return text
}

// arrived says how many of how many requests arrived more than once.
func arrived(seen *load.Arrivals) string {
	all, twice := seen.Count()
	return fmt.Sprintf("%d of %d that arrived", twice, all)
}
