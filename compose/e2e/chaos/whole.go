package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// What a part may expect when it begins.
const (
	// wholeLimit is how long what an earlier part has broken may take to mend.
	wholeLimit = 3 * time.Minute
	// wholeFor is how long all must have stayed as it is: a manager that comes back makes
	// the others vote once more, and a new leader lets each node register anew.
	wholeFor = 10 * time.Second
)

// Whole waits until nothing is left of the parts before: Swarm has one leader and all nodes,
// every task of Waggle runs, NATS is well, every proxy answers, and all of it has stayed so.
func (w *world) Whole(ctx context.Context) error {
	var was string
	var since time.Time
	took, err := poll(ctx, wholeLimit, "the swarm to be whole", func(ctx context.Context) error {
		is, err := w.state(ctx)
		if err != nil {
			was = ""
			return err
		}
		if is != was {
			was, since = is, time.Now()
		}
		if stayed := time.Since(since); stayed < wholeFor {
			return fmt.Errorf("it has been for %s", seconds(stayed))
		}
		return nil
	})
	if err == nil && took > 2*wholeFor {
		w.Say("the swarm was whole after %s", seconds(took))
	}
	return err
}

// state returns what must stay as it is, or what is not as it should be.
func (w *world) state(ctx context.Context) (string, error) {
	out, err := anyone(ctx, w, w.Managers(), func(ctx context.Context, s *stack.Stack) ([]string, error) {
		nodes, err := s.NodeList(ctx)
		if err == nil {
			err = w.complete(nodes)
		}
		if err != nil {
			return nil, err
		}
		names, err := s.Names(ctx)
		if err != nil {
			return nil, err
		}
		tasks, err := s.Tasks(ctx)
		if err != nil {
			return nil, err
		}
		var out []string
		for _, n := range nodes {
			out = append(out, fmt.Sprintf("%s %v", n.ID, n.ManagerStatus.Leader))
		}
		proxies := 0
		for _, t := range tasks {
			name := names[t.ServiceID]
			if !strings.HasPrefix(name, "waggle_") {
				continue
			}
			if t.Status.State != "running" {
				return nil, fmt.Errorf("a task of %s is %s", name, t.Status.State)
			}
			if name == "waggle_proxy" {
				proxies++
			}
			out = append(out, t.ID)
		}
		if proxies != len(w.Nodes()) {
			return nil, fmt.Errorf("%d proxies run on %d nodes", proxies, len(w.Nodes()))
		}
		slices.Sort(out)
		return out, nil
	})
	if err != nil {
		return "", err
	}
	for _, node := range w.Nodes() {
		limited, cancel := context.WithTimeout(ctx, time.Second)
		_, _, err := w.Get(limited, node, "/")
		if err == nil && w.clustered() && slices.Contains(w.Managers(), node) {
			err = w.NATSHealthy(limited, node)
		}
		cancel()
		if err != nil {
			return "", fmt.Errorf("%s: %w", node, err)
		}
	}
	return strings.Join(out, "\n"), nil
}

// ready is an error unless the swarm has all nodes.
func (w *world) ready(ctx context.Context) error {
	nodes, err := anyone(ctx, w, w.Managers(), func(ctx context.Context, s *stack.Stack) ([]stack.Node, error) { return s.NodeList(ctx) })
	if err != nil {
		return err
	}
	w.noteDown(nodes)
	return w.complete(nodes)
}

// complete is an error if a node is missing.
func (w *world) complete(nodes []stack.Node) error {
	if len(nodes) != len(w.Nodes()) {
		return fmt.Errorf("%d nodes", len(nodes))
	}
	for _, n := range nodes {
		if n.Status.State != "ready" || n.ManagerStatus.Reachability == "unreachable" {
			return fmt.Errorf("%s is %s %s", n.Description.Hostname, n.Status.State, n.ManagerStatus.Reachability)
		}
	}
	return nil
}

// noteDown notes which nodes Swarm calls down.
func (w *world) noteDown(nodes []stack.Node) {
	for _, n := range nodes {
		if n.Status.State == "down" && !slices.Contains(w.down, n.Description.Hostname) {
			w.down = append(w.down, n.Description.Hostname)
		}
	}
}

// clustered says that there are several NATS servers.
func (w *world) clustered() bool { return len(w.buses) > 1 }

// anyone asks managers all at once, since each may hang for as long as it is asked; the
// first answer counts.
func anyone[T any](ctx context.Context, w *world, managers []string, do func(context.Context, *stack.Stack) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var (
		mu    sync.Mutex // the managers answer at the same time
		first T
		found bool
		errs  []error
		wait  sync.WaitGroup
	)
	for _, manager := range managers {
		wait.Go(func() {
			answer, err := do(ctx, w.via[manager])
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				errs = append(errs, fmt.Errorf("%s: %w", manager, err))
			case !found:
				first, found = answer, true
				cancel()
			}
		})
	}
	wait.Wait()
	if found {
		return first, nil
	}
	return first, errors.Join(errs...)
}

// led returns the swarm's nodes, and an error unless these managers know a leader of the
// swarm, and the NATS servers one of the bucket.
func (w *world) led(ctx context.Context, managers []string) ([]stack.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var bucket error
	var wait sync.WaitGroup
	if w.clustered() {
		wait.Go(func() { bucket = w.BucketLed(ctx, bus.CatalogBucket) })
	}
	nodes, swarm := anyone(ctx, w, managers, func(ctx context.Context, s *stack.Stack) ([]stack.Node, error) { return s.NodeList(ctx) })
	wait.Wait()
	return nodes, errors.Join(swarm, bucket)
}

// ledEvery is how often it is asked whether there are leaders.
const ledEvery = 200 * time.Millisecond

// leadership asks these managers for the swarm's nodes, which none of them knows without a
// leader, and the NATS servers who leads the bucket, until the context ends. A manager or a
// server that comes back makes the others vote once more. What is returned waits for the end
// and tells when one of the two last had no leader and got one again; zero if both always
// had one.
func (w *world) leadership(ctx context.Context, managers []string) func() time.Time {
	var again time.Time
	var wait sync.WaitGroup
	wait.Go(func() {
		without := false
		for ctx.Err() == nil {
			nodes, err := w.led(ctx, managers)
			w.noteDown(nodes)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				without = true
			case without:
				without, again = false, time.Now()
			}
			if tooltest.Pause(ctx, ledEvery) != nil {
				break
			}
		}
		if without {
			again = time.Now() // and not yet
		}
	})
	return func() time.Time {
		wait.Wait()
		return again
	}
}
