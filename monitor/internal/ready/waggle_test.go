package ready

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestWhenOwnRulesFire lets Prometheus' own engine say what fires after two hours of
// given series, one value per minute, with the metrics as they are called today.
func TestWhenOwnRulesFire(t *testing.T) {
	proxy := `{job="waggle_proxy", instance="p"}`
	// there are all components, without which one is missed.
	there := []string{`up{job="waggle_listener"} 1x120`, `up{job="waggle_proxy"} 1x120`, `up{job="waggle_monitor"} 1x120`, `up{job="waggle_scaler"} 1x120`}
	proxies := func(desired, running string) []string {
		return []string{
			`swarm_service_replicas_desired{job="waggle_listener", service="waggle_proxy"} ` + desired,
			`swarm_service_tasks{job="waggle_listener", service="waggle_proxy", state="running"} ` + running,
			`swarm_service_tasks{job="waggle_listener", service="waggle_proxy", state="pending"} 9x120`,
		}
	}
	for _, c := range []struct {
		name   string
		series []string
		fires  string
	}{
		{"all is well", []string{
			`waggle_proxy_haproxy_up` + proxy + ` 1x120`, `waggle_proxy_last_success_timestamp_seconds{job="waggle_proxy", loop="routes"} 0+60x120`,
			`waggle_proxy_replicas_disagreeing` + proxy + ` 0x120`, `waggle_proxy_drift` + proxy + ` 0x120`, `waggle_proxy_reloads_total{job="waggle_proxy", reason="failed"} 0x120`,
			`waggle_proxy_reloads_total{job="waggle_proxy", reason="frame"} 0+5x120`, `waggle_proxy_rejected_services{job="waggle_proxy"} 0x120`,
			`waggle_proxy_certificate_expiry_timestamp_seconds{job="waggle_proxy", name="a"} 9999999x120`,
		}, ""},
		{"a component that cannot be scraped", []string{`up{job="waggle_scaler"} 0x120`}, "WaggleComponentDown"},
		{"a component without a task that DNS knows", []string{`up{job="waggle_scaler"} 1x60 stale`}, "WaggleComponentDown"},
		{"what others offer by the names of Waggle's metrics", []string{
			`waggle_proxy_haproxy_up{job="shop_web"} 0x120`, `waggle_a_last_success_timestamp_seconds{job="shop_web"} 1x120`, `waggle_b_last_success_timestamp_seconds{job="shop_web"} 1x120`,
			`waggle_proxy_replicas_disagreeing{job="shop_web"} 1x120`, `waggle_proxy_drift{job="shop_web"} 1x120`, `waggle_proxy_reloads_total{job="shop_web", reason="failed"} 0+1x120`,
			`waggle_proxy_rejected_services{job="shop_web"} 1x120`, `waggle_monitor_catalog_age_seconds{job="shop_web"} 999x120`,
			`waggle_proxy_certificate_expiry_timestamp_seconds{job="shop_web", name="a"} 1x120`,
		}, ""},
		{"a monitor that hears nothing of the listener", []string{`waggle_monitor_catalog_age_seconds{job="waggle_monitor"} 0+60x120`}, "WaggleCatalogStale"},
		{"a Prometheus that still started when it was to reload", []string{`waggle_monitor_reloads_total{job="waggle_monitor", result="away"} 0x115 1x5`}, ""},
		{"a service of somebody else that cannot be scraped", []string{`up{job="shop_web"} 0x120`, `up{job="my_waggle_proxy"} 0x120`}, ""},
		{"a proxy is missing on a node", proxies("3x120", "2x120"), "WaggleProxyMissing"},
		{"a proxy is missing since half a minute", proxies("3x120", "3x119 2"), ""},
		{"a proxy is on every node", proxies("3x120", "3x120"), ""},
		{"proxies are being replaced", append(proxies("3x120", "2x120"), `swarm_service_update_state{job="waggle_listener", service="waggle_proxy", state="updating"} 1x120`), ""},
		{"their replacement has stopped", append(proxies("3x120", "2x120"), `swarm_service_update_state{job="waggle_listener", service="waggle_proxy", state="updating"} 0x120`,
			`swarm_service_update_state{job="waggle_listener", service="waggle_proxy", state="paused"} 1x120`), "WaggleProxyMissing"},
		{"what the listener told when it was still there", proxies("3x60 stale", "2x60 stale"), ""},
		{"another service called proxy", []string{`swarm_service_replicas_desired{job="waggle_listener", service="shop_proxy"} 3x120`, `swarm_service_tasks{job="waggle_listener", service="shop_proxy", state="running"} 2x120`}, ""},
		{"HAProxy down", []string{`waggle_proxy_haproxy_up` + proxy + ` 0x120`}, "WaggleHAProxyDown"},
		{"a loop that stands still", []string{`waggle_proxy_last_success_timestamp_seconds{job="waggle_proxy", loop="routes"} 60x120`}, "WaggleNotPassing"},
		{"a loop that never succeeded", []string{`waggle_scaler_last_success_timestamp_seconds{job="waggle_scaler", loop="decisions"} 0x120`}, "WaggleNotPassing"},
		{"a damaged store", []string{`waggle_listener_store_set_aside{job="waggle_listener"} 1x120`}, "WaggleStoreDamaged"},
		{"replicas that disagree", []string{`waggle_proxy_replicas_disagreeing` + proxy + ` 1x120`}, "WaggleReplicasDisagree"},
		{"drift", []string{`waggle_proxy_drift` + proxy + ` 0x118 1x2`}, "WaggleDrift"},
		{"a reload that failed", []string{`waggle_proxy_reloads_total{job="waggle_proxy", reason="failed"} 0x115 1x5`}, "WaggleReloadsFail"},
		{"a configuration that HAProxy refused", []string{`waggle_proxy_refused_total{job="waggle_proxy"} 0x115 1x5`}, "WaggleReloadsFail"},
		{"a reload of Prometheus that it refused", []string{`waggle_monitor_reloads_total{job="waggle_monitor", result="refused"} 0x115 1x5`}, "WaggleReloadsFail"},
		{"a failure of long ago", []string{`waggle_proxy_reloads_total{job="waggle_proxy", reason="failed"} 0 1x119`}, ""},
		{"a rejected service, as several replicas see it", []string{
			`waggle_proxy_rejected_services{job="waggle_proxy", instance="p"} 1x120`, `waggle_proxy_rejected_services{job="waggle_proxy", instance="q"} 1x120`,
		}, "WaggleServicesRejected"},
		{"a certificate that ends soon", []string{
			`waggle_proxy_certificate_expiry_timestamp_seconds{job="waggle_proxy", name="a", instance="p"} 1000000x120`, `waggle_proxy_certificate_expiry_timestamp_seconds{job="waggle_proxy", name="a", instance="q"} 1000000x120`,
		}, "WaggleCertificateExpires"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file, err := alert.Render(Rules("waggle", DefaultDocs))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			b.WriteString("rule_files: [waggle.yml]\ntests:\n- interval: 1m\n  input_series:\n")
			series := c.series
			for _, s := range there {
				// What the case says of a component counts.
				if name, _, _ := strings.Cut(s, "}"); !slices.ContainsFunc(c.series, func(own string) bool { return strings.HasPrefix(own, name) }) {
					series = append(series, s)
				}
			}
			for _, s := range series {
				at := strings.LastIndex(s, "}") + 1
				if at == 0 {
					at = strings.Index(s, " ")
				}
				fmt.Fprintf(&b, "  - series: '%s'\n    values: '%s'\n", s[:at], strings.TrimSpace(s[at:]))
			}
			b.WriteString("  promql_expr_test:\n  - expr: count by (alertname) (ALERTS{alertstate=\"firing\", alertname=~\"Waggle.+\"})\n    eval_time: 2h\n    exp_samples: ")
			if c.fires == "" {
				b.WriteString("[]\n")
			} else {
				fmt.Fprintf(&b, "[{labels: '{alertname=\"%s\"}', value: 1}]\n", c.fires)
			}
			dir := t.TempDir()
			for name, content := range map[string]string{"waggle.yml": string(file), "test.yml": b.String()} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), tooltest.Path(t, "promtool"), "test", "rules", "test.yml")
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
