package monitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	registry "github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/monitor"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// keys are the secrets of the two components that take part.
var keys = map[string]string{"listener": "the-listeners-secret", "monitor": "the-monitors-secret"}

// stage is a bus, a listener whose swarm the test decides, and a monitor with its Prometheus.
type stage struct {
	t        *testing.T
	nats     *bustest.Server
	listener *bus.Bus
	writer   *bus.CatalogWriter
	swarm    catalog.Snapshot
	config   monitor.Config
	admin    string
	log      io.Writer
	stop     func()
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, nats: bustest.StartWithKeys(t, keys), admin: tooltest.FreeAddress(t), log: io.Discard}
	s.listener = s.nats.Prepared()
	s.writer = s.listener.CatalogWriter(func() {})
	bustest.Run(t, s.writer.Run)
	s.swarm = catalog.Snapshot{
		Services: map[string]catalog.Service{}, Tasks: map[string][]catalog.Task{},
		Nodes: map[string]catalog.Node{"n1": {ID: "n1", Hostname: "one", Role: "manager"}},
	}
	s.config = monitor.Config{
		NATSURL: s.nats.URL(), NATSKey: app.Secret(keys["monitor"]), Instance: "test", Network: "waggle", DataDir: t.TempDir(),
		PrometheusBin: tooltest.Path(t, "prometheus"), PromtoolBin: tooltest.Path(t, "promtool"),
		PrometheusURL: "http://" + tooltest.FreeAddress(t), PrometheusListen: tooltest.FreeAddress(t),
		ScrapeInterval: time.Second, ScrapeTimeout: time.Second, EvaluationInterval: time.Second, Retention: time.Hour,
		PrometheusOutput: io.Discard, Limits: monitor.Limits{Interval: 100 * time.Millisecond},
	}
	return s
}

// start runs the monitor.
func (s *stage) start() {
	s.t.Helper()
	sh := app.Shell{Name: "monitor", Version: "test", Admin: s.admin, Log: slog.New(slog.NewJSONHandler(s.log, nil)), Registry: registry.NewRegistry()}
	s.stop = bustest.Run(s.t, func(ctx context.Context) error { return monitor.Run(ctx, s.config, sh) })
}

// service puts a service into the swarm that has one task at an address, and these labels.
func (s *stage) service(name, address string, labels ...string) {
	svc := catalog.Service{
		ID: "id" + name, Name: name, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"},
		CreatedAt: time.Unix(int64(len(s.swarm.Services)), 0).UTC(), Labels: map[string]string{catalog.Notify: "true"},
	}
	if old, ok := s.swarm.Services[svc.ID]; ok {
		svc.CreatedAt = old.CreatedAt
	}
	for _, l := range labels {
		key, text, _ := strings.Cut(l, "=")
		svc.Labels[catalog.Prefix+key] = text
	}
	s.swarm.Services[svc.ID] = svc
	s.swarm.Tasks[svc.ID] = []catalog.Task{{
		ID: "t1", Slot: 1, Node: "n1", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {address}},
	}}
}

func (s *stage) remove(name string) {
	delete(s.swarm.Services, "id"+name)
	delete(s.swarm.Tasks, "id"+name)
}

// publish brings the swarm to the bus.
func (s *stage) publish() {
	s.t.Helper()
	entries, large, err := catalog.EncodeAll(s.swarm)
	if err != nil || len(large) > 0 {
		s.t.Fatal(err, large)
	}
	tooltest.Eventually(s.t, "the swarm is published", func() error {
		seen, ok := s.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := s.writer.Write(s.t.Context(), seen, seen.Plan(entries))
		return err
	})
}

// get reads JSON from Prometheus as others see it, or from the admin port.
func (s *stage) get(url string, into any) error {
	return tooltest.Get(s.t.Context(), tooltest.Request{URL: url}, into)
}

