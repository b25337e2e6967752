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
