package names_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/names"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// asks is a service that is routed by hosts, separated by spaces.
func asks(id, hosts string, what route.ACME) route.Service {
	return route.Service{ID: id, Name: id, ACME: what, Routes: []route.Route{{Hosts: strings.Fields(hosts)}}}
}

func TestOf(t *testing.T) {
	on, yes := names.Rules{On: true, Challenge: names.HTTP}, route.ACME{Asks: route.Yes}
	dns := names.Rules{On: true, Challenge: names.HTTP, CanDNS: true}
	byDNS := route.ACME{Asks: route.Yes, Challenge: names.DNS}
	companion := func(hosts ...string) route.ACME { return route.ACME{Hosts: hosts, Email: "me@a.com"} }
	compared := asks("a", "^x", yes)
	compared.Routes[0].HostMatch = "reg"
	redirected := asks("a", "a.com", yes)
	redirected.Redirects = []route.Redirect{{From: "www.a.com", To: "a.com"}}
	for _, c := range []struct {
		name     string
		services []route.Service
		rules    names.Rules
		want     string
	}{
		{"nobody asks", []route.Service{asks("a", "a.com", route.ACME{})}, on, ""},
		{"one asks", []route.Service{asks("a", "b.com a.com", yes), asks("b", "c.com", route.ACME{})}, on, "a.com a; b.com a"},
		{"hosts that are redirected", []route.Service{redirected}, on, "a.com a; www.a.com a"},
		{"two share a host", []route.Service{asks("b", "a.com", yes), asks("a", "a.com", byDNS)}, dns, "a.com dns a,b"},
		{"all by default", []route.Service{asks("a", "a.com *.a.com internal 192.0.2.1", route.ACME{}), asks("b", "b.com", route.ACME{Asks: route.No})},
			names.Rules{On: true, All: true, Challenge: names.HTTP}, "a.com a"},
		{"the operator obtains none", []route.Service{asks("a", "a.com", yes)}, names.Rules{}, "fault a: com.df.acme asks for a certificate, and the proxy obtains none: the operator sets ACME_EMAIL, or ACME=labels"},
		{"no host", []route.Service{asks("a", "", yes)}, on, "fault a: com.df.acme needs a com.df.serviceDomain with whole names"},
		{"hosts that are compared otherwise", []route.Service{compared}, on, "fault a: com.df.acme needs a com.df.serviceDomain with whole names"},
		{"below HTTP", []route.Service{{ID: "a", ACME: yes, Streams: []route.Stream{{}}}}, on,
			"fault a: com.df.acme asks for a certificate, and what a service gets below HTTP is passed through as it is: its own certificate is shown"},
		{"no name of DNS", []route.Service{asks("a", "internal 192.0.2.1", yes)}, on,
			"fault a: no authority gives a certificate for 192.0.2.1, which is no name of DNS with a dot in it; fault a: no authority gives a certificate for internal, which is no name of DNS with a dot in it"},
		{"a wildcard", []route.Service{asks("a", "*.a.com", byDNS)}, dns, "*.a.com dns a"},
		{"by HTTP", []route.Service{asks("a", "*.a.com", yes)}, dns, "fault a: a certificate for *.a.com needs com.df.acmeChallenge=dns, since nobody can prove a wildcard otherwise"},
		{"by DNS without a provider", []route.Service{asks("a", "a.com", byDNS)}, on, "fault a: com.df.acmeChallenge=dns for a.com, and the operator has set no ACME_DNS"},
		{"a wildcard has the names below it", []route.Service{asks("a", "*.a.com", byDNS), asks("b", "b.a.com a.com c.b.a.com", yes)}, dns,
			"*.a.com dns a; a.com b; b.a.com b below *.a.com; c.b.a.com b"},
		{"a wildcard for a test has no names below it but those for a test", []route.Service{
			asks("a", "*.a.com", route.ACME{Challenge: names.DNS, Hosts: []string{"*.a.com"}, Testing: true}),
			asks("b", "b.a.com", yes), asks("c", "c.a.com", route.ACME{Hosts: []string{"c.a.com"}, Testing: true}),
		}, dns, "*.a.com dns staging a; b.a.com b; c.a.com staging c below *.a.com"},
		{"names that no authority could look up", []route.Service{asks("a", "*.com a_b.a.com -a.a.com a-.a.com a.123 xn--mnchen-3ya.de "+strings.Repeat("a", 64)+".com", yes)}, on,
			"xn--mnchen-3ya.de a" + strings.Join([]string{
				"", "*.com, which is no name of DNS with a dot in it", "-a.a.com, which is no name of DNS with a dot in it", "a-.a.com, which is no name of DNS with a dot in it",
				"a.123, which is no name of DNS with a dot in it", "a_b.a.com, which is no name of DNS with a dot in it", strings.Repeat("a", 64) + ".com, which is no name of DNS with a dot in it",
			}, "; fault a: no authority gives a certificate for ")},
		{"a companion's labels", []route.Service{asks("a", "a.com b.com", companion("a.com", "c.com"))}, on,
			"a.com me@a.com a; fault a: com.df.letsencrypt.host names c.com, by which the service is not routed: com.df.serviceDomain names it"},
		{"they are refused by the own label", []route.Service{asks("a", "a.com", route.ACME{Asks: route.No, Hosts: []string{"a.com"}})}, on, ""},
		{"a test", []route.Service{asks("a", "a.com b.com", route.ACME{Hosts: []string{"a.com", "b.com"}, Testing: true}), asks("b", "b.com", yes)}, on, "a.com staging a; b.com a,b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tell(names.Of(c.services, c.rules)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			slices.Reverse(c.services)
			if got := tell(names.Of(c.services, c.rules)); got != c.want {
				t.Errorf("in another order: %s", got)
			}
		})
	}
}

