package proxy

import (
	"context"
	"encoding/json"
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
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// dns answers for tasks.<service>. from a table that a test changes.
type dns struct {
	mu    sync.Mutex // the test and the follower share the table
	names map[string][]netip.Addr
	slow  time.Duration
}

// LookupNetIP answers from the table.
func (d *dns) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	slow := d.slow
	d.mu.Unlock()
	<-time.After(slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.names[host]; len(a) > 0 {
		return slices.Clone(a), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (d *dns) set(service string, addrs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names["tasks."+service+"."] = nil
	for _, a := range addrs {
		d.names["tasks."+service+"."] = append(d.names["tasks."+service+"."], netip.MustParseAddr(a))
	}
}

// house is a bus, a listener that publishes what the test says, and a proxy with its real HAProxy.
type house struct {
	t        *testing.T
	bus      *bustest.Server
	writer   *bus.CatalogWriter
	dns      *dns
	config   Config
	settings map[string]string
	http     int
	admin    string
	upstream int
	services map[string]catalog.Service
	stop     func()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "wp") //nolint:usetesting // t.TempDir is too long for the path of a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &house{t: t, bus: bustest.Start(t), dns: &dns{names: map[string][]netip.Addr{}}, services: map[string]catalog.Service{}}
	b := h.bus.Prepared()
	h.writer = b.CatalogWriter(func() {})
	bustest.Run(t, h.writer.Run)
	h.http = tooltest.FreePort(t)
	h.admin = "127.0.0.1:" + strconv.Itoa(tooltest.FreePort(t))
	fs := flag.NewFlagSet("proxy", flag.ContinueOnError)
	h.config.Flags(fs)
	args := []string{"-nats-url", h.bus.URL(), "-data-dir", filepath.Join(dir, "data"), "-run-dir", filepath.Join(dir, "run"),
		"-haproxy", tooltest.Path(t, "haproxy"), "-default-ports", strconv.Itoa(h.http), "-stats-port", "0", "-maxconn", "500", "-drain", "1s"}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	h.config.Resolver, h.settings = h.dns, app.Settings(fs)
	h.upstreams("127.0.0.2", "127.0.0.3")
	return h
}

func (h *house) upstreams(addrs ...string) {
	h.upstream = tooltest.FreePort(h.t)
	for _, a := range addrs {
		var lc net.ListenConfig
		ln, err := lc.Listen(h.t.Context(), "tcp", net.JoinHostPort(a, strconv.Itoa(h.upstream)))
		if err != nil {
			h.t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, a) }))
		_ = srv.Listener.Close()
		srv.Listener = ln
		srv.Start()
		h.t.Cleanup(srv.Close)
	}
}

// supervised starts process 1 as the container does, with a controller that does
// nothing: the tests run their own.
func (h *house) supervised() { h.supervisedUntil() }

// supervisedUntil is supervised; what it returns stops it before the end of the test.
func (h *house) supervisedUntil() (stop func()) {
	h.t.Helper()
	settings, err := json.Marshal(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(self) //nolint:noctx // it must outlive the test's context to stop in good order
	cmd.Env = append(os.Environ(), supervisorOf+"="+string(settings))
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			h.t.Errorf("the supervisor ended with %v", err)
		}
		if h.t.Failed() {
			h.t.Logf("supervisor and HAProxy:\n%s", log.String())
		}
	})
	h.t.Cleanup(stop)
	return stop
}

// supervisorOf is the variable that makes this test binary a supervisor.
const supervisorOf = "WAGGLE_TEST_SUPERVISOR"

func TestMain(m *testing.M) {
	settings := os.Getenv(supervisorOf)
	if settings == "" {
		acmetest.Main(m)
	}
	var c Config
	if err := json.Unmarshal([]byte(settings), &c); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	sh := app.Shell{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if err := Supervise(ctx, c, []string{"sleep", "3600"}, sh); err != nil {
		panic(err)
	}
}

// run starts a controller.
func (h *house) run() {
	log := io.Discard
	if testing.Verbose() {
		log = os.Stderr
	}
	sh := app.Shell{Name: "proxy", Version: "test", Admin: h.admin, Settings: h.settings, Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(log, nil))}
	h.stop = bustest.Run(h.t, func(ctx context.Context) error { return Run(ctx, h.config, sh) })
}

