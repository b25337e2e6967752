package attack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// world is a deployed Waggle with honest services, to which requests flow and whose labels
// change while others attack.
type world struct {
	*parts.Stage
	// short leaves out what needs proxies with other settings.
	short bool
	// turn makes the paths of the neighbour differ.
	turn int
	// listener is asked what becomes of services.
	listener *http.Client
	// usual is how long a change of the neighbour's path takes when nobody attacks.
	usual time.Duration
	// slow is within what 99 of 100 requests were answered that flowed last, by the slowest
	// of the ways in which they are sent.
	slow time.Duration
}

// The honest services. They are of one stack, which may have what is below its own name
// where hosts have owners.
const (
	own       = "attack"
	steady    = "attack_steady"
	neighbour = "attack_neighbour"
	onSteady  = "/attack/steady"
)

// of is labels of a service of a stack.
func of(name string, labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	out["com.docker.stack.namespace"] = name
	return out
}

// look creates the honest services and measures how long a change takes.
func look(ctx context.Context, s *parts.Stage) (*world, error) {
	w := &world{Stage: s}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	listener, err := w.Listener(ctx)
	if err != nil {
		return nil, err
	}
	w.listener = listener
	err = errors.Join(
		w.Create(ctx, stack.Demo{Name: steady, Replicas: 2, Unchecked: true, Labels: of(own, stack.Labels(onSteady))}),
		w.Create(ctx, stack.Demo{Name: neighbour, Replicas: 1, Unchecked: true, Labels: of(own, stack.Labels(w.there()))}),
	)
	if err == nil {
		err = w.answer(ctx, onSteady, w.there())
	}
	var took []time.Duration
	for range 5 {
		if err == nil {
			var one time.Duration
			one, err = w.move(ctx)
			took = append(took, one)
		}
	}
	if err != nil {
		return nil, errors.Join(err, w.Leave(context.WithoutCancel(ctx)))
	}
	w.usual = report.Median(took)
	w.Say("a change of labels is live %s after it when nobody attacks", milliseconds(w.usual))
	return w, nil
}

// Leave removes the honest services.
func (w *world) Leave(ctx context.Context) error {
	return errors.Join(w.Remove(ctx, steady), w.Remove(ctx, neighbour))
}

// Whole waits until Waggle runs and the honest services are answered.
func (w *world) Whole(ctx context.Context) error {
	if err := w.Ready(ctx); err != nil {
		return err
	}
	return w.answer(ctx, onSteady, w.there())
}

// answer waits until all proxies answer at paths.
func (w *world) answer(ctx context.Context, paths ...string) error {
	for _, path := range paths {
		for _, node := range w.Nodes() {
			if _, err := w.Since(ctx, node, path, stack.Answered); err != nil {
				return err
			}
		}
	}
	return nil
}

// there is where the neighbour is, or is meant to be.
func (w *world) there() string { return fmt.Sprintf("/attack/neighbour-%d", w.turn) }

// move gives the neighbour another path and returns how long after the call it was answered
// there.
func (w *world) move(ctx context.Context) (time.Duration, error) {
	w.turn++
	began := time.Now()
	if err := w.Relabel(ctx, neighbour, of(own, stack.Labels(w.there()))); err != nil {
		return 0, err
	}
	at, err := w.Since(ctx, stack.Manager, w.there(), stack.Answered)
	return at.Sub(began), err
}

// under plays an attack, and wants no request of others to fail and no HAProxy to be another
// process.
func (w *world) under(ctx context.Context, attack func(context.Context) error) error {
	before, err := w.masters(ctx)
	if err != nil {
		return err
	}
	if err := w.lossless(ctx, onSteady, attack); err != nil {
		return err
	}
	after, err := w.masters(ctx)
	if err == nil && !maps.Equal(before, after) {
		w.Fault("HAProxy was started anew: %v before, %v after", before, after)
	}
	return err
}

// masters are the process numbers of HAProxy on all nodes. Its workers change with reloads,
// the process above them never.
func (w *world) masters(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for _, node := range w.Nodes() {
		all, err := w.Processes(ctx, node, "waggle_proxy", "haproxy.cfg")
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			child := slices.ContainsFunc(all, func(o proc.Process) bool { return o.PID == p.Parent })
			if p.Name == "haproxy" && !child && !slices.Contains(p.Args, "-c") {
				out[node] = p.PID
			}
		}
		if out[node] == 0 {
			return nil, fmt.Errorf("%s has no HAProxy: %v", node, all)
		}
	}
	return out, nil
}

// lossless sends requests for a path to all nodes while f runs, and none may fail.
func (w *world) lossless(ctx context.Context, path string, f func(context.Context) error) error {
	flowing, dry := context.WithCancel(ctx)
	defer dry()
	flow := w.Flow(flowing, w.Nodes(), path)
	err := f(ctx)
	dry()
	reports, failed := flow()
	requests, lost, p99 := 0, 0, 0.0
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		r := reports[name]
		requests, lost, p99 = requests+r.Requests, lost+r.Failed, max(p99, r.P99)
		if r.Failed > 0 {
			w.Fault("%s, %s: %d of %d requests failed: %v %v %v", path, name, r.Failed, r.Requests, r.Kinds, r.Statuses, r.Examples)
		}
	}
	w.slow = time.Duration(p99 * float64(time.Millisecond))
	w.Say("requests for %s meanwhile: %d sent, %d failed, p99 %s", path, requests, lost, milliseconds(w.slow))
	if requests == 0 {
		w.Fault("no request for %s was sent, so nothing is shown", path)
	}
	return errors.Join(err, failed)
}

// with gives the proxies further variables, and DNS servers if there are any, and returns
// what takes them away again.
func (w *world) with(ctx context.Context, env, dns []string) (restore func(context.Context) error, err error) {
	var wasEnv, wasDNS any
	changed := false
	set := func(ctx context.Context, change func(container map[string]any)) error {
		err := w.Replace(ctx, "waggle_proxy", func(template map[string]any) { change(template["ContainerSpec"].(map[string]any)) })
		if err != nil {
			return err
		}
		return w.answer(ctx, onSteady)
	}
	err = set(ctx, func(container map[string]any) {
		wasEnv, wasDNS, changed = container["Env"], container["DNSConfig"], true
		all, _ := wasEnv.([]any) // absent means none
		for _, e := range env {
			all = append(all, e)
		}
		container["Env"] = all
		if len(dns) > 0 {
			container["DNSConfig"] = map[string]any{"Nameservers": dns}
		}
	})
	return func(ctx context.Context) error {
		if !changed {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		return set(ctx, func(container map[string]any) { container["Env"], container["DNSConfig"] = wasEnv, wasDNS })
	}, err
}

// from asks a node's proxy for a path of a host, and returns the status and what is
// answered.
func (w *world) from(ctx context.Context, node, host, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	res, body, err := w.Ask(ctx, node, path, http.Header{"Host": {host}}) //nolint:bodyclose // Ask has closed it.
	if err != nil {
		return 0, "", err
	}
	return res.StatusCode, strings.TrimSpace(body), nil
}

func milliseconds(d time.Duration) string { return report.Milliseconds(d) + " ms" }

// poll waits for a condition, at most so long.
func poll(ctx context.Context, limit time.Duration, what string, condition func(context.Context) error) error {
	return tooltest.PollFor(ctx, limit, tooltest.Slowly, what, condition)
}
