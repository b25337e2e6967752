package render

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// TestWhoseConnections: what holds for all, what for the service, and whether HAProxy keeps
// the connections apart on which somebody is known.
func TestWhoseConnections(t *testing.T) {
	for _, c := range []struct {
		name, setting   string
		older           bool
		labels          string
		all, one, apart string
	}{
		{"by default", "", false, "", "always", "", "yes"},
		{"with HTTP/2 to tasks", "", false, "proto=h2", "always", "safe", "yes"},
		{"by a label", "", false, "proto=h2 httpReuse=always", "always", "always", "yes"},
		{"by the setting", "aggressive", false, "proto=h2", "aggressive", "", "yes"},
		{"by both", "never", false, "httpReuse=safe", "never", "safe", "yes"},
		{"an older HAProxy", "", true, "proto=h2", "safe", "", "no"},
		{"an older HAProxy, by the setting", "always", true, "", "always", "", "no"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings("/x")
			s.HTTPReuse, s.Older = c.setting, c.older
			r, err := NewRenderer(s)
			if err != nil {
				t.Fatal(err)
			}
			texts := map[string]string{catalog.Notify: "true", "com.df.servicePath": "/", "com.df.port": "80"}
			for pair := range strings.FieldsSeq(c.labels) {
				name, text, _ := strings.Cut(pair, "=")
				texts[catalog.Prefix+name] = text
			}
			d := claims.Settle([]catalog.Service{{ID: "i", Name: "web", Labels: texts}}, nil, labels.Options{})
			f, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr {
				return []netip.Addr{netip.MustParseAddr("10.0.0.2")}
			})
			if err != nil {
				t.Fatal(err)
			}
			section, all, one := "", "", ""
			for line := range strings.Lines(f.Text()) {
				words := strings.Fields(line)
				switch {
				case len(words) > 1 && (words[0] == "defaults" || words[0] == "backend"):
					section = words[1]
				case len(words) == 2 && words[0] == "http-reuse" && section == "waggle":
					all = words[1]
				case len(words) == 2 && words[0] == "http-reuse":
					one = words[1]
				}
			}
			if all != c.all || one != c.one {
				t.Errorf("http-reuse of all is %q, of the service %q, want %q and %q", all, one, c.all, c.one)
			}
			if !strings.Contains(f.Text(), "10.0.0.2:80 pool-purge-delay 100ms") {
				t.Errorf("idle connections are not closed soon:\n%s", f.Text())
			}
			for _, part := range []string{"pool-conn-name var(sess.own)", "set-var(sess.own) uuid if { req.fhdr(authorization) -m beg -i negotiate ntlm }"} {
				if strings.Contains(f.Text(), part) != (c.apart == "yes") {
					t.Errorf("whether there is %q is wrong, want %s:\n%s", part, c.apart, f.Text())
				}
			}
		})
	}
}
