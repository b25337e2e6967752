package apply_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// oneName is a name server for which every name means one address, which may change.
type oneName struct {
	at    netip.AddrPort
	means atomic.Pointer[netip.Addr]
}

func newOneName(t *testing.T, means string) *oneName {
	t.Helper()
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &oneName{at: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	s.set(means)
	ended := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := s.answer(buf[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return s
}

func (s *oneName) set(means string) {
	a := netip.MustParseAddr(means)
	s.means.Store(&a)
}

func (s *oneName) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("no question: %w", err)
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	q := m.Questions[0]
	head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	switch a := *s.means.Load(); {
	case q.Type == dnsmessage.TypeA && a.Is4():
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: a.As4()}}}
	case q.Type == dnsmessage.TypeAAAA && a.Is6():
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
	}
	return m.Pack()
}

// TestWhoIsAskedIsJudgedByAddress: the service that decides about requests is asked at the
// address that its name has now, and not at all where nobody outside may be.
func TestWhoIsAskedIsJudgedByAddress(t *testing.T) {
	var asked atomic.Int64
	auth := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !strings.HasPrefix(r.Host, "auth") && !strings.HasPrefix(r.Host, "127.") {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	_ = auth.Listener.Close()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "0.0.0.0:0") // it answers at every address of 127.0.0.0/8
	if err != nil {
		t.Fatal(err)
	}
	auth.Listener = ln
	auth.Start()
	t.Cleanup(auth.Close)
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)

	names := newOneName(t, "127.0.7.1")
	w := newWorld(t, func(s *render.Settings) { s.NameServer = names.at })
	forbid := func(list ...string) {
		var out []netip.Prefix
		for _, text := range list {
			out = append(out, netip.MustParsePrefix(text))
		}
		w.renderer.SetForbidden(out)
	}
	forbid("127.0.9.0/24", "::1/128")
	for name, host := range map[string]string{"service": "auth", "name": "auth.example.com", "literal": "127.0.7.1"} {
		w.deploy(name, []string{"127.0.0.2"}, "servicePath", "/"+name, "forwardAuth", "http://"+host+":"+port+"/verify")
	}
	w.apply()
	status := func(path string, want int) {
		t.Helper()
		// HAProxy believes an answer for a second.
		tooltest.Within(t, 10*time.Second, fmt.Sprintf("%s is answered %d", path, want), func() error {
			got, err := tooltest.Status(t.Context(), w.hap.URL(path))
			if err == nil && got != want {
				err = fmt.Errorf("status %d", got)
			}
			return err
		})
	}
	for _, path := range []string{"/service", "/name", "/literal"} {
		status(path, 200)
	}
	for _, inside := range []string{"127.0.9.5", "::1"} {
		names.set(inside)
		status("/service", 503)
		status("/name", 503)
		before := asked.Load()
		for range 5 {
			status("/name", 503)
		}
		if now := asked.Load(); now != before {
			t.Errorf("somebody at %s was asked %d times", inside, now-before)
		}
	}
	names.set("127.0.7.1")
	status("/service", 200)

	// What is inside changes while HAProxy runs.
	pid := w.hap.Pid
	forbid("127.0.7.0/24")
	if res := w.apply(); res.Reload != "" {
		t.Errorf("another address that is inside took a reload because of %s", res.Reload)
	}
	for _, path := range []string{"/service", "/name", "/literal"} {
		status(path, 503)
	}
	if pid != w.hap.Pid {
		t.Error("HAProxy is another one")
	}
}
