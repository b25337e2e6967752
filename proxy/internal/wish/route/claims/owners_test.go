package claims_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

// stacked makes a service of a stack, whose name is the part before the underscore.
func stacked(name string, age int, pairs ...string) catalog.Service {
	svc := routetest.Service(name, age, append([]string{"port", "80"}, pairs...)...)
	svc.Stack, _, _ = strings.Cut(name, "_")
	return svc
}

// owned is a settler with a file of owners.
func owned(t testing.TB, file string) *claims.Settler {
	t.Helper()
	o, err := owners.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	s := claims.NewSettler(opts)
	s.Own(o, []int{443})
	return s
}

const enforced = `
mode: enforce
stacks:
  shop: {hosts: [shop.acme.com, "*.acme.com"], groups: [], ports: [6379]}
default: {hosts: ["*.$stack.example"], paths: ["/$stack"]}
`

const firstCome = "mode: first-come\n"

// requests are some that the thefts below are about.
func requests() []routetest.Request {
	var out []routetest.Request
	for _, host := range []string{"shop.acme.com", "login.acme.com", "a.b.acme.com"} {
		for _, path := range []string{"/", "/a", "/zzz", "/.well-known/acme-challenge/x", "/_", "/9/x"} {
			out = append(out, routetest.Request{Host: host, Path: path, Port: 443, Header: map[string]string{"user-agent": "curl"}}, routetest.Request{Host: host, Path: path, Port: 80})
		}
	}
	return out
}

// finds tells for each request where it ends, and by whom its host is redirected.
func finds(d claims.Desired, list []routetest.Request) string {
	var out strings.Builder
	for _, r := range list {
		backend, _ := routetest.Find(d.Tables, r)
		for _, e := range d.Tables.Redirects {
			if e.Key == r.Host {
				backend = "redirect to " + e.Value
			}
		}
		fmt.Fprintf(&out, "%s%s:%d %s\n", r.Host, r.Path, r.Port, backend)
	}
	for _, l := range d.Tables.Listeners {
		fmt.Fprintf(&out, "port %d: %v %s\n", l.Port, l.Rules, l.Default)
	}
	for _, s := range d.Services {
		for _, b := range s.Backends {
			if strings.HasPrefix(b.Name, "group:") {
				fmt.Fprintf(&out, "%s is a part of %s\n", s.Name, b.Name)
			}
		}
	}
	return out.String()
}

