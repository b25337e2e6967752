package apply_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// serve accepts connections on one port of several addresses until the test ends.
func serve(t *testing.T, talk func(addr string, conn net.Conn), addrs ...string) string {
	t.Helper()
	port := tooltest.FreePort(t)
	for _, a := range addrs {
		var lc net.ListenConfig
		ln, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(a, strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return // the test is over
				}
				go func() {
					defer func() { _ = conn.Close() }()
					talk(a, conn)
				}()
			}
		}()
	}
	return strconv.Itoa(port)
}

// greeter greets with the last number of its address and repeats what it is told.
func greeter(addr string, conn net.Conn) {
	if _, err := fmt.Fprintln(conn, addr[strings.LastIndexByte(addr, '.')+1:]); err == nil {
		_, _ = io.Copy(conn, conn)
	}
}

// connection is one to a port of HAProxy.
type connection struct {
	net.Conn
	*bufio.Reader
}

func (c connection) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func open(t *testing.T, port string) (connection, error) {
	t.Helper()
	dialer := net.Dialer{Timeout: 20 * time.Second}
	conn, err := dialer.DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		return connection{}, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return connection{conn, bufio.NewReader(conn)}, nil
}

// greetings opens nine connections and returns who greets, sorted.
func greetings(t *testing.T, port string) string {
	t.Helper()
	seen := map[string]bool{}
	for range 9 {
		c, err := open(t, port)
		if err != nil {
			seen["refused"] = true
			continue
		}
		line, err := c.ReadString('\n')
		if err != nil {
			line = "closed"
		}
		seen[strings.TrimSpace(line)] = true
		_ = c.Conn.Close()
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ",")
}

// step applies and makes sure that all is as it should be, and whether it took a reload.
func (w *world) step(what string, reload bool) {
	w.t.Helper()
	if res := w.apply(); !res.Changed || (res.Reload != "") != reload {
		w.t.Errorf("%s: %+v, want a change, by a reload: %v", what, res, reload)
	}
	if _, _, err := w.h.Tidy(w.t.Context()); err != nil {
		w.t.Errorf("%s: tidy: %v", what, err)
	}
	if drift, err := w.h.Compare(w.t.Context()); err != nil || drift != "" {
		w.t.Errorf("%s: what runs differs from what was applied: %s (%v)", what, drift, err)
	}
	if err := w.h.CheckFile(w.t.Context()); err != nil {
		w.t.Errorf("%s: %v", what, err)
	}
	if res := w.apply(); res.Changed {
		w.t.Errorf("%s: the second pass changed something again: %+v", what, res)
	}
}

func freePort(t *testing.T) string { return strconv.Itoa(tooltest.FreePort(t)) }

