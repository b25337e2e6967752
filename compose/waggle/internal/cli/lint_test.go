package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/waggle/internal/cli"
)

// waggle runs a command line and returns its exit code and what it wrote.
func waggle(t *testing.T, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Main(t.Context(), args, cli.World{Env: env, Out: &o, Err: &e, Version: "test"})
	return code, o.String(), e.String()
}

// file writes a file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stack.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const network = "networks:\n  waggle: {external: true}\n"

// service is a service of a stack file on the proxy's network.
func service(name string, labels ...string) string {
	text := fmt.Sprintf("  %s:\n    image: x:1\n    networks: [waggle]\n    deploy:\n      labels:\n", name)
	for _, l := range labels {
		text += "        - " + l + "\n"
	}
	return text
}

func stackOf(services ...string) string {
	return "version: \"3.8\"\nservices:\n" + strings.Join(services, "") + network
}

func TestLintFindsMistakes(t *testing.T) {
	const optedIn, path, port = "com.df.notify=true", "com.df.servicePath=/a", "com.df.port=80"
	for _, c := range []struct {
		name string
		file string
		code int
		// want are "LEVEL SERVICE LABEL" with parts of the text and of the fix, separated by "|".
		want []string
	}{
		{"nothing is wrong", stackOf(service("web", optedIn, path, port)), cli.Fine, nil},
		{"a service that is none of ours", stackOf("  db: {image: x:1}\n"), cli.Fine, nil},
		{"only labels of a companion", stackOf(service("web", "com.df.cron=true", "com.df.letsencrypt.host=a.test")), cli.Fine, nil},
		{"no wish", stackOf(service("web", path)), cli.Faults, []string{"error web com.df.notify|com.df.notify=true"}},
		{"a wish to be left alone", stackOf(service("web", "com.df.notify=false", path)), cli.Fine, nil},
		{"a wish that is no true", stackOf(service("web", "com.df.notify=yes", path)), cli.Faults, []string{"error web com.df.notify|yes"}},
		{"labels on the container", stackOf("  web:\n    image: x:1\n    networks: [waggle]\n    labels: {com.df.notify: \"true\"}\n"), cli.Faults,
			[]string{"error web com.df.notify|container|deploy.labels"}},
		{"one label on the container", stackOf(strings.Replace(service("web", optedIn, path, port), "    deploy:", "    labels: [com.df.users=me:geheim]\n    deploy:", 1)), cli.Faults,
			[]string{"error web com.df.users|container"}},
		{"two letters changed places", stackOf(service("web", optedIn, path, port, "com.df.serviceDomian=a.test")), cli.Faults, []string{"error web com.df.serviceDomian|com.df.serviceDomain"}},
		{"the case is wrong", stackOf(service("web", optedIn, path, port, "com.df.servicepath=/b")), cli.Faults, []string{"error web com.df.servicepath|com.df.servicePath"}},
		{"far from anything", stackOf(service("web", optedIn, path, port, "com.df.zzzzzzzzzz=1")), cli.Fine, []string{"warning web com.df.zzzzzzzzzz|not known"}},
		{"two labels at fault", stackOf(service("web", optedIn, "com.df.servicePath=a", "com.df.port=x")), cli.Faults,
			[]string{"error web com.df.port|65535", "error web com.df.servicePath|slash"}},
		{"two that want the same", stackOf(service("a", optedIn, path, port), service("b", optedIn, path, port)), cli.Faults, []string{"error b com.df.servicePath|stack_a"}},
		{"nothing is asked for", stackOf(service("web", optedIn)), cli.Faults, []string{"error web |asks for nothing|ask for nothing"}},
		{"not on the network", strings.Replace(stackOf(service("web", optedIn, path, port)), "    networks: [waggle]\n", "", 1), cli.Faults,
			[]string{"error web |stack_default|external: true"}},
		{"a scrape without its port", stackOf(service("web", optedIn, path, port, "com.df.metricsPath=/m")), cli.Faults, []string{"error web com.df.scrapePort|scrapePort"}},
		{"an alert that is no PromQL", stackOf(service("web", optedIn, "com.df.alertName.1=a", "com.df.alertIf.1=up<")), cli.Faults, []string{"error web com.df.alertIf.1|alert"}},
		{"bounds that cannot be", stackOf(service("web", optedIn, "com.df.scaleMin=5", "com.df.scaleMax=3", "com.df.scaleUpBy=no")), cli.Faults,
			[]string{"error web com.df.scaleUpBy|whole"}},
		{"a least above the most", stackOf(service("web", optedIn, "com.df.scaleMin=5", "com.df.scaleMax=3")), cli.Faults, []string{"error web com.df.scaleMin|at most"}},
		{"a global service", stackOf(strings.Replace(service("web", optedIn, "com.df.scaleMax=3"), "    deploy:", "    deploy:\n      mode: global", 1)), cli.Faults,
			[]string{"error web |replicated"}},
		{"steps without bounds", stackOf(service("web", optedIn, path, port, "com.df.scaleUpBy=2")), cli.Fine, []string{"warning web |com.df.scaleMin"}},
		{"replicas beside bounds", stackOf(strings.Replace(service("web", optedIn, "com.df.scaleMax=5"), "    deploy:", "    deploy:\n      replicas: 2", 1)), cli.Fine,
			[]string{"warning web |replicas"}},
		{"too much of labels", stackOf(service("web", optedIn, path, port, "com.df.setReqHeader="+strings.Repeat("X-A b\\,", 12000))), cli.Faults, []string{"error web |65|file"}},
		{"tasks that may not be moved", stackOf(service("web", optedIn, "com.df.reschedule=false")), cli.Fine, nil},
		{"no stack", "services: 7\n", cli.Faults, []string{"error  |services"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := waggle(t, nil, "lint", "-o", "json", file(t, c.file))
			var got struct {
				Findings []struct{ Service, Label, Level, Text, Fix string }
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err, out, errs)
			}
			if code != c.code || len(got.Findings) != len(c.want) {
				t.Fatalf("exit code %d, want %d: %s%s", code, c.code, out, errs)
			}
			if strings.Contains(out, "geheim") {
				t.Error("it tells a secret")
			}
			for i, want := range c.want {
				f := got.Findings[i]
				parts := strings.Split(want, "|")
				if head := f.Level + " " + f.Service + " " + f.Label; head != parts[0] {
					t.Errorf("finding %d is %q, want %q: %+v", i, head, parts[0], f)
				}
				if !slices.ContainsFunc(parts[1:], func(p string) bool { return strings.Contains(f.Text+f.Fix, p) }) {
					t.Errorf("finding %d says none of %q: %+v", i, parts[1:], f)
				}
			}
		})
	}
}

