package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// sleepyTask is a task that says how long bodies are, and takes WebSockets.
func (h *house) sleepyTask(addr string) {
	h.t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(h.t.Context(), "tcp", net.JoinHostPort(addr, strconv.Itoa(h.upstream)))
	if err != nil {
		h.t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			n, err := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, n, err)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}))
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	h.t.Cleanup(srv.Close)
}

// asked is an answer to a request that may be held.
type asked struct {
	status      int
	body, retry string
	took        time.Duration
	err         error
}

// request sends a request and returns where its answer comes.
func (h *house) request(method, path string, body []byte, password string) <-chan asked {
	h.t.Helper()
	out := make(chan asked, 1)
	req, err := http.NewRequestWithContext(h.t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", h.http, path), bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if password != "" {
		req.SetBasicAuth("ann", password)
	}
	req.Close = true
	go func() {
		begin := time.Now()
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			out <- asked{err: err}
			return
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		out <- asked{res.StatusCode, string(text), res.Header.Get("Retry-After"), time.Since(begin), err}
	}()
	return out
}

// answered waits for an answer.
func answered(t *testing.T, from <-chan asked) asked {
	t.Helper()
	select {
	case a := <-from:
		return a
	case <-time.After(2 * render.HoldFor):
		t.Fatal("no answer")
		return asked{}
	}
}

// signal reads a key that proxies write for the scaler.
func (h *house) signal(key string, into any) error {
	value, _, err := h.bus.Connect("scaler").Bucket(bus.WakesBucket).Get(h.t.Context(), key)
	if err != nil {
		return err
	}
	return json.Unmarshal(value, into)
}

// woken waits until the bus says that a request waits for a service.
func (h *house) woken(service string) {
	h.t.Helper()
	tooltest.Within(h.t, 20*time.Second, service+" is woken", func() error {
		var w scaling.Wake
		err := h.signal(scaling.WakePrefix+"id-"+service, &w)
		if err == nil && (w.ServiceID != "id-"+service || w.Service != service || w.Proxy != "one" || time.Since(w.At).Abs() > time.Minute) {
			h.t.Fatalf("%+v", w)
		}
		return err
	})
}

