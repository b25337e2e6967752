package claims_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/routetest"
)

func tcp(name string, age int, pairs ...string) catalog.Service {
	return routetest.Service(name, age, append([]string{"reqMode", "tcp", "port", "1", "srcPort", "5"}, pairs...)...)
}

func TestWhoGetsAPort(t *testing.T) {
	for _, c := range []struct {
		name     string
		services []catalog.Service
		want     string
	}{
		{"of two the older", []catalog.Service{tcp("b", 2), tcp("a", 1)},
			"5 else a-tcp1_0; b: the route TCP port 5 belongs to a, which had it first"},
		{"names, and one for what is left", []catalog.Service{tcp("b", 2, "serviceDomain", "x.com"), tcp("a", 1)},
			"5 str x.com=b-tcp1_0 else a-tcp1_0"},
		{"one name for two", []catalog.Service{tcp("b", 2, "serviceDomain", "*.x.com"), tcp("a", 1, "reqMode", "sni", "servicePath", ".X.com", "pathType", "req_ssl_sni -m end")},
			"5 end .x.com=a-tcp1_0; b: the route TCP port 5 for the server name .x.com (end) belongs to a, which had it first"},
		{"a group shares", []catalog.Service{tcp("b", 2, "serviceGroup", "g"), tcp("a", 1, "serviceGroup", "g", "srcPort", "6"), tcp("c", 3, "serviceGroup", "g")},
			"5 else group:g, 6 else group:g"},
		{"names as well, once each", []catalog.Service{tcp("b", 2, "serviceGroup", "g", "serviceDomain", "x"), tcp("a", 1, "serviceGroup", "g", "serviceDomain", "x,y")},
			"5 str x=group:g str y=group:g"},
		{"but not with others", []catalog.Service{tcp("a", 1, "serviceGroup", "g"), tcp("b", 2, "serviceGroup", "h"), tcp("c", 3)},
			"5 else group:g; b: the route TCP port 5 belongs to a, which had it first; c: the route TCP port 5 belongs to a, which had it first"},
		{"who says nothing of a port's settings takes those of others", []catalog.Service{tcp("a", 1, "serviceDomain", "a"), tcp("b", 2, "serviceDomain", "b", "timeoutClient", "7", "clitcpka", "1")},
			"5 7s keepalive str a=a-tcp1_0 str b=b-tcp1_0"},
		{"who says something else has to go elsewhere", []catalog.Service{tcp("a", 1, "serviceDomain", "a", "timeoutClient", "7"), tcp("b", 2, "serviceDomain", "b", "timeoutClient", "8")},
			"5 7s str a=a-tcp1_0; b: TCP port 5 is shared with a, whose com.df.timeoutClient is 7s"},
		{"a group has one mind too", []catalog.Service{tcp("a", 1, "serviceGroup", "g", "timeoutServer", "7"), tcp("b", 2, "serviceGroup", "g", "timeoutServer", "8")},
			"5 else group:g; b: group g is shared with a, whose com.df.timeoutServer is 7s"},
		{"the order: aclName, the whole name, the longer text, the older service", []catalog.Service{
			tcp("a", 1, "serviceDomain", "*.com"), tcp("b", 2, "serviceDomain", "*.x.com"), tcp("c", 3, "serviceDomain", "a.x.com"),
			tcp("d", 4, "serviceDomain", "x", "serviceDomainAlgo", "req_ssl_sni -m sub", "aclName", "02"),
			tcp("e", 5, "serviceDomain", "^.*$", "serviceDomainAlgo", "req_ssl_sni -m reg", "aclName", "01"),
			tcp("f", 6, "serviceDomain", ".net", "serviceDomainAlgo", "req_ssl_sni -m end")},
			"5 reg ^.*$=e-tcp1_0 sub x=d-tcp1_0 str a.x.com=c-tcp1_0 end .x.com=b-tcp1_0 end .com=a-tcp1_0 end .net=f-tcp1_0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := claims.Settle(c.services, nil, opts)
			if got := describeListeners(d); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			slices.Reverse(c.services)
			again := claims.Settle(c.services, d.Accepted, opts)
			if got := describeListeners(again); got != c.want {
				t.Errorf("once accepted, and in another order: %s", got)
			}
		})
	}
}

func describeListeners(d claims.Desired) string {
	var ports []string
	for _, l := range d.Tables.Listeners {
		text := fmt.Sprint(l.Port)
		if l.TimeoutClient > 0 {
			text += " " + l.TimeoutClient.String()
		}
		if l.KeepAlive {
			text += " keepalive"
		}
		for _, r := range l.Rules {
			text += " " + string(r.Name.Match) + " " + r.Name.Value + "=" + r.Backend
		}
		if l.Default != "" {
			text += " else " + l.Default
		}
		ports = append(ports, text)
	}
	out := []string{strings.Join(ports, ", ")}
	for _, v := range d.Verdicts {
		if v.Err != nil {
			out = append(out, v.Service.Name+": "+v.Err.Error())
		}
	}
	return strings.Join(out, "; ")
}

func TestNewcomerToAPortKeepsWhatItHad(t *testing.T) {
	a, b := tcp("a", 1, "srcPort", "6"), tcp("b", 2)
	d := claims.Settle([]catalog.Service{a, b}, nil, opts)
	moved := tcp("a", 1)
	d = claims.Settle([]catalog.Service{moved, b}, d.Accepted, opts)
	var conflict *route.ConflictError
	if v := d.Verdicts[0]; !errors.As(v.Err, &conflict) || !v.KeepsLast || !strings.Contains(conflict.Hint(), "serviceGroup") {
		t.Fatalf("%+v, want a conflict while the old port stays", v)
	}
	if got := describeListeners(d); !strings.HasPrefix(got, "5 else b-tcp1_0, 6 else a-tcp1_0; a: ") {
		t.Errorf("got %s", got)
	}
}

// TestGroupsAgree: every member's backend says the same, whoever is written.
func TestGroupsAgree(t *testing.T) {
	services := []catalog.Service{
		tcp("a", 1, "serviceGroup", "g", "balanceGroup", "first"), tcp("b", 2, "serviceGroup", "g", "timeoutServer", "7", "checkTcp", "true"), tcp("c", 3, "serviceDomain", "c"),
	}
	m := claims.NewSettler(opts)
	for range 2 {
		d := m.Settle(services, nil)
		for i, member := range []string{"a_0", "b_0"} {
			want := route.StreamBackend{Spread: route.Spread{Balance: "first", Check: &route.Check{}}, TimeoutServer: 7 * time.Second}
			got := d.Services[i].Backends[0]
			if !reflect.DeepEqual(*got.Stream, want) || got.Share.Group != "g" || got.Share.Member != member {
				t.Errorf("got  %+v of %+v\nwant %+v of %s", *got.Stream, got.Share, want, member)
			}
		}
		if got := *d.Services[2].Backends[0].Stream; !reflect.DeepEqual(got, route.StreamBackend{}) {
			t.Errorf("one without a group got %+v", got)
		}
	}
	// What a member brought leaves with it, although the labels of the others were read before.
	d := m.Settle(services[:1], nil)
	if got := *d.Services[0].Backends[0].Stream; got.Spread.Check != nil || got.TimeoutServer != 0 {
		t.Errorf("what a former member wanted stays: %+v", got)
	}
}
