// Package labels reads the labels of one service and makes of them what it wants of the
// proxy, with every fault by its name. It is pure.
//
// A good part of it is the table of all labels with the text of their page. One file reads
// the labels of one subject; they cannot be told apart further, because the faults of a
// service are collected by one reader.
package labels

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/proxy/internal/wish/budget"
	"github.com/wagglehq/waggle/proxy/internal/wish/outbound"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
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
	// Budget multiplies what all services together may ask for; 0 counts as 1.
	Budget int
	// EntryPorts are those of them by which requests come in; empty: not checked. PlainPorts
	// are those of them without TLS.
	EntryPorts, PlainPorts []int
	// Outbound says which hosts beside its own tasks a service may name.
	Outbound outbound.Rules
	// Operators is how the IDs of the operator's own services begin, which may name any;
	// empty if there are none.
	Operators string
}

// mayName returns why a service may not name a host, which is addr if that is valid; empty
// if it may, as far as it can be told before its name is looked up.
func (o Options) mayName(svc catalog.Service, host string, addr netip.Addr) string {
	switch {
	case o.isOperators(svc):
		return ""
	case addr.IsValid():
		return o.Outbound.Address("", addr, nil)
	}
	return o.Outbound.Host(host)
}

// isOperators reports whether a service is the operator's own word.
func (o Options) isOperators(svc catalog.Service) bool {
	return o.Operators != "" && strings.HasPrefix(svc.ID, o.Operators)
}

// FromService is Reader.Service for one service alone.
func FromService(svc catalog.Service, o Options) (route.Service, error) {
	return NewReader(o).Service(svc)
}

// Reader reads labels of one service after the other.
type Reader struct {
	o Options
	// table are the labels that are read, unsupported those that are refused by name.
	table, unsupported []label.Spec
	// all are both.
	all   []label.Spec
	slips *label.Slips
}

// NewReader returns a Reader with the operator's settings.
func NewReader(o Options) *Reader {
	r := &Reader{o: o, table: Table(), unsupported: Unsupported()}
	r.all = slices.Concat(r.table, r.unsupported)
	r.slips = label.NewSlips(r.all)
	return r
}

