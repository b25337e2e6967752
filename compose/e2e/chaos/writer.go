package chaos

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
)

// container is how Swarm calls the host of a task.
var container = regexp.MustCompile(`[0-9a-f]{12}`)

// leaseKey names the lease of those who write the catalog.
const leaseKey = "listener"

// holder returns who has the lease: a container, or whatever stands there. All servers are asked
// at once: a client whose server cannot be reached connects, and waits for that first.
func (w *world) holder(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	type answer struct {
		value []byte
		err   error
	}
	answers := make(chan answer, len(w.buses))
	for _, b := range w.buses {
		go func() {
			value, _, err := b.Bucket(bus.LeaseBucket).Get(ctx, leaseKey)
			answers <- answer{value, err}
		}()
	}
	var errs []error
	for range w.buses {
		select {
		case <-ctx.Done():
			return "", errors.Join(append(errs, ctx.Err())...)
		case a := <-answers:
			if a.err != nil {
				errs = append(errs, a.err)
				continue
			}
			if name := container.Find(a.value); name != nil {
				return string(name), nil
			}
			return string(a.value), nil
		}
	}
	return "", errors.Join(errs...)
}

// writer returns the listener that writes. Where nobody has the lease, it is a fault, and any
// listener serves for what is to be done to the writer.
func (w *world) writer(ctx context.Context) (stack.Place, error) {
	var places []stack.Place
	if _, err := poll(ctx, 20*time.Second, "a listener", func(ctx context.Context) (err error) {
		places, err = w.Places(ctx, "waggle_listener", w.Nodes()...)
		if err == nil && len(places) == 0 {
			err = errors.New("there is none")
		}
		return err
	}); err != nil {
		return stack.Place{}, err
	}
	var found stack.Place
	_, err := poll(ctx, 5*time.Second, "somebody to have the lease", func(ctx context.Context) error {
		name, err := w.holder(ctx)
		if err != nil {
			return err
		}
		for _, p := range places {
			if strings.HasPrefix(p.Container, name) {
				found = p
				return nil
			}
		}
		return fmt.Errorf("%q has it, which is none of the listeners", name)
	})
	if err != nil {
		w.Fault("nobody is known to write: %v", err)
		return places[0], nil
	}
	return found, nil
}

// takeover is how long a dead writer may keep others from writing.
const takeover = 5 * time.Second

// succession notes how long after now another listener has the lease. Nobody takes it while its
// bucket has no leader, or the swarm has none, so that no list can be had: the death of a node
// may end either, and an election of Swarm takes up to half a minute. Only managers of other
// listeners are asked: one that is cut off believes that it leads, and it is of no use to a listener
// what another manager knows.
func (w *world) succession(ctx context.Context, was stack.Place) {
	began := time.Now()
	led := began
	managers := w.heirs(ctx, was)
	all, err := poll(ctx, 90*time.Second, "another listener to take over", func(ctx context.Context) error {
		name, err := w.holder(ctx)
		if err == nil && strings.HasPrefix(was.Container, name) {
			err = errors.New(name + " still has the lease")
		}
		if err == nil {
			return nil
		}
		if leaderless := w.leaseLed(ctx, managers); leaderless != nil {
			led, err = time.Now(), errors.Join(err, leaderless)
		}
		return err
	})
	if err != nil {
		w.Fault("%v", err)
		return
	}
	leaderless := led.Sub(began)
	w.Say("another listener took over %s after it, %s of which swarm or bucket of leases had no leader", seconds(all), seconds(leaderless))
	if took := all - leaderless; took > takeover {
		w.Fault("another listener took over after %s with leaders, want %s", seconds(took), seconds(takeover))
	}
}

// heirs are the managers on which other listeners run; all, if none is known.
func (w *world) heirs(ctx context.Context, was stack.Place) []string {
	places, err := w.Places(ctx, "waggle_listener", w.Managers()...)
	var out []string
	for _, p := range places {
		if p.Node != was.Node {
			out = append(out, p.Node)
		}
	}
	if err != nil || len(out) == 0 {
		return w.Managers()
	}
	return out
}

// leaseLed is an error while the swarm, by these managers, or the bucket of leases has no leader.
func (w *world) leaseLed(ctx context.Context, managers []string) error {
	if w.clustered() {
		if err := w.BucketLed(ctx, bus.LeaseBucket); err != nil {
			return err
		}
	}
	_, err := w.leaderBy(ctx, managers)
	return err
}
