package route

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// service makes an opted-in service, the older the smaller its age number, from
// pairs of label and text without the prefix.
func service(name string, age int, pairs ...string) catalog.Service {
	s := catalog.Service{
		ID: "id-" + name, Name: name, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"},
		CreatedAt: epoch.Add(time.Duration(age) * time.Second),
		Labels:    map[string]string{catalog.Notify: "true"},
	}
	for i := 0; i < len(pairs); i += 2 {
		s.Labels[catalog.Prefix+pairs[i]] = pairs[i+1]
	}
	return s
}

var opts = Options{Networks: []string{"waggle"}}

func TestFromService(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		want   string
	}{
		{"a path and a port", []string{"servicePath", "/demo", "port", "8080"},
			"any /demo -> web-be8080_0 tasks.web.:8080"},
		{"several of both, without white space and repetitions", []string{"servicePath", "/b, /a,/a,", "serviceDomain", "ACME.com, *.acme.com", "port", "80"},
			"*.acme.com,acme.com /a,/b -> web-be80_0 tasks.web.:80"},
		{"a domain without a path means every path", []string{"serviceDomain", "acme.com", "port", "80"},
			"acme.com / -> web-be80_0 tasks.web.:80"},
		{"indexed destinations inherit what they lack, and gaps are allowed", []string{"servicePath.1", "/one", "port.1", "8081", "servicePath.7", "/", "port", "8080"},
			"any /one -> web-be8081_1 tasks.web.:8081; any / -> web-be8080_7 tasks.web.:8080"},
		{"the un-indexed set is no destination beside indexed ones", []string{"servicePath", "/none", "serviceDomain.1", "a.com", "port", "1"},
			"a.com /none -> web-be1_1 tasks.web.:1"},
		{"the virtual IP if asked for", []string{"servicePath", "/", "port", "1", "discoveryType", "VIP"},
			"any / -> web-be1_0 web.:1"},
		{"no port", []string{"servicePath", "/a"},
			`com.df.port="": want the number of the port on which the service listens`},
		{"a bad number", []string{"servicePath", "/a", "port", "http"},
			`com.df.port="http": want a whole number from 1 to 65535`},
		{"faults of one index name it, all are told", []string{"servicePath.1", "a", "port.1", "0"},
			`com.df.servicePath.1="a": want paths such as /shop, beginning with a slash, of visible ASCII characters without ? and #; com.df.port.1="0": want a whole number from 1 to 65535`},
		{"a line break", []string{"servicePath", "/a\n  http-request allow", "port", "80"},
			`com.df.servicePath="/a\n  http-request allow": want text on one line, without control characters`},
		{"a wildcard that would take in strangers", []string{"serviceDomain", "*acme.com", "port", "80"},
			`com.df.serviceDomain="*acme.com": want names such as acme.com or *.acme.com; for both write acme.com,*.acme.com`},
		{"a host with a scheme", []string{"serviceDomain", "http://a.com", "port", "80"},
			`com.df.serviceDomain="http://a.com": want host names such as acme.com or *.acme.com, without scheme, port and path`},
		{"an empty list", []string{"servicePath", " , ", "port", "80"}, `com.df.servicePath=" , ": want at least one path such as /shop`},
		{"one route twice", []string{"servicePath.1", "/a", "servicePath.2", "/a,/b", "port", "80"},
			`com.df.servicePath.2="/a,/b": want a path that is not already that of index 1`},
		{"what is not supported yet is refused, not ignored", []string{"servicePath", "/a", "port", "80", "templateBePath", "/x"},
			`com.df.templateBePath="/x": want no such label: this version of Waggle does not support it yet`},
		{"a brace, which would end a condition of HAProxy's", []string{"servicePath", "}", "pathType", "path_reg", "port", "80", "userAgent", "}", "serviceHeader", "X:}"},
			`com.df.servicePath="}": want regular expressions of visible ASCII characters, such as ^/v[0-9]+/; com.df.serviceHeader="(hidden)": want headers such as X-Version:3; com.df.userAgent="}": want visible ASCII characters`},
		{"nothing about routes", []string{"scrapePort", "80"}, ErrNoRoute.Error()},
		{"a port alone", []string{"port", "80"}, ErrNoRoute.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := FromService(service("web", 1, c.labels...), opts)
			if text := describe(got, err); text != c.want {
				t.Errorf("got  %s\nwant %s", text, c.want)
			}
		})
	}
}

