package apply_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// upstream serves at addresses that all listen on one port.
func upstream(t *testing.T, handle func(addr string) http.HandlerFunc, addrs ...string) (port string) {
	t.Helper()
	number := tooltest.FreePort(t)
	for _, a := range addrs {
		var lc net.ListenConfig
		ln, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(a, strconv.Itoa(number)))
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(handle(a))
		_ = srv.Listener.Close()
		srv.Listener = ln
		srv.Start()
		t.Cleanup(srv.Close)
	}
	return strconv.Itoa(number)
}

// status is that of HAProxy's servers of a backend, by name.
func (w *world) status(backend string) map[string]string {
	w.t.Helper()
	stats, err := runtime.New(w.hap.Stats).ShowStat(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	for _, s := range stats {
		if s.Proxy == backend && s.Server != "BACKEND" {
			out[s.Server] = s.Status
		}
	}
	return out
}

// count sends requests one after another and counts who answered, by the last digit
// of the address, or by the status.
func (w *world) count(path string, n int, header ...string) map[string]int {
	w.t.Helper()
	out := map[string]int{}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for range n {
		status, body := ask(w.t, client, w.hap.URL(path), header...)
		if status != http.StatusOK {
			body = strconv.Itoa(status)
		}
		out[body[strings.LastIndexAny(body, ".\n")+1:]]++
	}
	return out
}

// TestBackendsThatDoTheSameCostOneReload: the first brings a defaults section, the
// others derive from it while HAProxy runs, and do what it says.
func TestBackendsThatDoTheSameCostOneReload(t *testing.T) {
	w := newWorld(t)
	port := echo(t)
	deploy := func(name string) {
		w.deploy(name, []string{"127.0.0.5"}, "port", port, "servicePath", "/"+name, "balance", "leastconn", "checkPath", "/health", "setReqHeader", "X-Seen yes",
			"setResHeader", "X-Answer yes", "deniedMethods", "PUT", "timeoutServer", "7", "retries", "1", "reqPathSearchReplace", "^/,/x", "slowStart", "5", "maxConn", "9")
	}
	deploy("s0")
	w.step("the first", true)
	reloads := 0
	for i := 1; i <= 30; i++ {
		deploy(fmt.Sprintf("s%d", i))
		if w.apply().Reload != "" {
			reloads++
		}
	}
	if reloads > 0 {
		t.Errorf("%d reloads for 30 services that do what another does already, want none", reloads)
	}
	w.deploy("plain", []string{"127.0.0.5"}, "port", port, "servicePath", "/plain")
	w.step("one that does nothing besides", false)
	for _, name := range []string{"s0", "s1", "s30"} {
		res, err := http.Get(w.hap.URL("/" + name)) //nolint:noctx // a test's server.
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || !strings.Contains(string(body), "X-Seen: yes") || res.Header.Get("X-Answer") != "yes" {
			t.Errorf("%s: %d %v %q, want the headers that the labels set", name, res.StatusCode, res.Header, body)
		}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, w.hap.URL("/"+name), nil)
		if res, err = http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: PUT is answered %v (%v), want 403", name, res, err)
		}
		_ = res.Body.Close()
		tooltest.Within(t, 10*time.Second, "the task of "+name+" is checked", func() error {
			if got := w.status(name + "-be" + port + "_0")["127.0.0.5"]; got != "UP" {
				return errors.New(got)
			}
			return nil
		})
	}
	if _, body := ask(t, http.DefaultClient, w.hap.URL("/plain")); strings.Contains(body, "X-Seen") {
		t.Errorf("a service without such labels got %q", body)
	}
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
	deploy("later")
	w.step("one more, after the controller started anew", false)
	w.deploy("s3", []string{"127.0.0.5"}, "port", port, "servicePath", "/s3", "timeoutServer", "8")
	if res := w.apply(); res.Reload != plan.ReloadBackend || len(res.Because) != 1 || res.Because[0] != "s3-be"+port+"_0" {
		t.Errorf("something new: %+v, want a reload because of s3", res)
	}
	w.deploy("zip", []string{"127.0.0.5"}, "port", port, "servicePath", "/zip", "compressionAlgo", "gzip")
	w.step("compression, which a defaults section cannot bring to a running HAProxy", true)
}