// TestLintReadsAsDockerDoes: variables, several files, names of stacks and networks.
func TestLintReadsAsDockerDoes(t *testing.T) {
	first := file(t, stackOf(service("web", "com.df.notify=true", "com.df.servicePath=/a", "com.df.port=${PORT}")))
	second := file(t, "version: \"3.8\"\nservices:\n  web:\n    deploy:\n      labels:\n        com.df.port: \"81\"\n")
	if code, out, _ := waggle(t, map[string]string{"PORT": "http"}, "lint", "-stack", "shop", first); code != cli.Faults || !strings.Contains(out, `com.df.port="http"`) {
		t.Errorf("with a variable: %d %s", code, out)
	}
	if code, out, _ := waggle(t, map[string]string{"PORT": "http"}, "lint", first, second); code != cli.Fine {
		t.Errorf("a further file sets another port: %d %s", code, out)
	}
	named := strings.Replace(stackOf(service("web", "com.df.notify=true", "com.df.servicePath=/a", "com.df.port=80")), "{external: true}", "{}", 1)
	if code, out, _ := waggle(t, nil, "lint", "-stack", "shop", file(t, named)); code != cli.Faults || !strings.Contains(out, "only shop_waggle") {
		t.Errorf("a network of the stack's own: %d %s", code, out)
	}
}

