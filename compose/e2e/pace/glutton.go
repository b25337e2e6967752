package pace

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Harm is what a service that asks for too much costs the others.
type Harm struct {
	// Alone and Beside are the memory of Prometheus before, and the most while it was there.
	Alone, Beside uint64
	// Scrapes is the longest that a scrape of another service took, Evaluation that of its
	// rules, and Missed how many evaluations of rules were left out.
	Scrapes, Evaluation time.Duration
	Missed              float64
	// Rule is how long a change of another service's label took meanwhile.
	Rule time.Duration
	// Series are what the database has of the one that asks for too much.
	Series float64
	// Statuses are what the monitor says of it, by name, and States those of the others.
	Statuses map[string]catalog.Status
	Others   []catalog.Status
}

// The services that ask for too much: one has too many series, one too many alerts.
const (
	glutton = "glutton"
	alarmed = "alarmed"
)

// Glut has one service offer so many series, and another one an alert with so many results,
// beside ten that ask for little.
func Glut(ctx context.Context, o Options, series, results int) (_ Harm, err error) {
	w, err := open(ctx, o.Monitor, o.Dir, "SCRAPE_INTERVAL=2s", "EVALUATION_INTERVAL=2s", fmt.Sprint("SAMPLE_LIMIT=", max(results, series/5)))
	if err != nil {
		return Harm{}, err
	}
	defer w.close()
	out := Harm{Statuses: map[string]catalog.Status{}}
	port, err := w.listen(ctx, samples{series: series, results: results}, 3)
	if err != nil {
		return out, err
	}
	const others = 10
	for i := range others {
		w.service(fmt.Sprint("other", i), []string{address(0)}, fmt.Sprint("scrapePort=", port), fmt.Sprint("metricsPath=/few/", i), "alertName=x", "alertIf=bees > 100")
	}
	w.service(changing, []string{address(0)}, fmt.Sprint("scrapePort=", port), "metricsPath=/few/x", "alertName=x", "alertIf=up > -1")
	if err := w.publish(ctx); err != nil {
		return out, err
	}
	const all = "sum(up{job=~\"other.*\"})"
	if err := w.is(ctx, all, func(n float64) bool { return n == others }); err != nil {
		return out, err
	}
	w.weigh()
	out.Alone = w.peak["prometheus"]
	began := time.Now()
	w.service(glutton, []string{address(1)}, fmt.Sprint("scrapePort=", port), "metricsPath=/glut")
	w.service(alarmed, []string{address(2)}, fmt.Sprint("scrapePort=", port), "metricsPath=/alarm", "alertName=x", "alertIf=sample > 0", "scrapeTimeout=2s")
	if err := w.publish(ctx); err != nil {
		return out, err
	}
	for _, name := range []string{glutton, alarmed} {
		err := tooltest.Poll(ctx, tooltest.Slowly, "the status of "+name, func(ctx context.Context) error {
			w.weigh()
			st, err := w.status(ctx, name)
			if err == nil && st.State != catalog.StateDegraded {
				err = fmt.Errorf("it is %s %s", st.State, st.Reason)
			}
			out.Statuses[name] = st
			return err
		})
		if err != nil {
			return out, err
		}
	}
	if out.Rule, _, err = w.changeRule(ctx, 0, func() error {
		w.service(changing, []string{address(0)}, fmt.Sprint("scrapePort=", port), "metricsPath=/few/x", "alertName=x", "alertIf=up > 0")
		return w.publish(ctx)
	}); err != nil {
		return out, err
	}
	// A while of it, so that what adds up is seen.
	for time.Since(began) < 20*time.Second {
		w.weigh()
		if err := tooltest.Pause(ctx, tooltest.Slowly); err != nil {
			return out, err
		}
	}
	out.Beside = w.peak["prometheus"]
	return out, w.harm(ctx, began, &out)
}

// harm asks Prometheus what others had of it.
func (w *world) harm(ctx context.Context, began time.Time, out *Harm) error {
	since := strconv.Itoa(int(time.Since(began).Seconds())) + "s"
	var errs []error
	for expr, into := range map[string]func(float64){
		`max(max_over_time(scrape_duration_seconds{job=~"other.*"}[` + since + `]))`: func(n float64) { out.Scrapes = seconds(n) },
		`count(up{job=~"other.*"} == 1)`: func(n float64) {
			if n != 10 {
				errs = append(errs, fmt.Errorf("%g of 10 others are scraped", n))
			}
		},
		`count({__name__=~".+",job="glutton"}) or vector(0)`: func(n float64) { out.Series = n },
	} {
		n, err := w.number(ctx, expr)
		if err == nil {
			into(n)
		}
		errs = append(errs, err)
	}
	var err error
	out.Evaluation, out.Missed, err = w.evaluations(ctx)
	errs = append(errs, err)
	// The first that was said may have been without a reason.
	for name := range out.Statuses {
		st, err := w.status(ctx, name)
		out.Statuses[name] = st
		errs = append(errs, err)
	}
	for i := range 10 {
		st, err := w.status(ctx, fmt.Sprint("other", i))
		out.Others = append(out.Others, st)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// evaluations is how long the slowest of the others' groups of rules took last, and how many
// evaluations of all were left out.
func (w *world) evaluations(ctx context.Context) (time.Duration, float64, error) {
	var text string
	if err := w.get(ctx, "/metrics", nil, &text); err != nil {
		return 0, 0, err
	}
	slowest, missed := 0.0, 0.0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !strings.Contains(name, ";other") {
			continue
		}
		switch metric, _, _ := strings.Cut(name, "{"); metric {
		case "prometheus_rule_group_last_duration_seconds":
			slowest = max(slowest, n)
		case "prometheus_rule_group_iterations_missed_total":
			missed += n
		}
	}
	return seconds(slowest), missed, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// is waits until an expression has a value.
func (w *world) is(ctx context.Context, expr string, so func(float64) bool) error {
	return tooltest.Poll(ctx, tooltest.Slowly, expr, func(ctx context.Context) error {
		n, err := w.number(ctx, expr)
		if err == nil && !so(n) {
			err = fmt.Errorf("it is %g", n)
		}
		return err
	})
}

// samples is an exporter of few, or of far too many, series.
type samples struct{ series, results int }

// ServeHTTP answers by path.
func (s samples) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := 1
	switch r.URL.Path {
	case "/glut":
		n = s.series
	case "/alarm":
		n = s.results
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	b := []byte("bees 7\n")
	for i := range n {
		b = strconv.AppendInt(append(b, `sample{n="`...), int64(i), 10)
		b = append(b, "\"} 1\n"...)
	}
	_, _ = w.Write(slices.Clip(b)) // Prometheus may have had enough.
}