// publish writes the catalog as the listener does.
func (h *house) publish() {
	h.t.Helper()
	e, _, err := catalog.EncodeAll(catalog.Snapshot{
		Services: h.services, Nodes: map[string]catalog.Node{"n": {ID: "n"}}, Tasks: map[string][]catalog.Task{},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	tooltest.Eventually(h.t, "the catalog is written", func() error {
		seen, ok := h.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := h.writer.Write(h.t.Context(), seen, seen.Plan(e))
		return err
	})
}

// prepareAgain makes the buckets of a bus that lost its store, and waits until the
// listener has seen that they are empty: before that it would write what differs
// from the old ones.
func (h *house) prepareAgain() {
	h.t.Helper()
	b := h.bus.Connect("listener")
	tooltest.Eventually(h.t, "the buckets are made anew", func() error { return b.Prepare(h.t.Context(), 1) })
	tooltest.Eventually(h.t, "the listener sees that they are empty", func() error {
		if seen, ok := h.writer.Seen(); !ok || len(seen.Entries) > 0 {
			return fmt.Errorf("%d entries", len(seen.Entries))
		}
		return nil
	})
}

func (h *house) deploy(name, path string, more ...string) {
	svc := catalog.Service{ID: "id-" + name, Name: name, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"},
		CreatedAt: time.Unix(int64(len(h.services)), 0), Labels: map[string]string{
			catalog.Notify: "true", "com.df.servicePath": path, "com.df.port": strconv.Itoa(h.upstream),
		}}
	for i := 0; i < len(more); i += 2 {
		svc.Labels[catalog.Prefix+more[i]] = more[i+1]
	}
	if old, ok := h.services[svc.ID]; ok {
		svc.CreatedAt = old.CreatedAt
	}
	h.services = maps.Clone(h.services)
	h.services[svc.ID] = svc
	h.publish()
}

func (h *house) remove(name string) {
	h.services = maps.Clone(h.services)
	delete(h.services, "id-"+name)
	h.publish()
}

// get returns the status and body of a request through the proxy.
func (h *house) get(path string) (string, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", h.http, path), nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return strconv.Itoa(res.StatusCode), err
	}
	return string(body), err
}

func (h *house) answers(path, want string) {
	h.t.Helper()
	tooltest.Eventually(h.t, path+" is answered by "+want, func() error {
		got, err := h.get(path)
		if err == nil && got != want {
			err = errors.New(got)
		}
		return err
	})
}

func (h *house) status(service string) string {
	res, err := http.Get("http://" + h.admin + "/v1/services/" + service) //nolint:noctx // bounded by Eventually.
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func (h *house) says(service string, parts ...string) {
	h.t.Helper()
	tooltest.Eventually(h.t, service+" is told "+strings.Join(parts, ", "), func() error {
		got := h.status(service)
		for _, p := range parts {
			if !strings.Contains(got, p) {
				return errors.New(got)
			}
		}
		return nil
	})
}

func TestFromLabelToAnswer(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	h.says("web", `"state": "applied"`, "/a")

	h.deploy("web", "/b")
	h.answers("/b", "127.0.0.2")
	h.answers("/a", "503")

	h.deploy("other", "/b")
	h.says("other", "rejected", "belongs to web")
	h.deploy("broken", "/c\n  http-request deny", "port", "none")
	h.says("broken", "rejected", "com.df.servicePath", "one line")
	h.answers("/b", "127.0.0.2")

	h.deploy("web", "no-slash")
	h.says("web", "rejected", "no-slash", "stay in force")
	h.answers("/b", "127.0.0.2")

	h.dns.set("web", "127.0.0.3")
	h.answers("/b", "127.0.0.3")
	h.remove("web")
	h.answers("/b", "503")
	h.dns.set("other", "127.0.0.2")
	h.answers("/b", "127.0.0.2")
	h.says("nobody", "no service named nobody")
}

// TestAPathMovesFromOneServiceToAnotherWithoutAGap: the other waits for it, and is followed
// already when the path becomes its own, so that no request is lost meanwhile.
func TestAPathMovesFromOneServiceToAnotherWithoutAGap(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("old", "127.0.0.2")
	h.dns.set("young", "127.0.0.3")
	h.deploy("old", "/shop")
	h.answers("/shop", "127.0.0.2")
	h.deploy("young", "/shop")
	h.says("young", "rejected", "belongs to old")

	load := haproxytest.StartLoad(t, fmt.Sprintf("http://127.0.0.1:%d/shop", h.http), 4, false)
	for range 3 {
		h.deploy("old", "/former")
		h.answers("/shop", "127.0.0.3")
		h.deploy("old", "/shop")
		h.says("old", "rejected", "belongs to young")
		h.deploy("young", "/later")
		h.answers("/shop", "127.0.0.2")
		h.deploy("young", "/shop")
		h.says("young", "rejected", "belongs to old")
	}
	if requests, failures := load.Stop(); requests < 20 || len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %.300q", len(failures), requests, failures)
	}
}

// TestTheEndIsToldBeforeTheBusCloses: the controller stops first, then what it did last is
// told, and only then those who follow the bus stop.
func TestTheEndIsToldBeforeTheBusCloses(t *testing.T) {
	h := newHouse(t)
	h.config.Instance = "one"
	h.supervised()
	h.run()
	told := h.bus.Connect("listener").Bucket(bus.StatusBucket)
	for i := range 5 {
		// The next report is a pause away when the last of two changes is in force.
		for _, part := range []string{"first", "last"} {
			name := fmt.Sprintf("%s%d", part, i)
			h.dns.set(name, "127.0.0.2")
			h.deploy(name, "/"+name)
			h.answers("/"+name, "127.0.0.2")
		}
		h.stop()
		key := bus.StatusKey("proxy", "one", fmt.Sprintf("id-last%d", i))
		if text, _, err := told.Get(t.Context(), key); err != nil || !strings.Contains(string(text), `"applied"`) {
			t.Errorf("the last status on the bus is %s, %v", text, err)
		}
		h.run()
	}
}

// A service whose address becomes known while its route is applied without it must
// not be told to be applied before the address is, too.
func TestAppliedMeansAnswered(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	for i := range 30 {
		name, path := fmt.Sprintf("web%d", i), fmt.Sprintf("/web%d", i)
		h.dns.mu.Lock()
		h.dns.slow = time.Duration(i) * 500 * time.Microsecond
		h.dns.mu.Unlock()
		h.dns.set(name, "127.0.0.2")
		h.deploy(name, path)
		h.says(name, `"state": "applied"`)
		if got, err := h.get(path); err != nil || got != "127.0.0.2" {
			t.Errorf("%s is applied, but answers %q, %v", name, got, err)
		}
	}
}

func TestBusThatLostItsStoreCostsNoRoute(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	h.bus.Stop()
	h.bus.LoseStore()
	h.dns.set("web", "127.0.0.3")
	h.answers("/a", "127.0.0.3") // tasks are followed without a bus
	h.bus.StartAgain()
	h.prepareAgain()
	for range 20 {
		if got, err := h.get("/a"); err != nil || got != "127.0.0.3" {
			t.Fatalf("while the listener is slow to list: %q, %v", got, err)
		}
	}
	h.deploy("more", "/more")
	h.answers("/a", "127.0.0.3")
	h.says("more", "degraded", "503")
}

func TestBusThatLostItsStoreCostsNoLabelsLastAccepted(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	h.deploy("web", "/a", "port", "nan")
	h.says("web", "rejected", "the labels last accepted stay in force")
	h.bus.Stop()
	h.bus.LoseStore()
	h.bus.StartAgain()
	h.prepareAgain()
	h.deploy("more", "/more")
	h.says("more", "degraded")
	h.says("web", "rejected", "the labels last accepted stay in force")
	h.answers("/a", "127.0.0.2")
}

func TestRestartsOfTheController(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.deploy("old", "/old")
	h.answers("/a", "127.0.0.2")
	h.says("web", "applied")
	h.stop()
	// While it is away one service is created, one relabelled, one removed.
	h.dns.set("new", "127.0.0.3")
	h.deploy("new", "/new")
	h.deploy("web", "/b")
	h.remove("old")
	load := haproxytest.StartLoad(t, fmt.Sprintf("http://127.0.0.1:%d/a", h.http), 2, true)
	tooltest.Eventually(t, "requests are served without a controller", func() error {
		if n := load.Requests(); n < 20 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if _, failed := load.Stop(); len(failed) > 0 {
		t.Errorf("failed without a controller: %v", failed)
	}
	start := time.Now()
	h.run()
	h.answers("/new", "127.0.0.3")
	h.answers("/b", "127.0.0.2")
	h.answers("/a", "503")
	h.answers("/old", "503")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("all was right after %v, want about a second", took)
	}
}

func TestStartWithoutABusOnTheLastGood(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	tooltest.Eventually(t, "the state is kept", func() error {
		_, err := os.Stat(filepath.Join(h.config.DataDir, "services.json"))
		return err
	})
	h.stop()
	h.bus.Stop()
	h.dns.set("web", "127.0.0.3")
	h.run()
	h.answers("/a", "127.0.0.3")
	h.says("web", "applied")
}

func TestHAProxyThatDiesServesAgain(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/a")
	h.answers("/a", "127.0.0.2")
	tooltest.Eventually(t, "the file is up to date", func() error {
		text, err := os.ReadFile(filepath.Join(h.config.DataDir, "haproxy", "haproxy.cfg"))
		if err == nil && !strings.Contains(string(text), "127.0.0.2") {
			err = errors.New("no server yet")
		}
		return err
	})
	processes, err := runtime.NewMaster(filepath.Join(h.config.RunDir, "master.sock")).ShowProc(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{processes.Master.Pid, processes.Worker.Pid} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	h.answers("/a", "127.0.0.2")
	t.Logf("served again after %v", time.Since(start))
	h.deploy("web", "/b")
	h.answers("/b", "127.0.0.2")
}

// TestAServiceThatHAProxyRefusesIsFound: raw text, which the operator allowed,
// breaks the configuration as a whole; its service alone is left out.
func TestAServiceThatHAProxyRefusesIsFound(t *testing.T) {
	h := newHouse(t)
	h.config.Edge.AllowRaw = true
	h.supervised()
	h.run()
	for _, name := range []string{"one", "two", "three"} {
		h.dns.set(name, "127.0.0.2")
	}
	h.deploy("one", "/one")
	h.answers("/one", "127.0.0.2")
	h.deploy("bad", "/bad", "backendExtra", "{{ nonsense")
	h.deploy("two", "/two", "backendExtra", "http-request set-header X-Raw 1")
	h.deploy("worse", "/worse", "backendExtra", "http-request nonsense")
	h.deploy("three", "/three")
	h.answers("/two", "127.0.0.2")
	h.answers("/three", "127.0.0.2")
	h.answers("/one", "127.0.0.2")
	h.says("bad", "rejected", "HAProxy refuses", "{{")
	h.says("worse", "rejected", "HAProxy refuses", "http-request")
	h.dns.set("bad", "127.0.0.3")
	h.deploy("bad", "/bad", "backendExtra", "http-request set-header X-Raw 2")
	h.answers("/bad", "127.0.0.3")
}