// TestWeightsOfAGroup: a canary, then half and half, without a reload and without a
// request that fails.
func TestWeightsOfAGroup(t *testing.T) {
	w := newWorld(t)
	deploy := func(name, weight string, tasks ...string) {
		w.deploy(name, tasks, "servicePath", "/shop", "serviceGroup", "shop", "weight", weight)
	}
	w.apply()
	deploy("stable", "90", "127.0.0.2", "127.0.0.3")
	w.step("the first of a group", false)
	deploy("canary", "10", "127.0.0.4")
	w.step("a canary", false)
	w.shares("90 to 10", 2000, 10)
	load := haproxytest.StartLoad(t, w.hap.URL("/shop"), 4, true)
	deploy("stable", "50", "127.0.0.2", "127.0.0.3")
	w.step("half", false)
	deploy("canary", "50", "127.0.0.4")
	w.step("and half", false)
	w.shares("50 to 50", 1000, 50)
	deploy("stable", "50", "127.0.0.2")
	w.step("a task less changes the weights of the others", false)
	w.shares("50 to 50 with a task less", 1000, 50)
	deploy("stable", "50", "127.0.0.2", "127.0.0.3")
	w.step("and back, although the task may not have left yet", false)
	w.shares("50 to 50 again", 1000, 50)
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
	deploy("canary", "0", "127.0.0.4")
	w.step("nothing for the canary", false)
	w.shares("nothing", 100, 0)
	deploy("canary", "100", "127.0.0.4")
	deploy("stable", "100")
	w.step("the stable one has no tasks", false)
	w.shares("everything", 100, 100)
	if requests, failed := load.Stop(); len(failed) > 0 || requests < 100 {
		t.Errorf("%d of %d requests failed: %v", len(failed), requests, failed)
	}
	delete(w.services, "stable")
	if res := w.apply(); res.Reload != "" {
		t.Errorf("the stable one is gone: %+v, want no reload", res)
	}
	w.shares("everything still", 100, 100)
}

// shares compares the percentage of all requests, of this client and of others, that
// 127.0.0.4 gets, within 2. What one client of several sees is chance.
func (w *world) shares(what string, requests int, percent float64) {
	w.t.Helper()
	before := w.total("group:shop:http")
	got := w.count("/shop", requests)
	var all, fourth int64
	for server, n := range w.total("group:shop:http") {
		n -= before[server]
		all += n
		if strings.HasSuffix(server, ".4") {
			fourth += n
		}
	}
	share := 100 * float64(fourth) / float64(all)
	if share < percent-2 || share > percent+2 || got["2"]+got["3"]+got["4"] != requests {
		w.t.Errorf("%s: %d of %d, and %v for this client, want %.0f%% for 4", what, fourth, all, got, percent)
	}
}

// total is how many requests the servers of a backend had.
func (w *world) total(backend string) map[string]int64 {
	w.t.Helper()
	stats, err := runtime.New(w.hap.Stats).ShowStat(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]int64{}
	for _, s := range stats {
		if s.Proxy == backend && s.Server != "BACKEND" {
			out[s.Server] = s.Total
		}
	}
	return out
}

// TestStickyWithinAGroup: who has a cookie stays, whatever the weights become.
func TestStickyWithinAGroup(t *testing.T) {
	w := newWorld(t)
	deploy := func(name, weight string, tasks ...string) {
		w.deploy(name, tasks, "servicePath", "/shop", "serviceGroup", "shop", "weight", weight, "sessionType", "sticky-server")
	}
	deploy("blue", "100", "127.0.0.2")
	deploy("green", "0", "127.0.0.3")
	w.step("blue and green", true)
	res, err := http.Get(w.hap.URL("/shop")) //nolint:noctx // a test's server.
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if len(res.Cookies()) != 1 || res.Cookies()[0].Name != "shop" {
		t.Fatalf("cookies %v, want one named after the group", res.Cookies())
	}
	pin := "shop=" + res.Cookies()[0].Value
	deploy("blue", "0", "127.0.0.2")
	deploy("green", "100", "127.0.0.3")
	w.step("green takes over", false)
	if got := w.count("/shop", 20, "Cookie", pin); got["2"] != 20 {
		t.Errorf("who was with blue is answered by %v, want blue", got)
	}
	if got := w.count("/shop", 20); got["3"] != 20 {
		t.Errorf("new clients are answered by %v, want green", got)
	}
	deploy("blue", "0")
	w.step("blue has no tasks any more", false)
	if got := w.count("/shop", 20, "Cookie", pin); got["3"] != 20 {
		t.Errorf("who was with blue is answered by %v, want green", got)
	}
}

