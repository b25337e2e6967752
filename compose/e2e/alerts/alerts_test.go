// Package alerts tests the configurations of Alertmanager that the stack brings, with
// the real one.
package alerts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// files are the configurations, by name.
func files(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("../../alertmanager*.yml")
	if err != nil || len(names) != 4 {
		t.Fatalf("the files are %v (%v)", names, err)
	}
	return names
}

// All ask the scaler in the same way; they differ in who else gets alerts.
func TestEachFileIsOneForAlertmanager(t *testing.T) {
	head := ""
	for _, name := range files(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), tooltest.Path(t, "amtool"), "check-config", name).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		_, config, _ := strings.Cut(string(text), "\nglobal:")
		config, _, _ = strings.Cut(config, "  - name: everything-else\n")
		if head == "" {
			head = config
		}
		if config != head || config == "" {
			t.Errorf("%s says something else to the scaler than the others:\n%s", name, config)
		}
	}
}

// Docker leaves a file of the user's as it is: as a template of its own it would try to
// fill in what stands in it for Alertmanager, and reject the task.
func TestTheStackTakesNoFileForATemplateOfDocker(t *testing.T) {
	text, err := os.ReadFile("../../stack.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, configs, ok := strings.Cut(string(text), "\nconfigs:\n")
	if !ok || !strings.Contains(configs, "file: ${ALERTMANAGER_CONFIG") || strings.Contains(configs, "template_driver") {
		t.Errorf("the configs are\n%s", configs)
	}
}

// What is said arrives at a webhook in Alertmanager's JSON, and at a chat in words.
func TestAlertsArrive(t *testing.T) {
	for _, c := range []struct {
		name, who string // the file, and the label that says whom it is about or whose it is
		want      []string
	}{
		{"alertmanager-webhook.yml", "service", []string{`"status":"firing"`, `"summary":"The shop is closed"`}},
		{"alertmanager-slack.yml", "service", []string{`"title":"[FIRING] closed shop_web"`, `The shop is closed`, `"title_link":"https://docs.example.com/closed"`}},
		{"alertmanager-slack.yml", "owner", []string{`"title":"[FIRING] closed shop_web"`}},
	} {
		t.Run(c.name+" by "+c.who, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				select {
				case got <- string(body):
				default: // it was told already
				}
			}))
			defer receiver.Close()
			url := start(t, c.name, receiver.URL)
			now := time.Now().UTC()
			alert := fmt.Sprintf(`[{"labels":{"alertname":"closed",%q:"shop_web"},"annotations":{"summary":"The shop is closed","runbook_url":"https://docs.example.com/closed"},"startsAt":%q,"endsAt":%q}]`,
				c.who, now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
			say(t, url, alert)
			select {
			case body := <-got:
				for _, w := range c.want {
					if !strings.Contains(body, w) {
						t.Errorf("%q is not in\n%s", w, body)
					}
				}
			case <-time.After(30 * time.Second):
				t.Error("nothing arrived")
			}
		})
	}
}

// say tells Alertmanager of alerts.
func say(t *testing.T, url, alerts string) {
	t.Helper()
	tooltest.Within(t, 30*time.Second, "Alertmanager takes the alerts", func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v2/alerts", strings.NewReader(alerts))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", res.Status)
		}
		return nil
	})
}

