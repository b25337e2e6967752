package house

import (
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/listener"
	"github.com/wagglehq/waggle/monitor"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy"
	"github.com/wagglehq/waggle/scaler"
)

// canary is what no secret is without.
const canary = "cAnArY0815"

// leaks are the lines of a text that tell a secret, in the words or as they are often encoded.
func leaks(text string, further ...string) []string {
	words := append([]string{canary, key(""), token}, further...)
	for _, w := range slices.Clone(words) {
		// The end depends on what follows.
		words = append(words, base64.StdEncoding.EncodeToString([]byte(w))[:len(w)])
	}
	var out []string
	for line := range strings.Lines(text) {
		for _, w := range words {
			if at := strings.Index(strings.ToLower(line), strings.ToLower(w)); at >= 0 {
				out = append(out, line[max(0, at-150):min(len(line), at+150)])
				break
			}
		}
	}
	return out
}

// labelTables are the labels of all components.
func labelTables() []label.Spec {
	return slices.Concat(listener.Labels(), proxy.Labels(), monitor.Labels(), scaler.Labels())
}

// TestNobodyIsToldASecret: with a secret in each label that may hold one, rightly, wrongly, or
// in a service that is wrong elsewhere, and in each setting, no log, answer, metric or entry on
// the bus tells it to whom it does not concern.
func TestNobodyIsToldASecret(t *testing.T) {
	t.Parallel()
	issued := certtest.Self(t, "cert.acme.com")
	private := strings.Split(issued.Key, "\n")[1]
	h := open(t, func(h *house) {
		h.log.level.Set(slog.LevelDebug)
		h.ports["stats"] = freePorts(t, "stats")["stats"]
		h.more = map[string][]string{"proxy": {
			"-token", token, "-token-other", canary + canary, "-seal-key", canary + canary,
			"-users", "me:" + canary, "-stats-user", "me", "-stats-pass", canary, "-stats-port", fmt.Sprint(h.ports["stats"]), "-docker-flow-api",
		}}
		h.environ = []string{
			"DFP_SERVICE_1_SERVICE_NAME=static", "DFP_SERVICE_1_SERVICE_PATH=/static", "DFP_SERVICE_1_PORT=80", "DFP_SERVICE_1_OUTBOUND_HOSTNAME=static.example.com",
			"DFP_SERVICE_1_USERS=me:" + canary, "DFP_SERVICE_1_ADD_REQ_HEADER=X-Key " + canary,
			"DFP_SERVICE_2_SERVICE_NAME=wrong", "DFP_SERVICE_2_SERVICE_PATH=/wrong", "DFP_SERVICE_2_PORT=eighty", "DFP_SERVICE_2_USERS=" + canary + ":",
		}
	})
	names := h.tellSecrets(issued.PEM())
	h.swarm.Create(h.service("last", "/last", "127.0.0.3"))
	h.eventually("something is said of all", func() error {
		var services []struct {
			Name     string
			Statuses []said
		}
		err := h.get("listener", "/v1/services", &services)
		told := 0
		for _, s := range services {
			if len(s.Statuses) > 1 { // the listener's own, and that of a component
				told++
			}
		}
		if err == nil && told <= len(names) {
			err = fmt.Errorf("of %d of %d services", told, len(names)+1)
		}
		return err
	})
	h.says("users_0_wrong", "proxy", "rejected", "com.df.port")
	h.says("last", "proxy", "applied")
	check := func(where, text string) {
		t.Helper()
		if found := leaks(text, private); len(found) > 0 {
			t.Errorf("%s tells a secret in %d lines, such as:\n%s", where, len(found), strings.Join(found[:min(3, len(found))], "\n"))
		}
	}
	asked := 0
	for name, paths := range h.paths(names) {
		for _, path := range paths {
			answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: "http://" + h.addr(name) + path, Token: token})
			if err != nil {
				t.Fatalf("%s %s: %v", name, path, err)
			}
			if answer.Status == http.StatusNotFound {
				t.Errorf("%s knows no %s", name, path)
			}
			check(name+path, string(answer.Body)+fmt.Sprint(answer.Header))
			asked++
		}
	}
	console := h.console()
	pages := []string{"/", "/routes", "/nodes", "/decisions", "/replicas", "/search?q=com.df."}
	for _, name := range names {
		pages = append(pages, "/services/"+name)
	}
	for _, path := range pages {
		answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: console + path})
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		check("the console's "+path, string(answer.Body))
	}
	t.Logf("%d services were told, and %d paths and %d pages asked", len(names), asked, len(pages))
	for who, entries := range h.onTheBus() {
		if len(entries) == 0 {
			t.Errorf("%s sees nothing on the bus", who)
		}
		for entry, value := range entries {
			check(who+" "+entry, value)
		}
	}
	check("the log", h.log.String())
	// What would be told is: the very same texts are seen where they must be.
	config, err := os.ReadFile(filepath.Join(h.dir, "proxy", "haproxy", "haproxy.cfg"))
	if err != nil || len(leaks(string(config))) == 0 {
		t.Errorf("HAProxy's own configuration has no secret (%v), so that nothing was tried", err)
	}
}