// shows tells what Prometheus shows: "JOB ADDRESS PATH" of targets and "NAME=QUERY" of rules.
func (s *stage) shows() (string, error) {
	var targets struct {
		Data struct {
			ActiveTargets []struct {
				Labels    map[string]string
				ScrapeURL string
				Pool      string `json:"scrapePool"`
			}
		}
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Query string }
			}
		}
	}
	base := "http://" + s.config.PrometheusListen
	if err := errors.Join(s.get(base+"/api/v1/targets", &targets), s.get(base+"/api/v1/rules", &rules)); err != nil {
		return "", err
	}
	var out []string
	for _, t := range targets.Data.ActiveTargets {
		if t.Pool == prometheus.Pool {
			out = append(out, t.Labels["job"]+" "+strings.TrimPrefix(t.ScrapeURL, "http://"))
		}
	}
	for _, g := range rules.Data.Groups {
		for _, r := range g.Rules {
			out = append(out, r.Name+"="+r.Query)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; "), nil
}

// rules is what Prometheus says of its rules, as text.
func (s *stage) rules() (string, error) {
	var all json.RawMessage
	err := s.get(s.config.PrometheusURL+"/api/v1/rules", &all)
	return string(all), err
}

func (s *stage) eventuallyShows(what, want string) {
	s.t.Helper()
	tooltest.Eventually(s.t, what, func() error {
		got, err := s.shows()
		if err == nil && got != want {
			err = fmt.Errorf("Prometheus shows %q, want %q", got, want)
		}
		return err
	})
}

// status waits for a service's state on the bus.
func (s *stage) status(name string, state catalog.State) catalog.Status {
	s.t.Helper()
	var st catalog.Status
	tooltest.Eventually(s.t, name+" is "+string(state), func() error {
		st = catalog.Status{}
		b, _, err := s.listener.Bucket(bus.StatusBucket).Get(s.t.Context(), bus.StatusKey("monitor", "test", "id"+name))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, &st); err != nil {
			return err
		}
		if st.State != state {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	return st
}

// counter reads a metric's value from the admin port, 0 if it is not there.
func (s *stage) counter(name string) float64 {
	s.t.Helper()
	var text string
	if err := s.get("http://"+s.admin+"/metrics", &text); err != nil {
		s.t.Fatal(err)
	}
	var v float64
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return v
}

func TestFromLabelsToPrometheus(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/m" {
			hits.Add(1)
		}
		_, _ = io.WriteString(w, "x 1\n")
	}))
	defer exporter.Close()
	_, port, err := net.SplitHostPort(exporter.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	s.start()

	// Labels become targets and rules, and the status says so.
	web := []string{"scrapePort=" + port, "metricsPath=/m", "scrapeInterval=200ms", "alertName=slow", "alertIf=up > 3"}
	s.service("shop_web", "127.0.0.1", web...)
	s.service("db", "127.0.0.2", "alertName.1=a", "alertIf.1=up > 1", "alertName.3=b", "alertIf.3=up > 2")
	s.publish()
	target := "shop_web 127.0.0.1:" + port + "/m"
	s.eventuallyShows("targets and rules are there", "db_a=up > 1; db_b=up > 2; "+target+"; shop_web_slow=up > 3")
	s.status("shop_web", catalog.StateApplied)
	s.status("db", catalog.StateApplied)
	tooltest.Eventually(t, "the target is scraped", func() error {
		if hits.Load() < 3 {
			return errors.New("too few scrapes")
		}
		return nil
	})
	var health map[string]string
	tooltest.Eventually(t, "it is healthy", func() error { return s.get("http://"+s.admin+"/healthz", &health) })
	reloads := s.counter(`waggle_monitor_reloads_total{result="ok"}`)

	// A new task is a target without a reload.
	s.swarm.Tasks["idshop_web"][0].Addresses = map[string][]string{"waggle": {"127.0.0.9"}}
	s.publish()
	moved := "shop_web 127.0.0.9:" + port + "/m"
	s.eventuallyShows("the target moves", "db_a=up > 1; db_b=up > 2; "+moved+"; shop_web_slow=up > 3")
	if n := s.counter(`waggle_monitor_reloads_total{result="ok"}`); n != reloads {
		t.Errorf("%g reloads, want %g", n, reloads)
	}

	// One bad alert is refused by name, all others load, and it stays as it was.
	s.service("db", "127.0.0.2", "alertName.1=a", "alertIf.1=@nope:1", "alertName.3=b", "alertIf.3=up > 22")
	s.service("new", "127.0.0.3", "alertName=n", "alertIf=up > 5")
	s.publish()
	all := "db_a=up > 1; db_b=up > 22; new_n=up > 5; " + moved + "; shop_web_slow=up > 3"
	s.eventuallyShows("one is kept, the others change", all)
	if st := s.status("db", catalog.StateDegraded); st.Label != "com.df.alertIf.1" || !strings.Contains(st.Reason, "@nope:1") {
		t.Error(st)
	}
	var one struct {
		State, Reason string
		Alerts        []struct{ Name string }
	}
	if err := s.get("http://"+s.admin+"/v1/services/db", &one); err != nil || one.State != "degraded" || !strings.Contains(one.Reason, "alert 1 stays as it was last accepted") || len(one.Alerts) != 2 {
		t.Error(one, err)
	}

	s.announced()

	// The bus loses its store, and what was accepted with it: nothing is removed.
	s.nats.Stop()
	const passes = `waggle_monitor_passes_total{loop="prometheus",result="waiting"}`
	passed := s.counter(passes)
	s.nats.LoseStore()
	s.nats.StartAgain()
	tooltest.Eventually(t, "the buckets are there again", func() error { return s.listener.Prepare(t.Context(), 1) })
	tooltest.Eventually(t, "the monitor has looked at the empty bus", func() error {
		if s.counter(passes) <= passed {
			return errors.New("not yet")
		}
		return nil
	})
	if got, err := s.shows(); err != nil || got != all {
		t.Fatal(got, err)
	}
	s.service("late", "127.0.0.4", "alertName=l", "alertIf=up > 6")
	s.publish()
	s.eventuallyShows("only what is new is added", strings.Replace(all, "; new_n", "; late_l=up > 6; new_n", 1))
	s.status("db", catalog.StateDegraded)

	// Services, labels and opt-in go, and all that came with them.
	s.remove("new")
	s.service("shop_web", "127.0.0.9", "alertName=slow", "alertIf=up > 3")
	s.service("db", "127.0.0.2", "notify=false", "alertName.1=a", "alertIf.1=up > 1")
	s.remove("late")
	s.publish()
	s.eventuallyShows("only one alert is left", "shop_web_slow=up > 3")

	// A Prometheus that others reach cannot be changed by them.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.config.PrometheusListen+"/-/quit", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Error(res.Status)
	}
}

