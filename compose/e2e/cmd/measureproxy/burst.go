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

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// bursts makes many services at once in a swarm, and changes the labels of all.
func (m *measurement) bursts(ctx context.Context) (err error) {
	s, err := stack.Deploy(ctx, stack.Options{Images: m.images, Tag: m.tag, Alone: !m.pair, Log: m.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	names := func(prefix string, n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf("%s%d", prefix, i)
		}
		return out
	}
	create := func(ctx context.Context, name string) error {
		return s.Create(ctx, stack.Demo{Name: name, Replicas: 1, Unchecked: true, Labels: stack.Labels("/" + name)})
	}
	others := names("other", m.others)
	if err := at(others, 4, func(name string) error { return create(ctx, name) }); err != nil {
		return err
	}
	for _, name := range others {
		if _, err := s.Since(ctx, stack.Manager, "/"+name, stack.Answered); err != nil {
			return err
		}
	}
	fmt.Fprintf(m.log, "measure-proxy: %d services are answered\n", m.others)
	m.table(fmt.Sprintf("%d services at once beside %d others", m.burst, m.others), "what", "result", "goal", "")
	engine, listener, err := m.engines(ctx, s)
	if err != nil {
		return err
	}
	m.row("engine of the manager while idle, of one core; the proxy has no access to it", fmt.Sprintf("%.1f %%", engine), "", "")
	m.result("the listener's own processor time, of one core", listener, goal{1, false, "%.1f %%"})

	before, err := s.Reloads(ctx)
	if err != nil {
		return err
	}
	fresh := names("fresh", m.burst)
	if err := at(fresh, 4, func(name string) error { return create(ctx, name) }); err != nil {
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
	m.result("reloads while they were created", float64(reloads-before), goal{0, false, "%.0f"})
	all := slices.Concat(took.here, took.elsewhere)
	m.result("from the start of a task to its first answer, worst", 1000*slices.Max(all), goal{500, false, "%.0f ms"})
	m.result("from the start of a task to its first answer, median", 1000*median(all), goal{100, false, "%.0f ms"})
	m.part("of these, on the node of the proxy", took.here)
	m.part("of these, on another node", took.elsewhere)

	if err := at(fresh, 4, func(name string) error { return s.Relabel(ctx, name, stack.Labels("/moved-"+name)) }); err != nil {
		return err
	}
	called := time.Now()
	client, last := s.Client(8), called
	var mu sync.Mutex // all look at last
	if err := at(fresh, 8, func(name string) error {
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
	m.result("reloads while the labels of all changed", float64(after-reloads), goal{0, false, "%.0f"})
	m.result("all new paths answer, from the last call", 1000*last.Sub(called).Seconds(), goal{200, false, "%.0f ms"})
	return nil
}

// part shows some of what took so many seconds, if there are any.
func (m *measurement) part(what string, took []float64) {
	if len(took) > 0 {
		m.row(what, fmt.Sprintf("%d: median %.0f ms, worst %.0f ms", len(took), 1000*median(took), 1000*slices.Max(took)), "", "")
	}
}

// at does something with each name, so many at a time.
func at(names []string, parallel int, do func(name string) error) error {
	queue := make(chan string)
	errs := make(chan error, len(names))
	var wait sync.WaitGroup
	for range parallel {
		wait.Go(func() {
			for name := range queue {
				errs <- do(name)
			}
		})
	}
	for _, name := range names {
		queue <- name
	}
	close(queue)
	wait.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return all
}

// appearances are how long, in seconds, services took to answer after their tasks began
// to run.
type appearances struct{ here, elsewhere []float64 }

// appear waits until all services answer and returns how long each took after its task
// began to run, by its node's word. One watcher lists the tasks of all, and the path of
// a service is asked when its task has come so far that it may run, for asking a
// hundred paths all the time would cost more than starting a hundred services. Directly,
// it is the tasks that are asked, which says what is left to a proxy.
func (m *measurement) appear(ctx context.Context, s *stack.Stack, services []string) (appearances, error) {
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
		if err := pause(ctx, 100*time.Millisecond); err != nil {
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
	for {
		status, err := s.Status(ctx, client, url)
		if err == nil && stack.Answered(status) {
			return time.Now(), nil
		}
		if errPause := pause(ctx, 10*time.Millisecond); errPause != nil {
			return time.Now(), errors.Join(err, errPause)
		}
	}
}

// engines returns what the manager's engine and the listener use while nothing happens,
// in percent of one core.
func (m *measurement) engines(ctx context.Context, s *stack.Stack) (engine, listener float64, err error) {
	if err := pause(ctx, 5*time.Second); err != nil {
		return 0, 0, err
	}
	read := func(word string) (time.Duration, error) {
		all, err := family(1)
		sum := time.Duration(0)
		for _, p := range all {
			if strings.Contains(p.command, word) {
				sum += p.cpu
			}
		}
		return sum, err
	}
	socket := "-H " + s.Hosts()[0]
	words := []string{socket, "waggle-listener"}
	var before, after [2]time.Duration
	for i, word := range words {
		if before[i], err = read(word); err != nil {
			return 0, 0, err
		}
	}
	began := time.Now()
	if err := pause(ctx, m.idle); err != nil {
		return 0, 0, err
	}
	share := 100 / time.Since(began).Seconds()
	for i, word := range words {
		if after[i], err = read(word); err != nil {
			return 0, 0, err
		}
	}
	return share * (after[0] - before[0]).Seconds(), share * (after[1] - before[1]).Seconds(), nil
}
