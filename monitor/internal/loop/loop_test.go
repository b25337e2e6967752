package loop

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// world is everything around a Loop, as plain values.
type world struct {
	t    *testing.T
	loop *Loop
	file string

	snapshot catalog.Snapshot
	complete bool
	accepted map[string]catalog.Service
	known    bool
	statuses []catalog.Status
	pokes    int

	refuses  string // an expression that the checker refuses
	applyErr error
	rules    []alert.Rule
	targets  string
	applies  int
	blind    bool // Prometheus does not show its targets yet
	shown    []prometheus.ShownTarget
}

func (w *world) Snapshot() (catalog.Snapshot, bool) { return w.snapshot, w.complete }

func (w *world) Services() (map[string]catalog.Service, bool) { return maps.Clone(w.accepted), w.known }

func (w *world) Record(_ context.Context, s map[string]catalog.Service) error {
	w.accepted = maps.Clone(s)
	return nil
}

func (w *world) Publish(_ context.Context, s []catalog.Status) error {
	w.statuses = s
	return nil
}

func (w *world) Check(_ context.Context, rules []alert.Rule, _ []byte) (map[string]string, error) {
	out := map[string]string{}
	for _, r := range rules {
		if w.refuses != "" && strings.Contains(r.Expr, w.refuses) {
			out[r.Key()] = "the checker does not like it"
		}
	}
	return out, nil
}

func (w *world) Apply(_ context.Context, rules []alert.Rule, _, targets []byte) error {
	w.applies++
	if w.applyErr == nil {
		w.rules, w.targets = rules, string(targets)
	}
	return w.applyErr
}

func (w *world) Targets(context.Context) ([]prometheus.ShownTarget, error) {
	if w.blind {
		return nil, nil
	}
	return w.shown, nil
}

// newWorld has one service with a job and an alert, and a task at 10.0.0.1 that Prometheus shows.
func newWorld(t *testing.T) *world {
	w := &world{t: t, file: filepath.Join(t.TempDir(), "accepted.json"), complete: true, known: true, accepted: map[string]catalog.Service{}}
	w.snapshot = catalog.Snapshot{Services: map[string]catalog.Service{}, Tasks: map[string][]catalog.Task{
		"1": {{ID: "t", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"10.0.0.1"}}}},
	}}
	w.label("scrapePort", "80", "alertName", "a", "alertIf", "up < 1")
	w.shown = []prometheus.ShownTarget{{
		Labels:    map[string]string{"job": "web", "instance": "10.0.0.1:80", "service": "web"},
		ScrapeURL: "http://10.0.0.1:80/metrics", ScrapeInterval: "10s", ScrapeTimeout: "10s", Health: "up",
	}}
	w.restart()
	return w
}

// label gives the service these labels and no others.
func (w *world) label(pairs ...string) {
	labels := map[string]string{catalog.Notify: "true"}
	for i := 0; i < len(pairs); i += 2 {
		labels[catalog.Prefix+pairs[i]] = pairs[i+1]
	}
	w.snapshot.Services = map[string]catalog.Service{"1": {ID: "1", Name: "web", Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, Labels: labels}}
}

