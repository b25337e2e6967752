package loop

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/monitor/internal/truth"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
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
	blames   string // an expression that Prometheus refuses
	applyErr error
	checkErr error
	rules    []alert.Rule
	targets  string
	applies  int
	blind    bool // Prometheus does not show its targets yet
	shown    []prometheus.ShownTarget

	differing   map[string]string
	fails       map[string]string
	unevaluated bool
	series      map[truth.Question][]string // that Prometheus has
	asked       int
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
	if w.checkErr != nil {
		return nil, w.checkErr
	}
	out := map[string]string{}
	for _, r := range rules {
		if w.refuses != "" && strings.Contains(r.Expr, w.refuses) {
			out[r.Key()] = "the checker does not like it"
		}
	}
	return out, nil
}

func (w *world) Apply(_ context.Context, wanted prometheus.Wanted) (map[string]string, error) {
	rules, targets := wanted.Rules, wanted.TargetsFile
	for _, p := range wanted.Pools {
		targets = append(targets, p.File...)
	}
	w.applies++
	blamed := map[string]string{}
	for _, r := range rules {
		if w.blames != "" && strings.Contains(r.Expr, w.blames) {
			blamed[r.Key()] = "Prometheus does not like it"
		}
	}
	if len(blamed) > 0 {
		return nil, &prometheus.RefusedError{Reason: "no", Rules: blamed}
	}
	if w.applyErr == nil {
		w.rules, w.targets = rules, string(targets)
	}
	return w.differing, w.applyErr
}

func (w *world) Rules(context.Context) (map[string]prometheus.Health, error) {
	out := map[string]prometheus.Health{}
	for _, r := range w.rules {
		h := prometheus.Health{Evaluated: !w.unevaluated, Error: w.fails[r.Name]}
		out[r.Name] = h
	}
	return out, nil
}

func (w *world) Ask(_ context.Context, q truth.Question) ([]string, error) {
	w.asked++
	return w.series[q], nil
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
		Settings:   desired.Settings{Settings: scrape.Settings{Networks: []string{"waggle"}, Interval: 10 * time.Second, Timeout: 10 * time.Second}},
		Evaluation: 10 * time.Second,
		Again:      func(time.Duration) { w.pokes++ },
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

// waits makes a pass that can do nothing yet, which is not a success.
func (w *world) waits() {
	w.t.Helper()
	if err := w.loop.Pass(w.t.Context()); !errors.Is(err, reconcile.ErrNotYet) {
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
	w.waits()
	w.complete, w.known = true, false
	w.waits()
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
		w.waits()
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
	w.waits()
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

// TestACheckThatCannotBeMadeIsTold: on a full disk the checker has no file to look at. What was in
// force stays, and each service says why it is not what its labels ask for.
func TestACheckThatCannotBeMadeIsTold(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.checkErr = errors.New("no space left on device")
	w.label("scrapePort", "80", "alertName", "a", "alertIf", "up < 2")
	if err := w.loop.Pass(t.Context()); !errors.Is(err, w.checkErr) || w.applies != 1 {
		t.Fatal(err, w.applies)
	}
	if st := w.statuses[0]; st.State != catalog.StateAccepted || !strings.Contains(st.Reason, "no space left") || !strings.Contains(w.loop.View().Err, "no space left") {
		t.Fatal(st, w.loop.View().Err)
	}
	w.checkErr = nil
	w.pass()
	w.wants(catalog.StateApplied, "up < 2", true)
}

func TestAppliedMeansThatPrometheusShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.blind = true
		w.pass()
		w.wants(catalog.StateAccepted, "up < 1", true)
		if w.pokes == 0 {
			t.Error("nobody asked for another look")
		}
		w.blind = false
		w.pass()
		w.wants(catalog.StateApplied, "up < 1", true)
		w.shown[0].ScrapeInterval = "1m"
		w.pass()
		w.wants(catalog.StateAccepted, "up < 1", true)
	})
}

// TestATargetOverItsLimitIsToldAtItsService, and looked at again soon.
func TestATargetOverItsLimitIsToldAtItsService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.pass()
		w.shown[0].Health, w.shown[0].LastError = "down", "sample limit exceeded"
		before := w.pokes
		w.pass()
		if st := w.statuses[0]; st.State != catalog.StateDegraded || !strings.Contains(st.Reason, "sample limit exceeded") || w.pokes == before {
			t.Error(st, w.pokes)
		}
		w.shown[0].Health, w.shown[0].LastError = prometheus.Unscraped, ""
		before = w.pokes
		w.pass()
		if st := w.statuses[0]; st.State != catalog.StateApplied || w.pokes == before {
			t.Error(st, "nobody looks whether the first scrape goes well", w.pokes)
		}
	})
}