func describe(s Service, err error) string {
	if err != nil {
		return err.Error()
	}
	var out []string
	for i, r := range s.Routes {
		hosts := "any"
		if r.Hosts != nil {
			hosts = strings.Join(r.Hosts, ",")
		}
		b := s.Backends[i]
		out = append(out, fmt.Sprintf("%s %s -> %s %s:%d", hosts, strings.Join(r.Paths, ","), b.Name, b.Lookup, b.Port))
	}
	return strings.Join(out, "; ")
}

func TestServiceOnNoCommonNetwork(t *testing.T) {
	s := service("web", 1, "servicePath", "/a", "port", "80")
	s.Networks = []string{"shop_default"}
	_, err := FromService(s, opts)
	var missing *NetworkError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "shop_default") || !strings.Contains(missing.Hint(), "networks: [waggle]") {
		t.Fatalf("got %v, want a NetworkError that names both and the line to add", err)
	}
}

// TestOrder is the total order in ten examples; docs/labels.md refers to it.
func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name     string
		services []catalog.Service
		host     string
		path     string
		want     string
	}{
		{"1. the longer path, whatever the names of the services", []catalog.Service{
			service("a", 1, "servicePath", "/api", "port", "1"), service("c", 2, "servicePath", "/api/v2", "port", "1")},
			"x.com", "/api/v2/x", "c-be1_0"},
		{"2. a host before no host, even with a shorter path", []catalog.Service{
			service("a", 1, "servicePath", "/api", "port", "1"), service("b", 2, "serviceDomain", "acme.com", "port", "1")},
			"acme.com", "/api", "b-be1_0"},
		{"3. another host still gets the route without one", []catalog.Service{
			service("a", 1, "servicePath", "/api", "port", "1"), service("b", 2, "serviceDomain", "acme.com", "port", "1")},
			"other.com", "/api", "a-be1_0"},
		{"4. an exact host before a wildcard, even with a shorter path", []catalog.Service{
			service("a", 1, "serviceDomain", "*.acme.com", "servicePath", "/api", "port", "1"), service("b", 2, "serviceDomain", "www.acme.com", "port", "1")},
			"www.acme.com", "/api", "b-be1_0"},
		{"5. what the exact host does not take, the wildcard does", []catalog.Service{
			service("a", 1, "serviceDomain", "*.acme.com", "port", "1"), service("b", 2, "serviceDomain", "www.acme.com", "servicePath", "/b", "port", "1")},
			"www.acme.com", "/api", "a-be1_0"},
		{"6. the longer wildcard before the shorter", []catalog.Service{
			service("a", 1, "serviceDomain", "*.acme.com", "port", "1"), service("b", 2, "serviceDomain", "*.eu.acme.com", "port", "1")},
			"x.eu.acme.com", "/", "b-be1_0"},
		{"7. /.well-known before everything, a domain's root too", []catalog.Service{
			service("a", 1, "serviceDomain", "b.com", "port", "1"), service("c", 2, "servicePath", "/.well-known/acme-challenge", "port", "1")},
			"b.com", "/.well-known/acme-challenge/t", "c-be1_0"},
		{"8. an aclName before what is more specific", []catalog.Service{
			service("a", 1, "servicePath", "/api", "port", "1", "aclName", "01"), service("c", 2, "serviceDomain", "b.com", "servicePath", "/api/v2", "port", "1")},
			"b.com", "/api/v2/x", "a-be1_0"},
		{"9. aclNames in the order of their bytes", []catalog.Service{
			service("a", 1, "servicePath", "/api/v2", "port", "1", "aclName", "02-a"), service("c", 2, "servicePath", "/api", "port", "1", "aclName", "01-c")},
			"b.com", "/api/v2", "c-be1_0"},
		{"10. an aclName does not lift a root above the others", []catalog.Service{
			service("a", 1, "servicePath", "/", "port", "1", "aclName", "01-a"), service("c", 2, "servicePath", "/api", "port", "1")},
			"b.com", "/api", "c-be1_0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				d := Settle(c.services, nil, opts)
				if got, ok := d.Tables.Find(Request{Host: c.host, Path: c.path}); !ok || got != c.want {
					t.Errorf("%s%s goes to %q, want %s; tables %v", c.host, c.path, got, c.want, d.Tables)
				}
				slices.Reverse(c.services)
			}
		})
	}
}

