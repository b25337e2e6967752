package pace

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Options say what is measured, and on what.
type Options struct {
	// Monitor is the program, Dir an empty folder.
	Monitor, Dir string
	// Services are there besides the one that changes, each with a task, a job and two alerts.
	Services int
	// Runs is how often each change is made.
	Runs int
}

// Result is what came out.
type Result struct {
	// Rule is from the catalog's telling a label to Prometheus' showing the rule, Listed from
	// its telling a running task to Prometheus' listing the target, Scraped to its first scrape.
	Rule, Listed, Scraped []time.Duration
	// Pass is how long the monitor took to render, check, load and verify a change of a rule.
	Pass []time.Duration
	// Stages are the parts of it, by the names that the monitor gives them.
	Stages map[string][]time.Duration
	// Spent is the processor time of monitor and promtool for one change of a rule, Loading that
	// of Prometheus meanwhile: unlike the times above they hold on a busy machine.
	Spent, Loading []time.Duration
	// ReloadsOfTargets are those of all runs in which only tasks changed, ReloadsOfScaling those
	// of one scaling of a service without @replicas_..., and ReloadsOfReplicas of one with it.
	ReloadsOfTargets, ReloadsOfScaling, ReloadsOfReplicas int
	// Peak is the most memory that monitor, promtool and prometheus had, in bytes.
	Peak map[string]uint64
}

// interval is how often all are scraped and evaluated; Prometheus spreads the first scrapes
// of its targets over it.
const interval = 10 * time.Second

const changing = "changing"

// Measure makes changes and waits for what comes of them.
func Measure(ctx context.Context, o Options) (_ Result, err error) {
	w, err := open(ctx, o.Monitor, o.Dir, "SCRAPE_INTERVAL="+interval.String(), "EVALUATION_INTERVAL="+interval.String())
	if err != nil {
		return Result{}, err
	}
	defer w.close()
	out := Result{Peak: w.peak, Stages: map[string][]time.Duration{}}
	scraped := &arrivals{at: map[string]time.Time{}}
	port, err := w.listen(ctx, scraped, 2+o.Runs)
	if err != nil {
		return out, err
	}
	for i := range o.Services {
		// They share an address, and differ by path, so that they are many targets.
		w.service(fmt.Sprintf("service%04d", i), []string{fmt.Sprintf("127.1.%d.%d", i/250, 1+i%250)}, fmt.Sprint("scrapePort=", port),
			"alertName.1=mem", "alertIf.1=@service_mem_limit:0.8", "alertFor.1=30s", "alertName.2=slow", "alertIf.2=@resp_time_above:0.1,5m,0.9")
	}
	change := func(run int, addresses ...string) error {
		w.service(changing, addresses, fmt.Sprint("scrapePort=", port), "alertName=x", fmt.Sprintf("alertIf=up > %d", run))
		return w.publish(ctx)
	}
	if err := change(-1, address(0)); err != nil {
		return out, err
	}
	if err := w.settled(ctx, o.Services+1); err != nil {
		return out, err
	}
	for run := range o.Runs {
		monitor, prometheus := w.spent()
		said := w.log.len()
		took, pass, err := w.changeRule(ctx, run, func() error { return change(run, address(0)) })
		if err != nil {
			return out, err
		}
		out.Rule, out.Pass = append(out.Rule, took), append(out.Pass, pass)
		parts, err := w.stages(said)
		if err != nil {
			return out, err
		}
		for name, took := range parts {
			out.Stages[name] = append(out.Stages[name], took)
		}
		m, p := w.spent()
		out.Spent, out.Loading = append(out.Spent, m-monitor), append(out.Loading, p-prometheus)
		w.weigh()
	}
	before, err := w.reloads(ctx)
	if err != nil {
		return out, err
	}
	for run := range o.Runs {
		listed, first, err := w.appear(ctx, scraped, address(1+run), port, func() error { return change(o.Runs-1, address(1+run)) })
		if err != nil {
			return out, err
		}
		out.Listed, out.Scraped = append(out.Listed, listed), append(out.Scraped, first)
		w.weigh()
	}
	if out.ReloadsOfTargets, err = w.reloadsSince(ctx, before); err != nil {
		return out, err
	}
	return out, w.scalings(ctx, port, &out)
}