// TestASecretThatIsNotTakenIsToldAtItsLabel, and looked at again soon.
func TestASecretThatIsNotTakenIsToldAtItsLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.label("scrapePort", "80", "scrapeSecret", "web", "alertName", "a", "alertIf", "up < 1")
		w.pass()
		w.wants(catalog.StateApplied, "up < 1", true)
		for _, words := range []string{"server returned HTTP status 401", `Get "http://10.0.0.1:80/metrics": unable to read authorization credentials: open /run/secrets/dfm_auth_web: no such file`} {
			w.shown[0].Health, w.shown[0].LastError = "down", words
			before := w.pokes
			w.pass()
			if st := w.statuses[0]; st.State != catalog.StateDegraded || st.Label != "com.df.scrapeSecret" || !strings.Contains(st.Reason, words) || !strings.Contains(st.Hint, "dfm_auth_web") || w.pokes == before {
				t.Error(st, w.pokes)
			}
		}
		w.shown[0].LastError = "connection refused"
		w.pass()
		w.wants(catalog.StateApplied, "up < 1", true)
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

// TestARuleThatPrometheusRefusesIsLeftOut although its checker lets it through: everything else goes on.
func TestARuleThatPrometheusRefusesIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.label("scrapePort", "81", "alertName", "a", "alertIf", "up < 2", "alertName.1", "b", "alertIf.1", "up < 3")
	w.blames = "< 2"
	w.pass()
	if st := w.statuses[0]; st.State != catalog.StateAccepted && st.State != catalog.StateDegraded || st.Label != "com.df.alertIf" || !strings.Contains(st.Reason, "Prometheus does not like it") {
		t.Fatal(st)
	}
	if len(w.rules) != 2 || !strings.Contains(w.targets, "10.0.0.1:81") {
		t.Fatal(w.rules, w.targets)
	}
	// What was said is forgotten with the label that it is about.
	w.label("alertName.1", "b", "alertIf.1", "up < 3")
	w.pass()
	if len(w.loop.refused) != 0 {
		t.Error(w.loop.refused)
	}
}

func TestARuleThatFailsIsToldAtItsService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.label("alertName.1", "good", "alertIf.1", "up < 1", "alertName.2", "bad", "alertIf.2", "up * on () up > 0")
		w.unevaluated = true
		w.pass()
		if w.statuses[0].State != catalog.StateApplied || w.pokes != 1 {
			t.Error(w.statuses, w.pokes)
		}
		w.unevaluated, w.fails = false, map[string]string{"web_bad": "many-to-many matching not allowed"}
		w.pass()
		if st := w.statuses[0]; st.State != catalog.StateDegraded || st.Label != "com.df.alertIf.2" || !strings.Contains(st.Reason, "many-to-many") || w.pokes != 2 {
			t.Error(st, w.pokes)
		}
		w.fails = nil
		w.pass()
		if st := w.statuses[0]; st.State != catalog.StateApplied {
			t.Error(st)
		}
		w.differing = map[string]string{"web_good": "Prometheus shows it otherwise than it was written"}
		w.pass()
		if st := w.statuses[0]; st.State != catalog.StateDegraded || st.Label != "com.df.alertIf.1" || !strings.Contains(st.Reason, "otherwise") {
			t.Error(st)
		}
	})
}

func TestWhatARuleLacksIsToldOnceItIsRipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.label("alertName", "a", "alertIf", "gone_total > 1")
		w.pass()
		if w.asked != 0 || len(w.statuses[0].Warnings) != 0 {
			t.Fatal("it was asked at once", w.asked, w.statuses)
		}
		time.Sleep(30 * time.Second)
		w.pass()
		if st := w.statuses[0]; st.State != catalog.StateApplied || len(st.Warnings) != 1 || !strings.HasPrefix(st.Warnings[0], "com.df.alertIf: no series gone_total") {
			t.Fatal(st)
		}
		asked := w.asked
		w.pass()
		if w.asked != asked || len(w.statuses[0].Warnings) != 1 {
			t.Error("it was asked again, or forgotten")
		}
		w.series = map[truth.Question][]string{{Selector: "gone_total"}: {"yes"}}
		time.Sleep(time.Minute)
		w.pass()
		if st := w.statuses[0]; len(st.Warnings) != 0 {
			t.Error(st)
		}
	})
}

// TestManyQuestionsAreSpreadOverPasses, and no answer that was there is lost meanwhile.
func TestManyQuestionsAreSpreadOverPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const many = 150
		var labels []string
		for i := range many {
			n := strconv.Itoa(i + 1)
			labels = append(labels, "alertName."+n, "a"+n, "alertIf."+n, "gone"+n+" > 1")
		}
		w.label(labels...)
		w.pass()
		time.Sleep(30 * time.Second)
		passes := 0
		for ; len(w.statuses[0].Warnings) < many && passes < 10; passes++ {
			asked := w.asked
			w.pass()
			if w.asked-asked > maxQuestions {
				t.Errorf("%d questions in one pass", w.asked-asked)
			}
		}
		if passes < 2 || passes == 10 {
			t.Errorf("%d passes, %d warnings", passes, len(w.statuses[0].Warnings))
		}
		time.Sleep(time.Minute)
		w.pass()
		if len(w.statuses[0].Warnings) != many {
			t.Error("warnings are lost while it is asked again")
		}
	})
}
