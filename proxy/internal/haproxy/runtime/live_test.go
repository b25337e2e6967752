package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// routed is a configuration whose paths lead to backends through a map.
const routed = haproxytest.Global + `
defaults base
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  option idle-close-on-response
frontend f from base
  bind 127.0.0.1:{port}
  use_backend %[path,map_beg(virt@paths,none)]
backend none from base
  http-request return status 503
backend one from base
backend two from base
  server static 127.0.0.1:1 disabled
`

// upstream is an HTTP server that answers with its name; a path that ends in
// /slow is answered when the returned function is called.
func upstream(t *testing.T, name string) (addr netip.AddrPort, release func()) {
	t.Helper()
	held, arrived := make(chan struct{}), make(chan struct{})
	hasArrived := sync.OnceFunc(func() { close(arrived) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			hasArrived()
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String()), func() {
		// HAProxy counts a session before it has connected, and gives it to another server then.
		select {
		case <-arrived:
		case <-t.Context().Done():
		}
		close(held)
	}
}

// held adds a server, and makes a request that it answers when release is called. It
// returns when the request is there; answered gets its status.
func held(t *testing.T, h *haproxytest.Instance, c *runtime.Client) (answered <-chan int, release func()) {
	t.Helper()
	addr, release := upstream(t, "slow")
	err := c.Do(t.Context(),
		runtime.AddServer("one", "s", addr), runtime.EnableServer("one", "s"),
		runtime.AddMapEntries("virt@paths", runtime.Entry{Key: "/", Value: "one"}))
	if err != nil {
		t.Fatal(err)
	}
	status := make(chan int, 1)
	go func() {
		got, _ := tooltest.Status(t.Context(), h.URL("/slow"))
		status <- got
	}()
	tooltest.Within(t, 5*time.Second, "the request is at the server", func() error {
		stats, err := c.ShowStat(t.Context())
		if i := slices.IndexFunc(stats, func(s runtime.Stat) bool { return s.Server == "s" && s.Sessions == 1 }); err == nil && i < 0 {
			return errors.New("no session yet")
		}
		return err
	})
	return status, release
}

func wantStatus(t *testing.T, url string, want int) {
	t.Helper()
	got, err := tooltest.Status(t.Context(), url)
	if err != nil || got != want {
		t.Fatalf("%s: got %d, %v; want %d", url, got, err, want)
	}
}

func body(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOneBatchGivesAServiceItsRoute(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	addr, _ := upstream(t, "shop")
	wantStatus(t, h.URL("/shop"), 503)

	err := c.Do(t.Context(),
		runtime.AddServer("one", "shop.1", addr, "weight", "10"),
		runtime.EnableServer("one", "shop.1"),
		runtime.AddMapEntries("virt@paths", runtime.Entry{Key: "/shop", Value: "one"}, runtime.Entry{Key: "/cart", Value: "one"}),
		runtime.SetMapEntry("virt@paths", runtime.Entry{Key: "/cart", Value: "two"}),
		runtime.SetWeight("one", "shop.1", 7),
	)
	if err != nil {
		t.Fatal(err)
	}
	if got := body(t, h.URL("/shop/x")); got != "shop" {
		t.Errorf("got %q", got)
	}
	entries, err := c.ShowMap(t.Context(), "virt@paths")
	if want := []runtime.Entry{{Key: "/shop", Value: "one"}, {Key: "/cart", Value: "two"}}; err != nil || !reflect.DeepEqual(entries, want) {
		t.Errorf("map: got %v, %v; want %v", entries, err, want)
	}
	servers, err := c.ShowServers(t.Context())
	want := []runtime.Server{
		{Backend: "one", Name: "shop.1", Addr: addr, Up: true, Weight: 7},
		{Backend: "two", Name: "static", Addr: netip.MustParseAddrPort("127.0.0.1:1"), Maint: true, Weight: 1},
	}
	if err != nil || !reflect.DeepEqual(servers, want) {
		t.Errorf("servers: got %+v, %v; want %+v", servers, err, want)
	}
	stats, err := c.ShowStat(t.Context())
	i := slices.IndexFunc(stats, func(s runtime.Stat) bool { return s.Server == "shop.1" })
	if err != nil || i < 0 || stats[i].Proxy != "one" || stats[i].Total != 1 || stats[i].Status != "no check" {
		t.Errorf("stat: got %+v, %v", stats, err)
	}

	if err := c.Do(t.Context(), runtime.DelMapEntry("virt@paths", "/shop")); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, h.URL("/shop/x"), 503)
}

func TestAServerIsDeletedWhenItsRequestsAreDone(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	answered, release := held(t, h, c)
	if err := c.DelServer(t.Context(), "one", "s", 50*time.Millisecond); !errors.Is(err, runtime.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	servers, err := c.ShowServers(t.Context())
	if err != nil || len(servers) != 2 || !servers[0].Maint || servers[0].Up {
		t.Errorf("a busy server stays in maint: got %+v, %v", servers, err)
	}
	release()
	if err := c.DelServer(t.Context(), "one", "s", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != 200 {
		t.Errorf("the running request was answered with %d", status)
	}
	if err := c.DelServer(t.Context(), "one", "s", time.Second); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestAServerWithIdleConnectionsIsDeletedAtOnce(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	addr, _ := upstream(t, "idle")
	if err := c.Do(t.Context(), runtime.AddMapEntries("virt@paths", runtime.Entry{Key: "/", Value: "one"})); err != nil {
		t.Fatal(err)
	}
	var worst time.Duration
	for range 20 {
		if err := c.Do(t.Context(), runtime.AddServer("one", "s", addr), runtime.EnableServer("one", "s")); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, h.URL("/"), 200)
		begin := time.Now()
		if err := c.DelServer(t.Context(), "one", "s", time.Second); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, time.Since(begin))
	}
	t.Logf("maint, wait and delete with an idle connection: worst of 20 %v", worst)
}

func TestEveryRefusalIsKnown(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	addr := netip.MustParseAddrPort("127.0.0.1:80")
	cases := []struct {
		command runtime.Command
		want    error
	}{
		{runtime.AddServer("nope", "s", addr), runtime.ErrNotFound},
		{runtime.AddServer("two", "static", addr), runtime.ErrExists},
		{runtime.AddServer("one", "s", addr, "bogus"), nil},
		{runtime.EnableServer("one", "nope"), runtime.ErrNotFound},
		{runtime.EndStream("0x1"), runtime.ErrNotFound},
		{runtime.DisableServer("nope", "s"), runtime.ErrNotFound},
		{runtime.EnableHealth("one", "nope"), runtime.ErrNotFound},
		{runtime.DeleteServer("one", "nope"), runtime.ErrNotFound},
		{runtime.SetWeight("one", "nope", 1), runtime.ErrNotFound},
		{runtime.SetMapEntry("virt@paths", runtime.Entry{Key: "/nope", Value: "x"}), runtime.ErrNotFound},
		{runtime.DelMapEntry("virt@paths", "/nope"), runtime.ErrNotFound},
		{runtime.DelMapEntry("virt@nope", "/nope"), runtime.ErrNotFound},
		{runtime.AddMapEntries("virt@nope", runtime.Entry{Key: "/nope", Value: "x"}), runtime.ErrNotFound},
		{runtime.AddBackend("one", "base"), runtime.ErrExists},
		{runtime.AddBackend("new", "nope"), runtime.ErrNotFound},
		{runtime.PublishBackend("nope"), runtime.ErrNotFound},
		{runtime.UnpublishBackend("nope"), runtime.ErrNotFound},
		{runtime.DeleteBackend("nope"), runtime.ErrNotFound},
		{runtime.DeleteBackend("none"), nil},
	}
	var commands []runtime.Command
	for _, tc := range cases {
		commands = append(commands, tc.command, runtime.SetWeight("two", "static", 5))
	}
	errs := c.Batch(t.Context(), commands...)
	for i, tc := range cases {
		var refusal *runtime.Error
		err := errs[2*i]
		if !errors.As(err, &refusal) || refusal.Command != tc.command.String() || refusal.Text == "" || (tc.want != nil && !errors.Is(err, tc.want)) {
			t.Errorf("%s: got %v, want a refusal that is %v", tc.command, err, tc.want)
		}
		if errs[2*i+1] != nil {
			t.Errorf("the good command after %s: %v", tc.command, errs[2*i+1])
		}
	}
	if _, err := c.ShowMap(t.Context(), "virt@nope"); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("show map: %v", err)
	}
	if err := c.ReplaceMap(t.Context(), "virt@nope", nil); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("replace map: %v", err)
	}
}

