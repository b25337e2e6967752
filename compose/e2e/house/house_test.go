// Package house runs all of Waggle in one process: the Runs of listener, proxy,
// monitor and scaler with the bus that the listener brings, on a swarm in memory,
// with the real HAProxy, Prometheus and Alertmanager.
package house

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/bcrypt"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/listener"
	"github.com/wagglehq/waggle/monitor"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy"
	"github.com/wagglehq/waggle/scaler"
)

// token is what whoever asks for a scaling must send.
const (
	token = "open-sesame-of-the-house"
	// alertPassword is what Alertmanager asks for.
	alertPassword = "password-of-the-house"
)

// second is another proxy, which a house has that asks for it, and entries are where requests
// come in.
const second = "second"

var entries = map[string]string{"proxy": "http", second: "second-http"}

// component is what one of a house's services is.
func component(name string) string {
	if name == second {
		return "proxy"
	}
	return name
}

// socket is where the HAProxy of one of the proxies takes commands.
func (h *house) socket(name string) string {
	return filepath.Join(h.dir, name+"-run", "haproxy.sock")
}

// all are the services in the order in which they depend on each other least.
var all = []string{"listener", "proxy", "monitor", "scaler"}

// house is a swarm with Waggle in it.
type house struct {
	t     *testing.T
	swarm *dockertest.Swarm
	tasks *tasks
	dir   string
	// ports are free ones of 127.0.0.1 by what listens there.
	ports map[string]int
	// runs are the services that run, by name.
	runs map[string]func()
	log  *log
	// more are further words of the services' command lines, and environ the variables of
	// the proxy.
	more    map[string][]string
	environ []string
}

// open starts everything and waits until each part says that it is healthy. What is to be
// otherwise is changed before.
func open(t *testing.T, change ...func(*house)) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "wh") //nolint:usetesting // t.TempDir is too long for the path of a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &house{t: t, swarm: dockertest.New(t), dir: dir, runs: map[string]func(){}, log: newLog(t)}
	h.ports = freePorts(t, "http", "bus", "listener", "proxy", "monitor", "scaler", "prometheus", "guard", "alertmanager")
	h.tasks = startTasks(t)
	for _, c := range change {
		c(h)
	}
	h.startAlertmanager()
	h.startHAProxy("proxy")
	for _, name := range all {
		h.start(name)
	}
	for _, name := range all {
		h.eventually(name+" is healthy", func() error { return h.get(name, "/healthz", nil) })
	}
	return h
}

// lastPort is the last number that a house of this process has taken.
var lastPort atomic.Int32

// freePorts returns a free port for each name, all different. They are below those
// that the kernel takes for outgoing connections, or one of these could take a port
// while its service is away.
func freePorts(t *testing.T, names ...string) map[string]int {
	t.Helper()
	const first, count = 20_000, 10_000
	lastPort.CompareAndSwap(0, int32(os.Getpid()))
	out := map[string]int{}
	for _, name := range names {
		for out[name] == 0 {
			port := first + int(lastPort.Add(1))%count
			var lc net.ListenConfig
			if ln, err := lc.Listen(t.Context(), "tcp", ":"+strconv.Itoa(port)); err == nil {
				ln.Close()
				out[name] = port
			}
		}
	}
	return out
}

// addr is where one of the parts listens.
func (h *house) addr(name string) string { return "127.0.0.1:" + strconv.Itoa(h.ports[name]) }

// key is a component's secret on the bus.
func key(component string) string { return "the-secret-key-of-the-" + component }

// flags are the command lines of the services, as the stack file gives them.
func (h *house) flags(name string) []string {
	bus := []string{"-nats-url", "tls://" + h.addr("bus"), "-nats-key", key(component(name))}
	data := filepath.Join(h.dir, name)
	switch name {
	case "listener":
		return []string{"-docker-host", h.swarm.Host(), "-data-dir", data, "-nats-host", "127.0.0.1", "-nats-port", strconv.Itoa(h.ports["bus"]),
			"-nats-key-listener", key("listener"), "-nats-key-proxy", key("proxy"), "-nats-key-monitor", key("monitor"), "-nats-key-scaler", key("scaler")}
	case "proxy", second:
		return append(bus, "-data-dir", data, "-run-dir", filepath.Dir(h.socket(name)), "-instance", name, "-haproxy", tooltest.Path(h.t, "haproxy"),
			"-default-ports", strconv.Itoa(h.ports[entries[name]]), "-stats-port", "0", "-maxconn", "1000", "-drain", "1s")
	case "monitor":
		return append(bus, "-data-dir", data, "-prometheus-bin", tooltest.Path(h.t, "prometheus"), "-promtool-bin", tooltest.Path(h.t, "promtool"),
			"-prometheus-url", "http://"+h.addr("prometheus"), "-prometheus-listen", h.addr("guard"), "-alertmanager-url", "http://"+h.addr("alertmanager"), "-alertmanager-password", alertPassword,
			"-own-stack", "", "-scrape-interval", "1s", "-evaluation-interval", "1s", "-docker-flow-api", "-token", token)
	case "scaler":
		return append(bus, "-docker-host", h.swarm.Host(), "-token", token)
	}
	h.t.Fatalf("no service %s", name)
	return nil
}

