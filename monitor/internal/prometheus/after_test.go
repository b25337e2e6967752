package prometheus

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/monitor/internal/truth"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// offers serves metrics with a type of its own and returns the address.
func offers(t *testing.T, kind, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// counts asks Prometheus for the number of series.
func (h *house) counts(selector string, want int) {
	h.t.Helper()
	tooltest.Eventually(h.t, fmt.Sprintf("%d of %s", want, selector), func() error {
		answer, err := h.get("/api/v1/query?query=" + url.QueryEscape("count("+selector+")"))
		if err == nil && !strings.Contains(answer, fmt.Sprintf(`"%d"]`, want)) {
			err = errors.New(answer)
		}
		return err
	})
}

// TestMetricsAreReadAsTheyCome: whatever type they say they are of, with the labels that
// they have themselves, except those that say where they come from.
func TestMetricsAreReadAsTheyCome(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	h.prepare(time.Second)
	h.start()
	untyped := job(t, offers(t, "", `a_total{service="checkout",node="rack7",job="mine",instance="me"} 5
b_total 3
c_total{service="checkout",exported_service="inner"} 1
d_total{node="rack7"} 1
`), nil)
	html := job(t, offers(t, "text/html; charset=utf-8", "e_total 1\n"), map[string]string{"metricsPath": "/métriques/100%"})
	if err := h.apply(nil, []scrape.Target{untyped, html}); err != nil {
		t.Fatal(err)
	}
	where := `job="web", instance="` + untyped.Address() + `"`
	h.counts(`a_total{service="checkout", node="rack7", exported_service="", `+where+`}`, 1)
	h.counts(`b_total{service="shop_web", node="one", `+where+`}`, 1)
	h.counts(`c_total{service="checkout", exported_service="inner", exported_exported_service="", `+where+`}`, 1)
	h.counts(`d_total{service="shop_web", node="rack7", exported_node="", `+where+`}`, 1)
	h.counts(`e_total{job="web"}`, 1)
	h.counts(`up{service="shop_web", node="one"}`, 2)
	shown, err := h.server.Targets(t.Context())
	if err != nil || !Shows(shown, untyped) || !Shows(shown, html) {
		t.Error("not shown as they are written:", shown, err)
	}
}

// TestHowRulesFareIsKnown, and what they lack.
func TestHowRulesFareIsKnown(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	h.prepare(time.Second)
	h.start()
	target := job(t, offers(t, "text/plain; version=0.0.4", "dup{a=\"1\"} 1\ndup{a=\"2\"} 1\n# TYPE s histogram\ns_bucket{le=\"1\"} 1\ns_bucket{le=\"+Inf\"} 1\ns_sum 1\ns_count 1\n"), nil)
	rules := []alert.Rule{rule("shop_web", "bad", "dup * on () dup > 0"), rule("shop_web", "good", "up > 5")}
	if err := h.apply(rules, []scrape.Target{target}); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "one fails and one does not", func() error {
		health, err := h.server.Rules(t.Context())
		if err == nil && (!strings.Contains(health["bad"].Error, "many-to-many") || health["good"] != (Health{Evaluated: true})) {
			err = fmt.Errorf("%+v", health)
		}
		return err
	})
	for q, want := range map[truth.Question][]string{
		{Selector: `dup{a="1"}`}:                                      {`dup{a="1"}`},
		{Selector: `dup{a="3"}`}:                                      nil,
		{Selector: "s_bucket", Label: "le"}:                           {"+Inf", "1.0"},
		{Selector: `{__name__=~"dup.*|s_bucket"}`, Label: "__name__"}: {"dup", "s_bucket"},
	} {
		if got, err := h.server.Ask(t.Context(), q); err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %q, %v, want %q", q, got, err, want)
		}
	}
}

// TestTheLoadsOfServicesAreRecorded, each as one series, and of one that has several it is
// known why there is none.
func TestTheLoadsOfServicesAreRecorded(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	h.prepare(time.Second)
	h.start()
	load := func(name, metric string) alert.Rule {
		got, ok := alert.Wanted(catalog.Service{ID: "id" + name, Name: name, Labels: map[string]string{"com.df.scaleMetric": metric, "com.df.scaleTarget": "2"}}, alert.About{})
		if !ok || got.Err != nil {
			t.Fatal(got.Err)
		}
		return got.Rule
	}
	target := job(t, offers(t, "text/plain; version=0.0.4", "queue{of=\"a\"} 3\nqueue{of=\"b\"} 4\n"), map[string]string{"scrapeInterval": "1s"})
	one, all, several := load("one", `queue{of="a"}`), load("all", "sum(queue)"), load("several", "queue")
	rules := []alert.Rule{one, all, several, rule("one", "one_a", "up > 5")}
	if err := h.apply(rules, []scrape.Target{target}); err != nil {
		t.Fatal(err)
	}
	h.has(rules)
	tooltest.Within(t, time.Minute, "two are evaluated, and one fails", func() error {
		health, err := h.server.Rules(t.Context())
		fine := Health{Evaluated: true}
		if err == nil && (health[one.ID()] != fine || health[all.ID()] != fine || !several.Several(health[several.ID()].Error)) {
			err = fmt.Errorf("%+v", health)
		}
		return err
	})
	h.counts("waggle:replicas_wanted", 2)
	h.counts(`waggle:replicas_wanted{service_id="idone", of="", job="", instance=""} == 1.5`, 1)
	h.counts(`waggle:replicas_wanted{service_id="idall"} == 3.5`, 1)

	// One that is loaded otherwise than it was written is known by its service.
	changed := all
	changed.Expr = "vector(7)"
	if differing, err := h.server.verify(t.Context(), []alert.Rule{one, changed, several, rules[3]}); err != nil || len(differing) != 1 || differing[all.ID()] == "" {
		t.Error(differing, err)
	}
}

