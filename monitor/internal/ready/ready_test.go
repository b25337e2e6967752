package ready

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	yaml "go.yaml.in/yaml/v3"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestRulesAreRight(t *testing.T) {
	for _, stack := range []string{"waggle", "my.stack", `odd"name`} {
		names := map[string]bool{}
		for _, r := range Rules(stack, DefaultDocs) {
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr); err != nil {
				t.Errorf("%s: %v", r.Name, err)
			}
			if _, err := model.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("%s: %v", r.Name, err)
			}
			if r.Labels["scale"] != "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || names[r.Name] {
				t.Errorf("%+v", r)
			}
			names[r.Name] = true
		}
		dir := t.TempDir()
		write(t, dir, "all", Rules(stack, DefaultDocs), nil)
		cmd := exec.CommandContext(t.Context(), tooltest.Path(t, "promtool"), "check", "rules", filepath.Join(dir, "all.yml"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", stack, err, out)
		}
	}
}

// TestEveryAlertHasAPage: the link of each leads to a heading, and no heading is of none.
func TestEveryAlertHasAPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, known []string
	for _, m := range regexp.MustCompile(`(?m)^### ([A-Za-z]+)$`).FindAllStringSubmatch(string(page), -1) {
		told = append(told, m[1])
	}
	for _, r := range Rules("waggle", "https://docs.example.com/alerts") {
		known = append(known, r.Name)
		if want := "https://docs.example.com/alerts#" + strings.ToLower(r.Name); r.Annotations["runbook_url"] != want {
			t.Errorf("%s leads to %s, want %s", r.Name, r.Annotations["runbook_url"], want)
		}
	}
	slices.Sort(told)
	slices.Sort(known)
	if !slices.Equal(told, known) {
		t.Errorf("the page has\n%v\nthe alerts are\n%v", told, known)
	}
}

// kase is what is given for one alert: series with values over two hours, one per minute,
// that make it fire, and some that do not. When all series of the first end after an hour
// it must not fire any more, unless gone says so.
type kase struct {
	fires, quiet []string
	gone         bool
}

const (
	listener = `{job="waggle_listener", instance="l", `
	prom     = `{job="prometheus", instance="127.0.0.1:9091"}`
	manager  = `{job="waggle_alertmanager", instance="a"}`
	proxy    = `{job="waggle_proxy", instance="p"}`
	found    = `prometheus_sd_discovered_targets{job="prometheus", name="scrape", config="waggle_alertmanager"} `
)