// start runs a service until stop.
func (h *house) start(name string) {
	h.t.Helper()
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	var run func(context.Context, app.Shell) error
	switch name {
	case "listener":
		run = listener.Service(fs)
	case "proxy", second:
		run = h.proxy(fs)
	case "monitor":
		run = monitor.Service(fs)
	case "scaler":
		run = scaler.Service(fs)
	}
	if err := fs.Parse(slices.Concat(h.flags(name), h.more[component(name)])); err != nil {
		h.t.Fatal(err)
	}
	sh := app.Shell{Name: component(name), Version: "test", Admin: h.addr(name), Registry: prometheus.NewRegistry(), Log: h.log.of(name)}
	h.runs[name] = bustest.Run(h.t, func(ctx context.Context) error { return run(ctx, sh) })
}

// proxy is proxy.Service with the DNS of the swarm in memory.
func (h *house) proxy(fs *flag.FlagSet) func(context.Context, app.Shell) error {
	c := &proxy.Config{}
	c.Flags(fs)
	return func(ctx context.Context, sh app.Shell) error {
		c.Resolver, c.Environ = dns{h.swarm}, h.environ
		return proxy.Run(ctx, *c, sh)
	}
}

// stop ends a service and waits until it is gone.
func (h *house) stop(name string) {
	h.runs[name]()
	delete(h.runs, name)
}

// dns is that of the overlay network of a swarm in memory.
type dns struct{ swarm *dockertest.Swarm }

// LookupNetIP answers for tasks.<service>. as Docker does.
func (d dns) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	name, ok := strings.CutPrefix(strings.TrimSuffix(host, "."), "tasks.")
	var out []netip.Addr
	if ok {
		for _, text := range d.swarm.Addresses(name, "waggle") {
			out = append(out, netip.MustParseAddr(text))
		}
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

// tasks answers for every task, whatever its address in 127.0.0.0/8, and tells
// Prometheus how hot each of them is.
type tasks struct {
	port int

	mu   sync.Mutex // the test and the server share heat
	heat float64
}

func startTasks(t *testing.T) *tasks {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &tasks{port: ln.Addr().(*net.TCPAddr).Port}
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}}
	srv.Start()
	t.Cleanup(srv.Close)
	return s
}

// ServeHTTP answers with the task's address, and with how much it was sent.
func (s *tasks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	if err != nil {
		panic(err) // the standard library's own address
	}
	if r.URL.Path == "/metrics" {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintf(w, "house_heat %v\n", s.heat)
		return
	}
	if r.Header.Get("Upgrade") != "" {
		takeWebSocket(w)
		return
	}
	fmt.Fprint(w, host)
	if n, err := io.Copy(io.Discard, r.Body); n > 0 || err != nil {
		fmt.Fprint(w, " ", n, " ", err)
	}
}

// takeWebSocket holds one until its client ends it.
func takeWebSocket(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the client has gone
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
}

func (s *tasks) setHeat(heat float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heat = heat
}