// TestTablesFollowTheOrder compares the compiled look-ups with the definition:
// of all claims that fit a request, the first in the order wins.
func TestTablesFollowTheOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	hosts := []string{"", "", "a.com", "b.com", "*.a.com", "*.x.a.com", "x.a.com"}
	paths := []string{"/", "/a", "/a/b", "/ab", "/b", "/.well-known/x", "/.well-known"}
	orders := []string{"", "", "", "01", "02"}
	more := [][]string{
		nil, nil, nil, nil, {"pathType", "path"}, {"pathType", "path_end"}, {"pathType", "path_reg"}, {"serviceHeader", "X-V:1"},
		{"servicePathExclude", "/a/b/c"}, {"serviceDomainAlgo", "hdr_dom(host)"}, {"srcPort", "81"}, {"isDefaultBackend", "true"}, {"userAgent", "curl"},
	}
	pick := func(list []string) string { return list[rng.IntN(len(list))] }
	for round := range 2000 {
		var services []catalog.Service
		for i := range 1 + rng.IntN(7) {
			pairs := []string{"port", "80", "servicePath", pick(paths)}
			if h := pick(hosts); h != "" {
				pairs = append(pairs, "serviceDomain", h)
			}
			if o := pick(orders); o != "" {
				pairs = append(pairs, "aclName", o)
			}
			pairs = append(pairs, more[rng.IntN(len(more))]...)
			services = append(services, service(fmt.Sprintf("s%d", i), i, pairs...))
		}
		d := Settle(services, nil, opts)
		for _, host := range []string{"a.com", "b.com", "x.a.com", "y.a.com", "z.x.a.com", "c.com"} {
			for i, path := range []string{"/", "/a", "/a/b/c", "/abc", "/b", "/c", "/.well-known/x/y", "/x/a"} {
				r := Request{Host: host, Path: path, Port: 80 + i%2, Header: map[string]string{}}
				if rng.IntN(2) == 0 {
					r.Header["x-v"] = "1"
					r.Header["user-agent"] = "Curl/8"
				}
				want := first(d.Services, r)
				if got, _ := d.Tables.Find(r); got != want {
					t.Fatalf("round %d: %+v goes to %q, want %q\n%v\n%+v", round, r, got, want, services, d.Tables)
				}
			}
		}
	}
}

func first(services []Service, r Request) string {
	var fits []*leaf
	for _, s := range services {
		for i := range s.Routes {
			for _, c := range s.Routes[i].claims() {
				if l := (&leaf{Claim: c, route: &s.Routes[i]}); l.fits(r) {
					fits = append(fits, l)
				}
			}
		}
	}
	if len(fits) == 0 {
		return ""
	}
	return slices.MinFunc(fits, compare).route.Backend
}

// fits is the definition of what a claim means.
func (l *leaf) fits(r Request) bool {
	if l.rest() {
		return true
	}
	if l.route.HostMatch == "" && l.Host != "" && l.Host != r.Host && !(strings.HasPrefix(l.Host, "*") && strings.HasSuffix(r.Host, l.Host[1:])) {
		return false
	}
	if l.route.pathMatch() == MatchPrefix && !strings.HasPrefix(r.Path, l.Path) {
		return false
	}
	return !slices.ContainsFunc(l.steps(), func(c Condition) bool { return !c.Holds(r) })
}

