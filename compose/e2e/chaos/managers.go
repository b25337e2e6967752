package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// cutManager cuts the link of the manager on which the writer is: it still has a
// Docker that answers with the past, and may have a NATS server beside it.
func (w *world) cutManager(ctx context.Context) error {
	place, err := w.writer(ctx)
	if err != nil {
		return err
	}
	return w.under(ctx, trouble{struck: []string{place.Node}, happens: func(ctx context.Context) error {
		now, err := w.writer(ctx)
		if err != nil {
			return err
		}
		w.Say("the link of %s is cut (the writer is on it: %v)", place.Node, now == place)
		if err := w.Node(place.Node).Cut(); err != nil {
			return err
		}
		began := time.Now()
		w.succession(ctx, place)
		err = tooltest.Pause(ctx, 30*time.Second-time.Since(began))
		err = errors.Join(err, w.Node(place.Node).Mend())
		w.Say("it is back after %s", seconds(time.Since(began)))
		return err
	}})
}

// swarmLeader returns the manager that leads the swarm.
func (w *world) swarmLeader(ctx context.Context) (string, error) {
	return anyone(ctx, w, w.Managers(), func(ctx context.Context, s *stack.Stack) (string, error) {
		nodes, err := s.NodeList(ctx)
		for _, n := range nodes {
			if n.ManagerStatus.Leader {
				return n.Description.Hostname, nil
			}
		}
		return "", errors.Join(errors.New("the swarm has no leader"), err)
	})
}

// elected waits until one of the managers leads the swarm.
func (w *world) elected(ctx context.Context) (time.Duration, error) {
	return poll(ctx, 2*time.Minute, "a leader of the swarm", func(ctx context.Context) error {
		_, err := w.swarmLeader(ctx)
		return err
	})
}

// changeSwarmLeader stops the engine that leads the swarm. Its containers go on.
func (w *world) changeSwarmLeader(ctx context.Context) error {
	leader, err := w.swarmLeader(ctx)
	if err != nil {
		return err
	}
	return w.under(ctx, trouble{mute: []string{leader}, happens: func(ctx context.Context) error {
		w.Say("the engine of %s, which leads the swarm, stops", leader)
		err := w.frozen(ctx, 25*time.Second, leader)
		if err != nil {
			return err
		}
		now, err := w.swarmLeader(ctx)
		if err == nil {
			w.Say("now %s leads", now)
		}
		return err
	}})
}

// frozen stops engines for a while.
func (w *world) frozen(ctx context.Context, d time.Duration, nodes ...string) (err error) {
	for _, node := range nodes {
		err = errors.Join(err, w.Node(node).Freeze())
	}
	if err == nil {
		err = tooltest.Pause(ctx, d)
	}
	for _, node := range nodes {
		err = errors.Join(err, w.Node(node).Thaw())
	}
	return err
}

// loseQuorum stops the engines of two of three managers. The third answers with the past for
// some seconds, and NATS has its quorum all the time.
func (w *world) loseQuorum(ctx context.Context) error {
	mute := w.Managers()[1:]
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		w.Say("the engines of %v stop", mute)
		if err := w.frozen(ctx, 40*time.Second, mute...); err != nil {
			return err
		}
		took, err := w.elected(ctx)
		w.Say("the swarm has a leader %s after they went on", seconds(took))
		return err
	}})
}

// blackout takes the quorum of the swarm and that of NATS away, and both back.
func (w *world) blackout(ctx context.Context) error {
	struck := w.Managers()[1:]
	return w.under(ctx, trouble{struck: struck, happens: func(ctx context.Context) error {
		w.Say("the power of %v is cut", struck)
		for _, node := range struck {
			if err := w.Node(node).Kill(); err != nil {
				return err
			}
		}
		err := tooltest.Pause(ctx, 25*time.Second)
		return errors.Join(err, w.powerOn(ctx, struck...))
	}})
}

// powerOn starts nodes and waits until the swarm has a leader, and NATS its servers.
func (w *world) powerOn(ctx context.Context, nodes ...string) error {
	began := time.Now()
	for _, node := range nodes {
		if err := w.Node(node).Start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", node, err)
		}
	}
	if _, err := w.elected(ctx); err != nil {
		return err
	}
	w.Say("power again; the swarm has a leader %s after it", seconds(time.Since(began)))
	for _, node := range nodes {
		if !strings.HasPrefix(node, "m") {
			continue
		}
		if _, err := poll(ctx, time.Minute, "NATS on "+node, func(ctx context.Context) error { return w.NATSHealthy(ctx, node) }); err != nil {
			return err
		}
	}
	return nil
}
