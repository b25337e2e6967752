package claims_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

// verdicts tells of each service whether its labels are in force, or why not.
func verdicts(d claims.Desired) string {
	var out []string
	for _, v := range d.Verdicts {
		text := v.Service.Name + " ok"
		if v.Err != nil {
			text = v.Service.Name + " " + v.Err.Error()
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func TestWhoSharesARoute(t *testing.T) {
	shop := func(name string, age int, pairs ...string) catalog.Service {
		return routetest.Service(name, age, append([]string{"servicePath", "/shop", "port", "80", "serviceGroup", "shop"}, pairs...)...)
	}
	for _, c := range []struct {
		name     string
		services []catalog.Service
		want     string
		paths    string
	}{
		{"two of a group", []catalog.Service{shop("a", 1), shop("b", 2, "weight", "10", "port", "81")}, "a ok; b ok", "/shop=group:shop:http"},
		{"one of another group", []catalog.Service{shop("a", 1), shop("b", 2, "serviceGroup", "other")}, "a ok; b the route /shop belongs to a, which had it first", "/shop=group:shop:http"},
		{"one of none", []catalog.Service{shop("a", 1), routetest.Service("b", 2, "servicePath", "/shop", "port", "80")}, "a ok; b the route /shop belongs to a, which had it first", "/shop=group:shop:http"},
		{"who came first is in no group", []catalog.Service{routetest.Service("a", 1, "servicePath", "/shop", "port", "80"), shop("b", 2)}, "a ok; b the route /shop belongs to a, which had it first", "/shop=a-be80_0"},
		{"all routes lead to all", []catalog.Service{shop("a", 1), shop("b", 2, "servicePath", "/more,/shop")}, "a ok; b ok", "/more=group:shop:http /shop=group:shop:http"},
		{"the older one says what is done", []catalog.Service{shop("a", 2, "httpsOnly", "true"), shop("b", 1)}, "a group shop is shared with b, whose com.df.httpsOnly is absent; b ok", "/shop=group:shop:http"},
		{"another value", []catalog.Service{shop("a", 1, "timeoutServer", "7"), shop("b", 2, "timeoutServer", "8")}, "a ok; b group shop is shared with a, whose com.df.timeoutServer is 7", "/shop=group:shop:http"},
		{"the same in other words", []catalog.Service{shop("a", 1, "timeoutServer", "7", "addReqHeader", "X-A b"), shop("b", 2, "timeoutServer", "7s", "addHeader", "X-A b")}, "a ok; b ok", "/shop=group:shop:http"},
		{"a check that differs", []catalog.Service{shop("a", 1, "checkPath", "/health"), shop("b", 2, "checkPath", "/up")}, "a ok; b group shop is shared with a, whose com.df.checkPath is /health", "/shop=group:shop:http"},
		{"another limit", []catalog.Service{shop("a", 1, "maxConn", "7"), shop("b", 2)}, "a ok; b group shop is shared with a, whose com.df.maxConn is 7", "/shop=group:shop:http"},
		{"redirects of a group", []catalog.Service{shop("a", 1, "serviceDomain", "x.com", "redirectFromDomain", "www.x.com"), shop("b", 2, "serviceDomain", "x.com", "redirectFromDomain", "www.x.com")}, "a ok; b ok", "x.com/shop=group:shop:http"},
		{"redirects that lead elsewhere", []catalog.Service{shop("a", 1, "serviceDomain", "x.com", "redirectFromDomain", "www.x.com"), shop("b", 2, "serviceDomain", "y.com", "redirectFromDomain", "www.x.com")},
			"a ok; b the route the redirect from www.x.com belongs to a, which had it first", "x.com/shop=group:shop:http"},
		{"a default backend of two", []catalog.Service{shop("a", 1, "isDefaultBackend", "true"), shop("b", 2, "isDefaultBackend", "true")}, "a ok; b ok", "/=group:shop:http /shop=group:shop:http"},
		{"HTTP and TCP may have a group of one name", []catalog.Service{shop("a", 1), tcp("b", 2, "serviceGroup", "shop")}, "a ok; b ok", "/shop=group:shop:http"},
		{"indexes that differ", []catalog.Service{routetest.Service("a", 1, "serviceGroup", "g", "port", "80", "servicePath.1", "/a", "servicePath.2", "/b", "maxConn.2", "3")},
			`a com.df.maxConn.2="3": want the same at all indexes of group g, one of which has absent`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				d := claims.Settle(c.services, nil, opts)
				var paths []string
				for _, e := range d.Tables.Paths {
					paths = append(paths, e.Key+"="+e.Value)
				}
				if got := verdicts(d); got != c.want || strings.Join(paths, " ") != c.paths {
					t.Errorf("got  %s, %s\nwant %s, %s", got, strings.Join(paths, " "), c.want, c.paths)
				}
				slices.Reverse(c.services)
			}
		})
	}
}

// TestAGroupChangesItsMind: one after the other says something new; it holds as soon
// as all agree, and until then what was.
func TestAGroupChangesItsMind(t *testing.T) {
	shop := func(name string, age int, seconds string) catalog.Service {
		return routetest.Service(name, age, "servicePath", "/shop", "port", "80", "serviceGroup", "shop", "timeoutServer", seconds)
	}
	d := claims.Settle([]catalog.Service{shop("a", 1, "7"), shop("b", 2, "7")}, nil, opts)
	d = claims.Settle([]catalog.Service{shop("a", 1, "8"), shop("b", 2, "7")}, d.Accepted, opts)
	var conflict *route.ConflictError
	if len(d.Verdicts) != 2 || !errors.As(d.Verdicts[0].Err, &conflict) || conflict.Winner != "b" || conflict.Label != "timeoutServer" || !d.Verdicts[0].KeepsLast {
		t.Fatalf("the first alone: %s, want it to be kept as it was", verdicts(d))
	}
	if !strings.Contains(conflict.Hint(), "the same as b") {
		t.Errorf("hint %q", conflict.Hint())
	}
	d = claims.Settle([]catalog.Service{shop("a", 1, "8"), shop("b", 2, "8")}, d.Accepted, opts)
	if got := verdicts(d); got != "a ok; b ok" || d.Services[0].Backends[0].Handling.TimeoutServer.Seconds() != 8 {
		t.Errorf("both: %s, want what both say", got)
	}
}
