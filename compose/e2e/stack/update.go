package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Force replaces all tasks of a service, as docker service update --force does, and
// returns when the new ones run and the old ones have ended. The docker command
// would go on to watch the new ones for a while.
func (s *Stack) Force(ctx context.Context, service string) error {
	return s.Replace(ctx, service, func(template object) {
		n, _ := template["ForceUpdate"].(float64) // absent means 0
		template["ForceUpdate"] = n + 1
	})
}

// Replace changes what the tasks of a service are made of, and returns when the new ones run
// and the old ones have ended.
func (s *Stack) Replace(ctx context.Context, service string, change func(template map[string]any)) error {
	old, err := s.Tasks(ctx, service)
	if err != nil {
		return err
	}
	if err := s.Update(ctx, service, func(spec object) { change(spec["TaskTemplate"].(object)) }); err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "new tasks of "+service, func(context.Context) error {
		now, err := s.Tasks(ctx, service)
		if err != nil {
			return err
		}
		for _, t := range now {
			if slices.ContainsFunc(old, func(o Task) bool { return o.ID == t.ID }) || t.Status.State != "running" {
				return fmt.Errorf("%s is %s", t.ID, t.Status.State)
			}
		}
		if len(now) != len(old) {
			return fmt.Errorf("%d tasks, %d before", len(now), len(old))
		}
		return s.settled(ctx, service, len(now))
	})
}

// Resize changes the number of replicas and returns when so many run and no others.
func (s *Stack) Resize(ctx context.Context, service string, replicas int) error {
	if err := s.Scale(ctx, service, uint64(replicas)); err != nil {
		return err
	}
	if _, err := s.Running(ctx, service, replicas); err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, service+" to settle", func(context.Context) error { return s.settled(ctx, service, replicas) })
}

func (s *Stack) settled(ctx context.Context, service string, replicas int) error {
	n, err := s.Containers(ctx, service)
	if err == nil && n != replicas {
		err = fmt.Errorf("%d containers, want %d", n, replicas)
	}
	return err
}

// Appear creates a service and returns how long after its task began to run, by its
// node's word, the manager's proxy answered from it.
func (s *Stack) Appear(ctx context.Context, d Demo) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.Create(ctx, d); err != nil {
		return 0, err
	}
	type answer struct {
		at  time.Time
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		at, err := s.Since(ctx, Manager, d.Labels["com.df.servicePath"], Answered)
		answered <- answer{at, err}
	}()
	running, err := s.Running(ctx, d.Name, 1)
	if err != nil {
		cancel()
		return 0, errors.Join(err, (<-answered).err)
	}
	a := <-answered
	return a.at.Sub(running), a.err
}

// Move gives a service another path and returns how long after the engine's answer
// the manager's proxy answered at the new one, and no longer at the old one.
func (s *Stack) Move(ctx context.Context, name, from, to string) (appeared, gone time.Duration, err error) {
	if err := s.Relabel(ctx, name, Labels(to)); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	at, err := s.Since(ctx, Manager, to, Answered)
	if err != nil {
		return 0, 0, err
	}
	left, err := s.Since(ctx, Manager, from, Gone)
	return at.Sub(began), left.Sub(began), err
}

// Vanish removes a service and returns how long after the engine's answer the
// manager's proxy no longer answered at its path.
func (s *Stack) Vanish(ctx context.Context, name, path string) (time.Duration, error) {
	if err := s.Remove(ctx, name); err != nil {
		return 0, err
	}
	began := time.Now()
	at, err := s.Since(ctx, Manager, path, Gone)
	return at.Sub(began), err
}