// announced waits until the monitor says on the bus what it has applied.
func (s *stage) announced() {
	s.t.Helper()
	tooltest.Eventually(s.t, "the instance is announced", func() error {
		b, _, err := s.listener.Bucket(bus.StatusBucket).Get(s.t.Context(), "instance.monitor.test")
		if err != nil {
			return err
		}
		var i catalog.Instance
		if err := json.Unmarshal(b, &i); err != nil {
			return err
		}
		if i.Version != "test" || i.Hash == "" || i.Revision.Sequence == 0 {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
}

func TestARestartServesTheLastGoodWithoutABus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start()
	s.service("web", "127.0.0.1", "scrapePort=9", "metricsPath=/m", "scrapeTimeout=500ms", "alertName=a", "alertIf=up > 1", "alertFor=90s", "alertPersistent=true")
	s.publish()
	const all = "web 127.0.0.1:9/m; web_a=up > 1"
	s.eventuallyShows("it is there", all)
	s.status("web", catalog.StateApplied)
	s.stop()
	s.nats.Stop()
	s.config.PrometheusURL, s.config.PrometheusListen = "http://"+tooltest.FreeAddress(t), tooltest.FreeAddress(t)
	s.start()
	s.eventuallyShows("it is there without a bus", all)
	var errText map[string]string
	if err := s.get("http://"+s.admin+"/v1/services", &errText); err == nil || !strings.Contains(err.Error(), "last good") {
		t.Error(err)
	}
	s.nats.StartAgain()
	s.service("web", "127.0.0.1", "scrapePort=9", "metricsPath=/m", "alertName=a", "alertIf=up > 2")
	s.publish()
	s.eventuallyShows("it follows again", "web 127.0.0.1:9/m; web_a=up > 2")
}

func TestAStormOfUpdatesEndsRightAndCostsFewReloads(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start()
	s.service("web", "127.0.0.1", "alertName=a", "alertIf=up > 0")
	s.publish()
	s.eventuallyShows("it is there", "web_a=up > 0")
	before := s.counter(`waggle_monitor_reloads_total{result="ok"}`)
	const updates = 40
	for i := range updates {
		s.service("web", "127.0.0.1", "alertName=a", fmt.Sprintf("alertIf=up > %d", i+1))
		s.publish()
	}
	s.eventuallyShows("the last one wins", "web_a=up > 40")
	if n := s.counter(`waggle_monitor_reloads_total{result="ok"}`) - before; n < 1 || n > updates/2 {
		t.Errorf("%g reloads for %d updates", n, updates)
	}
}

// TestAScalingCostsAReloadOnlyWhereTheNumberIsAskedFor: it stands in the rule and its summary.
func TestAScalingCostsAReloadOnlyWhereTheNumberIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start()
	scale := func(name string, replicas uint64, labels ...string) {
		s.service(name, "127.0.0.1", append(labels, "alertName=a")...)
		svc := s.swarm.Services["id"+name]
		svc.Replicas = replicas
		s.swarm.Services["id"+name] = svc
	}
	asks, does := "alertIf=@replicas_less_than", "alertIf=up > 1"
	scale("asks", 2, asks)
	scale("other", 2, does)
	s.publish()
	summary := func(replicas int) {
		t.Helper()
		want := fmt.Sprintf("The number of running replicas of the service asks is less than %d", replicas)
		tooltest.Within(t, time.Minute, want, func() error {
			text, err := s.rules()
			if err == nil && !strings.Contains(text, want) {
				err = errors.New(text)
			}
			return err
		})
	}
	summary(2)
	s.status("asks", catalog.StateApplied)
	s.status("other", catalog.StateApplied)
	reloads := func() float64 { return s.counter(`waggle_monitor_reloads_total{result="ok"}`) }
	before := reloads()
	scale("other", 5, does)
	s.publish()
	scale("other", 3, does)
	scale("asks", 4, asks)
	s.publish()
	summary(4)
	s.status("asks", catalog.StateApplied)
	// Prometheus may show the rules before the reload has been answered and counted.
	tooltest.Eventually(t, "the reload is counted", func() error {
		if reloads() == before {
			return errors.New("not yet")
		}
		return nil
	})
	if n := reloads() - before; n != 1 {
		t.Errorf("%g reloads, want 1", n)
	}
}

func TestAPrometheusThatIsNotOurs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	theirs := tooltest.FreeAddress(t)
	s.config.PrometheusURL, s.config.PrometheusListen, s.config.PrometheusBin = "http://"+theirs, theirs, ""
	s.start()
	var text string
	tooltest.Eventually(t, "the files are there", func() error { return s.get("http://"+s.admin+"/metrics", &text) })
	p := &prometheus.Process{
		Bin: tooltest.Path(t, "prometheus"), Dir: s.config.DataDir + "/prometheus", Storage: t.TempDir(), Listen: theirs,
		Retention: time.Hour, Output: io.Discard, Log: slog.New(slog.DiscardHandler),
	}
	bustest.Run(t, p.Run)
	s.service("web", "127.0.0.1", "scrapePort=9", "alertName=a", "alertIf=up > 1")
	s.publish()
	s.eventuallyShows("their Prometheus shows it", "web 127.0.0.1:9/metrics; web_a=up > 1")
	s.status("web", catalog.StateApplied)
}

