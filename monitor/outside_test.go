package monitor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestSomebodyElsesPrometheus finds the targets by HTTP, and loads the rules that it is given
// as a file. What becomes of labels is seen there as well.
func TestSomebodyElsesPrometheus(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.start()
	s.service("shop_web", "127.0.0.2", "scrapePort=9", "metricsPath=/m", "scrapeInterval=15s", "scrapeTimeout=4s", "scrapeScheme=https", "scrapeParams=module=a b",
		"alertName=slow", "alertIf=@resp_time_above:1,5m,0.9")
	s.publish()
	s.status("shop_web", catalog.StateApplied)

	folder, address := t.TempDir(), tooltest.FreeAddress(t)
	fetch := func(rule string) {
		tooltest.Eventually(t, rule+" is told", func() error {
			a, err := tooltest.Ask(t.Context(), tooltest.Request{URL: "http://" + s.admin + "/v1/rules"})
			if err != nil || a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/yaml" || !strings.Contains(string(a.Body), rule) {
				return fmt.Errorf("%d %s %w", a.Status, a.Body, err)
			}
			return os.WriteFile(filepath.Join(folder, "rules.yml"), a.Body, 0o600)
		})
	}
	fetch("shop_web_slow")
	config := "rule_files: [rules.yml]\nscrape_configs:\n- job_name: swarm\n  fallback_scrape_protocol: PrometheusText0.0.4\n  http_sd_configs: [{url: 'http://" + s.admin + "/v1/targets', refresh_interval: 1s}]\n"
	tooltest.Must(t, os.WriteFile(filepath.Join(folder, "prometheus.yml"), []byte(config), 0o600))
	other := exec.CommandContext(t.Context(), tooltest.Path(t, "prometheus"), "--config.file="+filepath.Join(folder, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address, "--web.enable-lifecycle")
	other.Stderr = t.Output()
	tooltest.Must(t, other.Start())
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })

	shows := func(want ...string) {
		t.Helper()
		tooltest.Within(t, 2*tooltest.Patience, fmt.Sprintf("it shows %q", want), func() error {
			var targets struct {
				Data struct {
					ActiveTargets []struct {
						Labels                                   map[string]string
						ScrapeURL, ScrapeInterval, ScrapeTimeout string
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
			if err := errors.Join(s.get("http://"+address+"/api/v1/targets", &targets), s.get("http://"+address+"/api/v1/rules", &rules)); err != nil {
				return err
			}
			got := []string{}
			for _, t := range targets.Data.ActiveTargets {
				got = append(got, strings.Join([]string{t.Labels["job"], t.Labels["service"], t.Labels["node"], t.ScrapeURL, t.ScrapeInterval, t.ScrapeTimeout}, " "))
			}
			for _, g := range rules.Data.Groups {
				for _, r := range g.Rules {
					got = append(got, r.Name)
				}
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
	}
	shows("shop_web shop_web one https://127.0.0.2:9/m?module=a+b 15s 4s", "shop_web_slow")

	s.service("shop_web", "127.0.0.3", "scrapePort=9", "alertName=other", "alertIf=up > 1")
	s.publish()
	fetch("shop_web_other")
	if _, err := tooltest.Ask(t.Context(), tooltest.Request{Method: http.MethodPost, URL: "http://" + address + "/-/reload"}); err != nil {
		t.Fatal(err)
	}
	shows("shop_web shop_web one http://127.0.0.3:9/metrics 1s 1s", "shop_web_other")
}

// TestDockerFlowsInterface through the walls of the bus: what is asked for is in force when it
// is answered, needs the token and the bus, and outlives the disk. No request is in the log.
func TestDockerFlowsInterface(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-the-test"
	s := newStage(t)
	s.config.DockerFlow.On, s.config.DockerFlow.Token = true, app.Secret(token)
	var log tooltest.Log
	s.log = &log
	s.start()
	s.publish()
	call := func(token, path string, parameters ...string) (int, string) {
		t.Helper()
		query := url.Values{}
		for i := 0; i+1 < len(parameters); i += 2 {
			query.Set(parameters[i], parameters[i+1])
		}
		a, err := tooltest.Ask(t.Context(), tooltest.Request{Method: http.MethodPost, URL: "http://" + s.admin + "/v1/docker-flow-monitor/" + path + "?" + query.Encode(), Token: token})
		if err != nil {
			return 0, err.Error()
		}
		return a.Status, string(a.Body)
	}
	tooltest.Eventually(t, "the swarm is known", func() error {
		if status, body := call(token, "reconfigure", "serviceName", "ext", "scrapePort", "9", "nodeInfo", `[["far","127.0.0.2","x"]]`, "alertName", "a", "alertIf", "up > 1"); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	s.eventuallyShows("it is in force", "ext 127.0.0.2:9/metrics; ext_a=up > 1")
	if status, body := call("", "remove", "serviceName", "ext"); status != http.StatusUnauthorized {
		t.Error(status, body)
	}
	if status, body := call(token, "reconfigure", "serviceName", "ext", "alertName", "a", "alertIf", "up >"); status != http.StatusBadRequest || !strings.Contains(body, "alertIf") {
		t.Error(status, body)
	}
	s.stop()
	s.config.DataDir = t.TempDir()
	s.start()
	s.eventuallyShows("the bus has it", "ext 127.0.0.2:9/metrics; ext_a=up > 1")
	s.service("ext", "127.0.0.3", "scrapePort=9")
	s.publish()
	s.eventuallyShows("labels come first", "ext 127.0.0.3:9/metrics")
	if status, body := call(token, "remove", "serviceName", "ext"); status != http.StatusConflict {
		t.Error(status, body)
	}
	s.nats.Stop()
	if status, body := call(token, "reconfigure", "serviceName", "late", "alertName", "a", "alertIf", "up"); status != http.StatusServiceUnavailable {
		t.Error(status, body)
	}
	s.stop()
	for line := range strings.Lines(log.String()) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "serviceName") || strings.Contains(line, "docker-flow-monitor/") || strings.Contains(line, token) {
			t.Error(line)
		}
	}
	if !strings.Contains(log.String(), `"msg":"applied"`) {
		t.Error(log.String())
	}
}
