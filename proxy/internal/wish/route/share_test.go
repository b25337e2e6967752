package route

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// verdicts tells of each service whether its labels are in force, or why not.
func verdicts(d Desired) string {
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
		return service(name, age, append([]string{"servicePath", "/shop", "port", "80", "serviceGroup", "shop"}, pairs...)...)
	}
	for _, c := range []struct {
		name     string
		services []catalog.Service
		want     string
		paths    string
	}{
		{"two of a group", []catalog.Service{shop("a", 1), shop("b", 2, "weight", "10", "port", "81")}, "a ok; b ok", "/shop=group:shop:http"},
		{"one of another group", []catalog.Service{shop("a", 1), shop("b", 2, "serviceGroup", "other")}, "a ok; b the route /shop belongs to a, which had it first", "/shop=group:shop:http"},
		{"one of none", []catalog.Service{shop("a", 1), service("b", 2, "servicePath", "/shop", "port", "80")}, "a ok; b the route /shop belongs to a, which had it first", "/shop=group:shop:http"},
		{"who came first is in no group", []catalog.Service{service("a", 1, "servicePath", "/shop", "port", "80"), shop("b", 2)}, "a ok; b the route /shop belongs to a, which had it first", "/shop=a-be80_0"},
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
		{"indexes that differ", []catalog.Service{service("a", 1, "serviceGroup", "g", "port", "80", "servicePath.1", "/a", "servicePath.2", "/b", "maxConn.2", "3")},
			`a com.df.maxConn.2="3": want the same at all indexes of group g, one of which has absent`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				d := Settle(c.services, nil, opts)
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
		return service(name, age, "servicePath", "/shop", "port", "80", "serviceGroup", "shop", "timeoutServer", seconds)
	}
	d := Settle([]catalog.Service{shop("a", 1, "7"), shop("b", 2, "7")}, nil, opts)
	d = Settle([]catalog.Service{shop("a", 1, "8"), shop("b", 2, "7")}, d.Accepted, opts)
	var conflict *ConflictError
	if len(d.Verdicts) != 2 || !errors.As(d.Verdicts[0].Err, &conflict) || conflict.Winner != "b" || conflict.Label != "timeoutServer" || !d.Verdicts[0].KeepsLast {
		t.Fatalf("the first alone: %s, want it to be kept as it was", verdicts(d))
	}
	if !strings.Contains(conflict.Hint(), "the same as b") {
		t.Errorf("hint %q", conflict.Hint())
	}
	d = Settle([]catalog.Service{shop("a", 1, "8"), shop("b", 2, "8")}, d.Accepted, opts)
	if got := verdicts(d); got != "a ok; b ok" || d.Services[0].Backends[0].Handling.TimeoutServer.Seconds() != 8 {
		t.Errorf("both: %s, want what both say", got)
	}
}

func TestSpreadOfLabels(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		want   string
	}{
		{"by header", []string{"balance", "hdr(X-User)"}, "hdr X-User"},
		{"in any case of letters", []string{"balance", " LeastConn"}, "leastconn"},
		{"a header with a space", []string{"balance", "hdr(X User)"}, "balance"},
		{"what HAProxy cannot change at run time", []string{"balance", "static-rr"}, "balance"},
		{"a queue without a limit", []string{"maxQueue", "3"}, "maxQueue"},
		{"a check of nothing", []string{"checkFall", "3"}, "checkFall"},
		{"a path that is none", []string{"checkPath", "health"}, "checkPath"},
		{"a range of codes", []string{"checkPath", "/", "checkStatus", "200-299, 404"}, "check / 200-299,404"},
		{"codes that are none", []string{"checkPath", "/", "checkStatus", "600"}, "checkStatus"},
		{"a weight of nobody's", []string{"weight", "3"}, "weight"},
		{"more than everything", []string{"serviceGroup", "g", "weight", "101"}, "weight"},
		{"a weight that is not heard", []string{"serviceGroup", "g", "weight", "1", "balance", "first"}, "weight"},
		{"a name of a group with a colon", []string{"serviceGroup", "g:http"}, "serviceGroup"},
		{"to repeat what is none", []string{"retryOn", "conn-failure,POST"}, "retryOn"},
		{"not to repeat and to repeat", []string{"retryOn", "none,503"}, "retryOn"},
		{"sorted, and each once", []string{"retryOn", "503,conn-failure,503"}, "retry 503 conn-failure"},
		{"reuse that is none", []string{"httpReuse", "often"}, "httpReuse"},
		{"an index has its own", []string{"balance", "uri", "balance.1", "source", "servicePath.1", "/x"}, "source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := FromService(service("a", 1, append([]string{"servicePath", "/a", "port", "80"}, c.labels...)...), opts)
			var got []string
			if f := label.First(err); f != nil {
				name, _ := label.SplitIndex(strings.TrimPrefix(f.Label, catalog.Prefix))
				got = append(got, name)
			} else if err != nil {
				t.Fatal(err)
			} else {
				spread := s.Backends[0].Handling.Spread
				if spread.Check != nil {
					got = append(got, "check", spread.Check.Path, spread.Check.Status)
				}
				if spread.RetryOn != nil {
					got = append(got, "retry", strings.Join(spread.RetryOn, " "))
				}
				got = append(got, spread.Balance, spread.Header)
			}
			if text := strings.TrimSpace(strings.Join(got, " ")); text != c.want {
				t.Errorf("got %q (%v), want %q", text, err, c.want)
			}
		})
	}
}