func TestTheOperatorsSettingsDecide(t *testing.T) {
	raw := file(t, stackOf(service("web", "com.df.notify=true", "com.df.servicePath=/a", "com.df.port=80", "com.df.backendExtra=option httpclose")))
	if code, out, _ := waggle(t, nil, "lint", raw); code != cli.Faults || !strings.Contains(out, "com.df.backendExtra") {
		t.Errorf("by default: %d %s", code, out)
	}
	if code, out, errs := waggle(t, nil, "lint", "-settings", file(t, "proxy: {ALLOW_RAW: true}\n"), raw); code != cli.Fine {
		t.Errorf("where raw text is allowed: %d %s%s", code, out, errs)
	}
	if code, out, errs := waggle(t, nil, "lint", "-settings", file(t, "proxy: {ALLOW_RAW: true, certificates: true, operator-users: true, obtains-certificates: true}\n"), raw); code != cli.Fine {
		t.Errorf("where the proxy has certificates and users: %d %s%s", code, out, errs)
	}
	theirs := file(t, "monitor: {own-shortcuts: '@queue_over', SCRAPE_PORT_2: 9100, SERVICE_NAME_2: db, GLOBAL__SCRAPE_INTERVAL: 2s, ARG_STORAGE_TSDB_RETENTION_TIME: 2d}\nproxy: {ALLOW_RAW: true}\n")
	if code, out, errs := waggle(t, nil, "lint", "-settings", theirs, raw); code != cli.Fine {
		t.Errorf("where Prometheus has options: %d %s%s", code, out, errs)
	}
	for text, want := range map[string]string{"proxy: {STATS_PORT: x}": "stats-port", "edge: {}": `"edge"`, "proxy: {ALOW_RAW: true}": "ALOW_RAW of proxy: there is no such setting; is allow-raw meant?",
		"scaler: {allow-raw: true}": "settings.md", "monitor: {SHORTCUTS: '-'}": "monitor", "7": "stack.yml"} {
		if code, _, errs := waggle(t, nil, "lint", "-settings", file(t, text), raw); code != cli.NoAnswer || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s", text, code, errs)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"lint"}, cli.Usage, "file"},
		{[]string{"dance"}, cli.Usage, "lint"},
		{nil, cli.Usage, "lint"},
		{[]string{"--help"}, cli.Fine, "lint"},
		{[]string{"--version"}, cli.Fine, "test"},
		{[]string{"lint", "-o", "xml", "a.yml"}, cli.Usage, "json"},
		{[]string{"get", "/v1/catalog", "--url", "http://127.0.0.1:1"}, cli.NoAnswer, "listener"},
	} {
		code, out, errs := waggle(t, nil, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%q: exit code %d, want %d with %q: %s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}

// TestLintForCodeReview: the annotations of GitHub and GitLab name file and line.
func TestLintForCodeReview(t *testing.T) {
	path := file(t, "x-labels: &labels\n  com.df.notify: \"true\"\n  com.df.port: http\nservices:\n  web:\n    image: x:1\n    networks: [waggle]\n    deploy:\n      labels:\n        <<: *labels\n        com.df.servicePath: 50%\n        com.df.zzzzzzzzzzzz: \"1\"\n"+network)
	code, out, _ := waggle(t, nil, "lint", "-o", "github", path)
	want := []string{
		"::error file=" + path + ",line=3,title=waggle lint::web: com.df.port=\"http\": want a whole number",
		"::error file=" + path + ",line=11,title=waggle lint::web: com.df.servicePath=\"50%25\": want",
		"::warning file=" + path + ",line=12,title=waggle lint::web: the label com.df.zzzzzzzzzzzz",
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != cli.Faults || len(lines) != len(want) {
		t.Fatalf("%d: %s", code, out)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
	code, out, _ = waggle(t, nil, "lint", "-o", "gitlab", path)
	var issues []struct {
		Description, Fingerprint, Severity string
		Check                              string `json:"check_name"`
		Location                           struct {
			Path  string
			Lines struct{ Begin int }
		}
	}
	if err := json.Unmarshal([]byte(out), &issues); err != nil || code != cli.Faults || len(issues) != 3 {
		t.Fatalf("%d %v: %s", code, err, out)
	}
	if i := issues[0]; i.Severity != "major" || i.Check != "waggle-lint" || len(i.Fingerprint) != 64 || i.Location.Path != path || i.Location.Lines.Begin != 3 || issues[2].Severity != "minor" {
		t.Errorf("%+v", issues)
	}
	if _, out, _ := waggle(t, nil, "lint", "-o", "gitlab", file(t, stackOf("  db: {image: x:1}\n"))); strings.TrimSpace(out) != "[]" {
		t.Errorf("without a finding: %s", out)
	}
}

// TestLintAgainstASwarm: what is deployed came first, by the settings of its components.
func TestLintAgainstASwarm(t *testing.T) {
	env, url := map[string]string{"WAGGLE_TOKEN": token}, swarm(t)
	path := file(t, stackOf(service("new", "com.df.notify=true", "com.df.serviceDomain=shop.example.com", "com.df.port=80")))
	if code, out, _ := waggle(t, env, "lint", path); code != cli.Fine {
		t.Errorf("alone: %d %s", code, out)
	}
	if code, out, _ := waggle(t, env, "lint", "-against", url, path); code != cli.Faults || !strings.Contains(out, "shop_web") || strings.Contains(out, "shop_api") {
		t.Errorf("beside another that has the host: %d %s", code, out)
	}
	same := file(t, stackOf(service("web", "com.df.notify=true", "com.df.serviceDomain=shop.example.com", "com.df.port=80")))
	if code, out, errs := waggle(t, env, "lint", "-against", url, "-stack", "shop", same); code != cli.Fine {
		t.Errorf("the one that is there already: %d %s%s", code, out, errs)
	}
	if code, _, errs := waggle(t, nil, "lint", "-against", "http://127.0.0.1:1", path); code != cli.NoAnswer || !strings.Contains(errs, "listener") {
		t.Errorf("without a listener: %d %s", code, errs)
	}
}
