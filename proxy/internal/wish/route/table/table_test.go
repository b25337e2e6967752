package table_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/table"
)

var opts = labels.Options{Networks: []string{"waggle"}}

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
			routetest.Service("a", 1, "servicePath", "/api", "port", "1"), routetest.Service("c", 2, "servicePath", "/api/v2", "port", "1")},
			"x.com", "/api/v2/x", "c-be1_0"},
		{"2. a host before no host, even with a shorter path", []catalog.Service{
			routetest.Service("a", 1, "servicePath", "/api", "port", "1"), routetest.Service("b", 2, "serviceDomain", "acme.com", "port", "1")},
			"acme.com", "/api", "b-be1_0"},
		{"3. another host still gets the route without one", []catalog.Service{
			routetest.Service("a", 1, "servicePath", "/api", "port", "1"), routetest.Service("b", 2, "serviceDomain", "acme.com", "port", "1")},
			"other.com", "/api", "a-be1_0"},
		{"4. an exact host before a wildcard, even with a shorter path", []catalog.Service{
			routetest.Service("a", 1, "serviceDomain", "*.acme.com", "servicePath", "/api", "port", "1"), routetest.Service("b", 2, "serviceDomain", "www.acme.com", "port", "1")},
			"www.acme.com", "/api", "b-be1_0"},
		{"5. what the exact host does not take, the wildcard does", []catalog.Service{
			routetest.Service("a", 1, "serviceDomain", "*.acme.com", "port", "1"), routetest.Service("b", 2, "serviceDomain", "www.acme.com", "servicePath", "/b", "port", "1")},
			"www.acme.com", "/api", "a-be1_0"},
		{"6. the longer wildcard before the shorter", []catalog.Service{
			routetest.Service("a", 1, "serviceDomain", "*.acme.com", "port", "1"), routetest.Service("b", 2, "serviceDomain", "*.eu.acme.com", "port", "1")},
			"x.eu.acme.com", "/", "b-be1_0"},
		{"7. /.well-known before everything, a domain's root too", []catalog.Service{
			routetest.Service("a", 1, "serviceDomain", "b.com", "port", "1"), routetest.Service("c", 2, "servicePath", "/.well-known/acme-challenge", "port", "1")},
			"b.com", "/.well-known/acme-challenge/t", "c-be1_0"},
		{"8. an aclName before what is more specific", []catalog.Service{
			routetest.Service("a", 1, "servicePath", "/api", "port", "1", "aclName", "01"), routetest.Service("c", 2, "serviceDomain", "b.com", "servicePath", "/api/v2", "port", "1")},
			"b.com", "/api/v2/x", "a-be1_0"},
		{"9. aclNames in the order of their bytes", []catalog.Service{
			routetest.Service("a", 1, "servicePath", "/api/v2", "port", "1", "aclName", "02-a"), routetest.Service("c", 2, "servicePath", "/api", "port", "1", "aclName", "01-c")},
			"b.com", "/api/v2", "c-be1_0"},
		{"10. an aclName does not lift a root above the others", []catalog.Service{
			routetest.Service("a", 1, "servicePath", "/", "port", "1", "aclName", "01-a"), routetest.Service("c", 2, "servicePath", "/api", "port", "1")},
			"b.com", "/api", "c-be1_0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				d := claims.Settle(c.services, nil, opts)
				if got, ok := routetest.Find(d.Tables, routetest.Request{Host: c.host, Path: c.path}); !ok || got != c.want {
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
		nil, nil, nil, nil, {"serviceHeader", "X-V:1"},
		{"servicePathExclude", "/a/b/c"}, {"serviceDomainAlgo", "hdr_dom(host)"}, {"srcPort", "81"}, {"isDefaultBackend", "true"}, {"userAgent", "curl"},
	}
	for _, kind := range route.PathKinds() {
		more = append(more, []string{"pathType", string(kind.Type)})
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
			services = append(services, routetest.Service(fmt.Sprintf("s%d", i), i, pairs...))
		}
		d := claims.Settle(services, nil, opts)
		for _, host := range []string{"a.com", "b.com", "x.a.com", "y.a.com", "z.x.a.com", "c.com"} {
			for i, path := range []string{"/", "/a", "/a/b/c", "/abc", "/b", "/c", "/.well-known/x/y", "/x/a"} {
				r := routetest.Request{Host: host, Path: path, Port: 80 + i%2, Header: map[string]string{}}
				if rng.IntN(2) == 0 {
					r.Header["x-v"] = "1"
					r.Header["user-agent"] = "Curl/8"
				}
				want := table.First(d.Services, fits(r))
				if got, _ := routetest.Find(d.Tables, r); got != want {
					t.Fatalf("round %d: %+v goes to %q, want %q\n%v\n%+v", round, r, got, want, services, d.Tables)
				}
			}
		}
	}
}

// fits is the definition of what a claim means.
func fits(req routetest.Request) func(*route.Route, route.Claim, []route.Condition) bool {
	return func(r *route.Route, c route.Claim, steps []route.Condition) bool {
		if c.Kind == route.ClaimRest {
			return true
		}
		if r.HostMatch == "" && c.Host != "" && c.Host != req.Host && !(strings.HasPrefix(c.Host, "*") && strings.HasSuffix(req.Host, c.Host[1:])) {
			return false
		}
		if r.PathType.Prefix() && !strings.HasPrefix(req.Path, c.Path) {
			return false
		}
		return !slices.ContainsFunc(steps, func(c route.Condition) bool { return !routetest.Holds(c, req) })
	}
}