// TestThieves: whatever the labels of another stack say, the requests for the hosts of one
// go where they went, and who asked for them is told whose they are.
func TestThieves(t *testing.T) {
	plain := []string{"serviceDomain", "shop.acme.com", "servicePath", "/"}
	all := []string{"serviceDomain", "*.acme.com", "servicePath", "/"}
	group := []string{"serviceDomain", "shop.acme.com", "servicePath", "/", "serviceGroup", "shop"}
	with := func(pairs ...string) []string { return pairs }
	for _, c := range []struct {
		name          string
		victim, thief []string
		// label is the one that is named. free says that nobody has it where the first who
		// comes has what no file lists, and that nothing of the victim's is concerned.
		label string
		free  bool
	}{
		{"a condition that always holds", plain, with("serviceDomain", "shop.acme.com", "servicePath", "/", "servicePathExclude", "/zzz"), "serviceDomain", false},
		{"a part of the clients", plain, with("serviceDomain", "shop.acme.com", "servicePath", "/", "userAgent", "curl"), "serviceDomain", false},
		{"a header", plain, with("serviceDomain", "shop.acme.com", "servicePath", "/", "serviceHeader", "X-A:b"), "serviceDomain", false},
		{"an entry port", plain, with("serviceDomain", "shop.acme.com", "servicePath", "/", "srcPort", "443"), "serviceDomain", false},
		{"another comparison of paths", plain, with("serviceDomain", "shop.acme.com", "servicePath", "^/.*", "pathType", "path_reg"), "serviceDomain", false},
		{"a longer path", plain, with("serviceDomain", "shop.acme.com", "servicePath", "/a"), "serviceDomain", false},
		{"an explicit order, for any host", plain, with("aclName", "0", "servicePath", "/a,/_,/9,/z"), "servicePath", true},
		{"paths of any host that are well known", plain, with("servicePath", "/.well-known/acme-challenge"), "servicePath", false},
		{"a redirect", all, with("redirectFromDomain", "login.acme.com", "serviceDomain", "www.thief.example"), "redirectFromDomain", false},
		{"a name below a wildcard", all, with("serviceDomain", "login.acme.com"), "serviceDomain", false},
		{"a group", group, with("serviceDomain", "www.thief.example", "servicePath", "/", "serviceGroup", "shop", "weight", "100"), "serviceGroup", false},
		{"a longer comparison of hosts", all, with("serviceDomainAlgo", "hdr_reg(host)", "serviceDomain", "^[a-z0-9.-]+[.]acme[.]com$"), "serviceDomain", false},
		{"the end of hosts", all, with("serviceDomainAlgo", "hdr_end(host)", "serviceDomain", ".login.acme.com"), "serviceDomain", false},
		{"the port of TLS, while there is no certificate", plain, with("reqMode", "tcp", "srcPort", "443"), "srcPort", false},
		{"all names on a port", with("reqMode", "sni", "srcPort", "6379", "serviceDomain", "shop.acme.com"),
			with("reqMode", "sni", "srcPort", "6379", "aclName", "0", "pathType", "req_ssl_sni -m reg", "servicePath", "."), "", false},
		{"what fits no route", plain, with("servicePath", "/thief", "isDefaultBackend", "true"), "isDefaultBackend", true},
	} {
		for _, mode := range []struct{ name, file string }{{"enforce", enforced}, {"first-come", firstCome}} {
			t.Run(c.name+", "+mode.name, func(t *testing.T) {
				victim, thief := stacked("shop_web", 2, c.victim...), stacked("thief_web", 1, c.thief...)
				alone := owned(t, mode.file).Settle([]catalog.Service{victim}, nil)
				if alone.Verdicts[0].Err != nil {
					t.Fatal(alone.Verdicts[0].Err)
				}
				// The thief is older, and comes later.
				d := owned(t, mode.file).Settle([]catalog.Service{thief, victim}, alone.Accepted)
				var owner *route.OwnerError
				err := d.Verdicts[1].Err
				switch {
				case c.free && mode.file == firstCome:
				case !errors.As(err, &owner), owner.Owner == "" && !c.free, c.label != "" && owner.Label != c.label:
					t.Errorf("the thief's verdict: %v, want the owner, and the label %s", err, c.label)
				case !strings.Contains(owner.Owner, "shop") && c.label != "srcPort" && !c.free:
					t.Errorf("the thief is told of %q, want the stack shop", owner.Owner)
				}
				if d.Verdicts[0].Err != nil || len(d.Verdicts[0].Overtaken) > 0 {
					t.Errorf("the victim: %+v", d.Verdicts[0])
				}
				about := requests()
				if mode.file == firstCome && c.victim[1] == "shop.acme.com" {
					about = slices.DeleteFunc(about, func(r routetest.Request) bool { return r.Host != "shop.acme.com" })
				}
				if got, want := finds(d, about), finds(alone, about); got != want {
					t.Errorf("with the thief\n%s\nwithout\n%s", got, want)
				}
			})
		}
	}
}

// TestOvertaken: without a file everybody may have everything, and whoever loses requests by
// it is told.
func TestOvertaken(t *testing.T) {
	victim := func(pairs ...string) catalog.Service { return stacked("shop_web", 1, pairs...) }
	plain := victim("serviceDomain", "shop.acme.com", "servicePath", "/")
	all := victim("serviceDomain", "*.acme.com", "servicePath", "/")
	for _, c := range []struct {
		name   string
		victim catalog.Service
		other  []string
		want   string
	}{
		{"a condition", plain, []string{"serviceDomain", "shop.acme.com", "servicePath", "/", "servicePathExclude", "/zzz"}, `shop.acme.com/ (not path beg "/zzz")`},
		{"a client", plain, []string{"serviceDomain", "shop.acme.com", "userAgent", "curl"}, `shop.acme.com/ (header user-agent sub (any case) "curl")`},
		{"a header, whose value is not told", plain, []string{"serviceDomain", "shop.acme.com", "serviceHeader", "X-A:geheim"}, `shop.acme.com/ (header (hidden))`},
		{"a port", plain, []string{"serviceDomain", "shop.acme.com", "srcPort", "443"}, `shop.acme.com/ (port int "443")`},
		{"an explicit order", plain, []string{"aclName", "0", "servicePath", "/a"}, "/a"},
		{"well-known paths", plain, []string{"servicePath", "/.well-known/acme-challenge"}, "/.well-known/acme-challenge"},
		{"a comparison of hosts", all, []string{"serviceDomainAlgo", "hdr_reg(host)", "serviceDomain", "^[a-z0-9.-]+[.]acme[.]com$"}, "^[a-z0-9.-]+[.]acme[.]com$/ (host reg)"},
		{"a comparison of paths", plain, []string{"serviceDomain", "shop.acme.com", "servicePath", ".php", "pathType", "path_end"}, "shop.acme.com.php (pathType path_end)"},
		{"a redirect", all, []string{"redirectFromDomain", "login.acme.com", "serviceDomain", "thief.example"}, "the redirect from login.acme.com"},
		{"a longer path is an everyday thing", plain, []string{"serviceDomain", "shop.acme.com", "servicePath", "/a"}, ""},
		{"and so is the whole name below a wildcard", all, []string{"serviceDomain", "login.acme.com"}, ""},
		{"a condition on a longer path too", plain, []string{"serviceDomain", "shop.acme.com", "servicePath", "/a", "userAgent", "curl"}, ""},
		{"and a condition for another host", plain, []string{"serviceDomain", "a.acme.com", "userAgent", "curl"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := claims.Settle([]catalog.Service{c.victim, stacked("thief_web", 2, c.other...)}, nil, opts)
			want := ""
			if c.want != "" {
				want = "thief_web comes first with some of its requests, by " + c.want
			}
			if got := strings.Join(d.Verdicts[0].Overtaken, "; "); got != want || len(d.Verdicts[1].Overtaken) > 0 || d.Verdicts[1].Err != nil {
				t.Errorf("the victim is told\n%s\nwant\n%s\nthe other %v %v", got, want, d.Verdicts[1].Overtaken, d.Verdicts[1].Err)
			}
		})
	}
}

