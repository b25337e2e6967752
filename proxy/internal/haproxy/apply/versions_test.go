package apply_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/wagglehq/waggle/pkg/pathtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
)

// TestGuardedPathByOtherVersions: HTTP/2 and HTTP/3 bring a path in another way, and nothing
// gets past its guards by them either.
func TestGuardedPathByOtherVersions(t *testing.T) {
	for _, g := range guards() {
		t.Run(g.name, func(t *testing.T) {
			s := newSecure(t, func(s *render.Settings) { s.TLS.H3 = true })
			s.deploy("web", []string{"127.0.0.5"}, append(g.pairs, "port", echo(t))...)
			s.reload(issued(t, "a.pem", "a.com"))
			own := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // its own certificate.
			h2 := &http.Transport{TLSClientConfig: own, ForceAttemptHTTP2: true}
			t.Cleanup(h2.CloseIdleConnections)
			h3 := &http3.Transport{TLSClientConfig: own}
			t.Cleanup(func() { _ = h3.Close() })
			for version, client := range map[int]http.RoundTripper{2: h2, 3: h3} {
				t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
					g.holds(t, func(path string) (status int, seen string) { return s.bySecure(t, client, version, path) })
				})
			}
		})
	}
}

// bySecure is what HAProxy answers by TLS to a path as it stands, and what the task saw of it.
func (s *secure) bySecure(t *testing.T, client http.RoundTripper, version int, path string) (status int, seen string) {
	t.Helper()
	req, err := pathtest.Request(tooltest.Context(t, 5*time.Second), fmt.Sprintf("https://127.0.0.1:%d", s.port), path)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != version {
		t.Fatalf("%s is answered by %s, want HTTP/%d", path, res.Proto, version)
	}
	return res.StatusCode, res.Header.Get("X-Asked")
}
