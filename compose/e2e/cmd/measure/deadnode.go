package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// halved is the service of which each of two workers runs half of the tasks.
const halved = "halved"

// deadNode is what becomes of requests while a node that runs half of their tasks loses
// its power or its cable, or is drained.
func (m *measurement) deadNode(ctx context.Context) error {
	seen, err := load.Listen(ctx, m.Here())
	if err != nil {
		return err
	}
	defer seen.Close()
	m.table("250 GETs/s kept alive and 250 on connections of their own, 25 and 25 POSTs/s, while half of the tasks go",
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
			return errors.Join(pause(ctx, 30*time.Second), m.Plug(stack.Worker))
		})
		return errors.Join(err, m.NodeReady(ctx, stack.Worker), m.whole(ctx))
	})
}

// whole waits until all tasks run and DNS has them.
func (m *measurement) whole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if _, err := m.Running(ctx, halved, 4); err != nil {
		return err
	}
	return lab.Poll(ctx, "all tasks in DNS", func() error {
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
func (m *measurement) without(ctx context.Context, what string, seen *load.Arrivals, begin, then func(context.Context) error) error {
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
	busy, err := stack.Busy(func() error {
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
		err := pause(ctx, 2*time.Second)
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
			err = pause(ctx, m.minute-time.Since(at))
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
	m.row(append(cells, fmt.Sprintf("%.1f ms", worst), last, arrived(seen), fmt.Sprintf("%d %%", busy))...)
	return nil
}

// known waits until DNS has half of the tasks, and returns how long that took.
func (m *measurement) known(ctx context.Context, from time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	first, err := m.InDNS(ctx, halved)
	for err == nil && len(first) == 4 {
		if err = pause(ctx, 20*time.Millisecond); err == nil {
			first, err = m.InDNS(ctx, halved)
		}
	}
	return time.Since(from), err
}

// failures are those of a report by kind.
func failures(r load.Report) string {
	var kinds []string
	for _, k := range load.Kinds() {
		if n := r.Kinds[k]; n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, k))
		}
	}
	text := fmt.Sprintf("%d failed of %d", r.Failed, r.Requests)
	if len(kinds) > 0 {
		text += " (" + strings.Join(kinds, ", ") + ")"
	}
	return text
}

// arrived says how many of how many requests arrived more than once.
func arrived(seen *load.Arrivals) string {
	all, twice := seen.Count()
	return fmt.Sprintf("%d of %d that arrived", twice, all)
}