// TestSameHeaderSameTask: also after a reload, and mostly after a change of the tasks.
func TestSameHeaderSameTask(t *testing.T) {
	w := newWorld(t)
	deploy := func(tasks ...string) {
		w.deploy("web", tasks, "servicePath", "/web", "balance", "hdr(X-User)")
	}
	who := func() (out []string) {
		t.Helper()
		for i := range 60 {
			_, body := ask(t, http.DefaultClient, w.hap.URL("/web"), "X-User", fmt.Sprintf("user-%d", i))
			out = append(out, body[len(body)-1:])
		}
		return out
	}
	moved := func(a, b []string) (n int) {
		for i := range a {
			if a[i] != b[i] {
				n++
			}
		}
		return n
	}
	deploy("127.0.0.3")
	w.apply()
	deploy("127.0.0.3", "127.0.0.2")
	w.step("a second task", false)
	two := who()
	if n := strings.Count(strings.Join(two, ""), "2"); n < 10 || n > 50 {
		t.Errorf("%d of 60 users are with one of two tasks", n)
	}
	w.deploy("other", []string{"127.0.0.4"}, "servicePath", "/other", "timeoutServer", "7")
	w.step("a reload", true)
	if n := moved(two, who()); n > 0 {
		t.Errorf("%d of 60 users have another task after a reload, want none", n)
	}
	deploy("127.0.0.2", "127.0.0.3", "127.0.0.4")
	w.step("a third task", false)
	for i, task := range who() {
		if task != two[i] && task != "4" {
			t.Errorf("user %d went from %s to %s, although only 4 is new", i, two[i], task)
		}
	}
}

