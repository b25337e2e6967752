package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve answers each request of each connection with what behave does. It counts
// the requests that arrived and the connections.
func serve(t *testing.T, behave func(n int, c net.Conn) (goOn bool)) (url string, requests, connections *atomic.Int64) {
	t.Helper()
	requests, connections = &atomic.Int64{}, &atomic.Int64{}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			go func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReader(c)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					if !behave(int(requests.Add(1)), c) {
						return
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String() + "/x?y=1", requests, connections
}

func say(c net.Conn, text string) bool {
	_, err := c.Write([]byte(text))
	return err == nil
}

const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// reset closes a connection so that the other side gets a reset.
func reset(c net.Conn) bool {
	_ = c.(*net.TCPConn).SetLinger(0)
	return false
}

func TestWhatBecomesOfARequestIsCountedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		behave func(n int, c net.Conn) bool
		want   Kind
		status string
	}{
		"an answer": {func(_ int, c net.Conn) bool { return say(c, good) }, OK, "200"},
		"an answer in chunks": {func(_ int, c net.Conn) bool {
			return say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
		}, OK, "200"},
		"an answer until the end": {func(_ int, c net.Conn) bool { say(c, "HTTP/1.0 200 OK\r\n\r\nok"); return false }, OK, "200"},
		"an error": {func(_ int, c net.Conn) bool {
			return say(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
		}, Status, "503"},
		"a redirect": {func(_ int, c net.Conn) bool {
			return say(c, "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
		}, Status, "302"},
		"no answer":          {func(int, net.Conn) bool { return false }, Cut, ""},
		"a reset":            {func(_ int, c net.Conn) bool { return reset(c) }, Reset, ""},
		"a body that is cut": {func(_ int, c net.Conn) bool { say(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok"); return false }, Cut, "200"},
		"chunks that are cut": {func(_ int, c net.Conn) bool {
			say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok")
			return false
		}, Cut, "200"},
		"a head that is cut": {func(_ int, c net.Conn) bool { say(c, "HTTP/1.1 200 OK\r\nContent-"); return false }, Cut, ""},
		"a body that is reset": {func(_ int, c net.Conn) bool {
			return say(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok") && reset(c)
		}, "", "200"},
		"what is no HTTP":               {func(_ int, c net.Conn) bool { return say(c, "hello\r\n\r\n") }, Other, ""},
		"an answer that does not end":   {func(_ int, c net.Conn) bool { return say(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok") }, Timeout, "200"},
		"an answer that does not begin": {func(int, net.Conn) bool { return true }, Timeout, ""},
	} {
		for _, keepAlive := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, keep-alive %t", name, keepAlive), func(t *testing.T) {
				t.Parallel()
				patience := 5 * time.Second
				if tc.want == Timeout {
					patience = 50 * time.Millisecond
				}
				url, arrived, _ := serve(t, tc.behave)
				r, err := Run(t.Context(), Config{URL: url, Rate: 50, Connections: 2, KeepAlive: keepAlive, Duration: 95 * time.Millisecond, Timeout: patience})
				if err != nil {
					t.Fatal(err)
				}
				if r.Requests == 0 || float64(r.Requests) > 50*r.Seconds+1 {
					t.Errorf("%d requests in %v s at 50 per second", r.Requests, r.Seconds)
				}
				if int(arrived.Load()) != r.Requests {
					t.Errorf("%d requests arrived, %d were counted", arrived.Load(), r.Requests)
				}
				switch {
				case name == "a body that is reset":
					// The kernel may deliver the bytes or only the reset.
					if r.Kinds[Reset]+r.Kinds[Cut] != r.Requests {
						t.Errorf("failures are %v of %d", r.Kinds, r.Requests)
					}
					return
				case tc.want == OK && (r.Failed != 0 || r.P50 <= 0 || r.Max < r.P50):
					t.Errorf("%d failed: %v %v; median %v ms", r.Failed, r.Kinds, r.Examples, r.P50)
				case tc.want != OK && (r.Failed != r.Requests || r.Kinds[tc.want] != r.Requests || r.Examples[tc.want] == ""):
					t.Errorf("failures are %v %v, want %d %s", r.Kinds, r.Examples, r.Requests, tc.want)
				}
				if tc.status != "" && r.Statuses[tc.status] != r.Requests {
					t.Errorf("statuses are %v", r.Statuses)
				}
			})
		}
	}
}

func TestNobodyListens(t *testing.T) {
	url, _, _ := serve(t, nil)
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := ln.Addr().String()
	_ = ln.Close()
	for address, want := range map[string]Kind{closed: Refused, "name.invalid": Other} {
		r, err := Run(t.Context(), Config{URL: "http://" + address, Rate: 50, Connections: 1, Duration: 50 * time.Millisecond, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests == 0 || r.Kinds[want] != r.Requests {
			t.Errorf("%s: failures are %v %v of %d, want all %s", address, r.Kinds, r.Examples, r.Requests, want)
		}
	}
	if _, err := Run(t.Context(), Config{URL: strings.Replace(url, "http", "ftp", 1), Connections: 1, Duration: 1, Timeout: 1}); err == nil {
		t.Error("ftp is accepted")
	}
}

func TestConnectionsAreKeptOrNot(t *testing.T) {
	for keepAlive, want := range map[bool]int64{true: 3, false: 20} {
		url, arrived, connections := serve(t, func(_ int, c net.Conn) bool { return say(c, good) })
		r, err := Run(t.Context(), Config{URL: url, Rate: 200, Connections: 3, KeepAlive: keepAlive, Duration: 100 * time.Millisecond, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if keepAlive && connections.Load() > want || !keepAlive && connections.Load() != arrived.Load() {
			t.Errorf("keep-alive %t: %d connections for %d requests", keepAlive, connections.Load(), arrived.Load())
		}
		if r.Opened != int(connections.Load()) || r.Failed != 0 {
			t.Errorf("report says %+v, the server saw %d connections", r, connections.Load())
		}
	}
}

func TestAConnectionThatIsClosedWhileNothingIsOnItIsNoFailure(t *testing.T) {
	url, _, connections := serve(t, func(n int, c net.Conn) bool { return say(c, good) && n%2 != 0 })
	r, err := Run(t.Context(), Config{URL: url, Rate: 40, Connections: 1, KeepAlive: true, Duration: 490 * time.Millisecond, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != 0 || r.Requests < 4 {
		t.Errorf("%s %v", r, r.Examples)
	}
	if n := int(connections.Load()); n < r.Requests/2-1 {
		t.Errorf("%d connections, so they were not closed and this shows nothing", n)
	}
}

func TestABrokenConnectionIsNotUsedAgainAndTheRequestNotRepeated(t *testing.T) {
	// Every third request is let down after it was sent: net/http would send
	// it again without a word.
	url, arrived, _ := serve(t, func(n int, c net.Conn) bool { return n%3 != 0 && say(c, good) })
	r, err := Run(t.Context(), Config{URL: url, Rate: 300, Connections: 1, KeepAlive: true, Duration: 200 * time.Millisecond, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != r.Requests/3 || r.Kinds[Cut] != r.Failed || r.Requests < 3 {
		t.Errorf("%s", r)
	}
	if int(arrived.Load()) != r.Requests {
		t.Errorf("%d requests arrived, %d were counted", arrived.Load(), r.Requests)
	}
}

func TestRateAndProgress(t *testing.T) {
	url, _, _ := serve(t, func(_ int, c net.Conn) bool { return say(c, good) })
	parts := 0
	var seen []Report
	r, err := Run(t.Context(), Config{
		URL: url, Rate: 100, Connections: 5, KeepAlive: true, Duration: 500 * time.Millisecond, Timeout: time.Second,
		Every: 100 * time.Millisecond, Progress: func(r Report) { parts += r.Requests; seen = append(seen, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	// A busy machine may be slower, but nothing makes it faster.
	if r.Requests < 10 || float64(r.Requests) > 100*r.Seconds+1 {
		t.Errorf("%d requests in %v s at 100 per second", r.Requests, r.Seconds)
	}
	if len(seen) < 2 || parts > r.Requests {
		t.Errorf("%d parts with %d of %d requests", len(seen), parts, r.Requests)
	}
}

func TestHTTPSAndHost(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "shop.example" || r.TLS.ServerName != "shop.example" || r.URL.Path != "/x" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of the refused certificate
	s.StartTLS()
	defer s.Close()
	for insecure, want := range map[bool]Kind{true: OK, false: Other} {
		r, err := Run(t.Context(), Config{URL: s.URL + "/x", Host: "shop.example", Insecure: insecure, Connections: 1, KeepAlive: true, Rate: 50, Duration: 50 * time.Millisecond, Timeout: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if want == OK && r.Failed > 0 || want != OK && r.Kinds[want] != r.Requests {
			t.Errorf("insecure %t: %s %v", insecure, r, r.Examples)
		}
	}
}

func TestTheReportAsText(t *testing.T) {
	begin := time.Unix(0, 0)
	all := newTally(begin)
	for i := range 100 {
		all.add(outcome{status: 200, took: time.Duration(i+1) * time.Millisecond, opened: i < 2})
	}
	all.add(outcome{kind: Refused, err: net.ErrClosed, opened: true})
	all.add(outcome{kind: Status, status: 503, err: fmt.Errorf("503 Service Unavailable")})
	r := all.report(begin.Add(10 * time.Second))
	want := "102 requests in 10.0 s (10/s), 2 failed (1 refused, 1 status); latency p50 50.0 ms, p90 90.0 ms, p99 99.0 ms, worst 100.0 ms"
	if r.String() != want {
		t.Errorf("got  %s\nwant %s", r, want)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b); !strings.Contains(got, `"failed":2,"kinds":{"refused":1,"status":1},"statuses":{"200":100,"503":1}`) || !strings.Contains(got, `"opened":3`) {
		t.Error(got)
	}
	if empty := newTally(begin).report(begin); empty.P99 != 0 || empty.Rate != 0 {
		t.Errorf("an empty report has %+v", empty)
	}
}

func TestAwait(t *testing.T) {
	url, arrived, _ := serve(t, func(n int, c net.Conn) bool {
		if n < 5 {
			return n != 3 && say(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}
		return say(c, good)
	})
	c := Config{URL: url, Duration: 10 * time.Second, Timeout: time.Second}
	begin := time.Now()
	at, err := Await(t.Context(), c, time.Millisecond, func(status int) bool { return status == http.StatusOK })
	if err != nil || arrived.Load() != 5 || at.Before(begin) || at.After(time.Now()) {
		t.Errorf("after %d requests: %v %v", arrived.Load(), at, err)
	}
	c.Duration = 50 * time.Millisecond
	if _, err := Await(t.Context(), c, time.Millisecond, func(status int) bool { return status == http.StatusNotFound }); err == nil || !strings.Contains(err.Error(), "status 200") {
		t.Errorf("waiting in vain says %v", err)
	}
	if _, err := Await(t.Context(), Config{}, 1, nil); err == nil {
		t.Error("an empty configuration is accepted")
	}
}

func TestEachPostHasANameOfItsOwn(t *testing.T) {
	var mu sync.Mutex // the server's connections note together
	seen := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Method+" "+r.Header.Get("X-Request-Id")]++
	}))
	defer server.Close()
	r, err := Run(t.Context(), Config{URL: server.URL, Method: http.MethodPost, Connections: 3, Rate: 200, KeepAlive: true, Duration: 100 * time.Millisecond, Timeout: 5 * time.Second})
	if err != nil || r.Failed > 0 || r.Requests == 0 {
		t.Fatalf("%v, %v", r, err)
	}
	if len(seen) != r.Requests {
		t.Errorf("%d names of %d requests: %v", len(seen), r.Requests, seen)
	}
	for name := range seen {
		if !strings.HasPrefix(name, "POST ") || name == "POST " {
			t.Errorf("a request came as %q", name)
		}
	}
}

// Where nobody listens the next host is tried; what came to a host is never sent to another.
func TestAnotherHostIsTriedWhereNobodyListens(t *testing.T) {
	answers, _, _ := serve(t, func(_ int, c net.Conn) bool { return say(c, good) })
	cuts, cut, _ := serve(t, func(int, net.Conn) bool { return false })
	for name, tc := range map[string]struct {
		url    string
		others []string
		failed bool
	}{
		"nobody listens at the first": {strings.Replace(answers, "127.0.0.1", "127.0.0.2", 1), []string{"127.0.0.3", "127.0.0.1"}, false},
		"nobody listens at any":       {strings.Replace(answers, "127.0.0.1", "127.0.0.2", 1), []string{"127.0.0.3"}, true},
		"the first cuts off":          {cuts, []string{"127.0.0.1"}, true},
	} {
		r, err := Run(t.Context(), Config{URL: tc.url, Others: tc.others, Rate: 50, Connections: 1, Duration: 90 * time.Millisecond, Timeout: 5 * time.Second})
		if err != nil || r.Requests == 0 || (r.Failed == r.Requests) != tc.failed || (r.Failed == 0) == tc.failed {
			t.Errorf("%s: %v (%v)", name, r, err)
		}
	}
	if cut.Load() == 0 {
		t.Error("nothing came to the one that cuts off")
	}
}