// scalings count what Prometheus is reloaded for.
func (w *world) scalings(ctx context.Context, port int, out *Result) error {
	for _, c := range []struct {
		alertIf string
		into    *int
	}{{"up < 0", &out.ReloadsOfScaling}, {"@replicas_less_than", &out.ReloadsOfReplicas}} {
		scaled := func(addresses ...string) error {
			w.service("scaled", addresses, fmt.Sprint("scrapePort=", port), "alertName=x", "alertIf="+c.alertIf)
			if err := w.publish(ctx); err != nil {
				return err
			}
			return tooltest.Poll(ctx, tooltest.Slowly, "a scaling", func(ctx context.Context) error {
				if n, err := w.targets(ctx, "scaled"); err != nil || n != len(addresses) {
					return fmt.Errorf("%d targets, want %d (%w)", n, len(addresses), err)
				}
				_, _, _, err := w.rule(ctx, "scaled", "scaled_x")
				return err
			})
		}
		if err := scaled(address(0)); err != nil {
			return err
		}
		// A rule that has changed is loaded before the pass is over, one that has not is not.
		if err := w.passed(ctx); err != nil {
			return err
		}
		before, err := w.reloads(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(scaled(address(0), address(1)), w.passed(ctx)); err != nil {
			return err
		}
		if *c.into, err = w.reloadsSince(ctx, before); err != nil {
			return err
		}
	}
	return nil
}

// passed waits until the monitor has passed what the catalog says.
func (w *world) passed(ctx context.Context) error {
	return tooltest.Poll(ctx, tooltest.Slowly, "a pass", func(ctx context.Context) error {
		seen, _ := w.writer.Seen()
		var answer struct{ Revision struct{ Sequence uint64 } }
		err := tooltest.Get(ctx, tooltest.Request{URL: "http://" + w.admin + "/v1/services"}, &answer)
		if err == nil && answer.Revision.Sequence < seen.Revision.Sequence {
			err = fmt.Errorf("it has passed %d, want %d", answer.Revision.Sequence, seen.Revision.Sequence)
		}
		return err
	})
}

// arrivals are the first scrapes, by address.
type arrivals struct {
	mu sync.Mutex // All exporters write.
	at map[string]time.Time
}

func (a *arrivals) first(address string) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.at[address]
	return at, ok
}

// ServeHTTP is an exporter.
func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if _, ok := a.at[r.Host]; !ok {
		a.at[r.Host] = time.Now()
	}
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintln(w, "bees 7")
}

// address is the n-th of those that tasks of services that change have.
func address(n int) string { return fmt.Sprintf("127.2.0.%d", n+1) }

// listen serves metrics at the first n addresses, all at one port, which nobody else listens
// at: targets of others are refused at once.
func (w *world) listen(ctx context.Context, handler http.Handler, n int) (port int, err error) {
	var lc net.ListenConfig
	for i := range n {
		ln, err := lc.Listen(ctx, "tcp", fmt.Sprintf("%s:%d", address(i), port))
		if err != nil {
			return 0, err
		}
		port = ln.Addr().(*net.TCPAddr).Port
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		w.exporters = append(w.exporters, s)
		go func() { _ = s.Serve(ln) }() // It ends when it is closed.
	}
	return port, nil
}

// targets counts those of a job, or of all if it is empty.
func (w *world) targets(ctx context.Context, job string) (int, error) {
	var answer struct {
		Data struct {
			ActiveTargets []struct{ Labels map[string]string }
		}
	}
	if err := w.get(ctx, "/api/v1/targets", url.Values{"state": {"active"}, "scrapePool": {"waggle-services"}}, &answer); err != nil {
		return 0, err
	}
	n := 0
	for _, t := range answer.Data.ActiveTargets {
		if job == "" || t.Labels["job"] == job {
			n++
		}
	}
	return n, nil
}

