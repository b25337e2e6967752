package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// scaling are the scenarios of services that adapt themselves.
func scaling() []part {
	return []part{
		{Name: "T-14", What: "an idle service has a replica less", Play: (*world).idle},
		{Name: "T-15", What: "it is idle, and at its minimum", Play: (*world).atLeast},
		{Name: "T-16", What: "a service is slow under load", Play: (*world).slow},
		{Name: "T-17", What: "it is scaled down for fast answers, unless there are slow ones", Play: (*world).compound},
		{Name: "T-19", What: "a service is scaled by hand", Play: (*world).byCurl},
		{Name: "T-20", What: "the nodes are short of memory, and then have too much", Play: (*world).nodesShort},
		{Name: "T-22", What: "a node joins, and takes over tasks", Play: (*world).joins},
		{Name: "T-23", What: "tasks find no node", Play: (*world).unplaced},
		{Name: "T-25", What: "a service is scaled to nothing by an alert, and back", Play: (*world).toNothing},
		{Name: "sleep", What: "requests wake services that sleep", Play: (*world).sleep},
		{Name: "stages", What: "from a threshold that is crossed to a replica that serves", Play: (*world).stages},
	}
}

// demo creates a service that serves two requests at a time in 20 ms each, tells how long its
// answers take, and may have 2 to 7 replicas.
func (w *world) demo(ctx context.Context, name string, replicas uint64, labels ...string) error {
	return w.create(ctx, stack.Demo{
		Name: name, Replicas: replicas, Unchecked: true, Args: []string{"-concurrency", "2", "-service-time", "20ms"},
		Labels: stack.Labels("/"+name, append([]string{
			"scrapePort", "8080", "scaleMin", "2", "scaleMax", "7", "scaleUpBy", "2", "scaleDownBy", "1", "scaleCooldownUp", "1s", "scaleCooldownDown", "1s",
		}, labels...)...),
	}, "/"+name)
}

// The alerts of the tutorials, with a range of seconds.
const (
	respAbove = "@resp_time_above:0.1,15s,0.99"
	respBelow = "@resp_time_below:0.025,15s,0.75"
)

// number is how many replicas a service is to have.
func (w *world) number(ctx context.Context, service string) (int, error) {
	text, err := w.Docker(ctx, "service", "inspect", "-f", "{{.Spec.Mode.Replicated.Replicas}}", service)
	if err != nil {
		return 0, err
	}
	n := 0
	_, err = fmt.Sscan(text, &n)
	return n, err
}

// replicas is a condition: a service is to have so many, and so many run.
func (w *world) replicas(service string, want int) func(context.Context) error {
	return func(ctx context.Context) error {
		n, err := w.number(ctx, service)
		if err != nil {
			return err
		}
		tasks, err := w.Tasks(ctx, service)
		running := 0
		for _, t := range tasks {
			if t.Status.State == "running" {
				running++
			}
		}
		if err == nil && (n != want || running != want) {
			err = fmt.Errorf("%s is to have %d replicas, and %d run, want %d", service, n, running, want)
		}
		return err
	}
}

// decision is one of the scaler's.
type decision struct {
	Time            time.Time
	Code, Direction string
	Message         string
	From, To        int
}

// decisions are those about a service, the latest first.
func (w *world) decisions(ctx context.Context, service string) ([]decision, error) {
	var out []decision
	err := w.scaler(ctx, tooltest.Request{URL: "/v1/decisions?service=" + service}, &out)
	return out, err
}

// steps are the numbers to which a service was scaled, in their order.
func (w *world) steps(ctx context.Context, service string) ([]int, error) {
	all, err := w.decisions(ctx, service)
	var out []int
	for _, d := range all {
		if d.Code == "scaled" {
			out = append([]int{d.To}, out...)
		}
	}
	return out, err
}

// decided is a condition: the scaler has said this code of a service.
func (w *world) decided(service, code string) func(context.Context) error {
	return func(ctx context.Context) error {
		all, err := w.decisions(ctx, service)
		for _, d := range all {
			if d.Code == code {
				return nil
			}
		}
		if err == nil {
			err = fmt.Errorf("the scaler has decided %+v", all)
		}
		return err
	}
}