// open waits until the bus says that this many connections are open to a service.
func (h *house) open(service string, want int) {
	h.t.Helper()
	tooltest.Within(h.t, 30*time.Second, fmt.Sprint(want, " open to ", service), func() error {
		var o scaling.Open
		if err := h.signal(scaling.OpenPrefix+"one", &o); err != nil {
			return err
		}
		if got := o.Connections["id-"+service]; got != want || o.Proxy != "one" {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
}

// sleepersHouse is a house with a proxy named one, in which a service sleeps.
func sleepersHouse(t *testing.T, labels ...string) *house {
	h := newHouse(t)
	h.config.Instance = "one"
	h.sleepyTask("127.0.0.4")
	h.supervised()
	h.run()
	h.dns.set("awake", "127.0.0.2")
	h.deploy("awake", "/awake")
	h.deploy("shop", "/shop", append([]string{"scaleMin", "0"}, labels...)...)
	h.answers("/awake", "127.0.0.2")
	h.says("shop", `"degraded"`)
	return h
}

// reload has HAProxy start another worker while the one of now has something to do.
func (h *house) reload() {
	h.t.Helper()
	h.deploy("other", "/other", "addReqHeader", "X-New yes") // a backend that does what none did
	tooltest.Within(h.t, 20*time.Second, "there is an old worker", func() error {
		text, err := h.metrics()
		if err == nil && !strings.Contains(text, "\nwaggle_proxy_old_workers 1\n") {
			return errors.New("not yet")
		}
		return err
	})
}

// connect opens a connection to the proxy.
func (h *house) connect() net.Conn {
	h.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(h.t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.http)))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestWhoComesByAnOldConnectionIsNotHeld: a worker of before a reload has the servers that it
// had, although HAProxy says of it that there are none.
func TestWhoComesByAnOldConnectionIsNotHeld(t *testing.T) {
	h := sleepersHouse(t)
	h.dns.set("shop", "127.0.0.4")
	h.answers("/shop", "0 <nil>")
	conn := h.connect()
	in := bufio.NewReader(conn)
	ask := func() {
		t.Helper()
		if err := conn.SetDeadline(time.Now().Add(render.HoldFor / 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /shop HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || string(body) != "0 <nil>" {
			t.Fatalf("%d %s %v", res.StatusCode, body, err)
		}
		_ = res.Body.Close()
	}
	ask()
	h.reload()
	ask()
}

// TestRequestsWaitForAServiceThatSleeps: whatever their method, and over a reload.
func TestRequestsWaitForAServiceThatSleeps(t *testing.T) {
	h := sleepersHouse(t)
	get := h.request(http.MethodGet, "/shop", nil, "")
	h.woken("shop")
	post := h.request(http.MethodPost, "/shop", make([]byte, 1<<20), "")
	h.reload()
	late := h.request(http.MethodGet, "/shop", nil, "")
	h.answers("/awake", "127.0.0.2")
	for _, held := range []<-chan asked{get, post, late} {
		select {
		case a := <-held:
			t.Fatalf("answered while the service sleeps: %+v", a)
		default:
		}
	}
	begin := time.Now()
	h.dns.set("shop", "127.0.0.4")
	for _, c := range []struct {
		name, want string
		from       <-chan asked
	}{{"get", "0 <nil>", get}, {"post", "1048576 <nil>", post}, {"after the reload", "0 <nil>", late}} {
		a := answered(t, c.from)
		t.Logf("%s: %v after the task is there", c.name, time.Since(begin))
		if a.err != nil || a.status != 200 || a.body != c.want {
			t.Errorf("%s: %+v, want 200 %s", c.name, a, c.want)
		}
	}
}

// TestATaskThatListensLater: Docker names a task as soon as its container has started. Who waits
// for it waits until it listens, and is told meanwhile what is wrong.
func TestATaskThatListensLater(t *testing.T) {
	h := sleepersHouse(t)
	get := h.request(http.MethodGet, "/shop", nil, "")
	h.woken("shop")
	h.dns.set("shop", "127.0.0.9")
	h.says("shop", fmt.Sprintf("nothing listens at 127.0.0.9:%d yet", h.upstream))
	post := h.request(http.MethodPost, "/shop", []byte("x"), "")
	h.answers("/awake", "127.0.0.2")
	begin := time.Now()
	h.sleepyTask("127.0.0.9")
	for want, from := range map[string]<-chan asked{"0 <nil>": get, "1 <nil>": post} {
		a := answered(t, from)
		if took := time.Since(begin); a.err != nil || a.status != 200 || a.body != want || took > 500*time.Millisecond {
			t.Errorf("%v after it listens: %+v, want 200 %s", took, a, want)
		}
	}
}

// TestOnlySoManyRequestsAreHeld: one more is answered at once, and who goes makes room.
func TestOnlySoManyRequestsAreHeld(t *testing.T) {
	h := sleepersHouse(t)
	var held []<-chan asked
	for range render.MostHeld {
		held = append(held, h.request(http.MethodGet, "/shop", nil, ""))
	}
	h.woken("shop")
	var one asked
	tooltest.Eventually(t, "one more is refused", func() error {
		from := h.request(http.MethodGet, "/shop", nil, "")
		select {
		case one = <-from:
			return nil
		case <-time.After(time.Second):
			held = append(held, from) // not all of the hundred were there yet
			return errors.New("it waits")
		}
	})
	t.Log("one more is answered after", one.took)
	if one.status != 503 || one.retry == "" || one.err != nil {
		t.Errorf("one more: %+v", one)
	}
	h.dns.set("shop", "127.0.0.4")
	good := 0
	for _, from := range held {
		if a := answered(t, from); a.status == 200 {
			good++
		}
	}
	if good != render.MostHeld {
		t.Errorf("%d were held, want %d", good, render.MostHeld)
	}
}

// TestNobodyIsHeldForEver: who waited in vain is told when to come back.
func TestNobodyIsHeldForEver(t *testing.T) {
	t.Parallel()
	h := sleepersHouse(t)
	a := answered(t, h.request(http.MethodPost, "/shop", []byte("x"), ""))
	if a.err != nil || a.status != 503 || a.retry == "" || a.took < render.HoldFor {
		t.Errorf("%+v", a)
	}
}

// TestWhoDoesNotGetInWakesNobody: nor is he held.
func TestWhoDoesNotGetInWakesNobody(t *testing.T) {
	h := sleepersHouse(t, "users", "ann:secret")
	h.deploy("inner", "/inner", "scaleMin", "0", "allowedAddresses", "10.9.9.9")
	h.deploy("last", "/last", "scaleMin", "0")
	for _, service := range []string{"inner", "last"} {
		h.says(service, `"degraded"`)
	}
	for _, c := range []struct {
		path, password string
		want           int
	}{{"/shop", "", 401}, {"/shop", "wrong", 401}, {"/inner", "", 403}} {
		tooltest.Within(t, 20*time.Second, c.path+" is refused", func() error {
			a := answered(t, h.request(http.MethodPost, c.path, []byte("x"), c.password))
			if a.err != nil || a.status != c.want || a.retry != "" || a.took > render.HoldFor/2 {
				return fmt.Errorf("%+v, want %d", a, c.want)
			}
			return nil
		})
	}
	// What a request that gets in says comes by the same way, later.
	h.request(http.MethodGet, "/last", nil, "")
	h.woken("last")
	for _, service := range []string{"shop", "inner"} {
		var w scaling.Wake
		if err := h.signal(scaling.WakePrefix+"id-"+service, &w); !errors.Is(err, bus.ErrNotFound) {
			t.Errorf("%s: %+v, %v", service, w, err)
		}
	}
	h.request(http.MethodGet, "/shop", nil, "secret")
	h.woken("shop")
}

// TestOpenConnectionsAreTold: those that are held in a worker of before a reload too.
func TestOpenConnectionsAreTold(t *testing.T) {
	h := sleepersHouse(t)
	h.dns.set("shop", "127.0.0.4")
	h.answers("/shop", "0 <nil>")
	h.open("shop", 0)
	conn := h.connect()
	if _, err := io.WriteString(conn, "GET /shop HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "101") {
		t.Fatal(line, err)
	}
	h.open("shop", 1)
	h.reload()
	h.stop() // so that what stands on the bus is what is said after the reload
	if err := h.bus.Connect("proxy").Bucket(bus.WakesBucket).Delete(t.Context(), scaling.OpenPrefix+"one"); err != nil {
		t.Fatal(err)
	}
	h.run()
	h.open("shop", 1)
	_ = conn.Close()
	h.open("shop", 0)
}

// TestAServiceHoldsSoManyOverAllItsIndexes: or one service would keep all connections that the
// proxy may have, and nobody else could ask for anything.
func TestAServiceHoldsSoManyOverAllItsIndexes(t *testing.T) {
	h := newHouse(t)
	h.config.Instance = "one"
	h.supervised()
	h.run()
	h.dns.set("awake", "127.0.0.2")
	h.deploy("awake", "/awake")
	var labels []string
	const indexes = 6
	for i := 2; i <= indexes; i++ {
		n := strconv.Itoa(i)
		labels = append(labels, "servicePath."+n, "/shop"+n, "port."+n, strconv.Itoa(h.upstream))
	}
	h.deploy("shop", "/shop", append(labels, "servicePath.1", "/shop1", "scaleMin", "0")...)
	h.answers("/awake", "127.0.0.2")
	h.says("shop", `"degraded"`)
	for i := range indexes * render.MostHeld {
		h.request(http.MethodGet, "/shop"+strconv.Itoa(1+i%indexes), nil, "")
	}
	h.woken("shop")
	for range 50 {
		if a := answered(t, h.request(http.MethodGet, "/awake", nil, "")); a.err != nil || a.status != 200 || a.took > 5*time.Second {
			t.Fatalf("another service answers %+v", a)
		}
	}
}
