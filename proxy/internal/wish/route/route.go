// Package route turns the labels of services into routes, settles who gets which,
// and compiles them into look-up tables. It is pure: the same catalog gives the
// same result on every replica.
package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Options are the operator's settings that labels are read with.
type Options struct {
	// Separator splits lists in labels; "," if empty.
	Separator string
	// Networks are the networks that the proxy shares with services. A service
	// on none of them cannot be reached. Empty: not checked.
	Networks []string
	// DomainAlgo is the default of serviceDomainAlgo; exact hosts if empty.
	DomainAlgo string
	// Instance is the name of this proxy, if services choose one by
	// proxyInstanceName; empty: every service is meant.
	Instance string
	// HTTPSOnly redirects every request that comes without TLS.
	HTTPSOnly bool
	// ReqMode is the default of reqMode; HTTP if empty.
	ReqMode string
	// AllowRaw admits labels that are raw text of HAProxy's language.
	AllowRaw bool
	// OperatorUsers says that services which do not say who gets in are for the
	// operator's users only.
	OperatorUsers bool
	// Ports are those on which the proxy itself listens; no stream can have them.
	Ports []int
}

// Service is what one service wants of the proxy.
type Service struct {
	ID, Name string
	Backends []Backend
	Routes   []Route
	// Redirects are hosts whose requests are sent on to another.
	Redirects []Redirect
	Streams   []Stream
	// Certificate is nil if it brings none.
	Certificate *Certificate
	// Claims are all that it claims.
	Claims []Claim
	// Shared are for which group a claim is, if it is for one; nil for most services.
	Shared map[Claim]Owner
	// Terms are what it says of what it shares with others.
	Terms []Term
}

// Backend is where a route leads: the tasks of one service, at one port.
type Backend struct {
	// Name is unique among all backends ("shop_web-be8080_1").
	Name string
	// Service is the service's name: of its cookie, say.
	Service string
	// Lookup is the absolute DNS name of the addresses; an address stands for itself.
	Lookup string
	Port   int
	// Outbound says that Lookup is not the service's own name.
	Outbound bool
	Handling Handling
	// Stream is nil if the backend is for HTTP; otherwise nothing of Handling is set but
	// how servers are spoken to.
	Stream *StreamBackend
	// Share tells which part of a group's backend this is.
	Share Share
}

// Redirect sends the requests of one host to another, with path and query.
type Redirect struct {
	From, To string
	// Group is the name under which several services may say so.
	Group string
}

// Route is one way into a service: any of the hosts with any of the paths.
type Route struct {
	Service catalog.Service
	// Index is that of the labels, 0 for those without.
	Index int
	// Hosts are exact names or "*.name", or what HostMatch compares with; nil means any host.
	Hosts     []string
	HostMatch Match
	// Paths are prefixes, compared as text, unless PathMatch says otherwise.
	Paths     []string
	PathMatch Match
	// Conditions must all hold besides.
	Conditions []Condition
	// Default takes what no route fits.
	Default bool
	// Order is the service's aclName, empty if it has none.
	Order string
	// Group is the name under which services share their routes and one backend.
	Group   string
	Backend string
	// Claims are its own, kept because each pass needs them.
	Claims []Claim
}

// ErrNoRoute says that a service wants no route. That is not a fault: it may
// be there for the monitor or the scaler only.
var ErrNoRoute = errors.New("no com.df.servicePath or com.df.serviceDomain: the service asks for no route")

// NetworkError says that the proxy cannot reach a service.
type NetworkError struct {
	Service  string
	Networks []string
	Want     []string
}

// Error names the service's networks and the one that is missing.
func (e *NetworkError) Error() string {
	have := "no network"
	if len(e.Networks) > 0 {
		have = "only " + strings.Join(e.Networks, ", ")
	}
	return fmt.Sprintf("%s is on %s, and the proxy is on %s", e.Service, have, strings.Join(e.Want, ", "))
}

// Hint is the line to add to the stack file.
func (e *NetworkError) Hint() string {
	return fmt.Sprintf("add the service to the network in its stack file: `networks: [%[1]s]`, with `networks: {%[1]s: {external: true}}` at the end", e.Want[0])
}