// TestARefusedRuleIsFound among many, although no checker looked at them, and what is in
// force stays loaded meanwhile.
func TestARefusedRuleIsFound(t *testing.T) {
	t.Parallel()
	h := build(t, "").start()
	var rules []alert.Rule
	for i := range 9 {
		rules = append(rules, rule(fmt.Sprintf("s%d", i), fmt.Sprintf("s%d_a", i), "up == 0"))
	}
	if err := h.apply(rules[:6], nil); err != nil {
		t.Fatal(err)
	}
	now := slices.Clone(rules)
	now[2].Expr, now[7].Expr, now[4].Expr = "sum(", "up ==", "up == 4"
	var refused *RefusedError
	if err := h.apply(now, nil); !errors.As(err, &refused) {
		t.Fatal(err)
	}
	if len(refused.Rules) != 2 || refused.Rules[now[2].Key()] == "" || refused.Rules[now[7].Key()] == "" {
		t.Fatal(refused.Rules)
	}
	h.has(rules[:6])
	good := append(slices.Clone(now[:2]), now[3:7]...)
	if err := h.apply(good, nil); err != nil {
		t.Fatal(err)
	}
	h.has(good)
}

// TestAFileOfTheOperatorsOwnIsNoneOfOurs, also if it is called like ours.
func TestAFileOfTheOperatorsOwnIsNoneOfOurs(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	theirs := filepath.Join(t.TempDir(), RulesFile)
	if err := os.WriteFile(theirs, []byte("groups: [{name: theirs, rules: [{alert: mine, expr: up == 0}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(h.dir, ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	both := strings.Replace(string(config), "- "+RulesFile, "- "+RulesFile+"\n  - "+theirs, 1)
	if err := os.WriteFile(filepath.Join(h.dir, ConfigFile), []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	rules := []alert.Rule{rule("web", "web_a", "up == 0")}
	if err := h.apply(rules, nil); err != nil {
		t.Fatal(err)
	}
	h.has(rules)
	if answer, err := h.get("/api/v1/rules"); err != nil || !strings.Contains(answer, `"name":"mine"`) {
		t.Error("the file is not read at all:", answer, err)
	}
}

// TestAReloadOfOneThatIsNotThereIsNoFailure, as at each start of both.
func TestAReloadOfOneThatIsNotThereIsNoFailure(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool"))
	if err := h.apply([]alert.Rule{rule("web", "web_a", "up == 0")}, nil); err == nil {
		t.Fatal("nobody is there")
	}
	starting := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Service Unavailable", http.StatusServiceUnavailable)
	}))
	defer starting.Close()
	h.server.client = newClient(starting.URL)
	if err := h.apply([]alert.Rule{rule("web", "web_b", "up == 0")}, nil); err == nil || errors.As(err, new(*RefusedError)) {
		t.Fatal(err)
	}
	if h.reloads[ReloadAway] != 2 || len(h.reloads) != 1 {
		t.Error(h.reloads)
	}
}

// TestHowLongToWaitForTheNextStart: longer each time, until one has run for a minute.
func TestHowLongToWaitForTheNextStart(t *testing.T) {
	var c crashes
	for i, step := range []struct {
		ran, pause time.Duration
		giveUp     bool
	}{
		{3 * time.Second, 50 * time.Millisecond, false}, {3 * time.Second, 100 * time.Millisecond, false}, {3 * time.Second, 200 * time.Millisecond, false},
		{3 * time.Second, 400 * time.Millisecond, false}, {3 * time.Second, 800 * time.Millisecond, false}, {3 * time.Second, 1600 * time.Millisecond, false},
		{time.Second, 3200 * time.Millisecond, false}, {3 * time.Second, 6400 * time.Millisecond, false}, {3 * time.Second, 12800 * time.Millisecond, false},
		{3 * time.Second, 25600 * time.Millisecond, false}, {3 * time.Second, 30 * time.Second, false}, {3 * time.Second, 30 * time.Second, false},
		{time.Hour, 50 * time.Millisecond, false},
		{time.Second, 100 * time.Millisecond, false}, {time.Second, 200 * time.Millisecond, false}, {time.Second, 400 * time.Millisecond, false},
		{time.Second, 800 * time.Millisecond, false}, {time.Second, 1600 * time.Millisecond, true},
	} {
		if pause, giveUp := c.after(step.ran); pause != step.pause || giveUp != step.giveUp {
			t.Errorf("step %d: %s, %t, want %+v", i, pause, giveUp, step)
		}
	}
}
