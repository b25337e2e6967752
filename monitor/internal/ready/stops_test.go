package ready

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestWhatFiresWhenSomethingStops lets Prometheus' own engine evaluate all alerts over a small
// swarm in which something stops after five minutes, as docs/operations.md tells it: what
// fires two minutes later, and what does ten minutes later.
func TestWhatFiresWhenSomethingStops(t *testing.T) {
	const (
		up       = `up{job="waggle_`
		known    = `prometheus_notifications_alertmanagers_discovered{job="prometheus"} `
		errs     = `prometheus_notifications_errors_total{job="prometheus", alertmanager="a"} `
		am       = up + `alertmanager", instance="a"} `
		age      = `waggle_monitor_catalog_age_seconds{job="waggle_monitor"} `
		down     = `swarm_node_state{job="waggle_listener", node="two", node_id="n2", state="down"} `
		stateAt  = `swarm_state_timestamp_seconds{job="waggle_listener"} `
		updating = `swarm_service_update_state{job="waggle_listener", service="waggle_proxy", state="updating"} `
	)
	wanted := func(service string) string {
		return `swarm_service_replicas_desired{job="waggle_listener", service="` + service + `"} `
	}
	running := func(service string) string {
		return `swarm_service_tasks{job="waggle_listener", service="` + service + `", state="running"} `
	}
	passed := func(component string) string {
		return `waggle_` + component + `_last_success_timestamp_seconds{job="waggle_` + component + `", loop="a"} `
	}
	proxy := func(instance string) string { return up + `proxy", instance="` + instance + `"} ` }
	one := func(component string) string { return up + component + `", instance="` + component + `"} ` }
	well := []string{found + "1x80", known + "1x80", errs + "0x80", am + "1x80", age + "1x80", down + "0x80", stateAt + "0+15x80", updating + "0x80", proxy("one") + "1x80", proxy("two") + "1x80"}
	for _, c := range []string{"listener", "monitor", "scaler", "alertmanager"} {
		well = append(well, wanted("waggle_"+c)+"1x80", running("waggle_"+c)+"1x80")
	}
	well = append(well, wanted("waggle_proxy")+"2x80", running("waggle_proxy")+"2x80")
	for _, c := range []string{"listener", "monitor", "scaler", "proxy"} {
		well = append(well, passed(c)+"0+15x80")
	}
	for _, c := range []string{"listener", "monitor", "scaler"} {
		well = append(well, one(c)+"1x80")
	}
	// gone are series that end with whoever told them.
	gone := func(of string) []string {
		var out []string
		for _, s := range well {
			if at := strings.LastIndex(s, "} ") + 2; strings.Contains(s[:at], `job="`+of+`"`) {
				out = append(out, s[:at]+strings.Replace(s[at:], "x80", "x20 stale", 1))
			}
		}
		return out
	}
	for _, c := range []struct {
		name         string
		changed      []string // take the place of those of the same name and labels
		soon, within []string
	}{
		{"nothing", nil, nil, nil},
		{"the listener, whom all others wait for", append(gone("waggle_listener"), age+"1x20 15+15x60", passed("monitor")+"0+15x20 300x60", passed("proxy")+"0+15x20 300x60", passed("scaler")+"0+15x20 300x60"),
			[]string{"WaggleComponentDown"}, []string{"WaggleCatalogStale", "WaggleComponentDown", "WaggleNotPassing"}},
		{"the scaler, which has no task any more", append(gone("waggle_scaler"), wanted("waggle_scaler")+"1x20 0x60", running("waggle_scaler")+"1x20 0x60"),
			[]string{"WaggleComponentDown"}, []string{"WaggleComponentDown"}},
		{"the scaler, whose task finds no node", append(gone("waggle_scaler"), running("waggle_scaler")+"1x20 0x60"),
			[]string{"WaggleComponentDown"}, []string{"ServiceDown", "WaggleComponentDown"}},
		{"the scaler, which hangs", append(gone("waggle_scaler"), one("scaler")+"1x20 0x60"), []string{"WaggleComponentDown"}, []string{"WaggleComponentDown"}},
		{"the proxy on all nodes", append(gone("waggle_proxy"), wanted("waggle_proxy")+"2x20 0x60", running("waggle_proxy")+"2x20 0x60"),
			[]string{"WaggleComponentDown"}, []string{"WaggleComponentDown"}},
		{"the proxy on one node", []string{proxy("two") + "1x20 stale", running("waggle_proxy") + "2x20 1x60"},
			[]string{"WaggleProxyMissing"}, []string{"ServiceReplicasMissing", "WaggleProxyMissing"}},
		// A Prometheus that starts finds the last values of targets that it never learned are gone.
		{"the monitor with Prometheus, which comes back at another address", []string{passed("monitor") + "0+15x12",
			strings.Replace(passed("monitor"), "} ", `, instance="b"} `, 1) + "_x16 240+15x64"}, nil, nil},
		{"a node", []string{down + "0x21 1x60", proxy("two") + "1x20 0 stale", wanted("waggle_proxy") + "2x21 1x60", running("waggle_proxy") + "2x21 1x60"}, []string{"NodeDown"}, []string{"NodeDown"}},
		{"the leader, for half a minute", []string{stateAt + "0+15x20 300 300 345+15x58"}, nil, nil},
		{"Alertmanager, which has no task any more", append(gone("waggle_alertmanager"), found+"1x20 0x60", known+"1x20 0x60", wanted("waggle_alertmanager")+"1x20 0x60", running("waggle_alertmanager")+"1x20 0x60"),
			[]string{"AlertmanagerDown", "PrometheusCannotNotify"}, []string{"AlertmanagerDown", "PrometheusCannotNotify"}},
		{"Alertmanager, which hangs", []string{am + "1x20 0x60", errs + "0x20 0+1x60"}, []string{"AlertmanagerDown"}, []string{"AlertmanagerDown", "PrometheusCannotNotify"}},
		{"one of two Alertmanagers, which has no task any more", append(gone("waggle_alertmanager"), up+`alertmanager", instance="b"} 1x80`, found+"1x20 0x60",
			strings.Replace(found, `manager"} `, `manager-2"} `, 1)+"1x80", known+"2x20 1x60", wanted("waggle_alertmanager")+"1x20 0x60", running("waggle_alertmanager")+"1x20 0x60"),
			[]string{"AlertmanagerDown"}, []string{"AlertmanagerDown"}},
		{"Alertmanager, for half a minute, while another task takes its place", []string{am + "1x20 stale", up + `alertmanager", instance="b"} _x22 1x57`, found + "1x20 0 0 1x57", known + "1x20 0 0 1x57"}, nil, nil},
		{"the job of an application of its own name", []string{`prometheus_sd_discovered_targets{job="shop", name="scrape", config="waggle_alertmanager"} 0x80`,
			strings.Replace(found, `"waggle_alertmanager"`, `"shop_waggle_alertmanager"`, 1) + "0x80", strings.Replace(found, `"scrape"`, `"notify"`, 1) + "0x80"}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inputs := []map[string]string{}
			add := func(s string) {
				at := strings.LastIndex(s, "} ") + 1
				inputs = append(inputs, map[string]string{"series": s[:at], "values": strings.TrimSpace(s[at:])})
			}
			// The last word about a series counts.
			said := map[string]bool{}
			for _, s := range slices.Backward(slices.Concat(well, c.changed)) {
				if name := s[:strings.LastIndex(s, "} ")]; !said[name] {
					said[name] = true
					add(s)
				}
			}
			var asks []any
			for at, names := range map[string][]string{"7m": c.soon, "15m": c.within} {
				samples := []any{}
				for _, name := range names {
					samples = append(samples, map[string]any{"labels": `{alertname="` + name + `"}`, "value": 1})
				}
				asks = append(asks, map[string]any{"expr": `group by (alertname) (ALERTS{alertstate="firing", alertname!="` + always + `"})`, "eval_time": at, "exp_samples": samples})
			}
			dir := t.TempDir()
			write(t, dir, "all", Rules("waggle", DefaultDocs), map[string]any{
				"rule_files": []string{"all.yml"}, "evaluation_interval": "15s",
				"tests": []any{map[string]any{"interval": "15s", "input_series": inputs, "promql_expr_test": asks}},
			})
			cmd := exec.CommandContext(t.Context(), tooltest.Path(t, "promtool"), "test", "rules", "all-test.yml")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