// FromService is Reader.Service for one service alone.
func FromService(svc catalog.Service, o Options) (Service, error) { return NewReader(o).Service(svc) }

// Reader reads labels of one service after the other.
type Reader struct {
	o Options
	// table are the labels that are read, unsupported those that are refused by name.
	table, unsupported []label.Spec
	// all are both.
	all []label.Spec
}

// NewReader returns a Reader with the operator's settings.
func NewReader(o Options) *Reader {
	r := &Reader{o: o, table: Table(), unsupported: Unsupported()}
	r.all = slices.Concat(r.table, r.unsupported)
	return r
}

// Service reads the labels of one service. The error is ErrNoRoute, a *NetworkError or
// label.Faults.
func (rd *Reader) Service(svc catalog.Service) (Service, error) {
	o := rd.o
	r := label.NewReader(catalog.Prefix, withReqMode(svc.Labels, o), rd.all, o.Separator)
	all := r.Service()
	groups := r.Groups("servicePath", "serviceDomain", "port", "httpsPort")
	if !slices.ContainsFunc(groups, func(g label.Group) bool { return g.Has("servicePath") || g.Has("serviceDomain") || streaming(g) }) {
		return Service{}, ErrNoRoute
	}
	for _, spec := range rd.unsupported {
		for _, g := range append([]label.Group{all}, groups...) {
			if g.Has(spec.Name) {
				g.Reject(spec.Name, "no such label: this version of Waggle does not support it yet")
			}
		}
	}
	all.Bool("checkResolvers", true) // it has no effect, but must be a word of its kind
	if instance := all.Text("proxyInstanceName", "docker-flow"); o.Instance != "" && !strings.EqualFold(o.Instance, instance) {
		return Service{}, fmt.Errorf("%w: com.df.proxyInstanceName is not %s", ErrNoRoute, o.Instance)
	}
	out := Service{ID: svc.ID, Name: svc.Name}
	claimed, ledger := map[Claim]int{}, NewLedger(0)
	besideHTTP := slices.ContainsFunc(groups, func(g label.Group) bool { return !streaming(g) })
	for _, g := range groups {
		d := rd.destination(svc, g, besideHTTP)
		for i, rt := range d.Routes {
			d.Routes[i].Claims = rt.claims()
			for _, c := range d.Routes[i].Claims {
				if first, ok := claimed[c]; ok {
					g.Reject("servicePath", fmt.Sprintf("a path that is not already that of index %d", first))
				}
				claimed[c] = g.Index
			}
		}
		out.Routes = append(out.Routes, d.Routes...)
		out.Backends = append(out.Backends, d.Backends...)
		out.Redirects = append(out.Redirects, d.Redirects...)
		// The indexes of one service must agree like the members of a group.
		index := strconv.Itoa(g.Index)
		streams := Service{Streams: d.Streams, Terms: d.Terms}
		streams.claim()
		switch c := ledger.Conflict(index, &streams); {
		case c == nil:
			ledger.Take(index, &streams)
		case c.Has != "":
			g.Reject(c.Label, fmt.Sprintf("the same at all indexes of %s, one of which has %s", c.Claim, c.Has))
		default:
			g.Reject(c.Label, fmt.Sprintf("something else than index %s, which has %s already", c.Winner, c.Claim))
		}
		out.Streams = append(out.Streams, d.Streams...)
		out.Terms = append(out.Terms, d.Terms...)
	}
	out.Certificate = certificate(svc, all, out.Routes)
	if err := r.Err(); err != nil {
		return Service{}, err
	}
	if len(o.Networks) > 0 && !slices.ContainsFunc(o.Networks, func(n string) bool { return slices.Contains(svc.Networks, n) }) {
		return Service{}, &NetworkError{Service: svc.Name, Networks: svc.Networks, Want: o.Networks}
	}
	out.claim()
	return out, nil
}

