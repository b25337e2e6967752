package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	return w.cut(ctx, place.Node, nil)
}

// cutSwarmLeader cuts the link of the manager that leads the swarm, so that the others have to
// choose another one while it believes for some seconds that it still does.
func (w *world) cutSwarmLeader(ctx context.Context) error {
	leader, err := w.swarmLeader(ctx)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(w.Managers()), func(manager string) bool { return manager == leader })
	return w.cut(ctx, leader, func(ctx context.Context) error {
		next := ""
		took, err := poll(ctx, 25*time.Second, "another leader of the swarm", func(ctx context.Context) error {
			now, err := w.leaderBy(ctx, others)
			if err == nil && now == leader {
				err = errors.New("it is still " + now)
			}
			next = now
			return err
		})
		if err == nil {
			w.Say("%s leads the swarm %s later", next, seconds(took))
		}
		return err
	})
}

// cut cuts the link of a manager for 30 s. If the writer is on it, another one takes over; meanwhile is
// what is waited for as well, if that is not nil.
func (w *world) cut(ctx context.Context, node string, meanwhile func(context.Context) error) error {
	return w.under(ctx, trouble{struck: []string{node}, happens: func(ctx context.Context) error {
		now, err := w.writer(ctx)
		if err != nil {
			return err
		}
		w.Say("the link of %s is cut (the writer is on %s)", node, now.Node)
		if err := w.Node(node).Cut(); err != nil {
			return err
		}
		began := time.Now()
		if now.Node == node {
			w.succession(ctx, now)
		}
		if meanwhile != nil {
			err = meanwhile(ctx)
		}
		err = errors.Join(err, tooltest.Pause(ctx, 30*time.Second-time.Since(began)), w.Node(node).Mend())
		w.Say("it is back after %s", seconds(time.Since(began)))
		return err
	}})
}

// swarmLeader returns the manager that leads the swarm.
func (w *world) swarmLeader(ctx context.Context) (string, error) {
	return w.leaderBy(ctx, w.Managers())
}

// leaderBy is swarmLeader as some of the managers say.
func (w *world) leaderBy(ctx context.Context, managers []string) (string, error) {
	return anyone(ctx, w, managers, func(ctx context.Context, s *stack.Stack) (string, error) {
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
