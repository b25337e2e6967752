package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// house is a Prometheus of the test's own.
type house struct {
	t       *testing.T
	dir     string
	addr    string
	server  *Server
	reloads map[string]int
	stop    func()
}

// build prepares the files; start runs Prometheus on them.
func build(t *testing.T, promtool string) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), addr: tooltest.FreeAddress(t), reloads: map[string]int{}}
	h.open(promtool)
	return h
}

func (h *house) open(promtool string) {
	h.t.Helper()
	h.server = New(Options{
		Dir: h.dir, URL: "http://" + h.addr, Checker: &Checker{Bin: promtool}, Log: slog.New(slog.DiscardHandler),
		Reloaded: func(result string) { h.reloads[result]++ }, Settings: Settings{SecretsDir: h.dir, SampleLimit: 10, BodyLimit: "1KB"},
	})
	h.prepare(10 * time.Second)
}

// prepare has Prometheus scrape and evaluate so often.
func (h *house) prepare(every time.Duration) {
	h.t.Helper()
	settings := h.server.settings
	settings.ScrapeInterval, settings.ScrapeTimeout, settings.EvaluationInterval = every, every, every
	config, err := Render(settings)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.server.Prepare(h.t.Context(), config); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) process() *Process {
	return &Process{
		Bin: tooltest.Path(h.t, "prometheus"), Dir: h.dir, Storage: filepath.Join(h.dir, "data"), Listen: h.addr,
		Retention: time.Hour, Output: io.Discard, Log: slog.New(slog.DiscardHandler),
	}
}

func (h *house) start() *house {
	h.t.Helper()
	h.stop = bustest.Run(h.t, h.process().Run)
	h.ready()
	return h
}

func (h *house) ready() {
	h.t.Helper()
	tooltest.Eventually(h.t, "Prometheus is ready", func() error { _, err := h.get("/-/ready"); return err })
}

func (h *house) get(path string) (string, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+h.addr+path, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d: %s", res.StatusCode, b)
	}
	return string(b), err
}

func (h *house) apply(rules []alert.Rule, targets []scrape.Target) error {
	h.t.Helper()
	rulesFile, err := alert.Render(rules)
	if err != nil {
		h.t.Fatal(err)
	}
	plain, pools, err := scrape.Pools(targets)
	if err != nil {
		h.t.Fatal(err)
	}
	targetsFile, err := scrape.Render(plain)
	if err != nil {
		h.t.Fatal(err)
	}
	differing, err := h.server.Apply(h.t.Context(), Wanted{Rules: rules, RulesFile: rulesFile, TargetsFile: targetsFile, Pools: pools})
	if len(differing) > 0 {
		h.t.Error(differing)
	}
	return err
}

// has makes sure that Prometheus shows these rules and no others.
func (h *house) has(rules []alert.Rule) {
	h.t.Helper()
	if differing, err := h.server.verify(h.t.Context(), rules); err != nil || len(differing) > 0 {
		h.t.Fatal(differing, err)
	}
}

// lastReload is Prometheus' own time of its last successful reload.
func (h *house) lastReload() string {
	h.t.Helper()
	text, err := h.get("/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^prometheus_config_last_reload_success_timestamp_seconds (.*)$`).FindStringSubmatch(text)
	if found == nil {
		h.t.Fatal("no time of the last reload")
	}
	return found[1]
}

func job(t *testing.T, address string, labels map[string]string) scrape.Target {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	svc := catalog.Service{ID: "id", Name: "shop_web", Stack: "shop", Networks: []string{"waggle"}, Labels: map[string]string{"com.df.shortName": "true", "com.df.scrapePort": port}}
	for k, v := range labels {
		svc.Labels["com.df."+k] = v
	}
	asked := scrape.FromService(svc, scrape.Settings{Networks: []string{"waggle"}, Interval: 10 * time.Second, Timeout: 10 * time.Second})[0]
	if asked.Err != nil {
		t.Fatal(asked.Err)
	}
	task := catalog.Task{Node: "n", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {host}}}
	return scrape.Targets(asked.Job, []catalog.Task{task}, map[string]catalog.Node{"n": {Hostname: "one"}})[0]
}

