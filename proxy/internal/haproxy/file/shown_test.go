package file

import "testing"

func TestShown(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"a user's password", "  user joe insecure-password geheim\n", "  user joe insecure-password (hidden)\n"},
		{"a user's hash, with groups behind it", "\tuser joe password $6$ab$cd groups g\n", "  user joe password (hidden)\n"},
		{"a password with spaces", `  user joe insecure-password "ge heim"` + "\n", "  user joe insecure-password (hidden)\n"},
		{"a name with a space", `  user "joe doe" password geheim` + "\n", `  user "joe doe" password (hidden)` + "\n"},
		{"the statistics", "  stats auth adm:geheim\n", "  stats auth (hidden)\n"},
		{"a credential for tasks", `  http-request set-header Authorization "Basic geheim" if { path /a }` + "\n", "  http-request set-header Authorization (hidden)\n"},
		{"in any case of letters and with quotes", `  http-response add-header "set-cookie" a=geheim` + "\n", `  http-response add-header "set-cookie" (hidden)` + "\n"},
		{"a key", "  http-request add-header X-Api-Key geheim\n", "  http-request add-header X-Api-Key (hidden)\n"},
		{"other headers stay", "  http-request set-header X-Forwarded-Proto https\n", "  http-request set-header X-Forwarded-Proto https\n"},
		{"the removal of a header stays", "  http-request del-header Authorization\n", "  http-request del-header Authorization\n"},
		{"whatever a task is told", "  http-request set-header X-Tenant geheim if { ssl_fc }\n", "  http-request set-header X-Tenant (hidden)\n"},
		{"but what HAProxy finds out", "  http-request add-header X-Port %[dst_port]\n", "  http-request add-header X-Port %[dst_port]\n"},
		{"and what clients are told", "  http-response set-header X-Frame-Options DENY\n", "  http-response set-header X-Frame-Options DENY\n"},
		{"a key that a route is for", "  use_backend b if { var(txn.chain) -m str ?1 } { req.fhdr(X-Tenant) -m str -- geheim auch } { dst_port -m str -- 80 }\n", "  use_backend b if { var(txn.chain) -m str ?1 } { req.fhdr(X-Tenant) -m str -- (hidden)\n"},
		{"a browser is no secret", "  use_backend b if { req.fhdr(User-Agent) -m sub -- curl }\n", "  use_backend b if { req.fhdr(User-Agent) -m sub -- curl }\n"},
		{"everything else stays", "  bind :80  name x # y\n", "  bind :80  name x # y\n"},
		{"a quote in a password", `  user joe insecure-password 'ge'\''h eim' groups g` + "\n", "  user joe insecure-password (hidden)\n"},
		{"no line end", "stats auth a:b", "  stats auth (hidden)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := File{Frame: []*Section{NewSection("", "frontend", "http", "", Read(c.line))}}
			if got := f.Shown(); got != "frontend http\n"+c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
