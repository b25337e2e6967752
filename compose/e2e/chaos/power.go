package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// times is how often the power of a node is cut.
const times = 3

// What may become of requests for tasks half of which lose their power.
const (
	// lostInMinute is how many GETs may fail in the minute of the cut.
	lostInMinute = 3
	// lateAfterDNS is how long after DNS knows that the tasks are gone a POST may hang.
	lateAfterDNS = time.Second
)

func (w *world) powerOfWorker(ctx context.Context) error {
	for range times {
		if err := w.powerOf(ctx, "w2", "w1"); err != nil {
			return err
		}
	}
	return nil
}

// powerOfManager cuts the power of the writer's manager, of the leader of the swarm and of
// one more, in turn.
func (w *world) powerOfManager(ctx context.Context) error {
	for n := range times {
		place, err := w.writer(ctx)
		victim := place.Node
		switch {
		case err != nil:
		case n == 1:
			victim, err = w.swarmLeader(ctx)
		case n == 2:
			victim = w.Managers()[len(w.Managers())-1]
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
	return w.under(ctx, trouble{struck: []string{victim}, happens: func(ctx context.Context) error {
		managers := without(w.Managers(), []string{victim})
		seen, err := load.Listen(ctx, w.Here())
		if err != nil {
			return err
		}
		defer seen.Close()
		h := halves{w: w, name: fmt.Sprintf("halves%d", w.turn), via: w.Via(managers[0]), asked: managers[0], seen: seen}
		err = w.ask(ctx, managers, func(ctx context.Context, s *stack.Stack) error {
			return s.Create(ctx, stack.Demo{
				Name: h.name, Replicas: 2, PerNode: 1, Unchecked: true, Labels: stack.Labels("/" + h.name), Away: without(w.Nodes(), []string{victim, other}),
				Args: []string{"-concurrency", "100", "-service-time", "1ms", "-report", seen.Addr()},
			})
		})
		if err == nil {
			err = h.known(ctx, 2)
		}
		if err == nil {
			err = h.minute(ctx, victim)
		}
		if w.Node(victim).Off() {
			err = errors.Join(err, w.powerOn(ctx, victim))
		}
		return errors.Join(err, w.ask(ctx, managers, func(ctx context.Context, s *stack.Stack) error { return s.Remove(ctx, h.name) }))
	}})
}

// halves is a service with a task on each of two nodes.
type halves struct {
	w    *world
	name string
	// asked is the node whose proxy gets the requests, via its engine.
	asked string
	via   *stack.Stack
	seen  *load.Arrivals
}

// known waits until so many tasks are in DNS, and the proxy answers.
func (h *halves) known(ctx context.Context, want int) error {
	_, err := poll(ctx, time.Minute, "the tasks of "+h.name, func(ctx context.Context) error {
		addresses, err := h.via.InDNS(ctx, h.name)
		if err == nil && len(addresses) != want {
			err = fmt.Errorf("%d are in DNS", len(addresses))
		}
		if err != nil {
			return err
		}
		return h.w.answers(ctx, h.asked, "/"+h.name, true)
	})
	return err
}

// flow is one of the kinds of requests that are sent beside each other.
type flow struct {
	method    string
	keepAlive bool
	perSecond float64
	report    load.Report
	err       error
}

// minute sends 500 GETs and 50 POSTs per second while the power is cut and for a minute more.
func (h *halves) minute(ctx context.Context, victim string) error {
	flows := []*flow{
		{method: http.MethodGet, keepAlive: true, perSecond: 250}, {method: http.MethodGet, perSecond: 250},
		{method: http.MethodPost, keepAlive: true, perSecond: 25}, {method: http.MethodPost, perSecond: 25},
	}
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var wait sync.WaitGroup
	for _, f := range flows {
		wait.Go(func() {
			f.report, f.err = load.Run(sending, load.Config{
				URL: "http://" + h.w.Addr(h.asked) + "/" + h.name, Method: f.method, Rate: f.perSecond, Connections: 20, KeepAlive: f.keepAlive,
				Duration: parts.Limit, Timeout: 10 * time.Second,
			})
		})
	}
	knew, err := h.cut(ctx, victim)
	stop()
	wait.Wait()
	for _, f := range flows {
		err = errors.Join(err, f.err)
	}
	if err != nil {
		return err
	}
	h.judge(flows, knew)
	return nil
}

// cut cuts the power, waits a minute and returns when DNS knew of it.
func (h *halves) cut(ctx context.Context, victim string) (time.Time, error) {
	if err := tooltest.Pause(ctx, 3*time.Second); err != nil {
		return time.Time{}, err
	}
	writes, err := h.w.writer(ctx)
	if err != nil {
		return time.Time{}, err
	}
	h.w.Say("the power of %s, which has half of the tasks, is cut (the writer is there: %v)", victim, writes.Node == victim)
	began := time.Now()
	if err := h.w.Node(victim).Kill(); err != nil {
		return time.Time{}, err
	}
	if writes.Node == victim {
		h.w.succession(ctx, writes)
	}
	if _, err := poll(ctx, 30*time.Second, "DNS to know", func(ctx context.Context) error {
		addresses, err := h.via.InDNS(ctx, h.name)
		if err == nil && len(addresses) > 1 {
			err = fmt.Errorf("it has %v", addresses)
		}
		return err
	}); err != nil {
		return time.Time{}, err
	}
	knew := time.Now()
	h.w.Say("DNS knew %s after it", seconds(knew.Sub(began)))
	return knew, tooltest.Pause(ctx, time.Minute-time.Since(began))
}

// judge says what became of the requests.
func (h *halves) judge(flows []*flow, knew time.Time) {
	lost := 0
	for _, f := range flows {
		kept := "one connection each"
		if f.keepAlive {
			kept = "kept alive"
		}
		h.w.Say("%s, %s: %v %v", f.method, kept, f.report, f.report.Examples)
		if f.method == http.MethodGet {
			lost += f.report.Failed
			continue
		}
		for _, failure := range f.report.Failures {
			if late := failure.Began.Add(failure.Took).Sub(knew); late > lateAfterDNS {
				h.w.Fault("a POST (%s) that failed ended %s after DNS knew, want %s", kept, seconds(late), seconds(lateAfterDNS))
			}
		}
	}
	if lost > lostInMinute {
		h.w.Fault("%d GETs failed in the minute of the cut, want %d at most", lost, lostInMinute)
	}
	arrived, twice := h.seen.Count()
	h.w.Say("POSTs: %d arrived, %d of them twice", arrived, twice)
	if twice > 0 || arrived == 0 {
		h.w.Fault("of %d POSTs %d arrived twice", arrived, twice)
	}
}
