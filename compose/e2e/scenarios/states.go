package scenarios

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// lag is how long what the listener tells may differ from what Swarm says: it looks every ten
// seconds, and sooner after events.
const lag = 15 * time.Second

// disagreement is a number that two tell differently.
type disagreement struct{ told, is int }

// comparison is of the running tasks that the listener's metrics tell with those that the swarm
// lists, as docker service ps does, without those of nodes that are down.
type comparison struct {
	since  map[string]time.Time
	worst  time.Duration
	what   string
	looks  int
	missed int
}

// note takes what was read at one time.
func (c *comparison) note(now time.Time, told, is map[string]int) {
	c.looks++
	names := maps.Clone(told)
	maps.Copy(names, is)
	for name := range names {
		d := disagreement{told[name], is[name]}
		if d.told == d.is {
			delete(c.since, name)
			continue
		}
		if _, ok := c.since[name]; !ok {
			c.since[name] = now
		}
		if took := now.Sub(c.since[name]); took > c.worst {
			c.worst, c.what = took, fmt.Sprintf("%s: %d are told to run, %d do", name, d.told, d.is)
		}
	}
	maps.DeleteFunc(c.since, func(name string, _ time.Time) bool { _, ok := names[name]; return !ok })
}

// miss takes that one of both could not be read: nothing is known of what follows.
func (c *comparison) miss() {
	c.missed++
	clear(c.since)
}

// compare compares all the time until what it returns is called, which says what came of it.
func (w *world) compare(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	c := &comparison{since: map[string]time.Time{}}
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		for ctx.Err() == nil {
			told, is, err := w.states(ctx)
			if err == nil {
				c.note(time.Now(), told, is)
			} else if ctx.Err() == nil {
				c.miss()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return func() {
		stop()
		wait.Wait()
		w.Say("the numbers of running tasks were compared with docker service ps %d times, %d times one of them could not be had; they differed for %.0f s at most. %s", c.looks, c.missed, c.worst.Seconds(), c.what)
		if c.worst > lag {
			w.Fault("%s for %.0f s, want at most %v", c.what, c.worst.Seconds(), lag)
		}
		if c.looks == 0 {
			w.Fault("the state of the swarm was never compared")
		}
	}
}

// states are the running tasks of each service, as told and as they are.
func (w *world) states(ctx context.Context) (told, is map[string]int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if told, err = w.told(ctx); err != nil {
		return nil, nil, err
	}
	for _, m := range w.Managers() {
		if is, err = running(ctx, w.Via(m)); err == nil {
			return told, is, nil
		}
	}
	return nil, nil, err
}

// told is what the listener tells.
func (w *world) told(ctx context.Context) (map[string]int, error) {
	var failed error
	for _, m := range w.Managers() {
		text, err := w.metrics(ctx, m)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			return nil, err
		}
		out := map[string]int{}
		for _, metric := range families["swarm_service_tasks"].GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["state"] == "running" {
				out[labels["service"]] = int(metric.GetGauge().GetValue() + metric.GetUntyped().GetValue())
			}
		}
		if len(out) == 0 {
			return nil, errors.New("the listener tells of no service yet")
		}
		return out, nil
	}
	return nil, failed
}

// metrics are those of the listener, if it is on this node and its engine answers.
func (w *world) metrics(ctx context.Context, node string) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err = w.Inside(ctx, node, "waggle_listener", 8080, "/metrics", &text)
	return text, err
}

// running counts the tasks that Swarm says to run, on nodes that are not down.
func running(ctx context.Context, s *stack.Stack) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	nodes, err := s.NodeList(ctx)
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
	out := map[string]int{}
	for _, t := range tasks {
		down := slices.ContainsFunc(nodes, func(n stack.Node) bool { return n.ID == t.NodeID && n.Status.State == "down" })
		if t.Status.State == "running" && !down {
			out[names[t.ServiceID]]++
		}
	}
	return out, nil
}
