package render

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/plan"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
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
		{"everybody does if the service says so", "ignoreAuthorization=true", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			texts := map[string]string{"com.df.notify": "true", "com.df.servicePath": "/", "com.df.port": "80"}
			for pair := range strings.FieldsSeq(c.labels) {
				name, text, _ := strings.Cut(pair, "=")
				texts["com.df."+name] = text
			}
			d := claims.Settle([]catalog.Service{{ID: "i", Name: "web", Labels: texts}}, nil, labels.Options{OperatorUsers: true})
			r.SetSecrets(secrets())
			f, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr { return nil })
			if err != nil || len(f.Backends) != 1 {
				t.Fatal(err, d.Verdicts)
			}
			if c.list == "" {
				if strings.Contains(f.Text(), "http_auth") || strings.Contains(f.Text(), "userlist") || f.Backends[0].Text() != "backend "+f.Backends[0].Name+" from waggle\n" {
					t.Error(f.Text())
				}
				return
			}
			if want := "\nuserlist " + c.list + "\n" + c.users + "\nbackend"; !strings.Contains(frameOf(f), want) {
				t.Errorf("got\n%s\nwant in it\n%s", frameOf(f), want)
			}
			want := " unless { http_auth(" + c.list + ") }\n  http-request del-header authorization\n"
			if strings.Contains(f.Text(), "backend "+knownTable) {
				want = "_known) } || { http_auth(" + c.list + ") } || { lua.waggle_apr1(" + c.list + ") -m bool }\n"
			}
			if !strings.Contains(f.Text(), want) {
				t.Errorf("got\n%s\nwant in it\n%s", f.Text(), want)
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
		{"a backend that counts stays until the next reload, and loses its servers", "rateLimit=1/1s", "notify=false",
			"del paths.map /a; del a-be80_0/10.0.0.10; del a-be80_0/10.0.0.2"},
		{"the first list", "port=80", "allowedAddresses=10.0.0.1", "reload backend"},
	} {
		t.Run(c.name, func(t *testing.T) {
			service := "a servicePath=/a\na port=80\na "
			have, _ := render(t, settings("/x"), service+c.have)
			want, _ := render(t, settings("/x"), service+c.want)
			if got := plan.Diff(have, want, plan.Abilities{DynamicBackends: true}).String(); got != c.plan {
				t.Errorf("got  %s\nwant %s", got, c.plan)
			}
			read, err := file.Parse(want.Text(), "/x")
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
		got := file.Redact(alert+words+end, slices.Values(file.ReadLines(text)))
		if strings.Contains(got, "cr\n") || strings.Contains(got, "se cr") || strings.Contains(got, "0123") || strings.Contains(got, "pw") ||
			!strings.HasPrefix(got, alert+words[:3]) || !strings.HasSuffix(got, end) {
			t.Errorf("%s\nbecomes\n%s", words, got)
		}
	}
	if got := file.Redact(alert+":1] : something else\n"+end, slices.Values(file.ReadLines(text))); got != alert+":1] : something else\n"+end {
		t.Error(got)
	}
}

// accessWord is one word, quoted or not.
const accessWord = `([A-Za-z0-9_./:,@+=*~^-]+|'[^'\n]*'(\\'('[^'\n]*')?)*)`

// accessLines are all lines that the labels of FuzzAccess may make.
var accessLines = regexp.MustCompile(`^(|  localpeer waggle|peers waggle|  peer waggle unix@/x/peers.sock|userlist users:web_0|` +
	`  user ` + accessWord + ` (insecure-)?password ` + accessWord + `|` +
	`[.]if version_atleast[(]3.1[)]|  tune.lua.bool-sample-conversion normal|[.]endif|  lua-load-per-thread /x/forwardauth-[0-9a-f]+.lua|  httpclient[.][a-z.]+ [a-z0-9]+|resolvers waggle|` +
	`  parse-resolv-conf|  resolve_retries 2|  timeout (resolve|retry) 1000|  hold valid 1000|` +
	`defaults waggle_[0-9a-f]{24} from waggle|backend web-be80_0 from waggle(_[0-9a-f]{24})?|  server 10.0.0.2 10.0.0.2:80 pool-purge-delay 100ms pool-conn-name var\(sess\.own\)( send-proxy(-v2)?)?|` +
	`  http-request deny deny_status 403 if !?\{ var\(txn.client\) -m ip -f /x/web-be80_0[.](allowed|denied)[.]acl \}|` +
	`  http-request set-var\(txn.client\) src|` +
	`  http-request track-sc0 var\(txn.client\),ipmask\(32,64\)|  http-request deny deny_status 429 if \{ sc_http_req_rate\(0\) gt [0-9]+ \}|` +
	`  stick-table type ipv6 size 20000 expire [0-9]+s peers waggle store http_req_rate\([0-9]+s\)|` +
	`  http-request set-var\(txn.origin\) req.fhdr\(origin\) if \{ req.fhdr\(origin\) -m str --( [a-z0-9+.-]+://[a-z0-9._-]+(:[0-9]+)?){1,40} \}|` +
	`  http-request set-var\(txn.(origin\) str\(\*\)|preflight\) bool\(true\)) if .*|  http-request return status 204 if \{ var\(txn.preflight\) -m found \}|` +
	`  http-request auth realm webRealm unless \{ http_auth\(users:web_0\) \}|  http-request del-header ([a-z0-9_-]+|'\^[][a-z0-9_-]+[$]' -m reg)|` +
	`  http-request lua.waggle_forward_auth ` + accessWord + ` [0-9]+ [a-z0-9_,-]+|` +
	`  http-request (do-resolve\(txn.forward_to,waggle,ipv4\) str\([a-z0-9._-]+\)|set-var\(txn.forward_to\) str\([0-9a-f.:]+\))|` +
	`  http-request deny deny_status 503 if \{ var\(txn.forward_to\) -m ip -f /x/forwardauth[.]forbidden[.]acl \}|  http-request deny deny_status 503 unless \{ var\(txn.forward_auth\) -m str in \}|` +
	`  http-after-response (set|add|del)-header [A-Za-z-]+( ([A-Za-z0-9=*-]+|%\[var\(txn.origin\)\]|'[A-Za-z0-9_, -]*'))?( (if|unless)( !?\{ (ssl_fc|status 429|sc_http_req_rate\(0\) gt [0-9]+|var\(txn.(origin|preflight)\) -m found|res.hdr\([a-z-]+\) -m found) \})+)?)$`)

// FuzzAccess asserts that no text of a label, or of a secret, adds a line, a word or a
// directive.
func FuzzAccess(f *testing.F) {
	f.Add("ann:x", "bob:y", "10.0.0.0/8", "5/1s", "https://a.com", "X-A", "http://auth/", "v1")
	f.Add("ann:x'\\\"#\nbob: } ${HOME}", "a:b\r\n c:d\n\x00", "::ffff:1.2.3.4", "5/1h0m1s", "*", "A,B", "http://auth:1/?'%[src] x", "V2")
	f.Add("ann:x\n  user b insecure-password c", "global\n  lua-load /x", "10.0.0.1\n-f /etc/passwd", "1/s ; x", "https://a } if TRUE", "A B", "http://a/'\\''} x", "v1 check")
	f.Add("a b:c d,'e:'f", "$6$a:$6$b", "-f,1.1.1.1", "9/9s", "a+b://c_d:1", "X_Y-Z", "http://[::1]:80/a#b", "")
	f.Fuzz(func(t *testing.T, users, secret, addresses, rate, origins, headers, url, version string) {
		svc := catalog.Service{ID: "i", Name: "web", Labels: map[string]string{
			catalog.Notify: "true", "com.df.servicePath": "/a", "com.df.port": "80", "com.df.usersSecret": "s", "com.df.securityHeaders": "true",
		}}
		for name, text := range map[string]string{
			"users": users, "allowedAddresses": addresses, "deniedAddresses": addresses, "rateLimit": rate, "corsOrigins": origins,
			"corsHeaders": headers, "forwardAuth": url, "forwardAuthHeaders": headers, "sendProxy": version,
		} {
			if text != "" {
				svc.Labels[catalog.Prefix+name] = text
			}
		}
		r, err := NewRenderer(settings("/x"))
		if err != nil {
			t.Fatal(err)
		}
		empty, err := r.Render(nil, route.Tables{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		// A bad text of one label must not hide what another does.
		for _, without := range []string{"", "users", "forwardAuth", "corsOrigins"} {
			texts := maps.Clone(svc.Labels)
			delete(texts, catalog.Prefix+without)
			one := svc
			one.Labels = texts
			d := claims.Settle([]catalog.Service{one}, nil, labels.Options{})
			r.SetSecrets(map[string]string{"s": secret})
			out, err := r.Render(d.Services, d.Tables, func(route.Service, route.Backend) []netip.Addr {
				return []netip.Addr{netip.MustParseAddr("10.0.0.2")}
			})
			if err != nil {
				t.Fatal(err)
			}
			have := map[string]int{}
			for line := range strings.Lines(empty.Text()) {
				have[line]++
			}
			for line := range strings.Lines(out.Text()) {
				if have[line]--; have[line] < 0 && !accessLines.MatchString(strings.TrimSuffix(line, "\n")) {
					t.Fatalf("texts %q and secret %q gave the line %q", texts, secret, line)
				}
			}
			for name, entries := range out.Lists {
				for _, e := range entries {
					if _, err := netip.ParsePrefix(e); err != nil {
						if _, err := netip.ParseAddr(e); err != nil {
							t.Fatalf("%s holds %q", name, e)
						}
					}
				}
			}
			if got, err := file.Parse(out.Text(), "/x"); err != nil || got.Text() != out.Text() {
				t.Fatalf("labels %q: what was written is read as something else (%v)", texts, err)
			}
		}
	})
}
