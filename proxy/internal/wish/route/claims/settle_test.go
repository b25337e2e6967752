package claims_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

var opts = labels.Options{Networks: []string{"waggle"}}

func TestSettle(t *testing.T) {
	accepted := func(services ...catalog.Service) map[string]catalog.Service {
		m := map[string]catalog.Service{}
		for _, s := range services {
			m[s.ID] = s
		}
		return m
	}
	a := routetest.Service("a", 1, "servicePath", "/x", "port", "1")
	b := routetest.Service("b", 2, "servicePath", "/x", "port", "1")
	bElsewhere := routetest.Service("b", 2, "servicePath", "/y", "port", "1")
	aMoves := routetest.Service("a", 1, "servicePath", "/y", "port", "1")
	aBroken := routetest.Service("a", 1, "servicePath", "/x", "port", "nan")
	aGone := routetest.Service("a", 1)
	aOut := routetest.Service("a", 1, "servicePath", "/x", "port", "1")
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
			"/x->b; a: " + route.ErrNoRoute.Error() + "; b ok"},
		{"opting out takes the route away", []catalog.Service{aOut, b}, accepted(a), "/x->b; b ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := claims.Settle(c.services, c.accepted, opts)
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
			again := claims.Settle(c.services, d.Accepted, opts)
			if fmt.Sprint(again.Tables) != fmt.Sprint(d.Tables) {
				t.Errorf("what was accepted gives other routes: %v, then %v", d.Tables, again.Tables)
			}
		})
	}
}

func TestShadowedRoutesAreNamed(t *testing.T) {
	d := claims.Settle([]catalog.Service{
		routetest.Service("a", 1, "servicePath", "/api", "port", "1", "aclName", "01"),
		routetest.Service("b", 2, "servicePath", "/api/v2,/b", "port", "1"),
	}, nil, opts)
	got := d.Verdicts[1].Shadowed
	if len(got) != 1 || got[0] != "/api/v2 (all its requests go to a)" {
		t.Fatalf("shadowed %v, want /api/v2 by a", got)
	}
}

// TestTwoServicesCannotRedirectToEachOther: where a redirect leads, its service routes, and
// nobody can redirect what another routes.
func TestTwoServicesCannotRedirectToEachOther(t *testing.T) {
	a := routetest.Service("a", 1, "port", "80", "serviceDomain", "a.com", "redirectFromDomain", "b.com")
	b := routetest.Service("b", 2, "port", "80", "serviceDomain", "b.com", "redirectFromDomain", "a.com")
	d := claims.Settle([]catalog.Service{a, b}, nil, opts)
	var conflict *route.ConflictError
	if len(d.Tables.Redirects) != 1 || !errors.As(d.Verdicts[1].Err, &conflict) || conflict.Winner != "a" {
		t.Errorf("redirects %v, %v; want a's alone", d.Tables.Redirects, d.Verdicts[1].Err)
	}
}
