package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// changes are made to services all the time: the number in the path of one of them is
// raised every second, and every few seconds one is created and one removed.
type changes struct {
	w *world
	// managers are asked in turn; away is where no task may run.
	managers, away []string
	prefix         string

	number        uint64
	made, refused int
	// last is why the last change was refused.
	last error
	// fleeting are the services that were created and not yet removed, gone those
	// that were.
	fleeting, gone []string
	// idle are the services that the swarm itself does not run, see leftIdle.
	idle []string
}

// raised are the services whose number is raised.
func (c *changes) raised() []string { return []string{c.prefix + "a", c.prefix + "b"} }

// steady is the service to which requests flow.
func (c *changes) steady() string { return c.prefix + "steady" }

// path is where a service answers after so many changes.
func path(service string, number uint64) string { return fmt.Sprintf("/%s-%08d", service, number) }

// counted reads the number back from the labels.
func counted(labels map[string]string) (uint64, bool) {
	text := labels["com.df.servicePath"]
	if !strings.HasPrefix(text, "/chaos") {
		return 0, false
	}
	n, err := strconv.ParseUint(text[strings.LastIndexByte(text, '-')+1:], 10, 64)
	return n, err == nil
}

// begin makes the services and waits until these nodes' proxies answer for them.
func (c *changes) begin(ctx context.Context, nodes []string) error {
	for _, name := range append(c.raised(), c.steady()) {
		if err := c.create(ctx, name, 2); err != nil {
			return err
		}
	}
	_, err := poll(ctx, time.Minute, "the services of the part to be answered", func(ctx context.Context) error {
		for _, name := range append(c.raised(), c.steady()) {
			for _, node := range nodes {
				if err := c.w.answers(ctx, node, path(name, 0), true); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return err
}

func (c *changes) create(ctx context.Context, name string, replicas uint64) error {
	return c.w.ask(ctx, c.managers, func(ctx context.Context, s *stack.Stack) error {
		err := s.Create(ctx, stack.Demo{Name: name, Replicas: replicas, Unchecked: true, Away: c.away, Labels: stack.Labels(path(name, 0))})
		if err != nil && !strings.Contains(err.Error(), "already") {
			return err
		}
		names, err := s.Names(ctx)
		for id, n := range names {
			if n == name {
				c.w.record.Created(id, name)
			}
		}
		return err
	})
}

func (c *changes) remove(ctx context.Context, name string) error {
	return c.w.ask(ctx, c.managers, func(ctx context.Context, s *stack.Stack) error {
		names, err := s.Names(ctx)
		if err != nil {
			return err
		}
		for id, n := range names {
			if n != name {
				continue
			}
			c.w.record.Removing(id)
			err = errors.Join(err, s.Remove(ctx, id))
		}
		return err
	})
}

// run makes changes until the context ends; the one that is under way is finished.
func (c *changes) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		calls := context.WithoutCancel(ctx)
		c.number++
		name := c.raised()[n%len(c.raised())]
		c.note(c.w.ask(calls, c.managers, func(ctx context.Context, s *stack.Stack) error {
			return s.Relabel(ctx, name, stack.Labels(path(name, c.number)))
		}))
		if n%6 == 3 {
			c.pass(calls, fmt.Sprintf("%sfleeting%d", c.prefix, n))
		}
	}
}

// pass creates one service and removes the one before.
func (c *changes) pass(ctx context.Context, name string) {
	err := c.create(ctx, name, 1)
	c.note(err)
	if err != nil {
		return
	}
	c.fleeting = append(c.fleeting, name)
	if len(c.fleeting) < 2 {
		return
	}
	err = c.remove(ctx, c.fleeting[0])
	c.note(err)
	if err == nil {
		c.gone, c.fleeting = append(c.gone, c.fleeting[0]), c.fleeting[1:]
	}
}

func (c *changes) note(err error) {
	if err != nil {
		c.refused++
		c.last = err
		return
	}
	c.made++
}

// services are those of the swarm, as the first manager that answers says.
func (c *changes) services(ctx context.Context) ([]stack.Service, error) {
	return anyone(ctx, c.w, c.managers, func(ctx context.Context, s *stack.Stack) ([]stack.Service, error) { return s.Services(ctx) })
}

// inForce waits until the proxies of these nodes do what the swarm says.
func (c *changes) inForce(ctx context.Context, nodes []string) error {
	_, err := poll(ctx, time.Minute, "changes to be in force", func(ctx context.Context) error {
		// What takes effect late counts, too, also where the answer did not arrive.
		services, err := c.services(ctx)
		if err != nil {
			return err
		}
		want := c.routes(services)
		var wait sync.WaitGroup
		errs := make([]error, len(nodes))
		for i, node := range nodes {
			wait.Go(func() {
				for path, routed := range want {
					if errs[i] = c.w.answers(ctx, node, path, routed); errs[i] != nil {
						return
					}
				}
			})
		}
		wait.Wait()
		return errors.Join(errs...)
	})
	return err
}

// leftIdle finds the services of which the swarm runs no task although it should. Engine 20.10
// leaves tasks pending for ever that were made while no node was there, if nothing else changes.
func (c *changes) leftIdle(ctx context.Context) error {
	services, err := c.services(ctx)
	for _, s := range services {
		if strings.HasPrefix(s.Spec.Name, c.prefix) && s.ServiceStatus.RunningTasks == 0 && s.ServiceStatus.DesiredTasks > 0 {
			c.idle = append(c.idle, s.Spec.Name)
		}
	}
	return err
}

// routes says of each path whether it must be answered.
func (c *changes) routes(services []stack.Service) map[string]bool {
	want := map[string]bool{}
	for _, s := range services {
		if strings.HasPrefix(s.Spec.Name, c.prefix) && !slices.Contains(c.idle, s.Spec.Name) {
			want[s.Spec.Labels["com.df.servicePath"]] = true
		}
	}
	for _, name := range append(c.raised(), c.gone...) {
		if first := path(name, 0); !want[first] {
			want[first] = false
		}
	}
	return want
}

// answers is an error unless a node's proxy has a task behind a path, or has none.
func (w *world) answers(ctx context.Context, node, path string, want bool) error {
	// A task that Docker has lost on the way, and still names, costs an attempt to connect.
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	status, body, err := w.Get(ctx, node, path)
	switch {
	case err != nil:
		return err
	case want && !stack.Answered(status), !want && !stack.Gone(status):
		return fmt.Errorf("%s on %s: %d %s", path, node, status, body)
	}
	return nil
}

// end removes all services, which may take until the swarm has a leader.
func (c *changes) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	for _, name := range slices.Concat(c.raised(), c.fleeting, []string{c.steady()}) {
		_, err := poll(ctx, time.Minute, name+" to be removed", func(ctx context.Context) error { return c.remove(ctx, name) })
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