func cases() map[string]kase {
	wanted := func(n string) string {
		return "swarm_service_replicas_desired" + listener + `service="shop"} ` + n + "x120"
	}
	running := func(n string) string {
		return "swarm_service_tasks" + listener + `service="shop", state="running"} ` + n
	}
	update := func(state, n string) string {
		return "swarm_service_update_state" + listener + `service="shop", state="` + state + `"} ` + n
	}
	node := func(metric, n string) string {
		return metric + listener + `node="one", node_id="n1"} ` + n + "x120"
	}
	responses := func(code, n string) string {
		return `waggle_proxy_service_responses_total{job="waggle_proxy", instance="p", service="shop", code="` + code + `"} ` + n + "x120"
	}
	expiry := "waggle_proxy_certificate_expiry_timestamp_seconds" + `{job="waggle_proxy", instance="p", name="a", source="labels"} `
	own := func(metric, labels, n string) string { return metric + "{" + labels + "} " + n + "x120" }
	proxies := own("swarm_service_replicas_desired", `job="waggle_listener", service="waggle_proxy"`, "3")
	proxiesRun := func(n string) string {
		return own("swarm_service_tasks", `job="waggle_listener", service="waggle_proxy", state="running"`, n)
	}
	return map[string]kase{
		"ServiceDown":            {fires: []string{wanted("2"), running("0x120")}, quiet: []string{wanted("2"), running("2x110 0x1 2x9")}},
		"ServiceReplicasMissing": {fires: []string{wanted("3"), running("2x120")}, quiet: []string{wanted("3"), running("3x118 2x2")}},
		"ServiceTasksUnplaced": {
			fires: []string{"swarm_service_tasks_unplaced" + listener + `service="shop", reason="resources"} 1x120`},
			quiet: []string{"swarm_service_tasks_unplaced" + listener + `service="shop", reason="resources"} _x119 1x1`},
		},
		"ServiceTasksFail": {
			fires: []string{"swarm_service_task_failures_total" + listener + `service="shop", reason="failed"} 0+1x120`},
			quiet: []string{"swarm_service_task_failures_total" + listener + `service="shop", reason="failed"} 0x115 1x5`},
		},
		"ServiceUpdateStuck": {fires: []string{update("paused", "1x120")}, quiet: []string{update("paused", "0x120"), update("updating", "1x120"), update("rollback_completed", "1x120")}},
		"ServiceRolledBack": {
			fires: []string{update("rollback_completed", "1x120"), "swarm_service_update_started_timestamp_seconds" + listener + `service="shop"} 6000x120`},
			quiet: []string{update("rollback_completed", "1x120"), "swarm_service_update_started_timestamp_seconds" + listener + `service="shop"} 60x120`},
		},
		"ServiceErrors":      {fires: []string{responses("2xx", "0+90"), responses("5xx", "0+10")}, quiet: []string{responses("2xx", "0+99"), responses("5xx", "0+1")}},
		"NodeDown":           {fires: []string{"swarm_node_state" + listener + `node="one", node_id="n1", state="down"} 1x120`}, quiet: []string{"swarm_node_state" + listener + `node="one", node_id="n1", state="down"} 0x120`, "swarm_node_state" + listener + `node="one", node_id="n1", state="unknown"} 1x120`}},
		"ManagerUnreachable": {fires: []string{node("swarm_node_reachable", "0")}, quiet: []string{node("swarm_node_reachable", "1")}},
		"NodeMemoryReserved": {fires: []string{node("swarm_node_reserved_memory_bytes", "95"), node("swarm_node_capacity_memory_bytes", "100")}, quiet: []string{node("swarm_node_reserved_memory_bytes", "95"), node("swarm_node_capacity_memory_bytes", "0")}},
		"NodeCPUReserved":    {fires: []string{node("swarm_node_reserved_cpu_cores", "1.9"), node("swarm_node_capacity_cpu_cores", "2")}, quiet: []string{node("swarm_node_reserved_cpu_cores", "1"), node("swarm_node_capacity_cpu_cores", "2")}},
		"SwarmStateStale":    {fires: []string{own("swarm_state_timestamp_seconds", `job="waggle_listener"`, "60")}, quiet: []string{own("swarm_state_timestamp_seconds", `job="waggle_listener"`, "0+60")}},

		"CertificateEnds":      {fires: []string{expiry + "100000x120"}, quiet: []string{expiry + "1000000x120"}},
		"CertificatesRejected": {fires: []string{"waggle_proxy_rejected_certificates" + proxy + " 1x120"}, quiet: []string{"waggle_proxy_rejected_certificates" + proxy + " 0x120"}},
		"CertificatesNotObtained": {
			fires: []string{strings.Replace("waggle_proxy_acme_names"+proxy, "{", `{state="unrenewed",`, 1) + " 1x120"},
			quiet: []string{strings.Replace("waggle_proxy_acme_names"+proxy, "{", `{state="ok",`, 1) + " 5x120", strings.Replace("waggle_proxy_acme_names"+proxy, "{", `{state="failing",`, 1) + " 0x120"},
		},
		"ProxyConnectionsFull": {
			fires: []string{"waggle_proxy_haproxy_connections" + proxy + " 8100x120", "waggle_proxy_haproxy_connections_limit" + proxy + " 9000x120"},
			quiet: []string{"waggle_proxy_haproxy_connections" + proxy + " 100x120", "waggle_proxy_haproxy_connections_limit" + proxy + " 9000x120"},
		},
		"ProxyBusy":       {fires: []string{"waggle_proxy_haproxy_idle_ratio" + proxy + " 0.02x120"}, quiet: []string{"waggle_proxy_haproxy_idle_ratio" + proxy + " 0.9x118 0.02x2"}},
		"ProxyOldWorkers": {fires: []string{"waggle_proxy_oldest_worker_seconds" + proxy + " 90000x120"}, quiet: []string{"waggle_proxy_oldest_worker_seconds" + proxy + " 600x120"}},

		"Watchdog":            {gone: true},
		"TargetDown":          {fires: []string{`up{job="shop", service="shop", instance="i"} 0x120`}, quiet: []string{`up{job="shop", service="shop", instance="i"} 1x118 0x2`, `up{job="x", instance="i"} 0x120`}},
		"PrometheusRulesFail": {fires: []string{own("prometheus_rule_evaluation_failures_total", `job="prometheus", rule_group="g"`, "0+1")}, quiet: []string{own("prometheus_rule_evaluation_failures_total", `job="prometheus", rule_group="g"`, "5")}},
		// One that is replaced is away for some seconds.
		"PrometheusCannotNotify": {
			fires: []string{"prometheus_notifications_errors_total" + prom + " 0+1x120"},
			quiet: []string{"prometheus_notifications_errors_total" + prom + " 7x116 9x5", "prometheus_notifications_alertmanagers_discovered" + prom + " 1x114 0 1x5"},
		},
		"PrometheusStorageFails": {fires: []string{"prometheus_tsdb_wal_corruptions_total" + prom + " 0x55 1x65"}, quiet: []string{"prometheus_tsdb_compactions_failed_total" + prom + " 0x120"}, gone: true}, // it looks back three hours
		"AlertmanagerDown":       {fires: []string{"up" + manager + " 0x120"}, quiet: []string{"up" + manager + " 1x120", found + "1x114 0 1x5"}},
		"AlertmanagerCannotSend": {fires: []string{own("alertmanager_notifications_failed_total", `job="waggle_alertmanager", integration="slack"`, "0+1")}, quiet: []string{own("alertmanager_notifications_failed_total", `job="waggle_alertmanager", integration="slack"`, "4")}},
		"AlertmanagerConfigRefused": {
			fires: []string{"alertmanager_config_last_reload_successful" + manager + " 0x120"}, quiet: []string{"alertmanager_config_last_reload_successful" + manager + " 1x120"},
		},

		"WaggleComponentDown": {
			fires: []string{`up{job="waggle_listener"} 0x120`, `up{job="waggle_proxy"} 1x120`, `up{job="waggle_monitor"} 1x120`, `up{job="waggle_scaler"} 1x120`},
			quiet: []string{`up{job="waggle_listener"} 1x120`, `up{job="waggle_proxy"} 1x120`, `up{job="waggle_monitor"} 1x120`, `up{job="waggle_scaler"} 1x120`}, gone: true,
		},
		"WaggleProxyMissing": {
			fires: []string{proxies, proxiesRun("2")}, quiet: []string{proxies, proxiesRun("3")},
		},
		"WaggleHAProxyDown":      {fires: []string{"waggle_proxy_haproxy_up" + proxy + " 0x120"}, quiet: []string{"waggle_proxy_haproxy_up" + proxy + " 1x120"}},
		"WaggleNotPassing":       {fires: []string{"waggle_proxy_last_success_timestamp_seconds" + proxy + " 60x120"}, quiet: []string{"waggle_proxy_last_success_timestamp_seconds" + proxy + " 0+60x120"}},
		"WaggleCatalogStale":     {fires: []string{own("waggle_monitor_catalog_age_seconds", `job="waggle_monitor"`, "0+60")}, quiet: []string{own("waggle_monitor_catalog_age_seconds", `job="waggle_monitor"`, "20")}},
		"WaggleStoreDamaged":     {fires: []string{own("waggle_listener_store_set_aside", `job="waggle_listener"`, "1")}, quiet: []string{own("waggle_listener_store_set_aside", `job="waggle_listener"`, "0")}},
		"WaggleReplicasDisagree": {fires: []string{"waggle_proxy_replicas_disagreeing" + proxy + " 1x120"}, quiet: []string{"waggle_proxy_replicas_disagreeing" + proxy + " 0x119 1"}},
		"WaggleDrift":            {fires: []string{"waggle_proxy_drift" + proxy + " 1x120"}, quiet: []string{"waggle_proxy_drift" + proxy + " 0x120"}},
		"WaggleReloadsFail":      {fires: []string{own("waggle_proxy_reloads_total", `job="waggle_proxy", reason="failed"`, "0+1")}, quiet: []string{own("waggle_proxy_reloads_total", `job="waggle_proxy", reason="frame"`, "0+1")}},
		"WaggleServicesRejected": {fires: []string{"waggle_proxy_rejected_services" + proxy + " 1x120"}, quiet: []string{"waggle_proxy_rejected_services" + proxy + " 0x120"}},
		"WaggleCertificateExpires": {
			fires: []string{expiry + "1000000x120"}, quiet: []string{expiry + "9999999x120"},
		},
	}
}

