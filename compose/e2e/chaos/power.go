package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// times is how often the power of a node is cut.
const times = 3

// inMinute is how many requests may fail in the minute after the power of a node went
// that ran half of the tasks they were for.
const inMinute = 3

func (w *world) powerOfWorker(ctx context.Context) error {
	for range times {
		if err := w.powerOf(ctx, "w2", "w1"); err != nil {
			return err
		}
	}
	return nil
}

// powerOfManager cuts the power of the writer's manager, of the leader of the swarm and of
// whoever leads the bucket, in turn.
func (w *world) powerOfManager(ctx context.Context) error {
	for n := range times {
		place, err := w.writer(ctx)
		victim := place.Node
		if err == nil && n == 1 {
			victim, err = w.swarmLeader(ctx)
		}
		if err == nil && n == 2 {
			victim = w.Managers()[2]
		}
		if err == nil {
			err = w.powerOf(ctx, victim, "w1")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// powerOf cuts the power of a node that has half of a service's tasks; other has the rest.
func (w *world) powerOf(ctx context.Context, victim, other string) error {
	name := fmt.Sprintf("halves%d", w.turn)
	managers := without(w.Managers(), []string{victim})
	return w.under(ctx, trouble{struck: []string{victim}, restarts: true, happens: func(ctx context.Context) error {
		err := w.ask(ctx, managers, func(ctx context.Context, s *stack.Stack) error {
			return s.Create(ctx, stack.Demo{Name: name, Replicas: 2, Labels: stack.Labels("/" + name), Away: without(w.Nodes(), []string{victim, other})})
		})
		if err != nil {
			return err
		}
		asked := without(managers, []string{victim})[0]
		if err := w.halves(ctx, asked, name, victim, other); err != nil {
			return err
		}
		flowing, dry := context.WithCancel(ctx)
		defer dry()
		flow := w.burst(flowing, asked, "/"+name)
		if err := pause(ctx, 3*time.Second); err != nil {
			return err
		}
		writes, err := w.writer(ctx)
		if err != nil {
			return err
		}
		w.say("the power of %s is cut, under 500 requests per second to %s for tasks half of which are there (the writer is there: %v)", victim, asked, writes.Node == victim)
		if err := w.Node(victim).Kill(); err != nil {
			return err
		}
		began := time.Now()
		if writes.Node == victim {
			w.succession(ctx, writes)
		}
		if err := pause(ctx, time.Minute-time.Since(began)); err != nil {
			return err
		}
		dry()
		reports, err := flow()
		requests, failed := 0, 0
		for _, kind := range slices.Sorted(maps.Keys(reports)) {
			r := reports[kind]
			requests, failed = requests+r.Requests, failed+r.Failed
			w.say("%s: %v %v", kind, r, r.Examples)
		}
		if failed > inMinute {
			w.fault("%d of %d requests failed in the minute of the cut, want %d at most", failed, requests, inMinute)
		}
		err = errors.Join(err, w.powerOn(ctx, victim))
		return errors.Join(err, w.ask(ctx, managers, func(ctx context.Context, s *stack.Stack) error { return s.Remove(ctx, name) }))
	}})
}

// halves waits until a service has a task on each of two nodes, and a proxy asks both.
func (w *world) halves(ctx context.Context, asked, name string, nodes ...string) error {
	_, err := poll(ctx, time.Minute, "the tasks of "+name, func(ctx context.Context) error {
		for _, node := range nodes {
			places, err := w.Places(ctx, name, node)
			if err == nil && len(places) != 1 {
				err = fmt.Errorf("%d on %s", len(places), node)
			}
			if err != nil {
				return err
			}
		}
		heard := map[string]bool{}
		for range 6 {
			who, err := w.Answer(ctx, asked, "/"+name)
			if err != nil {
				return err
			}
			heard[who] = true
		}
		if len(heard) != 2 {
			return fmt.Errorf("heard from %v", heard)
		}
		return nil
	})
	return err
}

// burst sends 500 requests per second to one proxy, half of them on kept connections.
func (w *world) burst(ctx context.Context, node, path string) func() (map[string]load.Report, error) {
	type result struct {
		kind   string
		report load.Report
		err    error
	}
	results := make(chan result, 2)
	for kind, keepAlive := range map[string]bool{"kept alive": true, "new connections": false} {
		go func() {
			r, err := load.Run(ctx, load.Config{
				URL: "http://" + w.Addr(node) + path, Rate: 250, Connections: 20, KeepAlive: keepAlive, Duration: partLimit, Timeout: 10 * time.Second,
			})
			results <- result{kind, r, err}
		}()
	}
	return func() (map[string]load.Report, error) {
		reports, errs := map[string]load.Report{}, []error{}
		for range 2 {
			r := <-results
			reports[r.kind], errs = r.report, append(errs, r.err)
		}
		return reports, errors.Join(errs...)
	}
}
