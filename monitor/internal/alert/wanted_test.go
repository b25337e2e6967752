package alert

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// about is what is known of the services of these tests.
var about = About{Proxies: Proxies{Job: "waggle_proxy", Interval: 10 * time.Second}, Every: 10 * time.Second, Evaluation: 10 * time.Second}

func TestHowTheLoadIsMeasured(t *testing.T) {
	without, rare := about, about
	without.Proxies = Proxies{}
	rare.Proxies.Interval, rare.Every = 30*time.Second, 45*time.Second
	for _, c := range []struct {
		name, metric, target string
		about                About
		expr, fault, warning string
	}{
		{
			name: "requests", metric: "@requests", target: "100", about: about,
			expr: `(sum(rate(waggle_proxy_service_responses_total{job="waggle_proxy",service="shop_web"}[1m]))) / on () vector(100)`,
		},
		{
			name: "requests that are counted rarely", metric: "@requests", target: "100", about: rare,
			expr: `(sum(rate(waggle_proxy_service_responses_total{job="waggle_proxy",service="shop_web"}[2m]))) / on () vector(100)`,
		},
		{
			name: "open requests", metric: "@concurrency", target: "20", about: about,
			expr: `(sum(waggle_proxy_service_open_requests{job="waggle_proxy",service="shop_web"})) / on () vector(20)`,
		},
		{
			name: "seconds of CPU", metric: "@cpu", target: "0.5", about: rare,
			expr: `(sum(max by (container_label_com_docker_swarm_task_id, name, cpu) (rate(container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name="shop_web"}[3m])))) / on () vector(0.5)`,
		},
		{name: "an expression", metric: `sum(queue{job="web"})`, target: "20", about: without, expr: `(sum(queue{job="web"})) / on () vector(20)`},
		{name: "one with a comment, on two lines", metric: "sum(queue) # all\n+ 1", target: "1e6", about: about, expr: `(sum(queue) + 1) / on () vector(1e+06)`},
		{name: "a number", metric: "time() / 60", target: "2", about: about, expr: `vector(time() / 60) / on () vector(2)`},
		{name: "a bound that Prometheus stores otherwise", metric: `sum(rate(x_bucket{le="1"}[5m]))`, target: "1", about: about,
			expr: `(sum(rate(x_bucket{le="1"}[5m]))) / on () vector(1)`, warning: `com.df.scaleMetric: le="1" does not match 1.0`},
		{name: "no PromQL", metric: "sum(", target: "1", about: about, fault: `com.df.scaleMetric="sum(": want PromQL: `},
		{name: "several points of time", metric: "queue[5m]", target: "1", about: about, fault: `com.df.scaleMetric="queue[5m]": want PromQL that gives one value, not a matrix`},
		{name: "a text", metric: `"queue"`, target: "1", about: about, fault: `com.df.scaleMetric="\"queue\"": want PromQL that gives one value, not a string`},
		{name: "proxies that are not scraped", metric: "@requests", target: "1", about: without, fault: `com.df.scaleMetric="@requests": want another load than @requests, which needs the metrics of the proxies`},
		{name: "half of the labels", metric: "@cpu", about: about, fault: `com.df.scaleMetric="@cpu": want it together with scaleTarget`},
		{name: "a target of nothing", metric: "@cpu", target: "0", about: about, fault: `com.df.scaleTarget="0": want a number above 0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Wanted(service("shop_web", "scaleMetric="+c.metric, "scaleTarget="+c.target), c.about)
			if !ok || got.Rule.Expr != c.expr {
				t.Errorf("got %s\nwant %s", got.Rule.Expr, c.expr)
			}
			if c.fault == "" && got.Err != nil || c.fault != "" && (got.Err == nil || !strings.HasPrefix(got.Err.Error(), c.fault)) {
				t.Errorf("fault %v, want %s", got.Err, c.fault)
			}
			if said := strings.Join(got.Warnings, "\n"); c.warning == "" && said != "" || !strings.Contains(said, c.warning) {
				t.Errorf("warnings %q, want %q", said, c.warning)
			}
		})
	}
	if _, ok := Wanted(service("shop_web", "scaleMax=3"), about); ok {
		t.Error("a rule for a service that names no load")
	}
}

// value is that of a series, none if it is not there.
type value float64

const none value = -1

// TestWhatTheScalerIsTold lets Prometheus' own engine evaluate the rule after ten minutes of
// given series, as TestWhatFires does.
func TestWhatTheScalerIsTold(t *testing.T) {
	const told = `waggle:replicas_wanted{owner="shop_web", service_id="id-shop_web"}`
	answers := func(code, proxy, values string) string {
		return fmt.Sprintf(`waggle_proxy_service_responses_total{job="waggle_proxy", service="shop_web", code="%s", instance="%s"} %s`, code, proxy, values)
	}
	open := func(proxy, values string) string {
		return fmt.Sprintf(`waggle_proxy_service_open_requests{job="waggle_proxy", service="shop_web", instance="%s"} %s`, proxy, values)
	}
	cpu := func(task, core, exporter, values string) string {
		return fmt.Sprintf(`container_cpu_usage_seconds_total{container_label_com_docker_swarm_service_name="shop_web", container_label_com_docker_swarm_task_id="%s", name="%s", cpu="%s", job="%s", node="n"} %s`, task, task, core, exporter, values)
	}
	for _, c := range []struct {
		name, metric, target string
		series               []string
		want                 value
	}{
		{"requests of all proxies, whatever the answer", "@requests", "2", []string{answers("2xx", "a", "0+90x20"), answers("5xx", "b", "0+30x20")}, 2},
		{"of another service", "@requests", "2", []string{strings.ReplaceAll(answers("2xx", "a", "0+90x20"), "shop_web", "shop_db")}, none},
		{"as anybody can say", "@requests", "2", []string{strings.Replace(answers("2xx", "a", "0+90x20"), `"waggle_proxy"`, `"liar"`, 1)}, none},
		{"nobody asks", "@requests", "2", []string{answers("2xx", "a", "7x20")}, 0},
		{"no proxy tells any more", "@requests", "2", []string{answers("2xx", "a", "0+90x5 stale")}, none},
		{"open requests", "@concurrency", "8", []string{open("a", "30x20"), open("b", "10x20")}, 5},
		{"seconds of CPU of two tasks", "@cpu", "0.5", []string{cpu("1", "total", "a", "0+15x20"), cpu("2", "total", "a", "0+30x20")}, 3},
		{"a task that two exporters tell of", "@cpu", "0.5", []string{cpu("1", "total", "a", "0+15x20"), cpu("1", "total", "b", "0+15x20")}, 1},
		{"a task by cores", "@cpu", "0.5", []string{cpu("1", "cpu00", "a", "0+15x20"), cpu("1", "cpu01", "a", "0+15x20")}, 2},
		{"without cAdvisor", "@cpu", "0.5", []string{`up{job="web"} 1x20`}, none},
		{"an expression", "queue", "4", []string{`queue{instance="a", service_id="other"} 10x20`}, 2.5},
		{"a number", "scalar(queue) + 2", "4", []string{`queue{instance="a"} 10x20`}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rules := string(render(t, service("shop_web", "scaleMetric="+c.metric, "scaleTarget="+c.target), 2))
			var samples []map[string]any
			if c.want != none {
				samples = append(samples, map[string]any{"labels": told, "value": float64(c.want)})
			}
			evaluate(t, rules, c.series, scaling.Wanted, samples)
		})
	}
	t.Run("more than one series is an error, and not one of them", func(t *testing.T) {
		t.Parallel()
		rules := string(render(t, service("shop_web", "scaleMetric=queue", "scaleTarget=4"), 2))
		out := promtool(t, rules, []string{`queue{instance="a"} 1x20`, `queue{instance="b"} 1x20`}, scaling.Wanted, nil)
		if !(Rule{Record: true, Name: scaling.Wanted}).Several(out) {
			t.Error(out)
		}
	})
}

// evaluate has Prometheus' own engine give these samples after ten minutes.
func evaluate(t *testing.T, rules string, series []string, expr string, samples []map[string]any) {
	t.Helper()
	if out := promtool(t, rules, series, expr, samples); out != "" {
		t.Fatalf("%s\n%s", out, rules)
	}
}

// promtool returns what promtool says of such a test; it is empty if it has passed.
func promtool(t *testing.T, rules string, series []string, expr string, samples []map[string]any) string {
	t.Helper()
	type input struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	inputs := make([]input, len(series))
	for i, s := range series {
		at := strings.LastIndex(s, "} ") + 1
		inputs[i] = input{s[:at], strings.TrimSpace(s[at:])}
	}
	test := map[string]any{
		"rule_files": []string{"rules.yml"},
		"tests": []map[string]any{{
			"interval": "30s", "input_series": inputs,
			"promql_expr_test": []map[string]any{{"expr": expr, "eval_time": "10m", "exp_samples": samples}},
		}},
	}
	b, err := yaml.Marshal(test)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"rules.yml": rules, "test.yml": string(b)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), tooltest.Path(t, "promtool"), "test", "rules", "test.yml")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v\n%s", err, out)
	}
	return ""
}