func TestWhyIsMyServiceNotScraped(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start()
	s.service("good", "127.0.0.1", "scrapePort=9")
	s.service("off", "127.0.0.1", "scrapePort=9", "notify=false")
	s.service("silent", "127.0.0.1")
	s.service("elsewhere", "127.0.0.1", "scrapePort=9")
	svc := s.swarm.Services["idelsewhere"]
	svc.Networks = []string{"back"}
	s.swarm.Services["idelsewhere"] = svc
	s.service("boxed", "127.0.0.1")
	svc = s.swarm.Services["idboxed"]
	svc.ContainerLabels = map[string]string{"com.df.scrapePort": "80"}
	s.swarm.Services["idboxed"] = svc
	s.service("asleep", "127.0.0.1", "scrapePort=9")
	s.swarm.Tasks["idasleep"] = []catalog.Task{}
	s.publish()
	s.status("good", catalog.StateApplied)
	for name, want := range map[string]string{
		"good":      `"state": "applied"`,
		"off":       "com.df.notify=true",
		"silent":    "no label asks",
		"elsewhere": "networks: [waggle]",
		"boxed":     "deploy.labels",
		"asleep":    "nothing to scrape",
	} {
		var text string
		if err := s.get("http://"+s.admin+"/v1/services/"+name, &text); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v %s", name, err, text)
		}
	}
	var text string
	if err := s.get("http://"+s.admin+"/v1/services/nobody", &text); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	tooltest.Eventually(t, "the target's own error is told", func() error {
		if err := s.get("http://"+s.admin+"/v1/services/good", &text); err != nil {
			return err
		}
		if !strings.Contains(text, `"health": "down"`) || !strings.Contains(text, "connection refused") {
			return errors.New(text)
		}
		return nil
	})
	var targets []struct {
		Targets []string
		Labels  map[string]string
	}
	if err := s.get("http://"+s.admin+"/v1/targets", &targets); err != nil || len(targets) != 1 || targets[0].Targets[0] != "127.0.0.1:9" || targets[0].Labels["job"] != "good" {
		t.Error(targets, err)
	}
	var all struct {
		Hash     string
		Services []struct{ Service, State string }
	}
	if err := s.get("http://"+s.admin+"/v1/services", &all); err != nil || len(all.Services) != 3 || all.Hash == "" {
		t.Error(all, err)
	}
}

