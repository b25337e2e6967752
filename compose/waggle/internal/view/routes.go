package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	proxy "github.com/wagglehq/waggle/proxy/judge"
)

// anyHost stands where a route is for all hosts.
const anyHost = "any host"

// Route is one way into a service.
type Route struct {
	Host, Path, Service, ServicePath, Backend string
	State                                     why.State
	// TLS says which certificate the host gets, and TLSState whether that is well.
	TLS      string
	TLSState why.State
}

// Key is what the route is known by.
func (r Route) Key() string { return strings.Join([]string{r.Host, r.Path, r.Service, r.Backend}, " ") }

// Routes are all that are in force, by host, then by path.
func (k *Known) Routes() []Route {
	var out []Route
	for _, l := range k.Board {
		out = append(out, k.routesOf(l)...)
	}
	slices.SortStableFunc(out, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Service, b.Service))
	})
	return slices.Compact(out)
}

func (k *Known) routesOf(l Line) []Route {
	svc, _ := k.Picture().ByName(l.Name)
	a := k.Proxy(svc)
	var out []Route
	add := func(host, path, backend string) {
		r := Route{Host: host, Path: path, Service: l.Name, ServicePath: l.Path, Backend: backend, State: l.State, TLSState: why.None}
		if strings.Contains(host, ".") && !strings.ContainsAny(host, "* ") {
			rung := k.Certificate(host)
			r.TLS, r.TLSState = rung.Text, rung.State
			// That there is none is a fault of requests by https alone, which nobody may send.
			if rung.State == why.Broken {
				r.TLS, r.TLSState = "none names it", why.None
			}
		}
		out = append(out, r)
	}
	for _, r := range a.Routes {
		for _, host := range orOne(r.Hosts, anyHost) {
			for _, path := range orOne(r.Paths, "/") {
				add(host, path, r.Backend)
			}
		}
	}
	for _, s := range a.Streams {
		add(fmt.Sprintf("port %d", s.Port), strings.Join(s.Names, ", "), s.Backend)
	}
	return out
}

// ways is where requests for a service come in.
func ways(a proxy.Answer) []string {
	var out []string
	for _, r := range a.Routes {
		for _, host := range orOne(r.Hosts, "") {
			for _, path := range orOne(r.Paths, "/") {
				out = append(out, host+path)
			}
		}
	}
	for _, s := range a.Streams {
		out = append(out, strings.TrimSpace(fmt.Sprintf("port %d %s", s.Port, strings.Join(s.Names, " "))))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func orOne(list []string, usual string) []string {
	if len(list) == 0 {
		return []string{usual}
	}
	return list
}

// Expiry is a certificate and how long it lasts.
type Expiry struct {
	Name, Hosts string
	Until       time.Time
	// Left says how long that is from now.
	Left  string
	State why.State
	Text  string
}

// Key is what the certificate is known by.
func (e Expiry) Key() string { return e.Name }

// soon is how long before its end a certificate is a warning: what renews it does so a third of
// its life before, which is thirty days of the usual ninety.
const soon = 21 * 24 * time.Hour

// Expiries are the certificates that the proxy serves, those that end first before others; false
// if they are not known.
func (k *Known) Expiries() ([]Expiry, bool) {
	p := k.Picture()
	out := make([]Expiry, 0, len(p.Certificates))
	for name, hosts := range p.Certificates {
		e := Expiry{Name: name, Hosts: strings.Join(hosts, ", "), Until: p.CertificateEnds[name], State: why.OK}
		e.Left = left(e.Until, p.Time)
		switch {
		case e.Until.IsZero():
		case !p.Time.Before(e.Until):
			e.State, e.Text = why.Broken, "it has expired: renew it"
		case e.Until.Sub(p.Time) < soon:
			e.State, e.Text = why.Warn, "renew it"
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Expiry) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Name, b.Name)) })
	return out, p.Certificates != nil
}

// left is how long it is until a moment.
func left(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return ""
	case d <= 0:
		return "expired"
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