func TestTCP(t *testing.T) {
	w := newWorld(t)
	upstream, port := serve(t, greeter, "127.0.0.2", "127.0.0.3", "127.0.0.4"), freePort(t)
	redis := func(tasks ...string) {
		w.deploy("redis", tasks, "reqMode", "TCP", "srcPort", port, "port", upstream)
	}
	redis("127.0.0.2")
	w.step("a new port", true)
	if got := greetings(t, port); got != "2" {
		t.Fatalf("greeted by %s, want 2", got)
	}
	long, err := open(t, port)
	if err != nil {
		t.Fatal(err)
	}
	said := func(text string) {
		t.Helper()
		if line, err := long.ReadString('\n'); err != nil || line != text {
			t.Fatalf("heard %q (%v), want %q", line, err, text)
		}
	}
	said("2\n")
	redis("127.0.0.2", "127.0.0.3")
	w.step("a second task", false)
	if got := greetings(t, port); got != "2,3" {
		t.Errorf("greeted by %s, want both tasks", got)
	}
	w.deploy("web", []string{"127.0.0.2"}, "servicePath", "/a")
	w.step("an HTTP service besides", false)
	w.want("x.com", "/a", "2")
	w.deploy("other", []string{"127.0.0.4"}, "reqMode", "tcp", "srcPort", port, "port", upstream)
	if res := w.apply(); res.Changed {
		t.Errorf("a second service on the port changed %+v", res)
	}
	var conflict *route.ConflictError
	for _, v := range claims.Settle(mapValues(w.services), w.accepted, labels.Options{}).Verdicts {
		if v.Service.Name != "other" {
			continue
		}
		if !errors.As(v.Err, &conflict) || conflict.Winner != "redis" || conflict.Claim != "TCP port "+port {
			t.Errorf("two on one port: %v, want redis as the winner", v.Err)
		}
	}
	if got := greetings(t, port); conflict == nil || got != "2,3" {
		t.Errorf("greeted by %s, want the tasks of the first", got)
	}
	w.deploy("other", []string{"127.0.0.4"}, "reqMode", "tcp", "srcPort", freePort(t), "port", upstream)
	w.step("another port", true)
	// The connection from before the reload still stands.
	if _, err := io.WriteString(long, "hello\n"); err != nil {
		t.Fatal(err)
	}
	said("hello\n")
	delete(w.services, "redis")
	w.step("the service is gone", true)
	tooltest.Eventually(t, "the port is closed", func() error {
		if got := greetings(t, port); got != "refused" {
			return errors.New(got)
		}
		return nil
	})
}

func TestTCPGroup(t *testing.T) {
	w := newWorld(t)
	upstream, one, two := serve(t, greeter, "127.0.0.2", "127.0.0.3", "127.0.0.4"), freePort(t), freePort(t)
	group := func(name, port string, tasks ...string) {
		w.deploy(name, tasks, "reqMode", "tcp", "serviceGroup", "db", "srcPort", port, "port", upstream, "balanceGroup", "leastconn")
	}
	want := func(port, who string) {
		t.Helper()
		if got := greetings(t, port); got != who {
			t.Errorf("greeted by %s, want %s", got, who)
		}
	}
	group("a", one, "127.0.0.2")
	w.step("the first of a group", true)
	want(one, "2")
	group("b", one, "127.0.0.3")
	w.step("a second joins without a reload", false)
	want(one, "2,3")
	group("c", two, "127.0.0.4")
	w.step("a third brings a port", true)
	want(one, "2,3,4")
	want(two, "2,3,4")
	a, b := route.Backend{Name: "group:db", Share: route.Share{Group: "db", Member: "a_0"}}, route.Backend{Name: "group:db"}
	if got := w.h.Addresses(a); len(got) != 1 || got[0] != netip.MustParseAddr("127.0.0.2") || len(w.h.Addresses(b)) != 0 {
		t.Errorf("addresses of the first: %v, want its own", got)
	}
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
	delete(w.services, "a")
	w.step("one leaves", false)
	want(one, "3,4")
}

// TestTCPCheck: with 3.4 a server that was added at run time is checked as one from the file is.
func TestTCPCheck(t *testing.T) {
	w := newWorld(t)
	upstream, port := serve(t, greeter, "127.0.0.2", "127.0.0.3"), freePort(t)
	redis := func(tasks ...string) {
		w.deploy("redis", tasks, "reqMode", "tcp", "srcPort", port, "port", upstream, "checkTcp", "true")
	}
	// Nobody listens at 127.0.0.9 and 127.0.0.8.
	redis("127.0.0.2", "127.0.0.9")
	w.step("a new service", true)
	redis("127.0.0.2", "127.0.0.3", "127.0.0.8", "127.0.0.9")
	w.step("more tasks", false)
	tooltest.Within(t, 20*time.Second, "those that do not answer are down", func() error {
		stats, err := runtime.New(w.hap.Stats).ShowStat(t.Context())
		if err != nil {
			return err
		}
		status := map[string]string{}
		for _, s := range stats {
			if strings.HasPrefix(s.Proxy, "redis-tcp") {
				status[s.Server] = s.Status
			}
		}
		if status["127.0.0.2"] != "UP" || status["127.0.0.3"] != "UP" || status["127.0.0.8"] != "DOWN" || status["127.0.0.9"] != "DOWN" {
			return fmt.Errorf("%v", status)
		}
		return nil
	})
	if drift, err := w.h.Compare(t.Context()); err != nil || drift != "" {
		t.Errorf("drift %s (%v)", drift, err)
	}
	redis("127.0.0.2")
	w.step("fewer tasks", false)
	if got := greetings(t, port); got != "2" {
		t.Errorf("greeted by %s, want 2", got)
	}
	w.h = w.applier()
	if err := w.h.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if res := w.apply(); res.Changed {
		t.Errorf("a restart of the controller changed %+v", res)
	}
}