// TestTheRunningMonitorDecidesAsTheJudgeDoes by the settings that it publishes.
func TestTheRunningMonitorDecidesAsTheJudgeDoes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.config.ScrapeInterval, s.config.ScrapeTimeout = 20*time.Second, 30*time.Second
	s.start()
	s.service("fine", "127.0.0.1", "alertName=a", "alertIf=up > 1", "alertName.1=b", "alertIf.1=up > 2")
	s.service("short", "127.0.0.2", "scrapePort=9", "alertName=a", "alertIf=@resp_time_server_error:30s,0.1")
	s.service("wrong", "127.0.0.3", "alertName=a", "alertIf=sum(")
	s.service("load", "127.0.0.5", "scaleMax=2", "scaleMetric=sum(up)", "scaleTarget=1", "alertName=a", "alertIf=sum(rate(up[2m])) > 1", "alertLabels=scale=up")
	s.service("idle", "127.0.0.4", "metricsPath=/m")
	s.publish()
	s.status("fine", catalog.StateApplied)
	s.status("load", catalog.StateApplied)
	s.status("wrong", catalog.StateRejected)
	var instance catalog.Instance
	tooltest.Eventually(t, "it tells its settings", func() error {
		b, _, err := s.listener.Bucket(bus.StatusBucket).Get(t.Context(), "instance.monitor.test")
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &instance)
	})
	answers, err := judge.Services(judge.Question{Snapshot: s.swarm, Settings: instance.Settings})
	if err != nil || len(answers) != 5 {
		t.Fatal(answers, err)
	}
	var rules []string
	for _, a := range answers {
		want := a.State
		if want == catalog.StateAccepted {
			want = catalog.StateApplied
		}
		if st := s.status(a.Service, want); st.Reason != a.Reason || st.Label != a.Label || st.Hint != a.Hint {
			t.Errorf("it says %+v, and the judge %+v", st, a.Status)
		}
		for _, j := range a.Jobs {
			rules = append(rules, j.Name+" "+j.Targets[0]+j.Path)
		}
		for _, r := range a.Rules {
			rules = append(rules, r.Name+"="+r.Expr)
		}
	}
	slices.Sort(rules)
	s.eventuallyShows("targets and rules are the judge's", strings.Join(rules, "; "))
}

