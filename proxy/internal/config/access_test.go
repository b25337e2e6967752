package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/route"
)

// secrets are the contents that golden files find.
func secrets() map[string]string {
	return map[string]string{
		"staff": "ann:staff-password\nbob:with space # and 'quotes' \\ ${HOME} %[src]\n\nno-password\n",
		"enc":   "ann:$6$AcrjVWOkQq1vWp$t55F7Psm3Ujvp8lpqdAwrc5RxWORYBeDV6ji9KoO029ojooj4Pi.JVGwxdicB0Fuu.NSDyGaZt7skHIo3Nayq/\nbob:not-a-hash",
	}
}

// TestOperatorUsers get into every service that does not say who does.
func TestOperatorUsers(t *testing.T) {
	s := settings("/x")
	s.Users = []route.User{{Name: "ops", Password: "p w"}, {Name: "enc", Password: "$6$abc", Encrypted: true}}
	r, err := NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, labels, list, users, fault string }{
		{"nothing is said", "", "users", "  user enc password '$6$abc'\n  user ops insecure-password 'p w'\n", ""},
		{"the service's own replace them", "users=ann:x", "users:web_0", "  user ann insecure-password x\n", ""},
		{"a name takes its password from them, and how it is written", "users=enc,ann:x", "users:web_0", "  user ann insecure-password x\n  user enc password '$6$abc'\n", ""},
		{"or from the secret, which comes first", "users=ann,ops usersSecret=staff", "users:web_0",
			"  user ann insecure-password staff-password\n  user ops insecure-password 'p w'\n", "users:web_0: secret dfp_users_staff: entry 3: want name:password"},
		{"nobody gets in if no password is found", "users=ghost", "users:web_0", "", "users:web_0: com.df.users, entry 1: nothing says its password"},
		{"or no secret", "usersSecret=gone", "users:web_0", "", "users:web_0: there is no secret dfp_users_gone"},
		{"or the label is empty", "users=", "users:web_0", "", ""},
		{"everybody does if the service says so", "ignoreAuthorization=true", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			labels := map[string]string{"com.df.notify": "true", "com.df.servicePath": "/", "com.df.port": "80"}
			for pair := range strings.FieldsSeq(c.labels) {
				name, text, _ := strings.Cut(pair, "=")
				labels["com.df."+name] = text
			}
			d := route.Settle([]catalog.Service{{ID: "i", Name: "web", Labels: labels}}, nil, route.Options{OperatorUsers: true})
			r.SetSecrets(secrets())
			f, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr { return nil })
			if err != nil || len(f.Backends) != 1 {
				t.Fatal(err, d.Verdicts)
			}
			if c.list == "" {
				if strings.Contains(f.Text(), "auth") || strings.Contains(f.Text(), "userlist") || !f.Backends[0].Plain {
					t.Error(f.Text())
				}
				return
			}
			if want := "\nuserlist " + c.list + "\n" + c.users + "\nbackend"; !strings.Contains(f.Frame, want) {
				t.Errorf("got\n%s\nwant in it\n%s", f.Frame, want)
			}
			if want := " unless { http_auth(" + c.list + ") }\n  http-request del-header authorization\n"; !strings.Contains(f.Backends[0].Text, want) {
				t.Errorf("got\n%s\nwant in it\n%s", f.Backends[0].Text, want)
			}
			if got := strings.Join(f.Faults, "; "); got != c.fault {
				t.Errorf("faults %q, want %q", got, c.fault)
			}
		})
	}
}

// TestEntriesOfListsNeedNoReload: only a list that comes into being does.
func TestEntriesOfListsNeedNoReload(t *testing.T) {
	for _, c := range []struct{ name, have, want, plan string }{
		{"an entry comes", "allowedAddresses=10.0.0.0/8", "allowedAddresses=10.0.0.0/8,::1", "new a-be80_0.allowed.acl ::1"},
		{"one goes, after another came", "deniedAddresses=10.0.0.1", "deniedAddresses=10.0.0.2", "new a-be80_0.denied.acl 10.0.0.2; del a-be80_0.denied.acl 10.0.0.1"},
		{"the same in other words", "allowedAddresses=10.1.2.3/8,::ffff:1.2.3.4", "allowedAddresses=1.2.3.4/32,10.0.0.0/8,10.0.0.0/8", ""},
		{"the first list", "port=80", "allowedAddresses=10.0.0.1", "reload backend"},
	} {
		t.Run(c.name, func(t *testing.T) {
			service := "a servicePath=/a\na port=80\na "
			have, _ := render(t, settings("/x"), service+c.have)
			want, _ := render(t, settings("/x"), service+c.want)
			if got := Diff(have, want, Abilities{DynamicBackends: true}).String(); got != c.plan {
				t.Errorf("got  %s\nwant %s", got, c.plan)
			}
			read, err := Parse(want.Text())
			if err != nil || fmt.Sprint(read.ListNames()) != fmt.Sprint(want.ListNames()) {
				t.Errorf("read %v (%v), want %v", read.ListNames(), err, want.ListNames())
			}
		})
	}
}

// TestRedact: HAProxy's words may repeat what stands in the file.
func TestRedact(t *testing.T) {
	const text = "userlist users:a_0\n  user ann insecure-password 'se cr'\\''et #1'\n  user bob password '$6$salt$0123456789'\n  stats auth 'adm:pw'\\''x'\n"
	const alert, end = "[ALERT]    (7) : config : parsing [/x/haproxy.cfg", "[ALERT]    (7) : config : Fatal errors found in configuration.\n"
	for _, words := range []string{
		":2] : unknown word in '  user ann insecure-password 'se cr'\\''et #1''\n",
		":2] : password se cr'et #1 for user\n",
		":2]: unmatched quote at position 30:\n  user ann insecure-password 'se cr\n                             ^\n",
		":3] : unable to crypt $6$salt$0123456789\n",
		":4] : stats auth adm:pw'x\n",
		":9] : adm:pw'x again\n",
	} {
		got := Redact(alert+words+end, text)
		if strings.Contains(got, "cr\n") || strings.Contains(got, "se cr") || strings.Contains(got, "0123") || strings.Contains(got, "pw") ||
			!strings.HasPrefix(got, alert+words[:3]) || !strings.HasSuffix(got, end) {
			t.Errorf("%s\nbecomes\n%s", words, got)
		}
	}
	if got := Redact(alert+":1] : something else\n"+end, text); got != alert+":1] : something else\n"+end {
		t.Error(got)
	}
}
