package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/acmetest"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// street are three proxies with a real HAProxy each, one bus, and an authority that comes in by
// any of them at port 80.
type street struct {
	t         *testing.T
	authority *acmetest.Authority
	houses    []*secureHouse
}

func newStreet(t *testing.T) *street {
	s := &street{t: t}
	front, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed with the test.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = front.Close() })
	s.authority = acmetest.Start(t, front.Addr().(*net.TCPAddr).Port, acmetest.DNS(t))
	first := newHouse(t)
	for i := range 3 {
		one := *first
		h := &secureHouse{house: &one, tls: tooltest.FreePort(t)}
		if i > 0 {
			dir, err := os.MkdirTemp("", "wp") //nolint:usetesting // t.TempDir is too long for the path of a socket.
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			h.http, h.admin = tooltest.FreePort(t), "127.0.0.1:"+strconv.Itoa(tooltest.FreePort(t))
			h.config.DataDir, h.config.RunDir = filepath.Join(dir, "data"), filepath.Join(dir, "run")
		}
		h.config.Instance = "proxy-" + strconv.Itoa(i)
		h.config.Edge.DefaultPorts = fmt.Sprintf("%d,%d:ssl", h.http, h.tls)
		h.config.Certs.Dir, h.config.Edge.SecretsDir, h.config.Token = t.TempDir(), t.TempDir(), "a token of sixteen bytes"
		h.config.Certs.H3 = false
		h.config.ACME.Email, h.config.ACME.Directory, h.config.ACME.CA = "ops@example.com", s.authority.URL, s.authority.PEM()
		h.supervised()
		h.run()
		s.houses = append(s.houses, h)
	}
	go s.forward(front)
	first.dns.set("shop", "127.0.0.2")
	s.deploy("shop", "/", "serviceDomain", "shop.example.com")
	for _, h := range s.houses {
		h.says("shop", `"state": "applied"`)
	}
	return s
}

// forward sends each connection to any of the proxies.
func (s *street) forward(front net.Listener) {
	for {
		in, err := front.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = in.Close() }()
			port := s.houses[rand.IntN(len(s.houses))].http
			out, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // both end with the test.
			if err != nil {
				return
			}
			defer func() { _ = out.Close() }()
			go func() { _, _ = io.Copy(out, in) }()
			_, _ = io.Copy(in, out)
		}()
	}
}

// deploy deploys one service for all.
func (s *street) deploy(name, path string, more ...string) {
	s.t.Helper()
	s.houses[0].deploy(name, path, more...)
}

// certified waits until all proxies show one and the same certificate for a host.
func (s *street) certified(host string) {
	s.t.Helper()
	tooltest.Eventually(s.t, "all show a certificate for "+host, func() error {
		first := ""
		for _, h := range s.houses {
			got, err := haproxytest.Shown(s.t.Context(), h.tls, host)
			if err != nil {
				return fmt.Errorf("%s: %w", h.config.Instance, err)
			}
			leaf, err := x509.ParseCertificate([]byte(got))
			if err != nil {
				return err
			}
			if err := leaf.VerifyHostname(host); err != nil {
				return err
			}
			if first == "" {
				first = got
			}
			if got != first {
				return errors.New("not all show the same one")
			}
		}
		return nil
	})
}

// from asks a proxy for a path of a host, and returns the status with the body.
func (h *secureHouse) from(host, path string) (string, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", h.http, path), nil)
	if err != nil {
		return "", err
	}
	req.Host, req.Close = host, true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return strconv.Itoa(res.StatusCode) + " " + string(body), err
}