func TestTCPTimeoutOfClients(t *testing.T) {
	w := newWorld(t)
	upstream, port := serve(t, greeter, "127.0.0.2"), freePort(t)
	w.deploy("redis", []string{"127.0.0.2"}, "reqMode", "tcp", "srcPort", port, "port", upstream, "timeoutClient", "300ms", "clitcpka", "true")
	w.step("a new service", true)
	c, err := open(t, port)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if all, err := io.ReadAll(c); err != nil || string(all) != "2\n" {
		t.Errorf("heard %q (%v), want the greeting and then the end", all, err)
	}
	if took := time.Since(begin); took < 250*time.Millisecond || took > 5*time.Second {
		t.Errorf("closed after %v of silence, want 300ms", took)
	}
}

// certificate makes one for a host.
func certificate(t *testing.T, host string) tls.Certificate {
	t.Helper()
	issued := certtest.Self(t, host)
	pair, err := tls.X509KeyPair([]byte(issued.Cert), []byte(issued.Key))
	tooltest.Must(t, err)
	return pair
}

// dribble sends byte by byte, so that HAProxy sees the hello in many pieces.
type dribble struct{ net.Conn }

func (d dribble) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// presented returns the host of the certificate that a client sees who asks for a
// name, or "closed".
func presented(t *testing.T, port, name string, wrap func(net.Conn) net.Conn) string {
	t.Helper()
	conn, err := open(t, port)
	if err != nil {
		return "refused"
	}
	// Certificates of the test prove nothing; which of them is shown is the question.
	client := tls.Client(wrap(conn), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return "closed"
		}
		return err.Error()
	}
	return client.ConnectionState().PeerCertificates[0].DNSNames[0]
}

