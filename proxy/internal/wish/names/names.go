// Package names says for which hosts certificates are to be obtained by ACME: those that a
// service is routed by and asks for, or that the operator wants for all. It is pure. Who asks the
// proxy for a host, or which name a TLS client says, is no matter here.
package names

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Rules are the operator's part.
type Rules struct {
	// On says that certificates are obtained at all, All that it is done for each exact
	// domain whose service does not say no.
	On, All bool
	// Challenge is how hosts are proven whose services do not say it: HTTP or DNS. CanDNS says
	// that the operator has named a provider of DNS.
	Challenge string
	CanDNS    bool
}

// The challenges.
const (
	HTTP = "http"
	DNS  = "dns"
)

// Name is a host for which a certificate is wanted.
type Name struct {
	// Host is an exact name, or "*.name".
	Host string
	// DNS says that it is proven by DNS-01, Staging that the certificate is for a test.
	DNS, Staging bool
	// Email is where the authority may write to; empty: the operator's.
	Email string
	// Services are the IDs of those who are routed by it, sorted.
	Services []string
	// Below is the wildcard that is wanted too and has this name as well; empty: none. While that
	// one is good, this one need not be obtained.
	Below string
}

// Wanted is what services ask for.
type Wanted struct {
	// Names are sorted by host.
	Names []Name
	// Faults are what cannot be had, by the service's ID.
	Faults map[string][]Fault
	// asked are all hosts for which somebody asks, also those for which none can be obtained as
	// they ask: what there is for them stays in use.
	asked map[string]bool
}

// Fault is what a service asks for and cannot have: the full name of the label that asks, a
// sentence, and what would be right.
type Fault struct{ Label, Text, Fix string }

// The words for whom certificates are obtained.
const (
	Off      = "off"
	ByLabels = "labels"
	ForAll   = "all"
)

// Of returns what services ask for.
func Of(services []route.Service, rules Rules) Wanted {
	w := wishes{rules: rules, names: map[string]*Name{}, faults: map[string][]Fault{}, asked: map[string]bool{}}
	for _, s := range services {
		w.add(s)
	}
	out := Wanted{Faults: w.faults, asked: w.asked}
	for _, host := range slices.Sorted(maps.Keys(w.names)) {
		n := w.names[host]
		_, rest, _ := strings.Cut(host, ".")
		// One for a test is trusted by nobody, so that only tests can make use of it.
		if above := w.names["*."+rest]; above != nil && above != n && (n.Staging || !above.Staging) {
			n.Below = above.Host
		}
		slices.Sort(n.Services)
		out.Names = append(out.Names, *n)
	}
	return out
}

type wishes struct {
	rules  Rules
	names  map[string]*Name
	faults map[string][]Fault
	asked  map[string]bool
}

// fault says what a service cannot have.
func (w *wishes) fault(s route.Service, label, fix, format string, values ...any) {
	w.faults[s.ID] = append(w.faults[s.ID], Fault{label, fmt.Sprintf(format, values...), fix})
}

func (w *wishes) add(s route.Service) {
	label := catalog.Prefix + "acme"
	if len(s.ACME.Hosts) > 0 {
		label = catalog.Prefix + "letsencrypt.host"
	}
	asks := s.ACME.Asks == route.Yes || len(s.ACME.Hosts) > 0 && s.ACME.Asks != route.No
	if s.ACME.Asks == route.No || !asks && !w.rules.All {
		return
	}
	if !w.rules.On {
		if asks {
			w.fault(s, label, "the operator sets ACME_EMAIL, or ACME=labels, see docs/tls.md", "%s asks for a certificate, and the proxy obtains none: the operator sets ACME_EMAIL, or ACME=labels", label)
		}
		return
	}
	hosts := Routed(s)
	if len(s.ACME.Hosts) > 0 && s.ACME.Asks != route.Yes {
		for _, h := range s.ACME.Hosts {
			if !slices.Contains(hosts, h) {
				w.fault(s, label, "name "+h+" in com.df.serviceDomain too, or take it out of "+label, "%s names %s, by which the service is not routed: com.df.serviceDomain names it", label, h)
			}
		}
		hosts = slices.DeleteFunc(hosts, func(h string) bool { return !slices.Contains(s.ACME.Hosts, h) })
	} else if asks && len(hosts) == 0 && len(s.Routes) == 0 && len(s.Streams) > 0 {
		w.fault(s, label, "remove "+label+", or com.df.reqMode=http", "%s asks for a certificate, and what a service gets below HTTP is passed through as it is: its own certificate is shown", label)
	} else if asks && len(hosts) == 0 {
		w.fault(s, label, "com.df.serviceDomain with a whole name, such as shop.example.com", "%s needs a com.df.serviceDomain with whole names", label)
	}
	for _, h := range hosts {
		w.want(s, h, label, asks)
	}
}

func (w *wishes) want(s route.Service, host, label string, asks bool) {
	w.asked[host] = true
	if !public(host) {
		// By the operator's default nobody has asked for such a name.
		if asks {
			w.fault(s, label, "a name in DNS that is yours, or a certificate of your own for "+host, "no authority gives a certificate for %s, which is no name of DNS with a dot in it", host)
		}
		return
	}
	dns := cmp.Or(s.ACME.Challenge, w.rules.Challenge) == DNS
	switch wild := strings.HasPrefix(host, "*."); {
	case wild && !dns && !asks:
		return
	case wild && !dns:
		w.fault(s, label, "com.df.acmeChallenge=dns, and ACME_DNS for the proxies, see docs/tls.md", "a certificate for %s needs com.df.acmeChallenge=dns, since nobody can prove a wildcard otherwise", host)
		return
	case dns && !w.rules.CanDNS:
		w.fault(s, catalog.Prefix+"acmeChallenge", "the operator sets ACME_DNS and what the provider needs, see docs/tls.md", "com.df.acmeChallenge=dns for %s, and the operator has set no ACME_DNS", host)
		return
	}
	n := w.names[host]
	if n == nil {
		n = &Name{Host: host, Staging: true}
		w.names[host] = n
	}
	n.DNS = n.DNS || dns
	// A test is one for all who share the name, or none.
	n.Staging = n.Staging && s.ACME.Testing
	n.Email = cmp.Or(n.Email, s.ACME.Email)
	n.Services = append(n.Services, s.ID)
}

// Routed are the whole names and wildcards by which requests find a service, sorted; redirects
// from other hosts count, because who comes by TLS needs their certificate first.
func Routed(s route.Service) []string {
	var out []string
	for _, r := range s.Routes {
		if r.HostMatch == "" {
			out = append(out, r.Hosts...)
		}
	}
	for _, r := range s.Redirects {
		out = append(out, r.From)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// public reports whether a text is a name that an authority could look up: labels of letters, digits
// and hyphens, the last of which is no number.
func public(host string) bool {
	labels := strings.Split(strings.TrimPrefix(host, "*."), ".")
	if len(host) > 253 || len(labels) < 2 || strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return false
	}
	return !slices.ContainsFunc(labels, func(l string) bool {
		return l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
	})
}

// Has reports whether somebody asks for a certificate for a host, so that one that there is may be
// used.
func (w Wanted) Has(host string) bool { return w.asked[host] }