// TestFromALabelToHTTPS: a service that asks gets its certificate, at all three proxies. The first
// one opens the port for TLS; those after it reload nothing, and fail no request of others, also
// where nothing but TLS is let in.
func TestFromALabelToHTTPS(t *testing.T) {
	s := newStreet(t)
	s.houses[0].dns.set("web", "127.0.0.3")
	begin := time.Now()
	s.deploy("web", "/", "serviceDomain", "www.example.com", "acme", "true", "httpsOnly", "true")
	s.certified("www.example.com")
	t.Logf("the first certificate, with which the port opens, after %s", time.Since(begin))

	more := func(i int, further ...string) {
		name := fmt.Sprintf("more%d", i)
		s.houses[0].dns.set(name, "127.0.0.3")
		s.deploy(name, "/", append([]string{"serviceDomain", name + ".example.com", "httpsOnly", "true", "allowedAddresses", "192.0.2.1"}, further...)...)
	}
	for i := range 5 {
		more(i)
	}
	for _, h := range s.houses {
		for i := range 5 {
			h.says(fmt.Sprintf("more%d", i), `"state": "applied"`)
		}
	}
	workers := make([]int, len(s.houses))
	for i, h := range s.houses {
		workers[i] = h.worker()
	}
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var asked, failed atomic.Int32
	for _, h := range s.houses {
		asking.Go(func() {
			for ctx.Err() == nil {
				asked.Add(1)
				if got, err := h.from("shop.example.com", "/"); err != nil || got != "200 127.0.0.2" {
					failed.Add(1)
					t.Logf("%s, %v", got, err)
				}
			}
		})
	}
	begin = time.Now()
	for i := range 5 {
		more(i, "acme", "true")
	}
	for i := range 5 {
		s.certified(fmt.Sprintf("more%d.example.com", i))
	}
	t.Logf("five more after %s", time.Since(begin))
	stop()
	asking.Wait()
	if failed.Load() > 0 || asked.Load() == 0 {
		t.Errorf("%d of %d requests to another service failed", failed.Load(), asked.Load())
	}
	for i, h := range s.houses {
		if got := h.worker(); got != workers[i] {
			t.Errorf("%s has reloaded", h.config.Instance)
		}
	}
	if got := s.authority.Orders(); got != 6 {
		t.Errorf("%d orders for 6 names", got)
	}
	if got := s.authority.Accounts(); got != 1 {
		t.Errorf("%d accounts", got)
	}
	s.strangers()
}

// strangers ask for what nobody has asked a certificate for.
func (s *street) strangers() {
	t := s.t
	for _, h := range s.houses {
		for host, want := range map[string]string{"shop.example.com": "200 127.0.0.2", "nobody.example.net": "503"} {
			got, err := h.from(host, "/.well-known/acme-challenge/a-token-of-a-companion")
			if err != nil || !strings.HasPrefix(got, want) {
				t.Errorf("a question that is not ours, for %s: %q, %v; want %s", host, got, err, want)
			}
		}
		// A name that is no service's is shown the default, and ordered by nobody.
		conn, err := (&tls.Dialer{Config: &tls.Config{ServerName: "stranger.example.net", InsecureSkipVerify: true}}). //nolint:gosec // it is the question which one is shown.
																DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.tls)))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = conn.Close()
	}
	if got := s.authority.Orders(); got != 6 {
		t.Errorf("%d orders after strangers came", got)
	}
}

// TestAFailureIsToldAtItsService, and an operator's own certificate for the name ends it.
func TestAFailureIsToldAtItsService(t *testing.T) {
	s := newStreet(t)
	s.authority.Refuse("/order-plz", "caa", "CAA record for www.example.com prevents issuance", http.StatusForbidden)
	s.houses[0].dns.set("web", "127.0.0.3")
	s.deploy("web", "/", "serviceDomain", "www.example.com", "acme", "true")
	for _, h := range s.houses {
		h.says("web", `"state": "degraded"`, "no certificate for www.example.com", "CAA record for www.example.com prevents issuance (caa)", "tried again at", `"label": "com.df.acme"`, "a CAA record of the domain lets only other authorities")
	}
	s.deploy("sheep", "/", "serviceDomain", "*.example.org", "acme", "true")
	s.houses[1].says("sheep", "needs com.df.acmeChallenge=dns")
	s.deploy("goat", "/", "serviceDomain", "goat.example.org", "acmeChallenge", "dns", "acme", "true")
	s.houses[2].says("goat", "the operator has set no ACME_DNS")
	s.deploy("duck", "/", "serviceDomain", "duck.example.org", "letsencrypt.host", "duck.example.org,other.example.org")
	s.houses[0].says("duck", "names other.example.org, by which the service is not routed")
	if got := s.authority.Orders(); got > 3 {
		t.Errorf("%d orders", got)
	}
}

// TestWithoutACMEItIsTold that a service asks for what the operator does not do.
func TestWithoutACMEItIsTold(t *testing.T) {
	h := newSecureHouse(t)
	h.dns.set("asks", "127.0.0.3")
	h.deploy("asks", "/asks", "serviceDomain", "asks.example.com", "acme", "true")
	h.says("asks", `"state": "degraded"`, "the operator sets ACME_EMAIL")
}