// TestChecksByPath: tasks that answer badly get no requests, those from the file and
// those added while HAProxy runs.
func TestChecksByPath(t *testing.T) {
	w := newWorld(t)
	var ill sync.Map
	port := upstream(t, func(addr string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if _, bad := ill.Load(addr); r.URL.Path == "/health" && (bad || r.Host != "shop.test") {
				rw.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(rw, addr)
		}
	}, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	deploy := func(tasks ...string) {
		w.deploy("web", tasks, "port", port, "servicePath", "/web", "checkPath", "/health", "checkHost", "shop.test", "checkInterval", "100ms", "checkFall", "2", "checkRise", "1", "checkTimeout", "2")
	}
	want := func(who string) {
		t.Helper()
		tooltest.Within(t, 10*time.Second, "answered by "+who, func() error {
			if got := w.answers("x.com", "/web"); got != who {
				return errors.New(got)
			}
			return nil
		})
	}
	ill.Store("127.0.0.3", true)
	deploy("127.0.0.2", "127.0.0.3")
	w.step("two tasks, one of them ill", true)
	want("2")
	ill.Store("127.0.0.4", true)
	deploy("127.0.0.2", "127.0.0.3", "127.0.0.4")
	w.step("a third, which is ill too", false)
	want("2")
	ill.Delete("127.0.0.4")
	want("2,4")
	ill.Store("127.0.0.2", true)
	want("4")
	ill.Store("127.0.0.4", true)
	want("503")
}

// TestConnectionsOfATask: what is too much waits, and what waits too long is answered 503.
func TestConnectionsOfATask(t *testing.T) {
	w := newWorld(t)
	var now, most atomic.Int64
	release := make(chan struct{})
	port := upstream(t, func(addr string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if r.URL.Path == "/web/slow" {
				<-release
			}
			_, _ = io.WriteString(rw, addr)
		}
	}, "127.0.0.2")
	deploy := func(maxConn string) {
		w.deploy("web", []string{"127.0.0.2"}, "port", port, "servicePath", "/web", "maxConn", maxConn, "maxQueue", "1", "timeoutQueue", "300ms")
	}
	deploy("2")
	w.step("a limit", true)
	answers := make(chan int, 16)
	get := func(path string) {
		go func() {
			status, err := tooltest.Status(context.WithoutCancel(t.Context()), w.hap.URL(path))
			if err != nil {
				status = -1
			}
			answers <- status
		}()
	}
	get("/web/slow")
	get("/web/slow")
	tooltest.Eventually(t, "both are at work", func() error {
		if n := now.Load(); n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	begin := time.Now()
	get("/web/more")
	if status := <-answers; status != http.StatusServiceUnavailable || time.Since(begin) < 250*time.Millisecond {
		t.Errorf("a third is answered %d after %v, want 503 after the time in the queue", status, time.Since(begin))
	}
	deploy("3")
	w.step("a greater limit", false)
	get("/web/more")
	if status := <-answers; status != http.StatusOK {
		t.Errorf("a third with the greater limit is answered %d, want 200", status)
	}
	close(release)
	for range 2 {
		if status := <-answers; status != http.StatusOK {
			t.Errorf("one of the first is answered %d, want 200", status)
		}
	}
	if most.Load() != 3 {
		t.Errorf("%d at a time, want at most 3", most.Load())
	}
}

// TestNameOfATaskThatHasNotLeft: a task that comes back at its old address, with other
// options, gets no name that is still taken; without a reload if nobody is there any more.
func TestNameOfATaskThatHasNotLeft(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%v", busy), func(t *testing.T) {
			w := newWorld(t)
			release, started := make(chan struct{}), make(chan struct{}, 1)
			port := upstream(t, func(addr string) http.HandlerFunc {
				return func(rw http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/web/slow" {
						started <- struct{}{}
						<-release
					}
					_, _ = io.WriteString(rw, addr)
				}
			}, "127.0.0.2")
			deploy := func(slowStart string, tasks ...string) apply.Result {
				w.deploy("web", tasks, "port", port, "servicePath", "/web", "slowStart", slowStart)
				return w.apply()
			}
			w.apply()
			deploy("1", "127.0.0.2")
			slow := make(chan int, 1)
			if busy {
				go func() {
					status, _ := tooltest.Status(context.WithoutCancel(t.Context()), w.hap.URL("/web/slow"))
					slow <- status
				}()
				<-started
			}
			deploy("1")
			deploy("2")
			if res := deploy("2", "127.0.0.2"); (res.Reload != "") != busy {
				t.Errorf("the task comes back: %+v, want a reload: %v", res, busy)
			}
			w.want("x.com", "/web", "2")
			close(release)
			if busy {
				if status := <-slow; status != http.StatusOK {
					t.Errorf("the request from before is answered %d, want 200", status)
				}
			}
		})
	}
}

