package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// bursts makes many services at once in a swarm, and changes the labels of all.
func (m *bench) bursts(ctx context.Context) (err error) {
	m.options.Alone = !m.pair
	s, err := stack.Deploy(ctx, m.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := populate(ctx, s, numbered("other", 0, m.others)); err != nil {
		return err
	}
	fmt.Fprintf(m.log, "measure: %d services are answered\n", m.others)
	m.Table(fmt.Sprintf("%d services at once beside %d others", m.burst, m.others), "what", "result", "goal", "")
	engine, listener, err := m.engines(ctx, s)
	if err != nil {
		return err
	}
	m.Row("engine of the manager while idle, of one core; the proxy has no access to it", fmt.Sprintf("%.1f %%", engine), "", "")
	m.Result("the listener's own processor time, of one core", listener, report.AtMost(1, "%.1f %%"))

	before, err := s.Reloads(ctx)
	if err != nil {
		return err
	}
	fresh := numbered("fresh", 0, m.burst)
	if err := atOnce(ctx, 4, fresh, func(ctx context.Context, name string) error { return plain(ctx, s, name) }); err != nil {
		return err
	}
	took, err := m.appear(ctx, s, fresh)
	if err != nil {
		return err
	}
	reloads, err := s.Reloads(ctx)
	if err != nil {
		return err
	}
	m.Result("reloads while they were created", float64(reloads-before), report.AtMost(0, "%.0f"))
	all := slices.Concat(took.here, took.elsewhere)
	m.Result("from the start of a task to its first answer, worst", 1000*slices.Max(all), report.AtMost(500, "%.0f ms"))
	m.Result("from the start of a task to its first answer, median", 1000*report.Median(all), report.AtMost(100, "%.0f ms"))
	m.part("of these, on the node of the proxy", took.here)
	m.part("of these, on another node", took.elsewhere)

	if err := atOnce(ctx, 4, fresh, func(ctx context.Context, name string) error {
		return s.Relabel(ctx, name, stack.Labels("/moved-"+name))
	}); err != nil {
		return err
	}
	called := time.Now()
	client, last := s.Client(8), called
	var mu sync.Mutex // all look at last
	if err := atOnce(ctx, 8, fresh, func(ctx context.Context, name string) error {
		answered, err := first(ctx, s, client, "http://"+stack.Manager+"/moved-"+name)
		mu.Lock()
		defer mu.Unlock()
		if answered.After(last) {
			last = answered
		}
		return err
	}); err != nil {
		return err
	}
	after, err := s.Reloads(ctx)
	if err != nil {
		return err
	}
	m.Result("reloads while the labels of all changed", float64(after-reloads), report.AtMost(0, "%.0f"))
	m.Result("all new paths answer, from the last call", 1000*last.Sub(called).Seconds(), report.AtMost(200, "%.0f ms"))
	return nil
}

// part shows some of what took so many seconds, if there are any.
func (m *bench) part(what string, took []float64) {
	if len(took) > 0 {
		m.Row(what, fmt.Sprintf("%d: median %.0f ms, worst %.0f ms", len(took), 1000*report.Median(took), 1000*slices.Max(took)), "", "")
	}
}

// appearances are how long, in seconds, services took to answer after their tasks began
// to run.
type appearances struct{ here, elsewhere []float64 }

// appear waits until all services answer and returns how long each took after its task
// began to run, by its node's word. One watcher lists the tasks of all, and the path of
// a service is asked when its task has come so far that it may run, for asking a
// hundred paths all the time would cost more than starting a hundred services. Directly,
// it is the tasks that are asked, which says what is left to a proxy.
func (m *bench) appear(ctx context.Context, s *stack.Stack, services []string) (appearances, error) {
	client := s.Client(len(services))
	url := func(_ stack.Task, name string) string { return "http://" + stack.Manager + "/" + name }
	if m.direct {
		var err error
		if client, err = s.Neighbour(ctx); err != nil {
			return appearances{}, err
		}
		url = func(t stack.Task, _ string) string {
			address, _, _ := strings.Cut(t.NetworksAttachments[0].Addresses[0], "/")
			return "http://" + address + ":8080/"
		}
	}
	names, err := s.Names(ctx)
	if err != nil {
		return appearances{}, err
	}
	home, err := s.NodeID(ctx, stack.Manager)
	if err != nil {
		return appearances{}, err
	}
	var mu sync.Mutex // all write to answered and failed
	var failed error
	answered := map[string]time.Time{}
	asked := map[string]bool{}
	var asking sync.WaitGroup
	defer asking.Wait()
	for len(asked) < len(services) {
		tasks, err := s.Tasks(ctx, services...)
		if err != nil {
			return appearances{}, err
		}
		for _, t := range tasks {
			name := names[t.ServiceID]
			if asked[name] || !slices.Contains([]string{"ready", "starting", "running"}, t.Status.State) {
				continue
			}
			asked[name] = true
			asking.Go(func() {
				when, err := first(ctx, s, client, url(t, name))
				mu.Lock()
				defer mu.Unlock()
				answered[name], failed = when, errors.Join(failed, err)
			})
		}
		if err := tooltest.Pause(ctx, 100*time.Millisecond); err != nil {
			return appearances{}, err
		}
	}
	asking.Wait()
	if failed != nil {
		return appearances{}, failed
	}
	tasks, err := s.Tasks(ctx, services...)
	if err != nil {
		return appearances{}, err
	}
	var took appearances
	for _, t := range tasks {
		if t.Status.State != "running" {
			return appearances{}, fmt.Errorf("%s answered, and its task is %s", names[t.ServiceID], t.Status.State)
		}
		seconds := max(0, answered[names[t.ServiceID]].Sub(t.Status.Timestamp).Seconds())
		if t.NodeID == home {
			took.here = append(took.here, seconds)
		} else {
			took.elsewhere = append(took.elsewhere, seconds)
		}
	}
	if n := len(took.here) + len(took.elsewhere); n != len(services) {
		return appearances{}, fmt.Errorf("%d tasks of %d services", n, len(services))
	}
	return took, nil
}

// first asks again and again, one request after the other, and returns when the first
// good answer was there. It costs less than Since, which matters with many at once.
func first(ctx context.Context, s *stack.Stack, client *http.Client, url string) (time.Time, error) {
	err := tooltest.Poll(ctx, 10*time.Millisecond, url, func(ctx context.Context) error {
		status, err := s.Status(ctx, client, url)
		if err == nil && !stack.Answered(status) {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	return time.Now(), err
}

// engines returns what the manager's engine and the listener use while nothing happens,
// in percent of one core.
func (m *bench) engines(ctx context.Context, s *stack.Stack) (engine, listener float64, err error) {
	if err := tooltest.Pause(ctx, 5*time.Second); err != nil {
		return 0, 0, err
	}
	of := func(word string) func() (time.Duration, error) {
		return func() (time.Duration, error) { return proc.Used(1, word) }
	}
	shares, err := proc.Idle(ctx, m.idle, of("-H "+s.Hosts()[0]), of("waggle-listener"))
	if err != nil {
		return 0, 0, err
	}
	return shares[0], shares[1], nil
}