// validHost admits what DNS and container names are made of; an address is a name too.
func validHost(h string) bool {
	if h == "" || len(h) > 253 {
		return false
	}
	for part := range strings.SplitSeq(h, ".") {
		if part == "" || len(part) > 63 || strings.ContainsFunc(part, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}

// lookup reads where the addresses of a destination come from, and whether that is
// not the service itself.
func lookup(svc catalog.Service, g label.Group) (lookup string, outbound bool) {
	lookup = "tasks." + svc.Name + "."
	if g.OneOf("discoveryType", "tasks", "tasks", "vip", "dns", "overlay") == "vip" {
		lookup = svc.Name + "."
	}
	host := g.Word("outboundHostname", "")
	if host != "" {
		lookup = strings.TrimSuffix(host, ".") + "."
		if a, err := netip.ParseAddr(host); err == nil {
			lookup = a.String()
		} else if !validHost(strings.ToLower(strings.TrimSuffix(host, "."))) {
			g.Reject("outboundHostname", "a host name or an address")
		}
	}
	return lookup, host != ""
}

// destination reads the labels of one index.
func (rd *Reader) destination(svc catalog.Service, g label.Group, besideHTTP bool) Service {
	if mode := reqMode(g); mode != modeHTTP {
		return rd.stream(svc, g, mode, besideHTTP)
	}
	o := rd.o
	var out Service
	lookup, outbound := lookup(svc, g)
	does := handling(g, o)
	does.Access = access(svc, g, o)
	fallback := g.Bool("isDefaultBackend", false)
	matches := match(g, o)
	backend := func(label, suffix string, conditions ...Condition) {
		port := g.Int(label, 0, 1, 65535)
		b := Backend{
			Name: svc.Name + "-be" + strconv.Itoa(port) + "_" + strconv.Itoa(g.Index) + suffix, Service: svc.Name, Lookup: lookup, Port: port, Outbound: outbound, Handling: does,
		}
		if b.Share = httpShare(svc, g, does, port); b.Share.Group != "" {
			b.Name = b.Share.backendOf(suffix)
		}
		for _, rt := range matches {
			rt.Service, rt.Backend, rt.Group, rt.Default = svc, b.Name, b.Share.Group, fallback && suffix == ""
			rt.Conditions = slices.Concat(conditions, rt.Conditions)
			out.Routes = append(out.Routes, rt)
			fallback = false
		}
		out.Backends = append(out.Backends, b)
		out.Terms = append(out.Terms, rd.httpTerms(g, b)...)
	}
	entry := func(label string, def int) Condition {
		return Condition{Fetch: FetchPort, Match: MatchNumber, Values: []string{strconv.Itoa(g.Int(label, def, 1, 65535))}}
	}
	switch {
	case g.Has("httpsPort") && g.Has("port"):
		// What comes in by the port for TLS goes to another port of the service.
		backend("httpsPort", "s", entry("srcHttpsPort", 443))
		if g.Has("srcPort") {
			backend("port", "")
		} else {
			backend("port", "", entry("srcPort", 80))
		}
	case g.Has("httpsPort"):
		backend("httpsPort", "s", entry("srcHttpsPort", 443))
	default:
		if !g.Has("port") {
			g.Reject("port", "the number of the port on which the service listens")
		}
		backend("port", "")
	}
	out.Redirects = redirects(g)
	return out
}

// redirects reads redirectFromDomain, which leads to the first serviceDomain.
func redirects(g label.Group) []Redirect {
	list := g.List("redirectFromDomain")
	if len(list) == 0 {
		return nil
	}
	var to string
	if domains := g.List("serviceDomain"); len(domains) > 0 {
		to = strings.ToLower(domains[0])
	}
	if !validHost(to) {
		g.Reject("redirectFromDomain", "a com.df.serviceDomain beside it, whose first name, without wildcard, is where requests go")
		return nil
	}
	var out []Redirect
	for _, from := range list {
		if from = strings.ToLower(from); !validHost(from) {
			g.RejectText("redirectFromDomain", from, "host names such as acme.com")
			continue
		}
		out = append(out, Redirect{From: from, To: to, Group: group(g)})
	}
	return out
}

// unique sorts and drops repetitions.
func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func (r Route) pathMatch() Match {
	if r.PathMatch == "" {
		return MatchPrefix
	}
	return r.PathMatch
}

// redirectTable is the look-up of hosts that are redirected.
func redirectTable(services []Service) []Entry {
	var out []Entry
	for _, s := range services {
		for _, r := range s.Redirects {
			out = append(out, Entry{Key: r.From, Value: r.To}) // those of a group are alike
		}
	}
	slices.SortFunc(out, byKey)
	return slices.Compact(out)
}