// closer is an upstream that keeps connections, but for every second request of each it
// closes after having read it, as one does whose idle time has just run out.
func closer(t *testing.T, done func(id string)) (port string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				for n := 0; ; n++ {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					done(req.Method + req.Header.Get("X-Id"))
					if n > 0 {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	return port
}

// TestReuseNeverRepeatsAPost: on a connection that the task closes a POST fails, and a GET
// is tried again.
func TestReuseNeverRepeatsAPost(t *testing.T) {
	for _, mode := range []string{"safe", "always"} {
		t.Run(mode, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]int{}
			port := closer(t, func(id string) { mu.Lock(); defer mu.Unlock(); seen[id]++ })
			w := newWorld(t)
			w.deploy("web", []string{"127.0.0.2"}, "port", port, "servicePath", "/web", "httpReuse", mode)
			w.step("a service", true)
			send := func(method string, id int) int {
				// Each is a client of its own.
				tr := &http.Transport{DisableKeepAlives: true}
				req, err := http.NewRequestWithContext(t.Context(), method, w.hap.URL("/web"), strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Id", strconv.Itoa(id))
				res, err := tr.RoundTrip(req)
				if errors.Is(err, io.EOF) {
					return 0 // HAProxy closes instead of an answer, so that a client may decide about another try
				}
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				return res.StatusCode
			}
			failed := 0
			for i := range 200 {
				if send(http.MethodPost, i) != http.StatusOK {
					failed++
				}
				if status := send(http.MethodGet, i); status != http.StatusOK {
					t.Errorf("GET %d is answered %d, want 200, because it may be tried again", i, status)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range 200 {
				if n := seen["POST"+strconv.Itoa(i)]; n != 1 {
					t.Errorf("POST %d reached the task %d times, want once", i, n)
				}
			}
			if mode == "safe" && failed > 0 || mode == "always" && failed == 0 {
				t.Errorf("%d of 200 POST failed: want none with safe, and some with always, which is the risk of it", failed)
			}
		})
	}
}

// TestWebSocketOutlivesAReload with the settings that hold by default.
func TestWebSocketOutlivesAReload(t *testing.T) {
	w := newWorld(t, func(s *render.Settings) { s.HardStopAfter = 0 })
	port := upstream(t, func(string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			conn, buf, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
			_, _ = io.Copy(conn, buf)
		}
	}, "127.0.0.2")
	w.deploy("ws", []string{"127.0.0.2"}, "port", port, "servicePath", "/ws")
	w.apply()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(w.hap.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v (%v), want 101", res, err)
	}
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text+"\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := in.ReadString('\n'); err != nil || got != text+"\n" {
			t.Fatalf("heard %q (%v), want %q", got, err, text)
		}
	}
	say("before")
	for i := range 3 {
		w.deploy("other", []string{"127.0.0.3"}, "servicePath", "/other", "timeoutServer", strconv.Itoa(i+1))
		w.step("another service that costs a reload", true)
		say("after reload " + strconv.Itoa(i+1))
	}
	old, err := runtime.NewMaster(w.hap.Master).ShowProc(t.Context())
	if err != nil || len(old.Old) != 1 {
		t.Errorf("old workers %+v (%v), want the one that holds the connection", old.Old, err)
	}
}

// TestWeightsOfConnections: a group of TCP shares its connections in the same way.
func TestWeightsOfConnections(t *testing.T) {
	w := newWorld(t)
	port, backend := freePort(t), serve(t, greeter, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	deploy := func(name, weight string, tasks ...string) {
		w.deploy(name, tasks, "reqMode", "tcp", "serviceGroup", "db", "srcPort", port, "port", backend, "weight", weight, "maxConn", "100")
	}
	want := func(what string, second, third, fourth int) {
		t.Helper()
		got := map[string]int{}
		for range 40 {
			c, err := open(t, port)
			if err != nil {
				t.Fatal(err)
			}
			line, err := c.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			got[strings.TrimSpace(line)]++
			_ = c.Conn.Close()
		}
		for who, n := range map[string]int{"2": second, "3": third, "4": fourth} {
			if off := got[who] - n; off < -2 || off > 2 {
				t.Errorf("%s: %v of 40 connections, want %d for %s", what, got, n, who)
			}
		}
	}
	deploy("a", "75", "127.0.0.2", "127.0.0.3")
	deploy("b", "25", "127.0.0.4")
	w.step("three to one", true)
	want("three to one", 15, 15, 10)
	deploy("b", "75", "127.0.0.4")
	w.step("one to one", false)
	want("one to one", 10, 10, 20)
	deploy("a", "75", "127.0.0.2")
	w.step("a task less", false)
	want("one to one, with a task less", 20, 0, 20)
}

// TestAChangeThatFailsHalfWay: a server that HAProxy refuses at run time and in the file
// leaves nothing behind.
func TestAChangeThatFailsHalfWay(t *testing.T) {
	w := newWorld(t)
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/web")
	w.apply()
	w.deploy("bad", []string{"127.0.0.3"}, "servicePath", "/bad", "sslCa", "missing")
	d := claims.Settle(mapValues(w.services), w.accepted, labels.Options{})
	f, err := w.renderer.Render(d.Services, d.Tables, func(s route.Service, _ route.Backend) []netip.Addr { return w.tasks[s.ID] })
	if err != nil {
		t.Fatal(err)
	}
	var refused *apply.CheckError
	if _, err := w.h.Apply(t.Context(), f); !errors.As(err, &refused) {
		t.Fatalf("got %v, want HAProxy to refuse it", err)
	}
	w.want("x.com", "/web", "2")
	delete(w.services, "bad")
	w.step("without it", true)
	w.want("x.com", "/web", "2")
	w.want("x.com", "/bad", "503")
}