// TestAWrongSecretIsNotASuccess: what was last accepted goes on, and the metrics tell.
func TestAWrongSecretIsNotASuccess(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.config.NATSKey = "another-secret-than-monitors"
	s.start()
	var text string
	tooltest.Eventually(t, "a pass waits", func() error {
		if err := s.get("http://"+s.admin+"/metrics", &text); err != nil {
			return err
		}
		if s.counter(`waggle_monitor_passes_total{loop="prometheus",result="waiting"}`) == 0 || s.counter("waggle_monitor_catalog_age_seconds") <= 0 {
			return errors.New(text)
		}
		return nil
	})
	if s.counter(`waggle_monitor_passes_total{loop="prometheus",result="ok"}`) != 0 || s.counter(`waggle_monitor_last_success_timestamp_seconds{loop="prometheus"}`) != 0 {
		t.Error(text)
	}
	// The first reload that fails must be an increase.
	for _, result := range prometheus.Results() {
		if line := `waggle_monitor_reloads_total{result="` + result + `"} 0`; !strings.Contains(text, line) {
			t.Errorf("without %s:\n%s", line, text)
		}
	}
}

// TestWhatBecomesOfRulesAfterTheyAreLoaded: a rule that fails, and one that looks at nothing,
// are told at their service, whose metrics keep their own labels.
func TestWhatBecomesOfRulesAfterTheyAreLoaded(t *testing.T) {
	t.Parallel()
	var body atomic.Pointer[string]
	say := func(text string) { body.Store(&text) }
	say("app_total{service=\"checkout\",node=\"rack7\"} 5\ndup{a=\"1\"} 1\ndup{a=\"2\"} 1\ntwin{a=\"1\"} 1\ntwin{a=\"2\"} 1\n")
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, *body.Load()) }))
	defer exporter.Close()
	_, port, err := net.SplitHostPort(exporter.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	s.start()
	s.service("shop_web", "127.0.0.1", "scrapePort="+port, "metricsPath=/métriques",
		"alertName.1=bad", "alertIf.1=dup * on () dup > 0", "alertName.2=orders", `alertIf.2=app_total{service="checkout"} > 1`, "alertName.3=none", "alertIf.3=ap_total > 1")
	s.service("other", "127.0.0.1", "alertName=fine", "alertIf=up > 6")
	s.service("many", "127.0.0.1", "scaleMax=3", "scaleMetric=twin", "scaleTarget=1")
	s.publish()
	if st := s.status("many", catalog.StateDegraded); st.Label != "com.df.scaleMetric" || !strings.Contains(st.Reason, "the load has more than one series") {
		t.Error(st)
	}
	st := s.status("shop_web", catalog.StateDegraded)
	if st.Label != "com.df.alertIf.1" || !strings.Contains(st.Reason, "many-to-many") {
		t.Error(st)
	}
	s.status("other", catalog.StateApplied)
	say("app_total{service=\"checkout\",node=\"rack7\"} 5\ndup{a=\"1\"} 1\ntwin{a=\"1\"} 1\n")
	s.status("many", catalog.StateApplied)
	tooltest.Eventually(t, "it is well again, but for what is not there", func() error {
		if st := s.status("shop_web", catalog.StateApplied); len(st.Warnings) != 1 || !strings.HasPrefix(st.Warnings[0], "com.df.alertIf.3: no series ap_total") {
			return fmt.Errorf("%+v", st)
		}
		return nil
	})
	tooltest.Eventually(t, "the alert on a label of the application's own fires", func() error {
		var answer struct {
			Data struct {
				Alerts []struct{ Labels map[string]string }
			}
		}
		if err := s.get("http://"+s.config.PrometheusListen+"/api/v1/alerts", &answer); err != nil {
			return err
		}
		for _, a := range answer.Data.Alerts {
			if a.Labels["alertname"] == "shop_web_orders" && a.Labels["service"] == "checkout" && a.Labels["owner"] == "shop_web" && a.Labels["job"] == "shop_web" {
				return nil
			}
		}
		return fmt.Errorf("%+v", answer)
	})
}