// Service reads the labels of one service. The error is ErrNoRoute, a *NetworkError or
// label.Faults.
func (rd *Reader) Service(svc catalog.Service) (route.Service, error) {
	o := rd.o
	r := label.NewReader(catalog.Prefix, withReqMode(svc.Labels, o), rd.all, o.Separator)
	all := r.Service()
	groups := r.Groups(destinationLabels()...)
	asks := func(g label.Group) bool { return g.Has("servicePath") || g.Has("serviceDomain") || streaming(g) }
	lost := lostIndexes(r, rd.table, groups)
	if !slices.ContainsFunc(groups, asks) && !slices.ContainsFunc(lost, asks) {
		return route.Service{}, route.ErrNoRoute
	}
	t := newTally()
	t.texts(svc, groups)
	if err := rd.exceeded(svc, &t.bill); err != nil {
		return route.Service{}, err
	}
	rd.refuseLost(lost)
	r.RefuseSlips(rd.slips)
	for _, spec := range rd.unsupported {
		for _, g := range append([]label.Group{all}, groups...) {
			if g.Has(spec.Name) {
				g.Reject(spec.Name, "no such label: this version of Waggle does not support it yet")
			}
		}
	}
	all.Bool("checkResolvers", true) // it has no effect, but must be a word of its kind
	if instance := all.Text("proxyInstanceName", DefaultInstance); o.Instance != "" && !strings.EqualFold(o.Instance, instance) {
		return route.Service{}, &route.ElsewhereError{Asked: instance, Own: o.Instance}
	}
	out := route.Service{ID: svc.ID, Name: svc.Name}
	claimed, ledger := map[route.Claim]int{}, route.NewLedger(0)
	besideHTTP := slices.ContainsFunc(groups, func(g label.Group) bool { return !streaming(g) })
	for _, g := range groups {
		d := rd.destination(svc, g, besideHTTP)
		t.destination(g, &d)
		if err := rd.exceeded(svc, &t.bill); err != nil {
			return route.Service{}, err
		}
		for i, rt := range d.Routes {
			d.Routes[i].Claims = rt.Claim()
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
		streams := route.Service{Streams: d.Streams, Terms: d.Terms}
		streams.Claim()
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
	refuseCircles(groups, out.Redirects)
	t.crossings(groups[0])
	refuseRaw(groups, out.Backends)
	out.Certificate = certificate(svc, all, out.Routes)
	out.ACME = acme(svc, all)
	t.bill.Add(budget.PEM, len(svc.Labels[catalog.Prefix+CertificateLabel]), catalog.Prefix+CertificateLabel)
	if err := rd.exceeded(svc, &t.bill); err != nil {
		return route.Service{}, err
	}
	out.Bill = &t.bill
	out.MaySleep = scaling.MaySleep(catalog.Prefix, svc.Labels)
	for i := range out.Backends {
		b := &out.Backends[i]
		b.Sleeps = out.MaySleep && b.Stream == nil && !b.Outbound
	}
	if err := r.Err(); err != nil {
		return route.Service{}, err
	}
	if len(o.Networks) > 0 && !slices.ContainsFunc(o.Networks, func(n string) bool { return slices.Contains(svc.Networks, n) }) {
		return route.Service{}, &route.NetworkError{Service: svc.Name, Networks: svc.Networks, Want: o.Networks}
	}
	out.Claim()
	return out, nil
}

// destinationLabels are those whose indexes are destinations.
func destinationLabels() []string {
	return []string{"servicePath", "serviceDomain", "port", "httpsPort"}
}

// lostIndexes are the indexes that are no destinations, although labels at them say which
// requests come in there, or guard them.
func lostIndexes(r *label.Reader, table []label.Spec, destinations []label.Group) []label.Group {
	var names []string
	for _, spec := range table {
		if leads(spec) {
			names = append(names, spec.Name)
		}
	}
	return slices.DeleteFunc(r.Groups(names...), func(g label.Group) bool {
		return g.Index == 0 || slices.ContainsFunc(destinations, func(d label.Group) bool { return d.Index == g.Index })
	})
}

// leads reports whether a label would be passed over at an index that is no destination,
// to the harm of its service.
func leads(spec label.Spec) bool {
	return spec.Indexed && (spec.Guarding || spec.Own && spec.PerDestination)
}

// refuseLost names the labels of indexes that are no destinations.
func (rd *Reader) refuseLost(lost []label.Group) {
	for _, g := range lost {
		for _, spec := range rd.table {
			if leads(spec) && g.Own(spec.Name) {
				g.Reject(spec.Name, fmt.Sprintf("beside it one of %[2]s at the same index, such as %[3]sport.%[1]d: without it %[1]d is no destination, and this label has no effect",
					g.Index, strings.Join(destinationLabels(), ", "), catalog.Prefix))
			}
		}
	}
}

// outsideOnly begins what would be right instead of a host that may not be named.
const outsideOnly = "a host outside of Waggle and the nodes that the operator allows: "

// lookup reads where the addresses of a destination come from, and whether that is
// not the service itself.
func (o Options) lookup(svc catalog.Service, g label.Group) (lookup string, outbound bool) {
	lookup = "tasks." + svc.Name + "."
	if g.OneOf("discoveryType", "tasks", "tasks", "vip", "dns", "overlay") == "vip" {
		lookup = svc.Name + "."
	}
	host := strings.TrimSuffix(g.Word("outboundHostname", ""), ".")
	if host == "" {
		return lookup, false
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		if a.Zone() != "" || a.IsUnspecified() {
			g.Reject("outboundHostname", "a host name or an address, without a zone")
		} else if why := o.mayName(svc, "", a); why != "" {
			g.Reject("outboundHostname", outsideOnly+why)
		}
		return a.Unmap().String(), true
	}
	if !route.ValidHost(strings.ToLower(host)) {
		g.Reject("outboundHostname", "a host name or an address")
	} else if why := o.mayName(svc, host, netip.Addr{}); why != "" {
		g.Reject("outboundHostname", outsideOnly+why)
	}
	return host + ".", true
}

// destination reads the labels of one index.
func (rd *Reader) destination(svc catalog.Service, g label.Group, besideHTTP bool) route.Service {
	if mode := reqMode(g); mode != modeHTTP {
		return rd.stream(svc, g, mode, besideHTTP)
	}
	o := rd.o
	var out route.Service
	lookup, outbound := o.lookup(svc, g)
	does := handling(g, o)
	does.Access = access(svc, g, o)
	fallback := g.Bool("isDefaultBackend", false)
	matches := match(g, o)
	backend := func(label, suffix string, matches []route.Route, conditions ...route.Condition) {
		port := g.Int(label, 0, 1, 65535)
		b := route.Backend{
			Name: svc.Name + "-be" + strconv.Itoa(port) + "_" + strconv.Itoa(g.Index) + suffix, Service: svc.Name, Lookup: lookup, Port: port, Outbound: outbound, Handling: does,
		}
		if b.Share = httpShare(svc, g, does, port); b.Share.Group != "" {
			b.Name = b.Share.BackendOf(suffix)
		}
		for _, rt := range matches {
			rt.Service, rt.Backend, rt.Group, rt.Default = svc, b.Name, b.Share.Group, fallback && (suffix == "" || !g.Has("port"))
			rt.Conditions, rt.RawPath = slices.Concat(conditions, rt.Conditions), does.RawPath
			oneLine(g, &rt)
			out.Routes = append(out.Routes, rt)
			fallback = fallback && !rt.Default // one takes all the rest
		}
		out.Backends = append(out.Backends, b)
		out.Terms = append(out.Terms, rd.httpTerms(g, b)...)
	}
	entry := func(label string, def int) route.Condition {
		port := g.Int(label, def, 1, 65535)
		entryPort(g, label, port, o)
		return onPort(port)
	}
	var byPort []route.Route
	for _, rt := range matches {
		byPort = append(byPort, entries(rt, g, does, o)...)
	}
	switch {
	case g.Has("httpsPort") && g.Has("port"):
		// What comes in by the port for TLS goes to another port of the service.
		backend("httpsPort", "s", matches, entry("srcHttpsPort", 443))
		if g.Has("srcPort") {
			backend("port", "", byPort)
		} else {
			backend("port", "", matches, entry("srcPort", 80))
		}
	case g.Has("httpsPort"):
		backend("httpsPort", "s", matches, entry("srcHttpsPort", 443))
	default:
		if !g.Has("port") {
			g.Reject("port", "the number of the port on which the service listens")
		}
		backend("port", "", byPort)
	}
	out.Redirects = redirects(g)
	return out
}

// redirects reads redirectFromDomain, which leads to the first serviceDomain.
func redirects(g label.Group) []route.Redirect {
	list := g.List("redirectFromDomain")
	if len(list) == 0 {
		return nil
	}
	var to string
	if domains := g.List("serviceDomain"); len(domains) > 0 {
		to = strings.ToLower(domains[0])
	}
	if !route.ValidHost(to) {
		g.Reject("redirectFromDomain", "a com.df.serviceDomain beside it, whose first name, without wildcard, is where requests go")
		return nil
	}
	var out []route.Redirect
	for _, from := range list {
		if from = strings.ToLower(from); !route.ValidHost(from) {
			g.RejectText("redirectFromDomain", from, "host names such as acme.com")
			continue
		}
		out = append(out, route.Redirect{From: from, To: to, Group: group(g)})
	}
	return out
}

// refuseRaw refuses rawPath where the path decides who gets in: a task that takes encoded
// slashes for slashes would serve to one what is meant for another.
func refuseRaw(groups []label.Group, backends []route.Backend) {
	access := func(h route.Handling) any {
		if h.Access.Users != nil {
			users := *h.Access.Users
			users.List = "" // it tells the backends apart
			h.Access.Users = &users
		}
		return []any{h.Access, h.VerifyClient, h.Client, h.DenyHTTP, h.AllowedMethods, h.DeniedMethods}
	}
	var first *route.Backend
	for i := range backends {
		b := &backends[i]
		switch {
		case b.Stream != nil:
		case first == nil:
			first = b
		case !reflect.DeepEqual(access(b.Handling), access(first.Handling)):
			for _, g := range groups {
				if g.Bool("rawPath", false) {
					g.Reject("rawPath", "false, or the same labels of access at all indexes: with encoded slashes a path of one may be read as that of another")
				}
			}
			return
		}
	}
}

// refuseCircles refuses redirects of a service that lead back to where they began. Those of
// two services cannot, because nobody redirects what another routes.
func refuseCircles(groups []label.Group, redirects []route.Redirect) {
	to := map[string]string{}
	for _, r := range redirects {
		to[r.From] = r.To
	}
	for _, g := range groups {
		for _, from := range g.List("redirectFromDomain") {
			from = strings.ToLower(from)
			at := to[from]
			for range redirects {
				if at == "" || at == from {
					break
				}
				at = to[at]
			}
			if at != from {
				continue
			}
			way := from + " to " + to[from]
			for at := to[from]; at != from; at = to[at] {
				way += " to " + to[at]
			}
			g.RejectText("redirectFromDomain", from, "a host that does not lead back to itself, as from "+way)
		}
	}
}

// unique sorts and drops repetitions.
func unique[T cmp.Ordered](list []T) []T {
	slices.Sort(list)
	return slices.Compact(list)
}