// TestOff: the file may say that it does not count, and then nothing is as with one.
func TestOff(t *testing.T) {
	list := []catalog.Service{
		stacked("shop_web", 1, "serviceDomain", "shop.acme.com", "servicePath", "/"),
		stacked("edge_acme", 2, "servicePath", "/.well-known/acme-challenge"),
		stacked("edge_api", 3, "servicePath", "/a", "aclName", "0"),
	}
	off, without := owned(t, "mode: off\nstacks: {shop: {hosts: [shop.acme.com]}}").Settle(list, nil), claims.Settle(list, nil, opts)
	if got, want := finds(off, requests()), finds(without, requests()); got != want || verdicts(off) != verdicts(without) {
		t.Errorf("%s\n%s\nwant\n%s\n%s", verdicts(off), got, verdicts(without), want)
	}
}

// TestWhatTheFileGives is had, and by nobody else.
func TestWhatTheFileGives(t *testing.T) {
	const file = `
mode: enforce
stacks:
  shop:  {hosts: [shop.acme.com, "*.shop.acme.com"], ports: [6379]}
  green: {owner: shop}
  edge:  {hosts: ["*"], wellKnown: true, aclName: global, outbound: [10.20.0.0/16, legacy.acme.com], ports: [6379], raw: true}
services:
  lone: {hosts: [lone.acme.com]}
default: {hosts: [], paths: ["/$stack"]}
`
	lone := stacked("lone", 9, "serviceDomain", "lone.acme.com")
	lone.Stack = ""
	impostor := stacked("shop", 9, "servicePath", "/shop")
	impostor.Stack = ""
	for _, c := range []struct {
		name string
		svc  catalog.Service
		want string
	}{
		{"its host", stacked("shop_a", 1, "serviceDomain", "shop.acme.com"), ""},
		{"a name below its wildcard", stacked("shop_a", 1, "serviceDomain", "x.shop.acme.com"), ""},
		{"a condition", stacked("shop_a", 1, "serviceDomain", "shop.acme.com", "userAgent", "curl"), ""},
		{"the end of names below its wildcard", stacked("shop_a", 1, "serviceDomain", ".shop.acme.com", "serviceDomainAlgo", "hdr_end(host)"), ""},
		{"another host", stacked("shop_a", 1, "serviceDomain", "www.acme.com"), "the host www.acme.com is not given"},
		{"who counts as it", stacked("green_a", 1, "serviceDomain", "shop.acme.com"), ""},
		{"any host", stacked("edge_a", 1, "serviceDomain", "www.acme.com"), ""},
		{"any host but a listed one", stacked("edge_a", 1, "serviceDomain", "shop.acme.com"), "the host shop.acme.com belongs to stack shop"},
		{"the wildcard above a listed one", stacked("edge_a", 1, "serviceDomain", "*.acme.com"), ""},
		{"a port that is listed for two", stacked("edge_a", 1, "reqMode", "tcp", "srcPort", "6379"), ""},
		{"a port that is listed for others", stacked("other_a", 1, "reqMode", "tcp", "srcPort", "6379"), "TCP port 6379 belongs to stack"},
		{"a port that is listed for nobody", stacked("shop_a", 1, "reqMode", "tcp", "srcPort", "6380"), "TCP port 6380 is not given"},
		{"well-known paths", stacked("edge_a", 1, "servicePath", "/.well-known/acme-challenge"), ""},
		{"what fits no route", stacked("edge_a", 1, "servicePath", "/", "isDefaultBackend", "true"), ""},
		{"raw text", stacked("edge_a", 1, "servicePath", "/", "backendExtra", "x"), "want"},
		{"an address in a listed network", stacked("edge_a", 1, "servicePath", "/", "outboundHostname", "10.20.1.2"), ""},
		{"an address in no listed network", stacked("edge_a", 1, "servicePath", "/", "outboundHostname", "10.21.1.2"), "10.21.1.2 as a destination is not given"},
		{"a listed name", stacked("edge_a", 1, "servicePath", "/", "outboundHostname", "legacy.acme.com"), ""},
		{"another name", stacked("edge_a", 1, "servicePath", "/", "outboundHostname", "waggle_alertmanager"), "waggle_alertmanager as a destination is not given"},
		{"its own path of any host", stacked("other_a", 1, "servicePath", "/other,/other/x"), ""},
		{"a path that only begins like its own", stacked("other_a", 1, "servicePath", "/others"), "the path /others of any host is not given"},
		{"a service without a stack", lone, ""},
		{"a service that is called like a stack", impostor, "the path /shop of any host is not given"},
		{"a path that the file gives to nobody", stacked("shop_a", 1, "servicePath", "/shop"), "the path /shop of any host is not given"},
		{"forwardAuth to a listed name", stacked("edge_a", 1, "servicePath", "/", "forwardAuth", "http://legacy.acme.com/verify"), ""},
		{"forwardAuth to another name", stacked("edge_a", 1, "servicePath", "/", "forwardAuth", "http://sso.acme.com/verify"), "sso.acme.com as a destination is not given"},
		{"forwardAuth to an address in no listed network", stacked("edge_a", 1, "servicePath", "/", "forwardAuth", "http://10.21.1.2/verify"), "10.21.1.2 as a destination is not given"},
		{"forwardAuth to a service", stacked("edge_a", 1, "servicePath", "/", "forwardAuth", "http://sso_auth:4181/verify"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := owned(t, file).Settle([]catalog.Service{c.svc}, nil).Verdicts[0].Err
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestFirstComeStays: what was had before a wildcard of others covered it stays, also when
// the older service is looked at first, and when its labels change.
func TestFirstComeStays(t *testing.T) {
	name := stacked("shop_web", 2, "serviceDomain", "x.acme.com")
	first := owned(t, firstCome).Settle([]catalog.Service{name}, nil)
	wildcard := stacked("acme_web", 1, "serviceDomain", "*.acme.com")
	both := owned(t, firstCome).Settle([]catalog.Service{wildcard, name}, first.Accepted)
	again := owned(t, firstCome).Settle([]catalog.Service{wildcard, name}, both.Accepted)
	changed := stacked("shop_web", 2, "serviceDomain", "x.acme.com", "timeoutServer", "7s")
	after := owned(t, firstCome).Settle([]catalog.Service{wildcard, changed}, both.Accepted)
	for i, d := range []claims.Desired{both, again, after} {
		if got := verdicts(d); got != "acme_web ok; shop_web ok" {
			t.Errorf("%d: %s", i, got)
		}
		if got, _ := routetest.Find(d.Tables, routetest.Request{Host: "x.acme.com", Path: "/a"}); got != "shop_web-be80_0" {
			t.Errorf("%d: x.acme.com is answered by %s", i, got)
		}
		if got, _ := routetest.Find(d.Tables, routetest.Request{Host: "y.acme.com", Path: "/a"}); got != "acme_web-be80_0" {
			t.Errorf("%d: y.acme.com is answered by %s", i, got)
		}
	}
	late := stacked("late_web", 3, "serviceDomain", "y.acme.com")
	d := owned(t, firstCome).Settle([]catalog.Service{wildcard, name, late}, both.Accepted)
	if got := verdicts(d); !strings.Contains(got, "late_web the host y.acme.com, below *.acme.com, belongs to stack acme") {
		t.Errorf("who comes later: %s", got)
	}
}

// label texts of which hostile services are made, by their names.
func words() map[string][]string {
	return map[string][]string{
		"serviceDomain":      {"a.com", "x.a.com", "*.a.com", "b.com", "*.b.com", "x.b.com", "a.com,b.com", ".", "^.*$", "com", ".a.com", "*.x.a.com", "c.com"},
		"servicePath":        {"/", "/a", "/b", "/a/b", "/.well-known/acme-challenge", "^/.*", ".", "/,/a,/b"},
		"servicePathExclude": {"/zzz", "/a"},
		"pathType":           {"path", "path_beg", "path_dir", "path_end", "path_reg", "path_sub"},
		"serviceDomainAlgo":  {"hdr(host)", "hdr_beg(host)", "hdr_dom(host)", "hdr_end(host)", "hdr_reg(host)", "hdr_sub(host)"},
		"userAgent":          {"curl"},
		"serviceHeader":      {"X-A:b"},
		"srcPort":            {"80", "443", "8443"},
		"reqMode":            {"http", "http", "http", "tcp", "sni"},
		"aclName":            {"0", "z"},
		"isDefaultBackend":   {"true"},
		"redirectFromDomain": {"a.com", "x.a.com", "b.com", "c.com"},
		"serviceGroup":       {"g", "h"},
	}
}

// hostile makes a service of random labels.
func hostile(name string, age int, r *rand.Rand) catalog.Service {
	svc := stacked(name, age)
	all := words()
	for _, label := range slices.Sorted(maps.Keys(all)) {
		if texts := all[label]; r.IntN(3) == 0 {
			svc.Labels[catalog.Prefix+label] = texts[r.IntN(len(texts))]
		}
	}
	return svc
}

// FuzzOwners: no labels of one owner get a request for a host of another, whoever comes
// first and whatever was accepted before.
func FuzzOwners(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	file := func(r *rand.Rand) string {
		if r.IntN(2) == 0 {
			return firstCome
		}
		return "mode: " + []string{"enforce", "first-come"}[r.IntN(2)] + `
stacks:
  a: {hosts: [a.com, "*.a.com"], ports: [8443]}
  b: {hosts: [b.com, x.a.com, "*"], ports: [8443], groups: [` + []string{"", "g"}[r.IntN(2)] + `]}
`
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // it is a test's
		text := file(r)
		o, err := owners.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var accepted map[string]catalog.Service
		var list []catalog.Service
		for i := range 4 + r.IntN(4) {
			list = append(list, hostile(fmt.Sprintf("%c_%d", "ab"[r.IntN(2)], i), i, r))
			d := owned(t, text).Settle(list, accepted)
			accepted = d.Accepted
			check(t, o, d, list)
		}
	})
}

// check tries requests for hosts that somebody has.
func check(t *testing.T, o *owners.Owners, d claims.Desired, list []catalog.Service) {
	t.Helper()
	// Whose a host is, by the file, else by who has it, or the longest wildcard above it.
	has := map[string]string{}
	for _, s := range d.Services {
		for _, r := range s.Redirects {
			has[r.From] = o.Of(catalog.Service{Stack: s.Name[:1]})
		}
		for _, r := range s.Routes {
			if r.HostMatch == "" {
				for _, h := range r.Hosts {
					has[h] = o.Of(r.Service)
				}
			}
		}
	}
	of := map[string]string{}
	for _, s := range d.Services {
		for _, b := range s.Backends {
			for _, svc := range list {
				if svc.ID == s.ID {
					of[b.Name] += o.Of(svc)
				}
			}
		}
	}
	for _, host := range []string{"a.com", "x.a.com", "y.x.a.com", "y.a.com", "b.com", "x.b.com", "c.com"} {
		owner, ok := o.Host(host)
		for _, p := range owners.Covering(host) {
			if !ok {
				owner, ok = has[p]
			}
		}
		if !ok {
			continue
		}
		redirected := false
		for _, e := range d.Tables.Redirects {
			if e.Key == host {
				redirected = true // before a backend is looked for
				for _, s := range d.Services {
					for _, r := range s.Redirects {
						if r.From == host && o.Of(catalog.Service{Stack: s.Name[:1]}) != owner {
							t.Errorf("%s of %s is redirected by %s", host, owner, s.Name)
						}
					}
				}
			}
		}
		if redirected {
			continue
		}
		for _, path := range []string{"/", "/a", "/b/x", "/a/b", "/zzz", "/.well-known/acme-challenge/x"} {
			for _, port := range []int{80, 443} {
				for _, header := range []map[string]string{nil, {"user-agent": "curl", "x-a": "b"}} {
					backend, _ := routetest.Find(d.Tables, routetest.Request{Host: host, Path: path, Port: port, Header: header})
					if got := of[backend]; strings.Trim(got, owner) != "" && !strings.HasPrefix(backend, "group:") {
						t.Errorf("%s%s of %s ends at %s, of %s: %s", host, path, owner, backend, got, verdicts(d))
					}
				}
			}
		}
	}
}
