package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// rounds is how often something is measured.
const rounds = 5

// sleeper creates a service that sleeps. If it is bound, its tasks find no node until free.
func (w *world) sleeper(ctx context.Context, name string, isBound bool, labels ...string) error {
	d := stack.Demo{Name: name, Unchecked: true, Labels: stack.Labels("/"+name, append([]string{"scaleMin", "0", "scaleMax", "3"}, labels...)...)}
	if isBound {
		d.Away = w.Nodes()
	}
	return w.Create(ctx, d)
}

// asleep waits until scaler and each proxy know services that sleep.
func (w *world) asleep(ctx context.Context, names ...string) error {
	listener, err := w.Listener(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := tooltest.PollFor(ctx, soon, tooltest.Slowly, name+" sleeps", func(ctx context.Context) error {
			said, err := w.Verdicts(ctx, listener, name)
			if err == nil && !slices.ContainsFunc(said, func(s catalog.Status) bool { return s.Component == "scaler" && s.State == catalog.StateApplied }) {
				err = fmt.Errorf("%+v", said)
			}
			for _, node := range w.Nodes() {
				// That one of several proxies knows it says nothing of the others.
				var its catalog.Status
				if err == nil {
					err = w.Inside(ctx, node, "waggle_proxy", 8080, "/v1/services/"+name, &its)
				}
				if err == nil && its.State != catalog.StateApplied {
					err = fmt.Errorf("%s: %+v", node, its)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ask sends a request to the proxy of a node, which may hold it.
func (w *world) ask(ctx context.Context, client *http.Client, node, method, path string, body []byte, header ...string) (status int, took time.Duration, err error) {
	began := time.Now()
	a, err := tooltest.Ask(ctx, tooltest.Request{Method: method, URL: "http://" + w.Addr(node) + path, Body: body, Header: header, Client: client})
	return a.Status, time.Since(began), err
}

// sleep: the first request is answered, by whichever proxy and with whichever method, who is
// not let in wakes nobody, and those who wait are in nobody's way.
func (w *world) sleep(ctx context.Context) error {
	// On a connection that is kept an old worker answers once more after a reload (ADR 6).
	client := w.Client(0)
	client.Transport.(*http.Transport).DisableKeepAlives, client.Timeout = true, 0
	if err := w.wakes(ctx, client); err != nil {
		return err
	}
	if err := w.keptOut(ctx, client); err != nil {
		return err
	}
	if w.short {
		return nil
	}
	return w.crowd(ctx, client)
}

// wakes has services woken by a GET through one proxy and a POST through another at once, and
// compares with services whose first task comes without anybody's waiting.
func (w *world) wakes(ctx context.Context, client *http.Client) error {
	var whole, after, plain []time.Duration
	n := rounds
	if w.short {
		n = 1
	}
	for i := range n {
		service := fmt.Sprint("go-sleep", i)
		if err := w.sleeper(ctx, service, false); err != nil {
			return err
		}
		if err := w.asleep(ctx, service); err != nil {
			return err
		}
		began := time.Now()
		took := make([]time.Duration, 2)
		var both errgroup.Group
		for j, r := range []struct {
			node, method string
			body         []byte
		}{{stack.Manager, http.MethodGet, nil}, {stack.Worker, http.MethodPost, make([]byte, 1<<20)}} {
			both.Go(func() error {
				status, d, err := w.ask(ctx, client, r.node, r.method, "/"+service, r.body)
				if took[j] = d; err == nil && status != http.StatusOK {
					err = fmt.Errorf("the %s by %s is answered %d after %v", r.method, r.node, status, d)
				}
				return err
			})
		}
		if err := both.Wait(); err != nil {
			w.Fault("%v", err)
		}
		running, err := w.Running(ctx, service, 1)
		if err != nil {
			return err
		}
		w.Say("the task of %s ran after %s ms, and answered by the proxies after %s and %s", service, report.Milliseconds(running.Sub(began)), report.Milliseconds(took[0]), report.Milliseconds(took[1]))
		for _, d := range took {
			whole, after = append(whole, d), append(after, began.Add(d).Sub(running))
		}
		if steps, err := w.steps(ctx, service); err != nil || len(steps) != 1 {
			w.Fault("two proxies asked, and the steps were to %v: %v", steps, err)
		}
		// Its path does not begin like the other's, which would answer in its place.
		awake := fmt.Sprint("go-awake", i)
		d, err := w.Appear(ctx, stack.Demo{Name: awake, Replicas: 1, Unchecked: true, Labels: stack.Labels("/" + awake)})
		if err != nil {
			return err
		}
		plain = append(plain, d)
		if err := errors.Join(w.Remove(ctx, service), w.Remove(ctx, awake)); err != nil {
			return err
		}
	}
	for _, all := range [][]time.Duration{whole, after, plain} {
		slices.Sort(all)
	}
	w.Say("first GET by one proxy and POST of 1 MB by another, %d times each: answered after %s ms in the median, %s at the most", n,
		report.Milliseconds(report.Median(whole)), report.Milliseconds(whole[len(whole)-1]))
	w.Say("of this after the task ran: %s ms in the median, %s at the most; nobody waits: %s and %s", report.Milliseconds(report.Median(after)), report.Milliseconds(after[len(after)-1]),
		report.Milliseconds(report.Median(plain)), report.Milliseconds(plain[len(plain)-1]))
	// One of each says nothing on a busy machine.
	if added := report.Median(after) - report.Median(plain); added > 100*time.Millisecond && !w.short {
		w.Fault("a held request waits %v longer than until its task is routed", added)
	}
	return nil
}

// keptOut has a service asked by who does not know the password, and then by who does.
func (w *world) keptOut(ctx context.Context, client *http.Client) error {
	const service = "go-guarded"
	if err := w.sleeper(ctx, service, false, "users", "ann:secret"); err != nil {
		return err
	}
	if err := w.asleep(ctx, service); err != nil {
		return err
	}
	status, _, err := w.ask(ctx, client, stack.Manager, http.MethodPost, "/"+service, []byte("x"))
	if err != nil || status != http.StatusUnauthorized {
		w.Fault("without a password it answers %d, %v", status, err)
	}
	began := time.Now()
	status, _, err = w.ask(ctx, client, stack.Manager, http.MethodPost, "/"+service, []byte("x"), "Authorization", "Basic YW5uOnNlY3JldA==") // ann:secret
	if err != nil || status != http.StatusOK {
		w.Fault("with the password it answers %d, %v", status, err)
	}
	all, err := w.decisions(ctx, service)
	if err != nil || len(all) != 1 || all[0].Time.Before(began) {
		w.Fault("it was decided %+v, want one wake after %v: %v", all, began, err)
	}
	w.Say("a request without a password wakes nobody")
	return w.Remove(ctx, service)
}

// crowd has a hundred requests wait for each of ten services, over a reload of the proxy.
func (w *world) crowd(ctx context.Context, client *http.Client) error {
	const other, services, each = "go-awake", 10, 100
	if err := w.serve(ctx, other, "/go-awake"); err != nil {
		return err
	}
	others := func() (load.Report, error) {
		return load.Run(ctx, load.Config{
			URL: "http://" + w.Addr(stack.Manager) + "/go-awake", Rate: 200, Connections: 10, KeepAlive: true, Duration: 3 * time.Second, Timeout: 10 * time.Second,
		})
	}
	var names []string
	for i := range services {
		names = append(names, fmt.Sprint("go-held", i))
		if err := w.sleeper(ctx, names[i], true); err != nil {
			return err
		}
	}
	if err := w.asleep(ctx, names...); err != nil {
		return err
	}
	before, err := others()
	if err != nil {
		return err
	}
	statuses := make(chan int, services*each)
	for range each {
		for _, name := range names {
			go func() {
				status, _, _ := w.ask(ctx, client, stack.Manager, http.MethodGet, "/"+name, nil) // 0 is none
				statuses <- status
			}()
		}
	}
	// One more than the hundred is refused, so that all of them have to be there.
	if err := tooltest.PollFor(ctx, soon, tooltest.Slowly, "all requests are held", func(ctx context.Context) error {
		var text string
		err := w.Inside(ctx, stack.Manager, "waggle_proxy", 8404, "/metrics", &text)
		for _, name := range names {
			if want := fmt.Sprintf("\nhaproxy_backend_current_sessions{proxy=\"%s-be8080_0\"} %d\n", name, each); err == nil && !strings.Contains(text, want) {
				err = fmt.Errorf("HAProxy does not say %q", want)
			}
		}
		return err
	}); err != nil {
		return err
	}
	var refused []time.Duration
	for _, name := range names {
		status, took, err := w.ask(ctx, client, stack.Manager, http.MethodGet, "/"+name, nil)
		if err != nil || status != http.StatusServiceUnavailable {
			w.Fault("one more for %s is answered %d, %v", name, status, err)
		}
		refused = append(refused, took)
	}
	during, err := others()
	if err != nil {
		return err
	}
	// A backend that does what none did is a reload.
	reloads, err := w.Reloads(ctx)
	if err != nil {
		return err
	}
	if err := w.Create(ctx, stack.Demo{Name: "go-reload", Replicas: 1, Unchecked: true, Labels: stack.Labels("/go-reload", "addReqHeader", "X-New yes")}); err != nil {
		return err
	}
	for _, name := range names {
		err := w.Update(ctx, name, func(spec map[string]any) {
			template, _ := spec["TaskTemplate"].(map[string]any) // A service has one.
			delete(template, "Placement")
		})
		if err != nil {
			return err
		}
	}
	answers := map[int]int{}
	for range services * each {
		select {
		case status := <-statuses:
			answers[status]++
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	now, err := w.Reloads(ctx)
	if err != nil {
		return err
	}
	slices.Sort(refused)
	w.Say("one more than %d: 503 after %s ms in the median, %s at the most", each, report.Milliseconds(report.Median(refused)), report.Milliseconds(refused[len(refused)-1]))
	w.Say("others, before: %v", before)
	w.Say("others, while %d requests wait: %v", services*each, during)
	w.Say("the held requests were answered %v, over %d reloads", answers, now-reloads)
	if answers[http.StatusOK] != services*each || now == reloads {
		w.Fault("of %d held requests %d were answered 200, over %d reloads", services*each, answers[http.StatusOK], now-reloads)
	}
	if report.Median(refused) > 50*time.Millisecond {
		w.Fault("one more is refused after %v in the median", report.Median(refused))
	}
	if before.Failed+during.Failed > 0 || during.P99 > 2*before.P99+10 {
		w.Fault("others are disturbed")
	}
	for _, name := range append(names, other, "go-reload") {
		err = errors.Join(err, w.Remove(ctx, name))
	}
	return err
}

// stages measures each stage on the way from a threshold that is crossed to a replica that
// serves.
func (w *world) stages(ctx context.Context) error {
	names := []string{"alert fires", "delivered", "decided", "specification changed", "task runs", "routed"}
	took := map[string][]time.Duration{}
	for i := range rounds {
		at, err := w.crossed(ctx, fmt.Sprint("go-stage", i))
		if err != nil {
			return err
		}
		for j, name := range names {
			took[name] = append(took[name], at[j+1].Sub(at[j]))
		}
		took["in all"] = append(took["in all"], at[len(names)].Sub(at[0]))
	}
	tables := report.Tables{Out: w.Out}
	tables.Table(fmt.Sprintf("From a threshold that is crossed to a replica that serves, %d times: each stage after the one before, ms", rounds), "stage", "median", "most")
	for _, name := range append(names, "in all") {
		slices.Sort(took[name])
		tables.Row(name, report.Milliseconds(report.Median(took[name])), report.Milliseconds(took[name][rounds-1]))
	}
	return nil
}

// crossed has a threshold crossed, and returns when that was and when each stage was over.
func (w *world) crossed(ctx context.Context, service string) ([]time.Time, error) {
	w.chat.jobs.Store(0)
	// What was there in the round before would have the alert fire before its time.
	w.want(ctx, soon, "the threshold is not crossed", w.present(`jobs{job="outside"} == 0`, 1))
	alert := "gostage" + service[len("go-stage"):] + "_some"
	err := w.create(ctx, stack.Demo{Name: service, Replicas: 1, Unchecked: true, Labels: stack.Labels("/"+service, "scaleMax", "2",
		"alertName", "some", "alertIf", `jobs{job="outside"} > 0`, "alertLabels", "scale=up,type=service")}, "/"+service)
	if err != nil {
		return nil, err
	}
	w.want(ctx, soon, "the alert is there, and quiet", w.alerts("inactive", alert))
	at := []time.Time{time.Now()}
	w.chat.jobs.Store(1)
	first, err := w.Answer(ctx, stack.Manager, "/"+service)
	if err != nil {
		return nil, err
	}
	routed := make(chan time.Time, 1)
	go func() {
		// It ends with the context of the part.
		_ = tooltest.Poll(ctx, 5*time.Millisecond, "another replica", func(ctx context.Context) error {
			now, err := w.Answer(ctx, stack.Manager, "/"+service)
			if err == nil && now == first {
				err = errors.New("the first one answers")
			}
			return err
		})
		routed <- time.Now()
	}()
	var view struct {
		Signals []struct {
			Alerts []struct{ StartsAt, ReceivedAt time.Time }
		}
	}
	if err := tooltest.PollFor(ctx, late, tooltest.Slowly, "the scaler has the alert", func(ctx context.Context) error {
		err := w.scaler(ctx, tooltest.Request{URL: "/v1/services/" + service}, &view)
		if err == nil && (len(view.Signals) == 0 || len(view.Signals[0].Alerts) == 0) {
			err = errors.New("it has none")
		}
		return err
	}); err != nil {
		return nil, err
	}
	signal := view.Signals[0].Alerts[0]
	running, err := w.Running(ctx, service, 2)
	if err != nil {
		return nil, err
	}
	decisions, err := w.decisions(ctx, service)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(decisions, func(d decision) bool { return d.Code == "scaled" })
	if i < 0 {
		return nil, fmt.Errorf("%s was scaled without a decision: %+v", service, decisions)
	}
	text, err := w.Docker(ctx, "service", "inspect", "-f", "{{json .UpdatedAt}}", service)
	if err != nil {
		return nil, err
	}
	changed, err := time.Parse(`"`+time.RFC3339Nano+`"`, text)
	if err != nil {
		return nil, err
	}
	at = append(at, signal.StartsAt, signal.ReceivedAt, decisions[i].Time, changed, running)
	select {
	case t := <-routed:
		at = append(at, t)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.chat.jobs.Store(0)
	return at, w.Remove(ctx, service)
}