// TestEveryAlertFiresAndDoesNot lets Prometheus' own engine say of each alert that it fires,
// that it does not, and what becomes of it when its series have gone.
func TestEveryAlertFiresAndDoesNot(t *testing.T) {
	var names []string
	for _, r := range Rules("waggle", DefaultDocs) {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	all := cases()
	if missing := lacking(names, all); len(missing) > 0 {
		t.Fatal(strings.Join(missing, "\n"))
	}
	// Each alert has a file of its own, because all alerts of a file are evaluated.
	var tests []map[string]any
	add := func(what, name string, series []string, fires bool) {
		want := []any{}
		if fires {
			want = append(want, map[string]any{"labels": "{}", "value": 1})
		}
		inputs := []map[string]string{}
		for _, s := range series {
			at := strings.LastIndex(s, "} ") + 1
			inputs = append(inputs, map[string]string{"series": s[:at], "values": strings.TrimSpace(s[at:])})
		}
		tests = append(tests, map[string]any{
			"name": name + " " + what, "interval": "1m", "input_series": inputs,
			"promql_expr_test": []any{map[string]any{"expr": fmt.Sprintf(`group(ALERTS{alertname=%q, alertstate="firing"})`, name), "eval_time": "2h", "exp_samples": want}},
		})
	}
	dir, args := t.TempDir(), []string{"test", "rules"}
	for _, name := range names {
		tests = nil
		c := all[name]
		add("fires", name, c.fires, true)
		add("is quiet", name, c.quiet, name == always)
		add("whose series are gone", name, ended(c.fires), c.gone)
		rules := slices.DeleteFunc(Rules("waggle", DefaultDocs), func(r alert.Rule) bool { return r.Name != name })
		write(t, dir, name, rules, map[string]any{"rule_files": []string{name + ".yml"}, "tests": tests})
		args = append(args, name+"-test.yml")
	}
	cmd := exec.CommandContext(t.Context(), tooltest.Path(t, "promtool"), args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// always is the alert that fires whatever there is, so that somebody hears when it does not.
const always = "Watchdog"

// ended are series that end after an hour, or shortly after they have changed.
func ended(series []string) []string {
	out := make([]string, len(series))
	for i, s := range series {
		out[i] = strings.NewReplacer("x120", "x60 stale", "x65", "x5 stale").Replace(s)
	}
	return out
}

// lacking says what keeps alerts from being tried in all three ways: with series that make
// them fire, with some that do not, and with the first when they have gone.
func lacking(names []string, all map[string]kase) []string {
	var out []string
	for _, name := range names {
		c, ok := all[name]
		switch {
		case !ok:
			out = append(out, name+" has no case")
		case name == always:
		case len(c.fires) == 0:
			out = append(out, name+" has no series with which it fires")
		case len(c.quiet) == 0:
			out = append(out, name+" has no series with which it is quiet")
		default:
			for i, s := range ended(c.fires) {
				if s == c.fires[i] {
					out = append(out, name+": its series never go: "+s)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(names, name) {
			out = append(out, "there is a case of "+name+", which is no alert")
		}
	}
	return out
}

// TestAnAlertThatIsNotTriedInAllWays is told by what it lacks.
func TestAnAlertThatIsNotTriedInAllWays(t *testing.T) {
	whole := kase{fires: []string{"a{} 1x120"}, quiet: []string{"a{} 0x120"}}
	for _, c := range []struct {
		what string
		all  map[string]kase
		want []string
	}{
		{"all three", map[string]kase{"A": whole}, nil},
		{"none", map[string]kase{}, []string{"A has no case"}},
		{"it never fires", map[string]kase{"A": {quiet: whole.quiet}}, []string{"A has no series with which it fires"}},
		{"it is never quiet", map[string]kase{"A": {fires: whole.fires}}, []string{"A has no series with which it is quiet"}},
		{"its series never go", map[string]kase{"A": {fires: []string{"a{} 1x999"}, quiet: whole.quiet}}, []string{"A: its series never go: a{} 1x999"}},
		{"there is no such alert", map[string]kase{"A": whole, "B": whole}, []string{"there is a case of B, which is no alert"}},
	} {
		if got := lacking([]string{"A"}, c.all); !slices.Equal(got, c.want) {
			t.Errorf("%s: it says %q, want %q", c.what, got, c.want)
		}
	}
}

// write puts rules, and a test of them, into a folder.
func write(t *testing.T, dir, name string, list []alert.Rule, test map[string]any) {
	t.Helper()
	rules, err := alert.Render(list)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(test)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{name + ".yml": rules, name + "-test.yml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