// startAlertmanager runs Alertmanager on the configuration that the stack has, with
// the places of this house and shorter intervals.
func (h *house) startAlertmanager() {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "alertmanager.yml"))
	if err != nil {
		h.t.Fatal(err)
	}
	tokenFile := filepath.Join(h.dir, "token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		h.t.Fatal(err)
	}
	config := string(text)
	for old, now := range map[string]string{
		"http://waggle_scaler:8080": "http://" + h.addr("scaler"), "/run/secrets/waggle_token": tokenFile,
		"group_wait: 1s": "group_wait: 100ms", "group_interval: 10s": "group_interval: 1s", "repeat_interval: 1m": "repeat_interval: 2s",
	} {
		if !strings.Contains(config, old) {
			h.t.Fatalf("compose/alertmanager.yml no longer has %q", old)
		}
		config = strings.ReplaceAll(config, old, now)
	}
	file := filepath.Join(h.dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		h.t.Fatal(err)
	}
	web := filepath.Join(h.dir, "web.yml")
	hash, err := bcrypt.GenerateFromPassword([]byte(alertPassword), bcrypt.MinCost)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(web, fmt.Appendf(nil, "basic_auth_users: {waggle: %s}\n", hash), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.process(exec.Command(tooltest.Path(h.t, "alertmanager"), "--config.file="+file, "--web.config.file="+web, "--storage.path="+filepath.Join(h.dir, "alertmanager"), //nolint:noctx // The clean-up ends it.
		"--web.listen-address="+h.addr("alertmanager"), "--cluster.listen-address="))
}

// forgesAlert asks Alertmanager to have a service scaled, and returns its status.
func (h *house) forgesAlert(service, password string) int {
	h.t.Helper()
	body := fmt.Sprintf(`[{"labels": {"alertname": "forged", "scale": "up", "type": "service", "service": %q}}]`, service)
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "http://"+h.addr("alertmanager")+"/api/v2/alerts", strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if password != "" {
		req.SetBasicAuth(app.AlertmanagerUser, password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode
}

// process runs a program until the test ends, and all that it has started.
func (h *house) process(cmd *exec.Cmd) *exec.Cmd {
	h.t.Helper()
	out := h.log.writer(filepath.Base(cmd.Path))
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it ends by our signal
	})
	return cmd
}

// get asks a part of the house and decodes its answer into v, if that is not nil.
func (h *house) get(name, path string, v any) error {
	return tooltest.Get(h.t.Context(), tooltest.Request{URL: "http://" + h.addr(name) + path}, v)
}

func (h *house) eventually(what string, check func() error) {
	h.t.Helper()
	tooltest.Eventually(h.t, what, check)
}

// service is a service of two tasks with the labels of all kinds.
func (h *house) service(name, path string, addresses ...string) dockertest.Service {
	return dockertest.Service{
		Name: name, Replicas: uint64(len(addresses)), Networks: []string{"waggle"}, Addresses: addresses,
		Labels: h.labels(path),
	}
}

// labels ask for a route and a scrape.
func (h *house) labels(path string, more ...string) map[string]string {
	port := strconv.Itoa(h.tasks.port)
	out := map[string]string{
		"com.df.notify": "true", "com.df.servicePath": path, "com.df.port": port,
		"com.df.scrapePort": port, "com.df.scrapeInterval": "1s",
	}
	for i := 0; i < len(more); i += 2 {
		out["com.df."+more[i]] = more[i+1]
	}
	return out
}

// scaled asks for an alert and for scaling too.
func (h *house) scaled(path string) map[string]string {
	return h.labels(path, "alertName", "hot", "alertIf", "house_heat > 5", "alertLabels", "scale=up,type=service",
		"alertName.1", "cold", "alertIf.1", "house_heat < -5", "alertLabels.1", "scale=down,type=service",
		"scaleMin", "1", "scaleMax", "3", "scaleCooldownUp", "1", "scaleCooldownDown", "1")
}

// answers waits until a path is answered by exactly these tasks.
func (h *house) answers(path string, want ...string) {
	h.t.Helper()
	h.eventually(path+" is answered by "+strings.Join(want, " and "), func() error { return h.answered(path, want...) })
}

// answered asks often enough to hear every task.
func (h *house) answered(path string, want ...string) error {
	heard := map[string]bool{}
	for range 2*len(want) + 1 {
		var body string
		if err := h.get("http", path, &body); err != nil {
			return err
		}
		heard[body] = true
	}
	if got := slices.Sorted(maps.Keys(heard)); !slices.Equal(got, want) {
		return fmt.Errorf("heard from %v", got)
	}
	return nil
}

// silent waits until a path leads nowhere.
func (h *house) silent(path string) {
	h.t.Helper()
	h.eventually(path+" leads nowhere", func() error { return h.unanswered(path) })
}

func (h *house) unanswered(path string) error {
	answer, err := tooltest.Ask(h.t.Context(), tooltest.Request{URL: "http://" + h.addr("http") + path})
	if err == nil && answer.Status != http.StatusServiceUnavailable {
		err = fmt.Errorf("answered by %d %s", answer.Status, answer.Body)
	}
	return err
}

