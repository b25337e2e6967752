package render

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestCertificatesOpenPorts: those with TLS, but none that a service had first.
func TestCertificatesOpenPorts(t *testing.T) {
	s := settings("/x")
	s.Binds, s.TLS.H3 = []edge.Bind{{Port: 80}, {Port: 443, TLS: true}, {Port: 8443, TLS: true, AcceptProxy: true}}, true
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	rendered := func(tables route.Tables) string {
		f, err := r.Render(nil, tables, func(route.Service, route.Backend) []netip.Addr { return nil })
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for line := range strings.Lines(frameOf(f)) {
			if bind, ok := strings.CutPrefix(line, "  bind "); ok && !strings.Contains(bind, "8404") {
				out = append(out, strings.Fields(bind)[0])
			}
		}
		return strings.Join(out, " ")
	}
	if got, want := rendered(route.Tables{}), ":80"; got != want {
		t.Errorf("without certificates %q are open, want %q", got, want)
	}
	r.Certify([]file.Certificate{{File: "a", PEM: "1"}})
	if got, want := rendered(route.Tables{}), ":80 :443 quic4@:443 :8443"; got != want {
		t.Errorf("with one %q are open, want %q", got, want)
	}
	names := []route.StreamRule{{Name: route.ServerName{Match: route.MatchExact, Value: "b.test"}, Backend: "b"}}
	if got, want := rendered(route.Tables{Listeners: []route.Listener{{Port: 443, Rules: names}}}), ":80 unix@/x/tls-443.sock quic4@:443 :8443 :443"; got != want {
		t.Errorf("beside a service that wants one name %q are open, want %q", got, want)
	}
	if got, want := rendered(route.Tables{Listeners: []route.Listener{{Port: 443}}}), ":80 :8443 :443"; got != want {
		t.Errorf("beside a service on 443 %q are open, want %q", got, want)
	}
	r.Certify(nil)
	if got, want := rendered(route.Tables{}), ":80"; got != want {
		t.Errorf("after the last one %q are open, want %q", got, want)
	}
}