// restart makes a new Loop that knows only what is on disk.
func (w *world) restart() {
	w.t.Helper()
	l, err := New(Options{
		Catalog: w, Accepted: w, Statuses: w, Prometheus: w, AcceptedFile: w.file, Log: slog.New(slog.DiscardHandler),
		Settings: scrape.Settings{Networks: []string{"waggle"}, Interval: 10 * time.Second, Timeout: 10 * time.Second},
		Again:    func(time.Duration) { w.pokes++ },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.loop = l
}

func (w *world) pass() {
	w.t.Helper()
	if err := w.loop.Pass(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) wants(state catalog.State, rule string, scraped bool) {
	w.t.Helper()
	if len(w.statuses) != 1 || w.statuses[0].State != state {
		w.t.Errorf("statuses %+v, want %s", w.statuses, state)
	}
	var got string
	for _, r := range w.rules {
		got += r.Expr
	}
	if got != rule {
		w.t.Errorf("rules %q, want %q", got, rule)
	}
	if strings.Contains(w.targets, "10.0.0.1:80") != scraped {
		w.t.Errorf("targets %s", w.targets)
	}
}

func TestNothingHappensBeforeEverythingIsKnown(t *testing.T) {
	w := newWorld(t)
	w.complete = false
	w.pass()
	w.complete, w.known = true, false
	w.pass()
	if w.applies != 0 || w.statuses != nil || w.loop.View() != nil || w.loop.Healthy() == nil {
		t.Fatal("something was applied")
	}
	w.known = true
	w.pass()
	w.wants(catalog.StateApplied, "up < 1", true)
	if err := w.loop.Healthy(); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutABusItIsHealthyAfterTwentySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.complete = false
		time.Sleep(19 * time.Second)
		w.pass()
		if w.loop.Healthy() == nil {
			t.Error("healthy too early")
		}
		time.Sleep(2 * time.Second)
		if err := w.loop.Healthy(); err != nil {
			t.Error(err)
		}
	})
}

func TestALostBusCostsNothing(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.complete = false
	w.snapshot = catalog.Snapshot{}
	w.pass()
	if w.applies != 1 {
		t.Fatal("applied without a catalog")
	}
}

func TestWhatWasAcceptedSurvivesALostBusAndARestart(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.label("scrapePort", "80", "alertName", "a", "alertIf", "up <")
	w.pass()
	w.wants(catalog.StateDegraded, "up < 1", true)
	w.accepted = map[string]catalog.Service{}
	w.pass()
	w.wants(catalog.StateDegraded, "up < 1", true)
	w.accepted = map[string]catalog.Service{}
	w.restart()
	w.pass()
	w.wants(catalog.StateDegraded, "up < 1", true)
	if w.accepted["1"].Labels["com.df.alertIf"] != "up < 1" {
		t.Fatal("the bus was not told again", w.accepted)
	}
}

func TestARuleThatTheCheckerRefusesIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.label("scrapePort", "80", "alertName", "a", "alertIf", "up < 2")
	w.refuses = "< 2"
	w.pass()
	w.wants(catalog.StateDegraded, "up < 1", true)
	if st := w.statuses[0]; st.Label != "com.df.alertIf" || !strings.Contains(st.Reason, "the checker does not like it") {
		t.Fatal(st)
	}
	w.refuses = "up"
	w.label("scrapePort", "80", "alertName", "b", "alertIf", "up < 3")
	w.restart()
	w.pass()
	w.wants(catalog.StateDegraded, "", true)
}

func TestAFailedApplyIsReportedAndNotRemembered(t *testing.T) {
	w := newWorld(t)
	w.applyErr = &prometheus.RefusedError{Reason: "no"}
	if err := w.loop.Pass(t.Context()); !errors.Is(err, w.applyErr) {
		t.Fatal(err)
	}
	if st := w.statuses[0]; st.State != catalog.StateAccepted || !strings.Contains(st.Reason, "refused the reload") || len(w.accepted) != 0 {
		t.Fatal(st, w.accepted)
	}
	if v := w.loop.View(); !strings.Contains(v.Err, "refused") || w.loop.Healthy() == nil {
		t.Fatal(v.Err)
	}
	w.applyErr = nil
	w.pass()
	w.wants(catalog.StateApplied, "up < 1", true)
}

func TestAppliedMeansThatPrometheusShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.blind = true
		w.pass()
		w.wants(catalog.StateAccepted, "up < 1", true)
		if w.pokes != 1 {
			t.Errorf("%d pokes, want one for another look", w.pokes)
		}
		w.blind = false
		w.pass()
		w.wants(catalog.StateApplied, "up < 1", true)
		w.shown[0].ScrapeInterval = "1m"
		w.pass()
		w.wants(catalog.StateAccepted, "up < 1", true)
	})
}

func TestTasksThatAreNotToldYetAreStillThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.pass()
		tasks := w.snapshot.Tasks
		w.snapshot.Tasks = nil
		time.Sleep(20 * time.Second)
		w.pass()
		w.wants(catalog.StateApplied, "up < 1", true)
		time.Sleep(20 * time.Second)
		w.pass()
		w.wants(catalog.StateDegraded, "up < 1", false)
		w.snapshot.Tasks = tasks
		w.pass()
		w.wants(catalog.StateApplied, "up < 1", true)
		w.snapshot.Tasks = map[string][]catalog.Task{"1": {}}
		w.pass()
		w.wants(catalog.StateDegraded, "up < 1", false)
	})
}

func TestTasksOfAServiceScaledToZeroAreGoneAtOnce(t *testing.T) {
	w := newWorld(t)
	w.pass()
	svc := w.snapshot.Services["1"]
	svc.Replicas = 0
	w.snapshot.Services = map[string]catalog.Service{"1": svc}
	w.snapshot.Tasks = nil
	w.pass()
	w.wants(catalog.StateApplied, "up < 1", false)
}
