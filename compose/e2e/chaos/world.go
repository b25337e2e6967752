package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/recorder"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// world is a deployed Waggle, with readers of its bus that miss nothing.
type world struct {
	*parts.Stage
	buses  []*bus.Bus
	record *recorder.Recorder
	// short makes do with less time where only the patience of who looks is tested.
	short bool
	// turn makes names different from one trouble to the next.
	turn int
	// down are the nodes that Swarm was heard to call down in the present trouble.
	down []string
	// via is the stack, asked by way of each manager on connections that are kept.
	via  map[string]*stack.Stack
	stop context.CancelFunc
	done sync.WaitGroup
}

// look begins to read the bus of a deployed Waggle.
func look(ctx context.Context, s *parts.Stage) (*world, error) {
	w := &world{Stage: s, record: recorder.New(counted), via: map[string]*stack.Stack{}}
	for _, manager := range s.Managers() {
		w.via[manager] = s.Via(manager)
	}
	var running context.Context
	running, w.stop = context.WithCancel(ctx)
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := w.watch(running, starting); err != nil {
		return nil, errors.Join(err, w.Leave(ctx))
	}
	return w, nil
}

// tails is how many readers each server has. What a reader is told comes by way of a server that
// NATS chooses, so that one reader at each server would often be deaf all together when one goes.
const tails = 3

// watch lets readers of each server tell the recorder what is written, and tells it
// which services are there.
func (w *world) watch(running, starting context.Context) error {
	services, err := w.Services(starting)
	if err != nil {
		return err
	}
	for _, s := range services {
		w.record.Created(s.ID, s.Spec.Name)
	}
	if w.buses, err = w.Buses(running); err != nil {
		return err
	}
	for _, b := range slices.Repeat(w.buses, tails) {
		w.done.Go(func() {
			_ = b.Tail(running, bus.CatalogBucket, func(m bus.TailMessage) { w.record.Take(message(m)) }) // It ends with its context.
		})
	}
	return nil
}

func message(m bus.TailMessage) recorder.Message {
	var version uint64
	if texts := m.Header["Waggle-Swarm-Version"]; len(texts) > 0 {
		version, _ = strconv.ParseUint(texts[0], 10, 64) // A version that is none counts as absent.
	}
	return recorder.Message{Store: m.Store, Sequence: m.Sequence, Key: m.Key, Value: m.Value, Deleted: m.Deleted, Version: version, Time: m.Time}
}

// Leave ends the reading.
func (w *world) Leave(context.Context) error {
	w.stop()
	w.done.Wait()
	for _, b := range w.buses {
		b.Close()
	}
	return nil
}

// callLimit is how long a call of Docker may take: they hang while a swarm has no leader.
const callLimit = 4 * time.Second

// ask lets one manager after the other do something, until one has done it.
func (w *world) ask(ctx context.Context, managers []string, do func(context.Context, *stack.Stack) error) error {
	var errs []error
	for _, manager := range managers {
		limited, cancel := context.WithTimeout(ctx, callLimit)
		err := do(limited, w.Via(manager))
		cancel()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", manager, err))
	}
	return errors.Join(errs...)
}

// without returns the nodes that are not among others.
func without(nodes, others []string) []string {
	return slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return slices.Contains(others, n) })
}

// poll waits for a condition, at most so long, and returns how long it took.
func poll(ctx context.Context, limit time.Duration, what string, condition func(context.Context) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	err := tooltest.Poll(ctx, tooltest.Slowly, what, func(context.Context) error { return condition(ctx) })
	return time.Since(began), err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