// settled waits until all targets are there and nothing is left to do.
func (w *world) settled(ctx context.Context, targets int) error {
	err := tooltest.Poll(ctx, tooltest.Slowly, "all targets", func(ctx context.Context) error {
		n, err := w.targets(ctx, "")
		if err == nil && n != targets {
			err = fmt.Errorf("there are %d, want %d", n, targets)
		}
		return err
	})
	if err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "the rule", func(ctx context.Context) error {
		_, _, _, err := w.rule(ctx, changing, changing+"_x")
		return err
	})
}

// tookPattern is how the monitor tells how long a pass took.
var tookPattern = regexp.MustCompile(`msg=applied .*took=(\S+)(.*)`)

// stagePattern is one of the parts of a pass there.
var stagePattern = regexp.MustCompile(`(\w+)=(\S+)`)

// stages are the parts of the pass that was told since.
func (w *world) stages(said int) (map[string]time.Duration, error) {
	m := tookPattern.FindStringSubmatch(w.log.since(said))
	if m == nil {
		return nil, errors.New("the monitor has not told the parts of its pass")
	}
	out := map[string]time.Duration{}
	for _, part := range stagePattern.FindAllStringSubmatch(m[2], -1) {
		took, err := time.ParseDuration(part[2])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part[1], err)
		}
		out[part[1]] = took
	}
	return out, nil
}

// changeRule returns how long it took until Prometheus showed a rule that has changed, and
// how long the monitor's pass was.
func (w *world) changeRule(ctx context.Context, run int, change func() error) (took, pass time.Duration, err error) {
	said, began := w.log.len(), time.Now()
	if err := change(); err != nil {
		return 0, 0, err
	}
	err = tooltest.Poll(ctx, often, "the rule", func(ctx context.Context) error {
		query, _, _, err := w.rule(ctx, changing, changing+"_x")
		if want := fmt.Sprintf("up > %d", run); err == nil && query != want {
			err = fmt.Errorf("it is %s, want %s", query, want)
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	err = tooltest.Poll(ctx, often, "the end of the pass", func(context.Context) error {
		m := tookPattern.FindStringSubmatch(w.log.since(said))
		if m == nil {
			return errors.New("the monitor has not told it")
		}
		pass, err = time.ParseDuration(m[1])
		return err
	})
	return took, pass, err
}

// appear returns how long it took until Prometheus listed a target that is new, and until it
// was first scraped.
func (w *world) appear(ctx context.Context, scraped *arrivals, address string, port int, change func() error) (listed, first time.Duration, err error) {
	target := fmt.Sprintf("%s:%d", address, port)
	began := time.Now()
	if err := change(); err != nil {
		return 0, 0, err
	}
	err = tooltest.Poll(ctx, often, "the target", func(ctx context.Context) error {
		var text string
		// Prometheus tells of a target when it is listed, by a metric that costs nothing to ask.
		err := w.get(ctx, "/api/v1/targets", url.Values{"state": {"active"}, "scrapePool": {"waggle-services"}}, &text)
		if err == nil && !regexp.MustCompile(`"scrapeUrl":"http://`+regexp.QuoteMeta(target)+`/`).MatchString(text) {
			err = errors.New("it is not listed")
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	listed = time.Since(began)
	err = tooltest.Poll(ctx, often, "the first scrape", func(context.Context) error {
		at, ok := scraped.first(target)
		if !ok {
			return errors.New("there was none")
		}
		first = at.Sub(began)
		return nil
	})
	return listed, first, err
}

func (w *world) reloads(ctx context.Context) (float64, error) {
	return w.metric(ctx, "waggle_monitor_reloads_total")
}

func (w *world) reloadsSince(ctx context.Context, before float64) (int, error) {
	now, err := w.reloads(ctx)
	return int(now - before), err
}