// tellSecrets creates services with a secret in each label that may hold one, and returns
// their names.
func (h *house) tellSecrets(pem string) (names []string) {
	create := func(name string, labels, ofContainer map[string]string) {
		svc := h.service(name, "", "127.0.0.2")
		svc.Labels, svc.ContainerLabels = labels, ofContainer
		h.swarm.Create(svc)
		names = append(names, name)
	}
	secrets := 0
	for _, spec := range labelTables() {
		if !spec.Secret {
			continue
		}
		secrets++
		// One of these is right for each kind of label, and the others are faults.
		texts := []string{"me:" + canary, "X-Key:" + canary, "X-Key " + canary, canary}
		if spec.Name == "serviceCert" {
			texts = append(texts, pem)
		}
		for i, text := range texts {
			name := fmt.Sprintf("%s_%d", spec.Name, i)
			create(name, h.labels("/"+name, spec.Name, text), nil)
			create(name+"_wrong", h.labels("/"+name+"-wrong", spec.Name, text, "port", "eighty"), nil)
			// The same claim, and a group that wants one text of all.
			create(name+"_late", h.labels("/"+name, spec.Name, text+"2"), nil)
			for _, member := range []string{"a", "b"} {
				create(name+"_"+member, h.labels("/"+name+"-group", spec.Name, text+member, "serviceGroup", name), nil)
			}
			if spec.Indexed {
				create(name+"_index", h.labels("", spec.Name+".1", text, "servicePath.1", "/"+name+"-index", "port.1", "80", spec.Name+".7", text), nil)
			}
			// Mistyped, in an unknown label, and at the wrong place.
			create(name+"_typo", h.labels("/"+name+"-typo", spec.Name+"s", text, spec.Name[1:], text, "apiPassword", text), map[string]string{"com.df." + spec.Name: text})
		}
	}
	if secrets < 7 {
		h.t.Errorf("only %d labels may hold a secret", secrets)
	}
	slices.Sort(names)
	return names
}