func TestMapKeysArriveAsTheyAre(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	keys := []string{"/semi;colon", `/back\slash`, `/end\`, `/it's`, `/"q"`, "/(u[n{", "/ümlaut", "/a#b", "/%20", "/$HOME", "/+ ", "> "}
	for i := range keys {
		keys[i] = strings.TrimSpace(keys[i])
	}
	for _, k := range keys {
		if err := c.Do(t.Context(), runtime.AddMapEntries("virt@paths", runtime.Entry{Key: k, Value: "one"}), runtime.SetMapEntry("virt@paths", runtime.Entry{Key: k, Value: "v;" + k})); err != nil {
			t.Errorf("%q: %v", k, err)
		}
	}
	entries, err := c.ShowMap(t.Context(), "virt@paths")
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range keys {
		if i >= len(entries) || entries[i] != (runtime.Entry{Key: k, Value: "v;" + k}) {
			t.Errorf("%q is not kept: %q", k, entries)
		}
		if err := c.Do(t.Context(), runtime.DelMapEntry("virt@paths", k)); err != nil {
			t.Errorf("delete %q: %v", k, err)
		}
	}
	if entries, err := c.ShowMap(t.Context(), "virt@paths"); err != nil || len(entries) != 0 {
		t.Errorf("left over: %q, %v", entries, err)
	}
}

func TestAMapIsReplacedWhole(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	var entries []runtime.Entry
	for i := range 5000 {
		entries = append(entries, runtime.Entry{Key: fmt.Sprintf("/service-%d", i), Value: "none"})
	}
	begin := time.Now()
	if err := c.ReplaceMap(t.Context(), "virt@paths", entries); err != nil {
		t.Fatal(err)
	}
	t.Logf("5000 entries in %v", time.Since(begin))
	got, err := c.ShowMap(t.Context(), "virt@paths")
	if err != nil || !reflect.DeepEqual(got, entries) {
		t.Fatalf("got %d entries, %v", len(got), err)
	}
	// The same by the way of single entries, with keys of some length.
	if err := c.ReplaceMap(t.Context(), "virt@paths", nil); err != nil {
		t.Fatal(err)
	}
	var commands []runtime.Command
	for i := range entries {
		entries[i].Key += strings.Repeat("x", i%1000)
	}
	for _, part := range runtime.Chunks(entries) {
		commands = append(commands, runtime.AddMapEntries("virt@paths", part...))
	}
	if err := c.Do(t.Context(), commands...); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ShowMap(t.Context(), "virt@paths"); err != nil || !reflect.DeepEqual(got, entries) {
		t.Fatalf("by parts: got %d entries, %v", len(got), err)
	}
	// A bad entry changes nothing.
	bad := append(slices.Clone(entries[:10]), runtime.Entry{Key: "a b", Value: "c"})
	if err := c.ReplaceMap(t.Context(), "virt@paths", bad); !errors.Is(err, runtime.ErrArgument) {
		t.Errorf("got %v", err)
	}
	if got, err := c.ShowMap(t.Context(), "virt@paths"); err != nil || len(got) != len(entries) {
		t.Errorf("after a failure: %d entries, %v", len(got), err)
	}
	if err := c.ReplaceMap(t.Context(), "virt@paths", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ShowMap(t.Context(), "virt@paths"); err != nil || len(got) != 0 {
		t.Errorf("after emptying: %d entries, %v", len(got), err)
	}
}

func TestABatchMayBeLargerThanEveryBuffer(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	var commands []runtime.Command
	for i := range 1000 {
		s := fmt.Sprintf("s%d", i)
		commands = append(commands, runtime.AddServer("one", s, netip.MustParseAddrPort("127.0.0.1:9")), runtime.EnableServer("one", s))
	}
	begin := time.Now()
	if err := c.Do(t.Context(), commands...); err != nil {
		t.Fatal(err)
	}
	t.Logf("1000 servers added and enabled in %v", time.Since(begin))
	if servers, err := c.ShowServers(t.Context()); err != nil || len(servers) != 1001 {
		t.Errorf("got %d servers, %v", len(servers), err)
	}
}

func TestABackendComesAndGoesAtRunTime(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c := runtime.New(h.Stats)
	addr, release := upstream(t, "new")
	err := c.Do(t.Context(),
		runtime.AddBackend("new", "base"),
		runtime.AddServer("new", "s", addr), runtime.EnableServer("new", "s"),
		runtime.AddMapEntries("virt@paths", runtime.Entry{Key: "/new", Value: "new"}))
	if err != nil {
		t.Fatal(err)
	}
	// Unpublished it is found by the rule and answers for itself.
	wantStatus(t, h.URL("/new"), 503)
	if err := c.Do(t.Context(), runtime.PublishBackend("new")); err != nil {
		t.Fatal(err)
	}
	if got := body(t, h.URL("/new")); got != "new" {
		t.Errorf("got %q", got)
	}

	answered := make(chan int, 1)
	go func() {
		status, _ := tooltest.Status(t.Context(), h.URL("/new/slow"))
		answered <- status
	}()
	tooltest.Within(t, 5*time.Second, "the request is at the server", func() error {
		stats, err := c.ShowStat(t.Context())
		if i := slices.IndexFunc(stats, func(s runtime.Stat) bool { return s.Proxy == "new" && s.Server == "s" && s.Sessions == 1 }); err == nil && i < 0 {
			return errors.New("no session yet")
		}
		return err
	})
	var refusal *runtime.Error
	if err := c.Do(t.Context(), runtime.UnpublishBackend("new"), runtime.DeleteBackend("new")); !errors.As(err, &refusal) {
		t.Errorf("a backend with a server was deleted: %v", err)
	}
	release()
	err = errors.Join(
		c.Do(t.Context(), runtime.DelMapEntry("virt@paths", "/new")),
		c.DelServer(t.Context(), "new", "s", 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	tooltest.Within(t, 5*time.Second, "the backend can be deleted", func() error { return c.Do(t.Context(), runtime.DeleteBackend("new")) })
	if status := <-answered; status != 200 {
		t.Errorf("the running request was answered with %d", status)
	}
	if err := c.Do(t.Context(), runtime.AddBackend("new", "base")); err != nil {
		t.Errorf("the name is not free again: %v", err)
	}
}

func TestAReloadKeepsTheMasterAndAnswersErrors(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c, m := runtime.New(h.Stats), runtime.NewMaster(h.Master)
	before, err := c.ShowInfo(t.Context())
	if err != nil || before.Pid == 0 || before.Version == "" {
		t.Fatalf("got %+v, %v", before, err)
	}
	if logs, err := m.Reload(t.Context()); err != nil || !strings.Contains(logs, "NOTICE") {
		t.Fatalf("got %v:\n%s", err, logs)
	}
	after, err := c.ShowInfo(t.Context())
	if err != nil || after.Pid == before.Pid {
		t.Errorf("the worker is the same: %+v, %v", after, err)
	}
	p, err := m.ShowProc(t.Context())
	if err != nil || p.Master.Pid != h.Pid || p.Worker.Pid != after.Pid || p.Master.Reloads != 1 || p.Failed != 0 {
		t.Errorf("got %+v, %v; want master %d, worker %d", p, err, h.Pid, after.Pid)
	}

	h.Write(t, routed+"\n  garbage here\n")
	logs, err := m.Reload(t.Context())
	if !errors.Is(err, runtime.ErrReload) || !strings.Contains(logs, "garbage") {
		t.Fatalf("got %v:\n%s", err, logs)
	}
	wantStatus(t, h.URL("/"), 503)
	p, err = m.ShowProc(t.Context())
	if err != nil || p.Master.Pid != h.Pid || p.Worker.Pid != after.Pid || len(p.Old) != 0 || p.Failed != 1 {
		t.Errorf("after a failed reload: got %+v, %v; want worker %d", p, err, after.Pid)
	}

	h.Write(t, routed)
	if _, err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	tooltest.Within(t, 5*time.Second, "the old worker is gone", func() error {
		p, err := m.ShowProc(t.Context())
		if err == nil && (p.Worker.Pid == after.Pid || len(p.Old) > 0) {
			return fmt.Errorf("%+v", p)
		}
		return err
	})
}

// TestAWorkerSaysWhetherItStops in the words that the end of a reload is known by.
func TestAWorkerSaysWhetherItStops(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c, m := runtime.New(h.Stats), runtime.NewMaster(h.Master)
	_, release := held(t, h, c)
	defer release()
	if _, err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := m.ShowProc(t.Context())
	if err != nil || len(p.Old) != 1 {
		t.Fatalf("got %+v, %v; want one old worker", p, err)
	}
	for pid, want := range map[int]string{p.Worker.Pid: "\nStopping: 0\n", p.Old[0].Pid: "\nStopping: 1\n"} {
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "unix", h.Master)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "@!%d show info\nquit\n", pid)
		text, errRead := io.ReadAll(conn)
		if err = errors.Join(err, errRead, conn.Close()); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("of %d: %v, want %q in\n%s", pid, err, want, text)
		}
	}
}

func TestAnOldWorkerFinishesItsRequest(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c, m := runtime.New(h.Stats), runtime.NewMaster(h.Master)
	answered, release := held(t, h, c)
	if _, err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, err := m.ShowProc(t.Context()); err != nil || len(p.Old) != 1 || p.Old[0].Reloads != 1 || p.Worker.Reloads != 0 {
		t.Errorf("got %+v, %v; want one old worker", p, err)
	}
	release()
	if status := <-answered; status != 200 {
		t.Errorf("the running request was answered with %d", status)
	}
	tooltest.Within(t, 5*time.Second, "the old worker is gone", func() error {
		p, err := m.ShowProc(t.Context())
		if err == nil && len(p.Old) > 0 {
			return fmt.Errorf("%+v", p)
		}
		return err
	})
}

// TestWhatIsUnderWayIsCounted also in a worker that does not listen any more, and without
// clients that only keep their connection.
func TestWhatIsUnderWayIsCounted(t *testing.T) {
	h := haproxytest.Start(t, routed)
	c, m := runtime.New(h.Stats), runtime.NewMaster(h.Master)
	silent := &http.Client{Transport: &http.Transport{}}
	defer silent.CloseIdleConnections()
	if answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: h.URL("/"), Client: silent}); err != nil || answer.Status != 503 {
		t.Fatalf("got %d, %v; want 503", answer.Status, err)
	}
	answered, release := held(t, h, c)
	p, err := m.ShowProc(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := p.Worker.Pid
	if n, err := m.Streams(t.Context(), old); n != 1 || err != nil {
		t.Errorf("%d under way, %v; want 1", n, err)
	}
	if _, err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := m.Streams(t.Context(), old); n != 1 || err != nil {
		t.Errorf("%d under way in the old worker, %v; want 1", n, err)
	}
	release()
	if status := <-answered; status != 200 {
		t.Errorf("the running request was answered with %d", status)
	}
	tooltest.Within(t, 10*time.Second, "nothing is under way", func() error {
		n, err := m.Streams(t.Context(), old)
		if err == nil && n > 0 {
			return fmt.Errorf("%d are", n)
		}
		return err
	})
	if n, err := m.Streams(t.Context(), 1); err == nil {
		t.Errorf("%d under way in a process that is no worker", n)
	}
}