// given sets variables, and says that a flag was set.
func given(c *monitor.Config, flag string, environ ...string) {
	c.Sources.Environ, c.Sources.Given = environ, map[string]bool{flag: true}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for want, change := range map[string]func(*monitor.Config){
		"prometheus-url":    func(c *monitor.Config) { c.PrometheusURL = "9090" },
		"external-url":      func(c *monitor.Config) { c.ExternalURL = "/monitor" },
		"alertmanager-url":  func(c *monitor.Config) { c.AlertmanagerURL = "am:9093" },
		"control-network":   func(c *monitor.Config) { c.AlertmanagerURL = "tasks+http://waggle_alertmanager:9093" },
		"promtool":          func(c *monitor.Config) { c.PromtoolBin = "/nowhere/promtool" },
		"scrape-interval":   func(c *monitor.Config) { c.ScrapeInterval = 0 },
		"network":           func(c *monitor.Config) { c.Network = " , " },
		"sample-limit":      func(c *monitor.Config) { c.Limits.Samples = -1 },
		"body-limit":        func(c *monitor.Config) { c.Limits.Body = "much" },
		"retention-size":    func(c *monitor.Config) { c.Limits.Storage = "1 GB" },
		"alert-limit":       func(c *monitor.Config) { c.Limits.Alerts = -1 },
		"waggle or classic": func(c *monitor.Config) { c.Sources.Shortcuts = "modern" },
		"shortcuts-file": func(c *monitor.Config) {
			c.Sources.ShortcutsFile, c.Sources.Given = "/nowhere/x.yaml", map[string]bool{"shortcuts-file": true}
		},
		"df-node-target-labels": func(c *monitor.Config) { c.NodeLabels = "__address__" },
		"base-file":             func(c *monitor.Config) { c.Sources.BaseFile = "/nowhere/base.yml" },
		// Two that say the same are both named, whichever they are.
		"ARG_STORAGE_LOCAL_RETENTION and RETENTION":          func(c *monitor.Config) { given(c, "retention", "ARG_STORAGE_LOCAL_RETENTION=1d") },
		"GLOBAL__SCRAPE_INTERVAL and SCRAPE_INTERVAL":        func(c *monitor.Config) { given(c, "scrape-interval", "GLOBAL__SCRAPE_INTERVAL=1s") },
		"ARG_ALERTMANAGER_URL: alertmanager-url \"am:9093\"": func(c *monitor.Config) { given(c, "", "ARG_ALERTMANAGER_URL=am:9093") },
		"ARG_STORAGE_LOCAL_RETENTION: not a valid":           func(c *monitor.Config) { given(c, "", "ARG_STORAGE_LOCAL_RETENTION=long") },
		// What was set by a variable is named by it as well.
		"ARG_STORAGE_TSDB_RETENTION_SIZE: retention-size \"lots\"": func(c *monitor.Config) { given(c, "", "ARG_STORAGE_TSDB_RETENTION_SIZE=lots") },
		"ARG_STORAGE_LOCAL_RETENTION: retention 0s":                func(c *monitor.Config) { given(c, "", "ARG_STORAGE_LOCAL_RETENTION=0") },
		"ARG_WEB_EXTERNAL-URL: external-url \"nowhere\"":           func(c *monitor.Config) { given(c, "", "ARG_WEB_EXTERNAL-URL=nowhere") },
		"SAMPLE_LIMIT: sample-limit \"-1\"": func(c *monitor.Config) {
			given(c, "sample-limit", "SAMPLE_LIMIT=-1")
			c.Limits.Samples = -1
		},
		"DF_SCRAPE_TARGET_LABELS: df-scrape-target-labels": func(c *monitor.Config) {
			given(c, "df-scrape-target-labels", "DF_SCRAPE_TARGET_LABELS=__a")
			c.ServiceLabels = "__a"
		},
		"SCRAPE_INTERVAL_MIN: scrape-interval-min 0s": func(c *monitor.Config) { given(c, "scrape-interval-min", "SCRAPE_INTERVAL_MIN=0s") },
		"BASE_FILE: base-file": func(c *monitor.Config) {
			given(c, "base-file", "BASE_FILE=/nowhere/base.yml")
			c.Sources.BaseFile = "/nowhere/base.yml"
		},
		"GLOBAL__EVALUATION_INTERVAL \"soon\"":        func(c *monitor.Config) { given(c, "", "GLOBAL__EVALUATION_INTERVAL=soon") },
		"GLOBAL__NO_SUCH: ":                           func(c *monitor.Config) { given(c, "", "GLOBAL__NO_SUCH=1") },
		"the scrape job waggle-services stands twice": func(c *monitor.Config) { given(c, "", "SCRAPE_CONFIGS_1__JOB_NAME=waggle-services") },
		"the scrape job x stands twice in SCRAPE_CONFIGS": func(c *monitor.Config) {
			given(c, "", "SCRAPE_CONFIGS_1__JOB_NAME=x", "SCRAPE_CONFIGS_2__JOB_NAME=x")
		},
		// What a stack file leaves empty says nothing.
		"retention 0s": func(c *monitor.Config) {
			given(c, "external-url", "ARG_WEB_EXTERNAL-URL=http://a/b")
			c.Sources.Given["shortcuts-file"], c.Retention = true, 0
		},
		// Of several the first is named, each time.
		"evaluation-interval": func(c *monitor.Config) { c.EvaluationInterval, c.Retention = 0, 0 },
	} {
		c := monitor.Config{
			DataDir: t.TempDir(), PrometheusBin: "prometheus", PrometheusURL: "http://127.0.0.1:1", Network: "waggle", PromtoolBin: tooltest.Path(t, "promtool"),
			ScrapeInterval: time.Second, ScrapeTimeout: time.Second, EvaluationInterval: time.Second, Retention: time.Hour,
		}
		change(&c)
		sh := app.Shell{Log: slog.New(slog.DiscardHandler), Registry: registry.NewRegistry(), Admin: "127.0.0.1:0"}
		if err := monitor.Run(t.Context(), c, sh); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestEveryLabelAndFlagIsDescribed(t *testing.T) {
	names := map[string]bool{}
	for _, l := range monitor.Labels() {
		if l.Name == "" || l.Kind == "" || l.Default == "" || l.Doc == "" || names[l.Name] {
			t.Errorf("%+v", l)
		}
		names[l.Name] = true
	}
	want := []string{"alertAnnotations", "alertFor", "alertIf", "alertKeepFiringFor", "alertLabels", "alertLimit", "alertName", "alertPersistent", "metricsPath",
		"recordExpr", "recordLabels", "recordName", "scrapeBodyLimit", "scrapeInterval", "scrapeNetwork", "scrapeParams", "scrapePort", "scrapeSampleLimit", "scrapeScheme",
		"scrapeSecret", "scrapeTimeout", "scrapeType", "scrapeUser"}
	if got := slices.Sorted(maps.Keys(names)); !slices.Equal(got, want) {
		t.Error(got)
	}
	fs := flag.NewFlagSet("monitor", flag.ContinueOnError)
	monitor.Service(fs)
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage == "" {
			t.Error(f.Name)
		}
	})
}

// TestOwnRules: the alerts about Waggle itself stand beside those of labels, until
// the operator does without.
func TestOwnRules(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.config.OwnStack, s.config.OwnRules, s.config.ControlNetwork = "waggle", true, "waggle_control"
	s.start()
	s.service("db", "127.0.0.2", "alertName=a", "alertIf=up > 1")
	s.publish()
	s.status("db", catalog.StateApplied)
	tooltest.Eventually(t, "both are there", func() error {
		got, err := s.shows()
		if err == nil && (!strings.Contains(got, "db_a=up > 1") || !strings.Contains(got, `WaggleHAProxyDown=waggle_proxy_haproxy_up{job="waggle_proxy"} == 0`)) {
			err = errors.New(got)
		}
		return err
	})
	s.stop()
	s.config.OwnRules = false
	s.start()
	s.eventuallyShows("those of labels are left", "db_a=up > 1")
}