func TestRulesComeGoAndChange(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool")).start()
	a := rule("web", "web_a", "up == 0")
	a.For, a.Annotations = "1m30s", map[string]string{"summary": "{{ $value }}: \"x\""}
	b := rule("db", "db_b", `sum(rate(x{le=~"1|1[.]0"}[5m])) / (sum(rate(y[5m])) > 0) < .990 or vector(1e3) == 0`)
	for _, rules := range [][]alert.Rule{{a}, {a, b}, {b}, {rule("db", "db_b", "up == 1")}, nil} {
		if err := h.apply(rules, nil); err != nil {
			t.Fatal(err)
		}
		groups, err := h.server.client.rules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		for _, g := range groups {
			shown += len(g.Rules)
		}
		if shown != len(rules) {
			t.Fatalf("%d rules shown, want %d", shown, len(rules))
		}
	}
	if h.reloads["ok"] != 5 || len(h.reloads) != 1 {
		t.Fatal(h.reloads)
	}
}

func TestTargetsChangeWithoutAReload(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/own/path" {
			hits.Add(1)
		}
		_, _ = io.WriteString(w, "x 1\n")
	}))
	defer exporter.Close()
	address := exporter.Listener.Addr().String()
	h := build(t, tooltest.Path(t, "promtool")).start()
	rules := []alert.Rule{rule("web", "web_a", "up == 0")}
	if err := h.apply(rules, nil); err != nil {
		t.Fatal(err)
	}
	before := h.lastReload()
	shows := func(want scrape.Target) func() error {
		return func() error {
			shown, err := h.server.Targets(t.Context())
			if err == nil && (len(shown) != 1 || !Shows(shown, want)) {
				err = fmt.Errorf("shown: %+v", shown)
			}
			return err
		}
	}

	first := job(t, address, map[string]string{"metricsPath": "/own/path", "scrapeInterval": "100ms"})
	if err := h.apply(rules, []scrape.Target{first}); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the target is shown", shows(first))
	tooltest.Eventually(t, "it is scraped at its own path and interval", func() error {
		if n := hits.Load(); n < 10 {
			return fmt.Errorf("%d scrapes", n)
		}
		return nil
	})
	answer, err := h.get("/api/v1/query?query=" + url.QueryEscape(`up{job="web", instance="`+address+`", service="shop_web", node="one"}`))
	if err != nil || !strings.Contains(answer, `"1"]`) {
		t.Fatal(answer, err)
	}

	second := job(t, address, map[string]string{"metricsPath": "/other", "scrapeInterval": "7s", "scrapeTimeout": "3s"})
	if err := h.apply(rules, []scrape.Target{second}); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "path, interval and timeout change", shows(second))
	if err := h.apply(rules, nil); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the target is gone", func() error {
		shown, err := h.server.Targets(t.Context())
		if err == nil && len(shown) > 0 {
			err = fmt.Errorf("shown: %+v", shown)
		}
		return err
	})
	if after := h.lastReload(); after != before || h.reloads["ok"] != 1 {
		t.Fatalf("reloaded at %s and %s, %v", before, after, h.reloads)
	}
}

func TestARefusedReloadLeavesTheLastGood(t *testing.T) {
	t.Parallel()
	h := build(t, "").start() // without a checker, so that the refusal is Prometheus' own
	good := []alert.Rule{rule("web", "web_a", "up == 0")}
	if err := h.apply(good, nil); err != nil {
		t.Fatal(err)
	}
	target := job(t, "127.0.0.1:9", nil)
	err := h.apply([]alert.Rule{rule("web", "web_a", "up =="), rule("db", "db_a", "up")}, []scrape.Target{target})
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(refused.Reason, "failed to reload config") {
		t.Fatal(err)
	}
	h.has(good)
	file, err := os.ReadFile(filepath.Join(h.dir, RulesFile))
	want, _ := alert.Render(good)
	if err != nil || string(file) != string(want) {
		t.Fatalf("%v\n%s", err, file)
	}
	if text, err := h.get("/metrics"); err != nil || !strings.Contains(text, "\nprometheus_config_last_reload_successful 1\n") {
		t.Fatal("Prometheus still complains of its configuration", err)
	}
	tooltest.Eventually(t, "the target is not concerned", func() error {
		shown, err := h.server.Targets(t.Context())
		if err == nil && !Shows(shown, target) {
			err = fmt.Errorf("shown: %+v", shown)
		}
		return err
	})
	if err := h.apply(append(good, rule("db", "db_a", "up")), nil); err != nil {
		t.Fatal(err)
	}
}

