package proxycase

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/websocket"
	"golang.org/x/sys/unix"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// The addresses of the upstreams: a service each, and two tasks of the first.
const (
	addrA  = "127.1.0.1"
	addrA1 = "127.1.0.11"
	addrA2 = "127.1.0.12"
	addrB  = "127.1.0.2"
	addrC  = "127.1.0.3"
)

// hosts are the names that the DNS of each case knows.
const hosts = addrA + " svc-a\n" + addrA1 + " tasks.svc-a\n" + addrA2 + " tasks.svc-a\n" +
	addrB + " svc-b\n" + addrC + " svc-c ext.host " + bystander + "\n"

// echo is what an upstream says of a request that it got.
type echo struct {
	Service string            `json:"svc"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Padding string            `json:"padding,omitempty"`
}

// upstreams are the servers behind the proxy.
type upstreams struct {
	files map[string][]byte
	// slow counts the slow requests that are being answered.
	slow atomic.Int64
}

// start opens all ports. They stay open until the process ends.
func (u *upstreams) start(ctx context.Context) error {
	for _, task := range []struct{ addr, web, greeting string }{{addrA, "a", "ra"}, {addrA1, "at1", "rt1"}, {addrA2, "at2", "rt2"}} {
		if err := u.service(ctx, task.addr, task.web, task.greeting, "tlsa", "a.example.com"); err != nil {
			return err
		}
		if err := u.web(ctx, task.addr, 8081, "a2", nil); err != nil {
			return err
		}
	}
	if err := u.service(ctx, addrB, "b", "rb", "tlsb", "b.example.com"); err != nil {
		return err
	}
	if err := u.web(ctx, addrC, 8080, "c", nil); err != nil {
		return err
	}
	return u.webSocket(ctx, addrC, 9000)
}

// service opens the three ports that two of the services have.
func (u *upstreams) service(ctx context.Context, addr, web, greeting, secure, certificate string) error {
	if err := u.web(ctx, addr, 8080, web, nil); err != nil {
		return err
	}
	if err := u.greeter(ctx, addr, 6379, greeting); err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(u.files[certificate+".pem"], u.files[certificate+".pem"])
	if err != nil {
		return err
	}
	return u.web(ctx, addr, 8443, secure, &tls.Config{Certificates: []tls.Certificate{pair}})
}

// listen opens a port in such a way that HAProxy can have the same port of all other
// addresses.
func listen(ctx context.Context, addr string, port int) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if errControl := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); errControl != nil {
			return errControl
		}
		return err
	}}
	return lc.Listen(ctx, "tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
}

func (u *upstreams) web(ctx context.Context, addr string, port int, id string, secure *tls.Config) error {
	ln, err := listen(ctx, addr, port)
	if err != nil {
		return err
	}
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.echo(w, r, id) })}
	go func() { _ = srv.Serve(ln) }() // it serves until the process ends
	return nil
}

func (u *upstreams) echo(w http.ResponseWriter, r *http.Request, id string) {
	if delay := slowness(r); delay > 0 {
		u.slow.Add(1)
		defer u.slow.Add(-1)
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	e := echo{Service: id, Method: r.Method, Path: r.RequestURI, Headers: map[string]string{"Host": r.Host}}
	for name, values := range r.Header {
		e.Headers[name] = strings.Join(values, ", ")
	}
	if strings.Contains(r.URL.Path, "big") {
		e.Padding = strings.Repeat("0123456789", 600)
	}
	body, err := json.Marshal(e)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Backend", id)
	w.Header().Set("X-Secret", "s")
	_, _ = w.Write(body) // a client that is gone is missed by nobody
}

// slowness is how long a request to a path that ends with /slow waits: its query is
// "=" and the seconds.
func slowness(r *http.Request) time.Duration {
	text, ok := strings.CutPrefix(r.URL.RawQuery, "=")
	seconds, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || !strings.HasSuffix(r.URL.Path, "/slow") {
		return 0
	}
	return time.Duration(min(seconds, 60) * float64(time.Second))
}

// greeter says its name in a line to everybody who connects.
func (u *upstreams) greeter(ctx context.Context, addr string, port int, id string) error {
	ln, err := listen(ctx, addr, port)
	if err != nil {
		return err
	}
	go tooltest.Accept(ln, func(c net.Conn) {
		fmt.Fprintln(c, id)
		_, _ = io.Copy(io.Discard, c) // until the client leaves
	})
	return nil
}

func (u *upstreams) webSocket(ctx context.Context, addr string, port int) error {
	ln, err := listen(ctx, addr, port)
	if err != nil {
		return err
	}
	// A Server, unlike a bare Handler, does not ask where the client comes from.
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: websocket.Server{Handler: func(c *websocket.Conn) { _, _ = io.Copy(c, c) }}}
	go func() { _ = srv.Serve(ln) }() // it serves until the process ends
	return nil
}

// is reports whether the upstream that answered is the one wanted; any task of
// svc-a will do where the service is wanted.
func is(got, want string) bool {
	switch want {
	case "a":
		return slices.Contains([]string{"a", "at1", "at2"}, got)
	case "ra":
		return slices.Contains([]string{"ra", "rt1", "rt2"}, got)
	}
	return got == want
}