func TestTLSByServerName(t *testing.T) {
	w := newWorld(t)
	hosts := map[string]string{"127.0.0.2": "a.example.com", "127.0.0.3": "b.example.com", "127.0.0.4": "rest.example.com"}
	certs := map[string]tls.Certificate{}
	for addr, host := range hosts {
		certs[addr] = certificate(t, host)
	}
	upstream := serve(t, func(addr string, conn net.Conn) {
		server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certs[addr]}})
		if server.HandshakeContext(t.Context()) == nil {
			_, _ = io.Copy(io.Discard, server)
		}
	}, slices.Collect(maps.Keys(hosts))...)
	sni, tcp := freePort(t), freePort(t)
	w.deploy("a", []string{"127.0.0.2"}, "port", upstream,
		"reqMode.1", "sni", "srcPort.1", sni, "servicePath.1", "a.", "pathType.1", "req_ssl_sni -i -m beg",
		"reqMode.2", "tcp", "srcPort.2", tcp, "serviceDomain.2", "a.example.com,*.a.example.com", "serviceDomainAlgo.2", "req_ssl_sni")
	w.deploy("b", []string{"127.0.0.3"}, "port", upstream,
		"reqMode.1", "sni", "srcPort.1", sni, "servicePath.1", `^b\.`, "pathType.1", "req_ssl_sni -i -m reg",
		"reqMode.2", "tcp", "srcPort.2", tcp, "serviceDomain.2", "b.example.com,x.a.example.com", "serviceDomainAlgo.2", "req.ssl_sni")
	w.step("two services by name on two ports", true)
	whole := func(c net.Conn) net.Conn { return c }
	pieces := func(c net.Conn) net.Conn { return dribble{c} }
	want := func(port, name, who string) {
		t.Helper()
		for how, wrap := range map[string]func(net.Conn) net.Conn{"whole": whole, "in pieces": pieces} {
			if got := presented(t, port, name, wrap); got != who {
				t.Errorf("%s, %s, is answered by %s, want %s", name, how, got, who)
			}
		}
	}
	want(sni, "a.example.com", "a.example.com")
	want(sni, "A.EXAMPLE.com", "a.example.com")
	want(sni, "b.example.com", "b.example.com")
	want(sni, "c.example.com", "closed")
	want(sni, "", "closed")
	want(tcp, "a.example.com", "a.example.com")
	want(tcp, "y.a.example.com", "a.example.com")
	want(tcp, "x.a.example.com", "b.example.com")
	want(tcp, "b.example.com", "b.example.com")
	want(tcp, "c.example.com", "closed")
	w.deploy("rest", []string{"127.0.0.4"}, "reqMode", "tcp", "srcPort", tcp, "port", upstream)
	w.step("a service for all other names", true)
	want(tcp, "a.example.com", "a.example.com")
	want(tcp, "c.example.com", "rest.example.com")
	want(tcp, "", "rest.example.com")
	want(sni, "c.example.com", "closed")
	w.deploy("b", []string{"127.0.0.4"}, "port", upstream,
		"reqMode.1", "sni", "srcPort.1", sni, "servicePath.1", `^b\.`, "pathType.1", "req_ssl_sni -i -m reg",
		"reqMode.2", "tcp", "srcPort.2", tcp, "serviceDomain.2", "b.example.com,x.a.example.com", "serviceDomainAlgo.2", "req.ssl_sni")
	w.step("a task moves", false)
	want(tcp, "b.example.com", "rest.example.com")
}

// TestLogOfStreamsIsJSON: a line for each connection, as for requests, or in the
// operator's own form.
func TestLogOfStreamsIsJSON(t *testing.T) {
	for format, want := range map[string]string{"": `{"time":`, "%ci and %b": "127.0.0.1 and redis-tcp"} {
		t.Run("format="+format, func(t *testing.T) {
			w := newWorld(t, func(s *render.Settings) { s.AccessLog, s.TCPLogFormat = true, format })
			port := serve(t, greeter, "127.0.0.2")
			entry := strconv.Itoa(tooltest.FreePort(t))
			w.deploy("redis", []string{"127.0.0.2"}, "reqMode", "tcp", "port", port, "srcPort", entry)
			w.apply()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:"+entry)
			if err != nil {
				t.Fatal(err)
			}
			// A connection on which the client says nothing is none to log.
			_, err = fmt.Fprintln(conn, "x")
			in := bufio.NewReader(conn)
			for range 2 {
				_, more := in.ReadString('\n')
				err = errors.Join(err, more)
			}
			if err = errors.Join(err, conn.Close()); err != nil {
				t.Fatal(err)
			}
			tooltest.Eventually(t, "the connection is logged", func() error {
				text, err := os.ReadFile(filepath.Join(w.hap.Dir, "log"))
				if err != nil {
					return err
				}
				for line := range strings.Lines(string(text)) {
					if !strings.HasPrefix(line, want) {
						continue
					}
					if format != "" {
						return nil
					}
					var l struct {
						Client, Frontend, Backend, Server string
						Bytes                             int
					}
					if err := json.Unmarshal([]byte(line), &l); err != nil {
						t.Fatalf("%s: %v", line, err)
					}
					if l.Client != "127.0.0.1" || l.Frontend != "tcp_"+entry || l.Server != "127.0.0.2" || l.Bytes == 0 {
						t.Errorf("%+v", l)
					}
					return nil
				}
				return errors.New(string(text))
			})
		})
	}
}