// TestOneNodeThatDiesIsOneMessage: what follows from it is not told, what has nothing to do
// with it is, and nobody is told that all is well.
func TestOneNodeThatDiesIsOneMessage(t *testing.T) {
	got := make(chan []string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Alerts []struct{ Labels map[string]string }
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		names := []string{}
		for _, a := range message.Alerts {
			names = append(names, a.Labels["alertname"])
		}
		got <- names
	}))
	defer receiver.Close()
	url := start(t, "alertmanager-webhook.yml", receiver.URL)
	alerts := func(labels ...string) string {
		var all []string
		for _, l := range labels {
			all = append(all, `{"labels":{`+l+`},"endsAt":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	say(t, url, alerts(`"alertname":"NodeDown","node":"two","node_id":"n2"`, `"alertname":"ManagerUnreachable","node":"two","node_id":"n2"`,
		`"alertname":"exporter_memory","node":"two","owner":"exporter"`, `"alertname":"Watchdog"`,
		`"alertname":"ServiceDown","service":"shop"`, `"alertname":"ServiceReplicasMissing","service":"shop"`, `"alertname":"TargetDown","service":"shop","instance":"i"`))
	told := []string{}
	await := func(want ...string) {
		t.Helper()
		for len(told) < len(want) {
			select {
			case names := <-got:
				told = append(told, names...)
			case <-time.After(30 * time.Second):
				t.Fatalf("told of %v, want %v", told, want)
			}
		}
		slices.Sort(told)
		if !slices.Equal(told, want) {
			t.Fatalf("told of %v, want %v", told, want)
		}
	}
	await("NodeDown", "ServiceDown")
	// Whatever else was to be told has been by the time that this is.
	say(t, url, alerts(`"alertname":"ServiceDown","service":"db"`, `"alertname":"TargetDown","service":"db","instance":"j"`, `"alertname":"scale_service","service":"web"`))
	await("NodeDown", "ServiceDown", "ServiceDown", "scale_service")
}

// TestOneOfWagglesOwnThatStopsIsOneMessage: the listener, for which all others wait, a service
// that Swarm misses as well, and an Alertmanager that Prometheus cannot reach.
func TestOneOfWagglesOwnThatStopsIsOneMessage(t *testing.T) {
	for _, c := range []struct {
		cause    string
		follows  []string
		separate []string // has nothing to do with it, and is told
	}{
		{`"alertname":"WaggleComponentDown","job":"waggle_listener"`, []string{`"alertname":"WaggleNotPassing","job":"waggle_proxy"`, `"alertname":"WaggleCatalogStale","job":"waggle_monitor"`},
			[]string{`"alertname":"ServiceDown","service":"shop"`}},
		{`"alertname":"WaggleComponentDown","job":"waggle_scaler"`, []string{`"alertname":"ServiceDown","service":"waggle_scaler"`},
			[]string{`"alertname":"WaggleNotPassing","job":"waggle_proxy"`}},
		{`"alertname":"WaggleProxyMissing"`, []string{`"alertname":"ServiceReplicasMissing","service":"waggle_proxy"`}, []string{`"alertname":"ServiceReplicasMissing","service":"shop"`}},
		{`"alertname":"AlertmanagerDown","job":"waggle_alertmanager"`, []string{`"alertname":"PrometheusCannotNotify"`, `"alertname":"ServiceDown","service":"waggle_alertmanager"`},
			[]string{`"alertname":"ServiceDown","service":"shop"`}},
	} {
		t.Run(c.cause, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 100)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				var message struct {
					Alerts []struct{ Labels map[string]string }
				}
				if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
					t.Error(err)
				}
				for _, a := range message.Alerts {
					got <- a.Labels["alertname"]
				}
			}))
			defer receiver.Close()
			url := start(t, "alertmanager-webhook.yml", receiver.URL)
			told := func(labels ...string) {
				t.Helper()
				var all, want, heard []string
				for _, l := range labels {
					all = append(all, `{"labels":{`+l+`},"endsAt":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}`)
					if !slices.Contains(c.follows, l) {
						want = append(want, strings.Split(l, `"`)[3])
					}
				}
				say(t, url, "["+strings.Join(all, ",")+"]")
				for len(heard) < len(want) {
					select {
					case name := <-got:
						heard = append(heard, name)
					case <-time.After(30 * time.Second):
						t.Fatalf("told of %v, want %v", heard, want)
					}
				}
				slices.Sort(heard)
				slices.Sort(want)
				if !slices.Equal(heard, want) {
					t.Fatalf("told of %v, want %v", heard, want)
				}
			}
			told(slices.Concat([]string{c.cause}, c.follows, c.separate)...)
			// Whatever else was to be told has been by the time that this is.
			told(`"alertname":"scale_service","service":"web"`)
		})
	}
}

// start runs Alertmanager on a file of ours, with the secret of this test, and returns
// its URL.
func start(t *testing.T, name, secret string) string { return startWith(t, name, secret, nil) }

// startWith is start with variables, and with texts of the file, each followed by what takes
// its place.
func startWith(t *testing.T, name, receiver string, env []string, changes ...string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	secret, file := filepath.Join(dir, "secret"), filepath.Join(dir, "alertmanager.yml")
	config := strings.ReplaceAll(string(text), "/run/secrets/waggle_alert_webhook", secret)
	config = strings.NewReplacer(append([]string{"group_wait: 10s", "group_wait: 100ms"}, changes...)...).Replace(config)
	for path, content := range map[string]string{secret: receiver, file: config} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := tooltest.FreeAddress(t)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), tooltest.Path(t, "alertmanager"), "--config.file="+file, "--storage.path="+dir,
		"--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // the end of the test's context has killed it
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return "http://" + addr
}

// TestWhereAlertsGo, by Alertmanager's own tool: to the scaler what asks it for a step, and
// nothing else; people get the rest, but for the sign of life.
func TestWhereAlertsGo(t *testing.T) {
	for _, name := range files(t) {
		for _, c := range []struct{ labels, receiver string }{
			{"alertname=slow service=web scale=up type=service", "scaler"},
			{"alertname=idle service=web scale=down type=service severity=warning", "scaler"},
			{"alertname=memory service=web scale=up type=node", "everything-else"},
			{"alertname=memory service=web scale=no type=service", "everything-else"},
			{"alertname=memory service=web scale= type=service", "everything-else"},
			{"alertname=errors service=web type=errors", "everything-else"},
			{"alertname=scale_service service=web", "decisions"},
			{"alertname=scale_nodes service=web", "everything-else"},
			{"alertname=Watchdog", "sign-of-life"},
			{"alertname=NodeDown node=one severity=critical", "everything-else"},
		} {
			args := append([]string{"config", "routes", "test", "--config.file=" + name, "--verify.receivers=" + c.receiver}, strings.Fields(c.labels)...)
			if out, err := exec.CommandContext(t.Context(), tooltest.Path(t, "amtool"), args...).CombinedOutput(); err != nil {
				t.Errorf("%s: %s: want %s: %v\n%s", name, c.labels, c.receiver, err, out)
			}
		}
	}
}