func TestSettle(t *testing.T) {
	accepted := func(services ...catalog.Service) map[string]catalog.Service {
		m := map[string]catalog.Service{}
		for _, s := range services {
			m[s.ID] = s
		}
		return m
	}
	a := service("a", 1, "servicePath", "/x", "port", "1")
	b := service("b", 2, "servicePath", "/x", "port", "1")
	bElsewhere := service("b", 2, "servicePath", "/y", "port", "1")
	aMoves := service("a", 1, "servicePath", "/y", "port", "1")
	aBroken := service("a", 1, "servicePath", "/x", "port", "nan")
	aGone := service("a", 1)
	aOut := service("a", 1, "servicePath", "/x", "port", "1")
	aOut.Labels[catalog.Notify] = "false"
	for _, c := range []struct {
		name     string
		services []catalog.Service
		accepted map[string]catalog.Service
		want     string
	}{
		{"of two newcomers the older gets the route", []catalog.Service{b, a}, nil,
			"/x->a; a ok; b: the route /x belongs to a, which had it first"},
		{"who has a route keeps it against an older one that comes later", []catalog.Service{aMoves, bElsewhere}, accepted(a, bElsewhere),
			"/x->a /y->b; a keeps: the route /y belongs to b, which had it first; b ok"},
		{"two that change places at once both succeed", []catalog.Service{aMoves, b}, accepted(a, bElsewhere),
			"/x->b /y->a; a ok; b ok"},
		{"a broken change keeps what was last accepted", []catalog.Service{aBroken, bElsewhere}, accepted(a, bElsewhere),
			`/x->a /y->b; a keeps: com.df.port="nan": want a whole number from 1 to 65535; b ok`},
		{"a broken newcomer has nothing to keep", []catalog.Service{aBroken, bElsewhere}, nil,
			`/y->b; a: com.df.port="nan": want a whole number from 1 to 65535; b ok`},
		{"labels taken away take the route away", []catalog.Service{aGone, b}, accepted(a),
			"/x->b; a: " + ErrNoRoute.Error() + "; b ok"},
		{"opting out takes the route away", []catalog.Service{aOut, b}, accepted(a), "/x->b; b ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Settle(c.services, c.accepted, opts)
			var routes, verdicts []string
			for _, e := range d.Tables.Paths {
				routes = append(routes, e.Key+"->"+strings.TrimSuffix(e.Value, "-be1_0"))
			}
			for _, v := range d.Verdicts {
				switch {
				case v.Err == nil:
					verdicts = append(verdicts, v.Service.Name+" ok")
				case v.KeepsLast:
					verdicts = append(verdicts, v.Service.Name+" keeps: "+v.Err.Error())
				default:
					verdicts = append(verdicts, v.Service.Name+": "+v.Err.Error())
				}
			}
			if got := strings.Join(routes, " ") + "; " + strings.Join(verdicts, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			again := Settle(c.services, d.Accepted, opts)
			if fmt.Sprint(again.Tables) != fmt.Sprint(d.Tables) {
				t.Errorf("what was accepted gives other routes: %v, then %v", d.Tables, again.Tables)
			}
		})
	}
}

func TestShadowedRoutesAreNamed(t *testing.T) {
	d := Settle([]catalog.Service{
		service("a", 1, "servicePath", "/api", "port", "1", "aclName", "01"),
		service("b", 2, "servicePath", "/api/v2,/b", "port", "1"),
	}, nil, opts)
	got := d.Verdicts[1].Shadowed
	if len(got) != 1 || got[0] != "/api/v2 (all its requests go to a)" {
		t.Fatalf("shadowed %v, want /api/v2 by a", got)
	}
}

func FuzzLabels(f *testing.F) {
	f.Add("/a", "a.com", "80", "01")
	f.Add("/a\n  http-request allow", "*.a.com", "0", "x y")
	f.Add("/a,/b c", "a.com,,b.com:80", "99999", "%[src]")
	f.Add("/{{.X}}", "a'b.com", "8080\r", "\x00")
	f.Fuzz(func(t *testing.T, path, domain, port, order string) {
		got, err := FromService(service("web", 1, "servicePath", path, "serviceDomain", domain, "port", port, "aclName", order), opts)
		if err != nil {
			if label.First(err) == nil {
				t.Fatalf("the error names no label: %v", err)
			}
			return
		}
		for _, r := range got.Routes {
			for _, c := range r.claims() {
				if strings.ContainsFunc(c.String(), func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
					t.Fatalf("claim %q would not be one word of a table", c)
				}
			}
		}
	})
}