// up returns the addresses that Prometheus has scraped for a job and found well.
func (h *house) up(job string) []string {
	var answer struct {
		Data struct {
			ActiveTargets []struct {
				Labels map[string]string
				Health string
			}
		}
	}
	if err := h.get("guard", "/api/v1/targets?state=active", &answer); err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, target := range answer.Data.ActiveTargets {
		if target.Labels["job"] == job && target.Health == "up" {
			host, _, err := net.SplitHostPort(target.Labels["instance"])
			if err != nil {
				return []string{err.Error()}
			}
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}

// scraped waits until exactly these tasks are scraped and well.
func (h *house) scraped(job string, want ...string) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("%v are scraped for %s", want, job), func() error {
		if got := h.up(job); !slices.Equal(got, want) {
			return fmt.Errorf("scraped are %v", got)
		}
		return nil
	})
}

// alerts returns the names of the rules that Prometheus has loaded, with their states.
func (h *house) alerts() (map[string]string, error) {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, State string }
			}
		}
	}
	if err := h.get("guard", "/api/v1/rules", &answer); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			out[rule.Name] = rule.State
		}
	}
	return out, nil
}

// ruled waits until exactly these alerts are loaded.
func (h *house) ruled(want ...string) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("the alerts are %v", want), func() error {
		got, err := h.alerts()
		if err != nil {
			return err
		}
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
			return fmt.Errorf("they are %v", names)
		}
		return nil
	})
}

// said is what a component says of a service.
type said struct {
	Component, State, Reason, Label, Hint string
	Warnings                              []string
}

func (s said) text() string { return fmt.Sprint(s.State, s.Reason, s.Label, s.Hint, s.Warnings) }

// says waits until the listener's joined answer on a service shows a component's
// words in it.
func (h *house) says(service, component string, parts ...string) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("the %s says of %s: %v", component, service, parts), func() error {
		var answer struct{ Statuses []said }
		if err := h.get("listener", "/v1/services/"+service, &answer); err != nil {
			return err
		}
		for _, s := range answer.Statuses {
			missing := slices.DeleteFunc(slices.Clone(parts), func(p string) bool { return strings.Contains(s.text(), p) })
			switch {
			case s.Component != component:
			case len(missing) > 0:
				return fmt.Errorf("%q missing in %+v", missing, s)
			default:
				return nil
			}
		}
		return fmt.Errorf("it says nothing; others: %+v", answer.Statuses)
	})
}

// replicas waits until the swarm was told to run so many.
func (h *house) replicas(service string, want uint64) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("%s has %d replicas", service, want), func() error {
		if got := h.swarm.Replicas(service); got != want {
			var decisions string
			err := h.get("scaler", "/v1/decisions", &decisions)
			return errors.Join(fmt.Errorf("it has %d; %s", got, decisions), err)
		}
		return nil
	})
}

// loaded sends requests from now on; the function that it returns ends that and
// fails the test for each request that failed.
func (h *house) loaded(path string, keepAlive bool) (end func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan load.Report, 1)
	go func() {
		r, err := load.Run(ctx, load.Config{
			URL: "http://" + h.addr("http") + path, Rate: 200, Connections: 4, KeepAlive: keepAlive, Duration: 2 * time.Minute, Timeout: 10 * time.Second,
		})
		if err != nil {
			h.t.Error(err)
		}
		done <- r
	}()
	return func() {
		h.t.Helper()
		cancel()
		r := <-done
		h.t.Logf("%s, keep-alive %t: %v", path, keepAlive, r)
		if r.Failed > 0 || r.Requests == 0 {
			h.t.Errorf("%s, keep-alive %t: %v %v %v", path, keepAlive, r, r.Statuses, r.Examples)
		}
	}
}

// log keeps what the parts say and shows it when the test has failed.
type log struct {
	level slog.LevelVar
	mu    sync.Mutex // all parts write
	text  bytes.Buffer
}

// String is all that was said.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newLog(t *testing.T) *log {
	l := &log{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the parts said:\n%s", l)
		}
	})
	return l
}

// Write takes what a program printed.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) of(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: &l.level})).With("service", name)
}

// writer marks the lines of a program.
func (l *log) writer(name string) io.Writer { return &lines{to: l, name: name} }

type lines struct {
	to   io.Writer
	name string
}

// Write marks each line with the program's name.
func (w *lines) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		fmt.Fprintf(w.to, "%s: %s\n", w.name, strings.TrimRight(line, "\n"))
	}
	return len(p), nil
}