// scaler asks the scaler, inside of its container.
func (w *world) scaler(ctx context.Context, r tooltest.Request, v any) error {
	node, err := w.Home(ctx, "waggle_scaler")
	if err != nil {
		return err
	}
	dial, err := w.Within(ctx, node, "waggle_scaler")
	if err != nil {
		return err
	}
	r.URL, r.Token = "http://127.0.0.1:8080"+r.URL, w.Token("scaler")
	r.Client = &http.Client{Timeout: soon, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	return tooltest.Get(ctx, r, v)
}

// idle: nobody asks it for anything, and it becomes smaller without anybody's doing.
func (w *world) idle(ctx context.Context) error {
	const service = "go-idle"
	n := w.chat.count()
	if err := w.demo(ctx, service, 3, "alertName", "respbelow", "alertIf", respBelow, "alertFor", "5s"); err != nil {
		return err
	}
	w.want(ctx, late, "3 replicas become 2", w.replicas(service, 2))
	w.want(ctx, late, "the chat is told", w.says(n, false, service, "from 3 to 2 replicas (min: 2, max: 7)"))
	return w.Remove(ctx, service)
}

// atLeast: people are told that it could not become smaller, and it does not.
func (w *world) atLeast(ctx context.Context) error {
	const service = "go-least"
	n := w.chat.count()
	if err := w.demo(ctx, service, 2, "alertName", "respbelow", "alertIf", respBelow, "alertFor", "5s"); err != nil {
		return err
	}
	w.want(ctx, late, "the chat is told", w.says(n, false, service+" is already descaled to the minimum number of 2 replicas"))
	w.want(ctx, soon, "it has 2 replicas still", w.replicas(service, 2))
	return w.Remove(ctx, service)
}

// asks sends a service so many requests per second, as many as it answers if that is 0, until
// the context ends.
func (w *world) asks(ctx context.Context, path string, connections int, rate float64) (end func() error) {
	done := make(chan error, 1)
	go func() {
		r, err := load.Run(ctx, load.Config{
			URL: "http://" + w.Addr(stack.Manager) + path, Connections: connections, Rate: rate, KeepAlive: true, Duration: parts.Limit, Timeout: 10 * time.Second,
		})
		if err == nil && r.Failed > 0 {
			err = fmt.Errorf("%d of %d requests failed: %v", r.Failed, r.Requests, r.Examples)
		}
		done <- err
	}()
	return func() error { return <-done }
}

// slow: answers that take too long are answered by two replicas more.
func (w *world) slow(ctx context.Context) error {
	const service = "go-slow"
	n := w.chat.count()
	if err := w.demo(ctx, service, 2, "alertName", "respabove", "alertIf", respAbove, "alertFor", "2s"); err != nil {
		return err
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	end := w.asks(asking, "/"+service, 30, 0)
	w.want(ctx, late, "2 replicas become 4", w.replicas(service, 4))
	w.want(ctx, late, "the chat is told", w.says(n, false, service, "from 2 to 4 replicas (min: 2, max: 7)"))
	stop()
	if err := end(); err != nil {
		w.Fault("%v", err)
	}
	return w.Remove(ctx, service)
}

// compound: as long as there are slow answers it does not become smaller, and afterwards not
// greater.
func (w *world) compound(ctx context.Context) error {
	const service = "go-calm"
	share := func(bound string) string {
		return fmt.Sprintf(`sum(rate(http_server_resp_time_bucket{job=%q,le=%q}[15s])) / sum(rate(http_server_resp_time_count{job=%q}[15s]))`, service, bound, service)
	}
	said := func(scale string) string {
		return "receiver=system,service=" + service + ",scale=" + scale + ",type=service"
	}
	err := w.demo(ctx, service, 2,
		"alertName.1", "respabove", "alertIf.1", "@resp_time_above:0.25,15s,0.99", "alertFor.1", "2s",
		"alertName.2", "respbelow", "alertFor.2", "2s", "alertLabels.2", said("down"), "alertAnnotations.2", "summary=Answers are fast, and none is slow",
		"alertIf.2", share("0.1")+" > 0.75 unless "+share("0.25")+" < 0.99")
	if err != nil {
		return err
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	end := w.asks(asking, "/"+service, 60, 0)
	w.want(ctx, late, "under load 2 replicas become at least 4", func(ctx context.Context) error {
		if n, err := w.number(ctx, service); err != nil || n < 4 {
			return fmt.Errorf("it is to have %d replicas: %w", n, errors.Join(err))
		}
		return nil
	})
	w.want(ctx, late, "answers are no longer slow", w.alerts("inactive", "gocalm_respabove"))
	stop()
	if err := end(); err != nil {
		w.Fault("%v", err)
	}
	few, leave := context.WithCancel(ctx)
	defer leave()
	end = w.asks(few, "/"+service, 4, 20)
	w.want(ctx, late, "with few requests they become 2 again", w.replicas(service, 2))
	leave()
	if err := end(); err != nil {
		w.Fault("%v", err)
	}
	steps, err := w.steps(ctx, service)
	if err != nil {
		return err
	}
	turns, up := 0, true
	for i := 1; i < len(steps); i++ {
		if now := steps[i] > steps[i-1]; now != up {
			turns, up = turns+1, now
		}
	}
	w.Say("its steps led to %v", steps)
	if turns > 1 {
		w.Fault("it was scaled to and fro: %v", steps)
	}
	return w.Remove(ctx, service)
}

// byCurl: the body of Alertmanager's, or a query, and the bounds are kept.
func (w *world) byCurl(ctx context.Context) error {
	const service = "go-hand"
	err := w.serve(ctx, service, "/go-hand", "scaleMin", "1", "scaleMax", "7", "scaleUpBy", "3", "scaleDownBy", "2", "scaleCooldownUp", "0", "scaleCooldownDown", "0")
	if err != nil {
		return err
	}
	body := fmt.Appendf(nil, `{"groupLabels": {"service": %q, "scale": "up"}}`, service)
	var said string
	w.want(ctx, soon, "it is asked for more by a body", func(ctx context.Context) error {
		return w.scaler(ctx, tooltest.Request{Method: http.MethodPost, URL: "/v1/scale-service", Body: body}, &said)
	})
	w.want(ctx, soon, "1 replica becomes 4", w.replicas(service, 4))
	w.want(ctx, soon, "it is asked for fewer by a query", func(ctx context.Context) error {
		return w.scaler(ctx, tooltest.Request{Method: http.MethodPost, URL: "/v1/scale-service?service=" + service + "&scale=down"}, &said)
	})
	w.want(ctx, soon, "4 replicas become 2", w.replicas(service, 2))
	return w.Remove(ctx, service)
}

// nodesShort: nodes are no services. Whoever adds and removes them is told, and nothing else
// is changed.
func (w *world) nodesShort(ctx context.Context) error {
	before, err := w.Docker(ctx, "service", "ls", "--format", "{{.Name}} {{.Replicas}}")
	if err != nil {
		return err
	}
	for _, c := range []struct{ shortcut, says string }{{"above:0.001", "over 0.001"}, {"below:0.999", "below 0.999"}} {
		n := w.chat.count()
		if err := w.relabel(ctx, nodes, "alertName.3", "nodes", "alertIf.3", "@node_mem_limit_total_"+c.shortcut); err != nil {
			return err
		}
		const alert = "waggle_nodeexporter_nodes"
		w.want(ctx, soon, "the alert fires", w.alerts("firing", alert))
		w.want(ctx, late, "the chat is told", w.says(n, false, alert, "Total memory of the nodes is "+c.says))
	}
	var said string
	err = w.scaler(ctx, tooltest.Request{Method: http.MethodPost, URL: "/v1/scale-nodes?by=1&type=worker"}, &said)
	if err == nil || !strings.Contains(err.Error(), "only services are scaled") {
		w.Fault("whoever asks for a node is told %q, %v", said, err)
	}
	if after, err := w.Docker(ctx, "service", "ls", "--format", "{{.Name}} {{.Replicas}}"); err != nil || after != before {
		w.Fault("services were\n%s\nand are\n%s\n%v", before, after, err)
	}
	return w.relabel(ctx, nodes, "alertName.3", "", "alertIf.3", "")
}

// joins: a node that was not there takes over tasks of a service that wants it, of which there
// are never fewer than before.
func (w *world) joins(ctx context.Context) error {
	const service, rests = "go-spread", "go-rests"
	if _, err := w.Docker(ctx, "node", "update", "--availability", "drain", stack.Worker); err != nil {
		return err
	}
	err := w.create(ctx, stack.Demo{Name: service, Replicas: 6, Unchecked: true, Labels: stack.Labels("/"+service, "reschedule", "true", "scaleMin", "1", "scaleMax", "9")}, "/"+service)
	if err != nil {
		return err
	}
	if err := w.create(ctx, stack.Demo{Name: rests, Replicas: 3, Unchecked: true, Labels: stack.Labels("/" + rests)}, "/"+rests); err != nil {
		return err
	}
	w.want(ctx, soon, "all of its tasks run on one node", w.replicas(service, 6))
	asking, stop := context.WithCancel(ctx)
	defer stop()
	flow := w.Flow(asking, []string{stack.Manager}, "/"+service)
	if err := w.Activate(ctx, stack.Worker); err != nil {
		return err
	}
	least := 6
	w.want(ctx, late, "3 of 6 tasks run on the node that has joined", func(ctx context.Context) error {
		there, all, err := w.on(ctx, service, stack.Worker)
		if err != nil {
			return err
		}
		if least = min(least, all); there != 3 || all != 6 {
			return fmt.Errorf("%d of %d run there", there, all)
		}
		return nil
	})
	if least < 6 {
		w.Fault("%d of 6 tasks ran meanwhile", least)
	}
	if there, _, err := w.on(ctx, rests, stack.Worker); err != nil || there != 0 {
		w.Fault("%d tasks of a service without the label were moved: %v", there, err)
	}
	stop()
	reports, err := flow()
	for name, r := range reports {
		if r.Failed > 0 {
			w.Fault("%s: %v %v", name, r, r.Examples)
		}
	}
	return errors.Join(err, w.Remove(ctx, service), w.Remove(ctx, rests))
}

// on counts the running tasks of a service on a node, and all of them.
func (w *world) on(ctx context.Context, service, node string) (there, all int, err error) {
	id, err := w.NodeID(ctx, node)
	if err != nil {
		return 0, 0, err
	}
	tasks, err := w.Tasks(ctx, service)
	for _, t := range tasks {
		if t.Status.State != "running" {
			continue
		}
		if all++; t.NodeID == id {
			there++
		}
	}
	return there, all, err
}

// patience is for how long the scaler waits for tasks before it looks why they do not run: PATIENCE.
const patience = 5 * time.Minute

// unplaced: people are told, and the scaler asks for no more of what has no place.
func (w *world) unplaced(ctx context.Context) error {
	const service = "go-placed"
	n := w.chat.count()
	w.chat.jobs.Store(0)
	err := w.create(ctx, stack.Demo{
		Name: service, Replicas: 1, Unchecked: true, PerNode: 1,
		Labels: stack.Labels("/"+service, "scaleMin", "1", "scaleMax", "9", "scaleCooldownUp", "1s",
			"alertName.1", "replicas", "alertIf.1", "@replicas_running", "alertFor.1", "5s",
			"alertName.2", "some", "alertIf.2", `jobs{job="outside"} > 0`, "alertLabels.2", "scale=up,type=service"),
	}, "/"+service)
	if err != nil {
		return err
	}
	if err := w.Scale(ctx, service, 4); err != nil {
		return err
	}
	w.want(ctx, late, "the alert fires", w.alerts("firing", "goplaced_replicas"))
	w.want(ctx, late, "the chat is told", w.says(n, false, "goplaced_replicas"))
	w.chat.jobs.Store(1)
	w.want(ctx, patience+soon, "an alert asks for more, and the scaler waits for a node", w.decided(service, "pending"))
	if n, err := w.number(ctx, service); err != nil || n != 4 {
		w.Fault("it is to have %d replicas, want 4: %v", n, err)
	}
	return w.Remove(ctx, service)
}

// toNothing: the alert is there while no task is.
func (w *world) toNothing(ctx context.Context) error {
	const service, up, down = "go-jobs", "gojobs_some", "gojobs_none"
	w.chat.jobs.Store(1)
	err := w.serve(ctx, service, "/go-jobs", "scaleMin", "0", "scaleMax", "3", "scaleCooldownUp", "1s", "scaleCooldownDown", "1s",
		"alertName.1", "some", "alertIf.1", `jobs{job="outside"} > 0`, "alertLabels.1", "scale=up,type=service", "alertPersistent.1", "true",
		"alertName.2", "none", "alertIf.2", `jobs{job="outside"} == 0`, "alertLabels.2", "scale=down,type=service", "alertPersistent.2", "true")
	if err != nil {
		return err
	}
	w.chat.jobs.Store(0)
	w.want(ctx, late, "without jobs nothing of it runs", w.replicas(service, 0))
	w.want(ctx, soon, "its alerts are there", w.alerts("", up, down))
	w.chat.jobs.Store(5)
	w.want(ctx, late, "jobs bring it back", func(ctx context.Context) error {
		if n, err := w.number(ctx, service); err != nil || n == 0 {
			return fmt.Errorf("it is to have %d replicas: %w", n, errors.Join(err))
		}
		return nil
	})
	w.want(ctx, soon, "it is answered", w.answered("/go-jobs", nil, http.StatusOK))
	return w.Remove(ctx, service)
}
