package render

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

func TestPlanOfCertificates(t *testing.T) {
	large := strings.Repeat("x", maxRuntime+1)
	for _, c := range []struct{ name, have, want, plan string }{
		{"nothing", "a:1 b:2", "a:1 b:2", ""},
		{"a new one", "a:1", "a:1 b:2", "add certificate b"},
		{"another content", "a:1 b:2", "a:3 b:2", "set certificate a"},
		{"one that leaves", "a:1 b:2", "b:2", "del certificate a"},
		{"what comes goes before what leaves", "a:1 b:2", "b:3 c:1", "set certificate b; add certificate c; del certificate a"},
		{"other hosts", "a:1", "a:1:x.com,y.com", "list certificate a"},
		{"other hosts and content", "a:1:x.com", "a:2", "set certificate a; list certificate a"},
		{"the order alone", "a:1 b:2", "b:2 a:1", ""},
		{"a large one", "a:1", "a:1 b:" + large, "reload certificate"},
		{"a large one that stays", "a:" + large, "a:" + large + " b:1", "add certificate b"},
		{"a large one that leaves", "a:1 b:" + large, "a:1", "del certificate b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Diff(File{Certificates: list(c.have)}, File{Certificates: list(c.want)}, Abilities{}).String(); got != c.plan {
				t.Errorf("got %q, want %q", got, c.plan)
			}
		})
	}
}

// list reads certificates, "file:PEM:hosts".
func list(text string) []Certificate {
	var out []Certificate
	for word := range strings.FieldsSeq(text) {
		f := strings.SplitN(word, ":", 3)
		c := Certificate{File: f[0], PEM: f[1]}
		if len(f) > 2 {
			c.Only = strings.Split(f[2], ",")
		}
		out = append(out, c)
	}
	return out
}

func TestTheListIsReadAsItWasWritten(t *testing.T) {
	want := list("=default:1:!* a.pem:1 b.pem:2:b.com,*.b.com")
	text := List(want, "/data/haproxy")
	if text != "/data/haproxy/certs/=default !*\n/data/haproxy/certs/a.pem\n/data/haproxy/certs/b.pem b.com *.b.com\n" {
		t.Errorf("got\n%s", text)
	}
	got := ParseList("# /data/haproxy/certs.list\n"+text+"/elsewhere/x.pem\n\n", "/data/haproxy")
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		if got[i].File != want[i].File || !slices.Equal(got[i].Only, want[i].Only) {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
}

// TestCertificatesOpenPorts: those with TLS, but none that a service had first.
func TestCertificatesOpenPorts(t *testing.T) {
	s := settings("/x")
	s.Binds, s.TLS.H3 = []Bind{{Port: 80}, {Port: 443, TLS: true}, {Port: 8443, TLS: true, AcceptProxy: true}}, true
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
		for line := range strings.Lines(f.Frame) {
			if bind, ok := strings.CutPrefix(line, "  bind "); ok && !strings.Contains(bind, "8404") {
				out = append(out, strings.Fields(bind)[0])
			}
		}
		return strings.Join(out, " ")
	}
	if got, want := rendered(route.Tables{}), ":80"; got != want {
		t.Errorf("without certificates %q are open, want %q", got, want)
	}
	r.Certify(list("a:1"))
	if got, want := rendered(route.Tables{}), ":80 :443 quic4@:443 :8443"; got != want {
		t.Errorf("with one %q are open, want %q", got, want)
	}
	if got, want := rendered(route.Tables{Listeners: []route.Listener{{Port: 443}}}), ":80 :8443 :443"; got != want {
		t.Errorf("beside a service on 443 %q are open, want %q", got, want)
	}
	r.Certify(nil)
	if got, want := rendered(route.Tables{}), ":80"; got != want {
		t.Errorf("after the last one %q are open, want %q", got, want)
	}
}