func TestAPrometheusThatIsAwayReadsTheFilesWhenItComes(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	rules := []alert.Rule{rule("web", "web_a", "up == 0")}
	if err := h.apply(rules, nil); err == nil || errors.As(err, new(*RefusedError)) {
		t.Fatal(err)
	}
	h.start()
	before := h.lastReload()
	if err := h.apply(rules, nil); err != nil {
		t.Fatal(err)
	}
	if after := h.lastReload(); after != before {
		t.Error("reloaded although Prometheus started with these very rules")
	}
}

func TestAPrometheusThatIsNotOursIsToldOfANewConfiguration(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool")).start()
	h.server.foreign = true
	config, err := Render(Settings{ScrapeInterval: 3 * time.Second, ScrapeTimeout: 3 * time.Second, EvaluationInterval: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.server.Prepare(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := h.apply(nil, nil); err != nil {
		t.Fatal(err)
	}
	if text, err := h.get("/api/v1/status/config"); err != nil || !strings.Contains(text, "scrape_interval: 3s") {
		t.Fatal(text, err)
	}
}

func TestAKilledPrometheusIsBackWithTheSame(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	pids := make(chan int, 10)
	p := h.process()
	p.Log = slog.New(pidHandler{pids})
	bustest.Run(t, p.Run)
	h.ready()
	rules, target := []alert.Rule{rule("web", "web_a", "up == 0")}, job(t, "127.0.0.1:9", nil)
	if err := h.apply(rules, []scrape.Target{target}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(<-pids, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-pids:
	case <-time.After(10 * time.Second):
		t.Fatal("it was not started again")
	}
	h.ready()
	h.has(rules)
	tooltest.Eventually(t, "the target is there again", func() error {
		shown, err := h.server.Targets(t.Context())
		if err == nil && !Shows(shown, target) {
			err = fmt.Errorf("shown: %+v", shown)
		}
		return err
	})
}

// pidHandler passes on the number of each process that a log tells of.
type pidHandler struct{ pids chan int }

func (h pidHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h pidHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h pidHandler) WithGroup(string) slog.Handler            { return h }

func (h pidHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "pid" {
			h.pids <- int(a.Value.Int64())
		}
		return true
	})
	return nil
}

func TestAPrometheusThatCannotStartIsAnError(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	p := h.process()
	p.ExternalURL = "http://[broken"
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "does not start") || !strings.Contains(err.Error(), "http://[broken") {
		t.Fatal(err)
	}
}

func TestPrometheusStartsEvenOnBrokenRules(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	if err := os.WriteFile(filepath.Join(h.dir, RulesFile), []byte("groups: [{name: x, rules: [{alert: a, expr: 'sum('}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.open(tooltest.Path(t, "promtool"))
	h.start()
	if bad, err := os.ReadFile(filepath.Join(h.dir, RulesFile+".bad")); err != nil || !strings.Contains(string(bad), "sum(") {
		t.Fatal(string(bad), err)
	}
	if err := h.apply([]alert.Rule{rule("web", "web_a", "up == 0")}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyMonitorChangesPrometheus(t *testing.T) {
	t.Parallel()
	var reached []string
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = append(reached, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusOK)
	}))
	defer behind.Close()
	target, err := url.Parse(behind.URL + "/prefix")
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(Guard(target, slog.New(slog.DiscardHandler)))
	defer front.Close()
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/prefix/api/v1/query", http.StatusOK},
		{http.MethodPost, "/prefix/api/v1/query", http.StatusOK},
		{http.MethodGet, "/prefix/-/ready", http.StatusOK},
		{http.MethodPost, "/-/reload", http.StatusForbidden},
		{http.MethodPut, "/prefix/-/quit", http.StatusForbidden},
		{http.MethodPost, "/%2d/quit", http.StatusForbidden},
		{http.MethodPost, "//-/quit", http.StatusForbidden},
		{http.MethodPost, "/x/../-/quit", http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, front.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, res.StatusCode, c.want)
		}
	}
	if got := strings.Join(reached, ", "); got != "GET /prefix/api/v1/query, POST /prefix/api/v1/query, GET /prefix/-/ready" {
		t.Error(got)
	}
}