// tell writes what is wanted as words.
func tell(w names.Wanted) string {
	var out []string
	for _, n := range w.Names {
		words := []string{n.Host}
		if n.DNS {
			words = append(words, "dns")
		}
		if n.Staging {
			words = append(words, "staging")
		}
		if n.Email != "" {
			words = append(words, n.Email)
		}
		words = append(words, strings.Join(n.Services, ","))
		if n.Below != "" {
			words = append(words, "below "+n.Below)
		}
		out = append(out, strings.Join(words, " "))
	}
	var ids []string
	for id := range w.Faults {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		for _, f := range w.Faults[id] {
			out = append(out, "fault "+id+": "+f.Text)
			if f.Fix == "" || !strings.HasPrefix(f.Label, "com.df.") {
				out = append(out, "which says not what would be right")
			}
		}
	}
	return strings.Join(out, "; ")
}

func TestHas(t *testing.T) {
	w := names.Of([]route.Service{asks("a", "a.com b.com", route.ACME{Asks: route.Yes})}, names.Rules{On: true, Challenge: names.HTTP})
	if !w.Has("a.com") || w.Has("c.com") || w.Has("") {
		t.Errorf("%v", w.Names)
	}
}

// TestACertificateStays that was obtained, while its service asks for one that cannot be had as it
// asks now.
func TestACertificateStays(t *testing.T) {
	byDNS := route.ACME{Asks: route.Yes, Challenge: names.DNS}
	w := names.Of([]route.Service{asks("a", "a.com", byDNS), asks("b", "*.b.com", byDNS), asks("c", "c.b.com", route.ACME{Asks: route.Yes})}, names.Rules{On: true, Challenge: names.HTTP})
	if !w.Has("a.com") || !w.Has("*.b.com") || len(w.Names) != 1 {
		t.Errorf("%+v", w)
	}
	w = names.Of([]route.Service{asks("b", "*.b.com", byDNS), asks("c", "c.b.com", route.ACME{Asks: route.Yes})}, names.Rules{On: true, Challenge: names.HTTP, CanDNS: true})
	if !w.Has("c.b.com") {
		t.Errorf("below a wildcard that is not there yet: %+v", w)
	}
	if w = names.Of([]route.Service{asks("a", "a.com", byDNS)}, names.Rules{}); w.Has("a.com") {
		t.Error("where nothing is obtained nothing is served")
	}
}