// paths are all that can be asked by GET, of each part. Which there are is seen in the
// source, so that none is forgotten.
func (h *house) paths(names []string) map[string][]string {
	h.t.Helper()
	out := map[string][]string{
		"listener": {"/v1/catalog", "/v1/services", "/v1/picture", "/v1/audit", "/v1/events", "/v1/docker-flow-swarm-listener/get-services", "/v1/docker-flow-swarm-listener/get-nodes"},
		"proxy": {
			"/v1/services", "/v1/instances", "/v1/config", "/v1/certs", "/v1/docker-flow-proxy/ping", "/v1/docker-flow-proxy/config", "/v1/docker-flow-proxy/metrics",
			"/v1/docker-flow-proxy/successfulinitreload", "/v1/docker-flow-proxy/certs",
		},
		"monitor":      {"/v1/services", "/v1/targets", "/v1/rules", "/v1/docker-flow-monitor/"},
		"scaler":       {"/v1/services", "/v1/decisions", "/v1/stop", "/v1/ping"},
		"guard":        {"/api/v1/status/config", "/api/v1/status/flags", "/api/v1/targets", "/api/v1/rules", "/metrics"},
		"alertmanager": {"/api/v2/status", "/api/v2/alerts", "/metrics"},
		"stats":        {"/metrics"},
	}
	known := map[string]bool{"/services/{name}": true}
	for _, name := range all {
		for _, path := range out[name] {
			known[path] = true
			for _, prefix := range []string{"/v1/docker-flow-proxy", "/v1/docker-flow-monitor", "/v1"} {
				known[strings.TrimPrefix(path, prefix)] = true
			}
		}
		// The lists have all; one of each kind is asked for by itself.
		for _, service := range names {
			if strings.Contains(service, "_1") {
				out[name] = append(out[name], "/v1/services/"+service)
			}
		}
		out[name] = append(out[name], "/healthz", "/metrics")
		known["/v1/services/{name}"] = true
	}
	for _, folder := range []string{"listener", "proxy", "monitor", "scaler", "pkg/app"} {
		err := filepath.WalkDir(filepath.Join("..", "..", "..", folder), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`\.Get\((?:Prefix ?\+ ?)?"(/[^"]*)"`).FindAllStringSubmatch(string(text), -1) {
				if !known[m[1]] && m[1] != "/healthz" && m[1] != "/metrics" {
					h.t.Errorf("%s answers %s, which is not asked here", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return out
}

// onTheBus is what each component sees there that secrets of labels do not concern: all that
// it may read, by bucket and key.
func (h *house) onTheBus() map[string]map[string]string {
	h.t.Helper()
	out := map[string]map[string]string{}
	for component, filters := range map[string][][2]string{
		"monitor": {{bus.CatalogBucket, ">"}, {bus.StatusBucket, "monitor.>"}, {bus.AcceptedBucket, "monitor.>"}, {bus.ManualBucket, "monitor.>"}},
		"scaler":  {{bus.CatalogBucket, ">"}, {bus.StatusBucket, "scaler.>"}, {bus.AcceptedBucket, "scaler.>"}, {bus.ManualBucket, "scaler.>"}, {bus.SignalsBucket, ">"}, {bus.WakesBucket, ">"}},
		// Statuses of all are read by whoever asks for them with a key of his own.
		"listener": {{bus.CatalogBucket, ">"}, {bus.StatusBucket, ">"}},
	} {
		b, err := bus.Connect(bus.Options{URL: "tls://" + h.addr("bus"), Component: component, Key: key(component), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(b.Close)
		seen := map[string]string{}
		for _, f := range filters {
			m := b.Bucket(f[0]).Mirror(f[1], func() {})
			bustest.Run(h.t, m.Run)
			h.eventually(component+" sees "+f[0], func() error {
				values, complete := m.Values()
				if !complete {
					return errors.New("not all of it")
				}
				for key, v := range values {
					seen[f[0]+"/"+key] = string(v.Data)
				}
				return nil
			})
		}
		for _, stream := range []string{bus.EventsStream, bus.DecisionsStream} {
			if component == "monitor" || component == "scaler" && stream == bus.EventsStream {
				continue
			}
			messages, err := b.Last(h.t.Context(), stream, 10_000)
			if err != nil {
				h.t.Fatal(err)
			}
			for i, m := range messages {
				seen[fmt.Sprint(stream, " ", i)] = string(m.Value)
			}
		}
		out[component] = seen
	}
	return out
}

// TestNoStartTellsASecret: each service is started with a secret in each setting that may hold
// one, and in each URL, and says what it does.
func TestNoStartTellsASecret(t *testing.T) {
	t.Parallel()
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := flag.NewFlagSet(name, flag.ContinueOnError)
			map[string]func(){
				"listener": func() { listener.Service(fs) }, "monitor": func() { monitor.Service(fs) }, "scaler": func() { scaler.Service(fs) },
				"proxy": func() { new(proxy.Config).Flags(fs) },
			}[name]()
			dir := t.TempDir()
			env := map[string]string{
				"LOG_LEVEL": "debug", "ADMIN": tooltest.FreeAddress(t), "DATA_DIR": dir, "RUN_DIR": dir, "DOCKER_HOST": "tcp://" + tooltest.FreeAddress(t), "STATS_USER": "me",
				"HAPROXY": tooltest.Path(t, "haproxy"), "PROMETHEUS_BIN": tooltest.Path(t, "prometheus"), "PROMTOOL_BIN": tooltest.Path(t, "promtool"), "DEFAULT_PORTS": fmt.Sprint(tooltest.FreePort(t)),
				"PROMETHEUS_LISTEN": tooltest.FreeAddress(t), "ACME_EAB_KEY_ID": "k1", "ACME_FALLBACK": "zerossl", "ACME_FALLBACK_EAB_KEY_ID": "k2",
			}
			// They have forms of their own, and the last two want a file beside them.
			apart := []string{"stats-user", "external-url", "prometheus-url", "docker-key", "docker-cert"}
			secrets := 0
			fs.VisitAll(func(f *flag.Flag) {
				variable := app.Variable(f.Name)
				switch {
				case slices.Contains(apart, f.Name):
				case app.IsSecret(f):
					secrets++
					env[variable] = "me:" + canary + canary
				case strings.HasSuffix(f.Name, "-url"):
					env[variable] = "http://me:" + canary + "@" + tooltest.FreeAddress(t)
				}
			})
			if env["NATS_URL"] != "" {
				env["NATS_URL"] = "tls://me:" + canary + "@" + tooltest.FreeAddress(t) + ",tls://" + canary + "@" + tooltest.FreeAddress(t)
			}
			if name == "monitor" {
				env["ALERTMANAGER_URL"] = "" // one with a password is refused, see below
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			out := newLog(t)
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = []string{role + "=" + name, "PATH=" + os.Getenv("PATH")}
			for variable, text := range env {
				cmd.Env = append(cmd.Env, variable+"="+text)
			}
			cmd.Stdout, cmd.Stderr = io.Writer(out), io.Writer(out)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // it has ended, or does by our signal
			})
			tooltest.Eventually(t, name+" answers, without bus and Docker", func() error {
				_, err := tooltest.Ask(t.Context(), tooltest.Request{URL: "http://" + env["ADMIN"] + "/healthz"})
				return err
			})
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			tooltest.Eventually(t, name+" says that it has started and stopped", func() error {
				for _, want := range []string{`"msg":"starting"`, `"msg":"stopped"`} {
					if !strings.Contains(out.String(), want) {
						return fmt.Errorf("no %s in %s", want, out)
					}
				}
				return nil
			})
			if found := leaks(out.String()); len(found) > 0 {
				t.Errorf("a secret is told: %s", found[0])
			}
			if secrets == 0 {
				t.Error("it has no secret settings, so that nothing was tried")
			}
		})
	}
}

// TestARefusedStartTellsNoSecret: what is wrong with a URL is told without its password.
func TestARefusedStartTellsNoSecret(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string]string{
		"monitor": "ALERTMANAGER_URL=http://me:" + canary + "@alertmanager", "proxy": "NATS_URL=tls://me:" + canary + "@a,nats://me:" + canary + "@b",
		"listener": "DOCKER_HOST=ssh://me:" + canary + "@a", "scaler": "LOG_LEVEL=http://me:" + canary + "@a",
	} {
		cmd := exec.CommandContext(tooltest.Context(t, 15*time.Second), self)
		cmd.Env = []string{role + "=" + name, "PATH=" + os.Getenv("PATH"), env, "DATA_DIR=" + t.TempDir(), "NATS_KEY=" + canary + canary, "ADMIN=" + tooltest.FreeAddress(t)}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s starts with %s", name, env)
		}
		if found := leaks(string(out)); len(found) > 0 {
			t.Errorf("%s, refused, tells a secret: %s", name, found)
		}
	}
}