func TestNoRequestFailsWhileHAProxyReloads(t *testing.T) {
	addr, _ := upstream(t, "up")
	// The route lives in the file, so that a reload keeps it.
	h := haproxytest.Start(t, strings.Replace(routed, "use_backend %[path,map_beg(virt@paths,none)]", "default_backend up", 1)+
		"backend up from base\n  server s "+addr.String()+"\n")
	m := runtime.NewMaster(h.Master)
	keep := haproxytest.StartLoad(t, h.URL("/"), 8, true)
	short := haproxytest.StartLoad(t, h.URL("/"), 2, false)
	for range 5 {
		begin := keep.Requests()
		tooltest.Within(t, 10*time.Second, "requests between reloads", func() error {
			if n := keep.Requests() - begin; n < 200 {
				return fmt.Errorf("%d requests", n)
			}
			return nil
		})
		if _, err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n, failed := keep.Stop()
	n2, failed2 := short.Stop()
	if len(failed)+len(failed2) > 0 {
		t.Errorf("failed: %q %q", failed, failed2)
	}
	t.Logf("5 reloads: %d requests with keep-alive, %d without, none failed", n, n2)
}

func TestWatchTellsEachNewWorker(t *testing.T) {
	h := haproxytest.Start(t, routed)
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan runtime.Info, 10)
	ended := make(chan error, 1)
	c := runtime.New(h.Stats)
	go func() { ended <- c.Watch(ctx, 5*time.Millisecond, func(i runtime.Info) { seen <- i }) }()
	first := <-seen
	if _, err := runtime.NewMaster(h.Master).Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second := <-seen; second.Pid == first.Pid {
		t.Errorf("the same pid twice: %+v", second)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsThereToAnswer(t *testing.T) {
	h := haproxytest.New(t)
	errs := runtime.New(h.Stats).Batch(t.Context(), runtime.EnableServer("a", "b"), runtime.EnableServer("a", "c"))
	for _, err := range errs {
		if !errors.Is(err, runtime.ErrUnanswered) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := runtime.NewMaster(h.Master).Reload(t.Context()); !errors.Is(err, runtime.ErrUnanswered) {
		t.Errorf("got %v", err)
	}
}
