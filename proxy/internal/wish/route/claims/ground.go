package claims

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/table"
)

// ground knows which owner has what, by the file and by who came first. Without a file it
// is nil and everybody may have everything.
//
// What two owners cannot both have is refused here. What they can, such as a host below
// another's wildcard that was there before it, is kept apart by the tables: requests for a
// host are looked for among the routes of its owner alone.
type ground struct {
	file *owners.Owners
	// secure are ports of the proxy's own.
	secure []int
	// hosts are names and wildcards, paths those of routes without a host, groups the
	// names of groups, each with the owner who has it.
	hosts, paths, groups map[string]string
	// ports are who has connections of a port.
	ports map[int][]string
	// patterns are hosts that are compared, not looked up.
	patterns []pattern
}

// pattern is what hosts are compared with.
type pattern struct {
	match       route.Match
	text, owner string
}

func newGround(file *owners.Owners, secure []int) *ground {
	if file == nil {
		return nil
	}
	return &ground{file: file, secure: secure, hosts: map[string]string{}, paths: map[string]string{}, groups: map[string]string{}, ports: map[int][]string{}}
}

// check returns why a service cannot have what it wants, nil if it can. had is what it, or
// who it was, has been accepted with: hosts that it had before others took what covers them
// stay with it.
func (g *ground) check(svc catalog.Service, wants, had *route.Service) error {
	if g == nil {
		return nil
	}
	a := asking{ground: g, svc: svc, owner: g.file.Of(svc), may: g.file.Grant(svc), had: hostsOf(had)}
	for i := range wants.Routes {
		r := &wants.Routes[i]
		for _, c := range r.Claims {
			if err := a.requests(r, c); err != nil {
				return err
			}
		}
		if err := a.group(r.Group); err != nil {
			return err
		}
	}
	for _, r := range wants.Redirects {
		if err := a.host("redirectFromDomain", r.From); err != nil {
			return err
		}
	}
	for i := range wants.Streams {
		if err := cmp.Or(a.port(&wants.Streams[i]), a.group(wants.Streams[i].Group)); err != nil {
			return err
		}
	}
	return cmp.Or(a.outbound(wants), a.raw(wants), a.certificate(wants))
}

// take enters what a service has.
func (g *ground) take(svc catalog.Service, wants *route.Service) {
	if g == nil {
		return
	}
	owner := g.file.Of(svc)
	for i := range wants.Routes {
		r := &wants.Routes[i]
		for _, c := range r.Claims {
			switch {
			case c.Kind == route.ClaimRest:
			case r.HostMatch != "":
				g.patterns = append(g.patterns, pattern{r.HostMatch, c.Host, owner})
			case c.Host != "":
				g.hosts[c.Host] = owner
			default:
				g.paths[c.Path] = owner
			}
		}
		if r.Group != "" {
			g.groups[r.Group] = owner
		}
	}
	for _, r := range wants.Redirects {
		g.hosts[r.From] = owner
	}
	for _, s := range wants.Streams {
		if !slices.Contains(g.ports[s.Port], owner) {
			g.ports[s.Port] = append(g.ports[s.Port], owner)
		}
		for _, n := range s.Names {
			if host, ok := hostOf(n); ok {
				g.hosts[host] = owner
			} else {
				g.patterns = append(g.patterns, pattern{n.Match, n.Value, owner})
			}
		}
		if s.Group != "" {
			g.groups[s.Group] = owner
		}
	}
}

// walls are what the tables must keep apart.
func (g *ground) walls() *table.Walls {
	if g == nil {
		return nil
	}
	// Names of connections and redirects are their owners' for requests too.
	hosts := maps.Clone(g.hosts)
	maps.Copy(hosts, g.file.Hosts())
	return &table.Walls{Of: g.file.Of, Hosts: hosts, Guest: func(r *route.Route, c route.Claim) bool {
		may := g.file.Grant(r.Service)
		return g.file.Of(r.Service) == owners.Operator || may.WellKnown && route.WellKnown(c.Path) || may.Everywhere && r.Order != ""
	}}
}

// hostOf is the host or wildcard that a server name is, not ok if it is compared otherwise.
func hostOf(n route.ServerName) (string, bool) {
	switch {
	case n.Match == route.MatchExact:
		return n.Value, true
	case n.Match == route.MatchSuffix && strings.HasPrefix(n.Value, "."):
		return "*" + n.Value, true
	}
	return "", false
}

// hostsOf are the hosts and wildcards of a service.
func hostsOf(s *route.Service) map[string]bool {
	out := map[string]bool{}
	if s == nil {
		return out
	}
	for i := range s.Routes {
		if s.Routes[i].HostMatch == "" {
			for _, h := range s.Routes[i].Hosts {
				out[h] = true
			}
		}
	}
	for _, r := range s.Redirects {
		out[r.From] = true
	}
	for _, st := range s.Streams {
		for _, n := range st.Names {
			if host, ok := hostOf(n); ok {
				out[host] = true
			}
		}
	}
	return out
}

// asking is a service that asks for something.
type asking struct {
	*ground
	svc   catalog.Service
	owner string
	may   owners.Grant
	had   map[string]bool
}

// refuse makes the error. Without an owner it is what the file gives to nobody like this one.
func (a *asking) refuse(label, claim, owner, key string) error {
	return &route.OwnerError{Service: a.svc.Name, Claim: claim, Owner: owner, Label: label, Key: key}
}

// host checks a host or wildcard.
func (a *asking) host(label, host string) error {
	key := fmt.Sprintf("hosts: [%q]", host)
	claim := "the host " + host
	if owner, listed := a.file.Host(host); listed {
		if owner != a.owner {
			return a.refuse(label, claim, named(owner), key)
		}
		return nil
	}
	if owner, taken := a.hosts[host]; taken {
		if owner != a.owner {
			return a.refuse(label, claim, named(owner), key)
		}
		return nil
	}
	if a.file.Strict() && !a.may.Host(host) {
		return a.refuse(label, claim, "", key)
	}
	if a.had[host] {
		return nil
	}
	for _, wildcard := range owners.Covering(host)[1:] {
		if owner, taken := a.hosts[wildcard]; taken {
			if owner != a.owner {
				return a.refuse(label, claim+", below "+wildcard+",", named(owner), key)
			}
			return nil
		}
	}
	for _, p := range a.patterns {
		if p.owner != a.owner && p.fits(host) {
			return a.refuse(label, claim, named(p.owner), key)
		}
	}
	return nil
}

// compared checks hosts that are compared with a text.
func (a *asking) compared(label string, p pattern) error {
	if p.match == route.MatchSuffix && strings.HasPrefix(p.text, ".") {
		return a.host(label, "*"+p.text)
	}
	key := fmt.Sprintf("hosts: [%q]", owners.Any)
	for _, hosts := range []map[string]string{a.file.Hosts(), a.hosts} {
		for _, host := range slices.Sorted(maps.Keys(hosts)) {
			if owner := hosts[host]; owner != a.owner && p.fits(host) {
				return a.refuse(label, "the host "+host+", which "+p.text+" fits,", named(owner), key)
			}
		}
	}
	if a.file.Strict() && !a.may.Any() {
		return a.refuse(label, "every host that "+p.text+" fits", "", key)
	}
	return nil
}

// requests checks what a route claims.
func (a *asking) requests(r *route.Route, c route.Claim) error {
	switch {
	case c.Kind == route.ClaimRest:
		if a.file.Strict() && !a.may.Default && !a.may.Any() {
			return a.refuse("isDefaultBackend", "what fits no route", "", "defaultBackend: true")
		}
		return nil
	case r.HostMatch != "":
		return a.compared("serviceDomain", pattern{match: r.HostMatch, text: c.Host})
	case c.Host != "":
		return a.host("serviceDomain", c.Host)
	}
	return a.path(r, c.Path)
}

// path checks a path of any host.
func (a *asking) path(r *route.Route, path string) error {
	claim := "the path " + path + " of any host"
	if route.WellKnown(path) && !a.may.WellKnown {
		return a.refuse("servicePath", claim, a.somebody(), "wellKnown: true")
	}
	if owner, taken := a.paths[path]; taken && owner != a.owner {
		return a.refuse("servicePath", claim, named(owner), fmt.Sprintf("paths: [%q]", path))
	}
	kind, _ := r.PathType.Kind()
	switch {
	case a.may.WellKnown && route.WellKnown(path):
	case a.file.Strict() && (!kind.Filed && !a.may.Any() || !a.may.Path(path)):
		return a.refuse("servicePath", claim, "", fmt.Sprintf("paths: [%q]", path))
	case !kind.Filed && !a.may.Any():
		// It would come before the paths of all who have some.
		for _, other := range slices.Sorted(maps.Values(a.paths)) {
			if other != a.owner {
				return a.refuse("pathType", claim+", compared by "+string(kind.Type)+",", named(other), fmt.Sprintf("hosts: [%q]", owners.Any))
			}
		}
	}
	return nil
}

// somebody names who has hosts, of which any host is one; nobody if nobody has.
func (a *asking) somebody() string {
	others := map[string]bool{}
	for _, hosts := range []map[string]string{a.file.Hosts(), a.hosts} {
		for _, owner := range hosts {
			if owner != a.owner {
				others[named(owner)] = true
			}
		}
	}
	list := slices.Sorted(maps.Keys(others))
	if len(list) > 3 {
		list = append(list[:3], "others")
	}
	return strings.Join(list, ", ")
}

// group checks the name of a group.
func (a *asking) group(name string) error {
	owner, taken := a.groups[name]
	if name == "" || !taken || owner == a.owner || slices.Contains(a.may.Groups, name) {
		return nil
	}
	return a.refuse("serviceGroup", route.GroupScope(name), named(owner), fmt.Sprintf("groups: [%q]", name))
}

// port checks the port of a stream, and its names.
func (a *asking) port(s *route.Stream) error {
	claim, key := fmt.Sprintf("TCP port %d", s.Port), fmt.Sprintf("ports: [%d]", s.Port)
	listed := a.file.Port(s.Port)
	switch {
	case slices.Contains(listed, a.owner), a.owner == owners.Operator:
	case len(listed) > 0:
		return a.refuse("srcPort", claim, named(listed[0]), key)
	case slices.Contains(a.secure, s.Port):
		return a.refuse("srcPort", claim, "the proxy, which speaks TLS there once it has a certificate", key)
	case a.file.Strict() && !slices.Contains(a.may.Ports, s.Port):
		return a.refuse("srcPort", claim, "", key)
	}
	label := "serviceDomain"
	for _, n := range s.Names {
		host, plain := hostOf(n)
		if !plain {
			for _, other := range a.ports[s.Port] {
				if other != a.owner {
					return a.refuse(label, fmt.Sprintf("the name %s (%s) on %s", n.Value, n.Match, claim), named(other), key)
				}
			}
			if err := a.compared(label, pattern{match: n.Match, text: n.Value}); err != nil {
				return err
			}
			continue
		}
		if err := a.host(label, host); err != nil {
			return err
		}
		// No table keeps apart what comes in by another port.
		for _, hosts := range []map[string]string{a.file.Hosts(), a.hosts} {
			for _, below := range slices.Sorted(maps.Keys(hosts)) {
				if hosts[below] != a.owner && below != host && slices.Contains(owners.Covering(below), host) {
					return a.refuse(label, "the host "+below+", which "+host+" covers,", named(hosts[below]), fmt.Sprintf("hosts: [%q]", below))
				}
			}
		}
	}
	return nil
}

// outbound checks where requests would go, and who outside would be asked about them.
func (a *asking) outbound(wants *route.Service) error {
	if !a.file.Strict() || a.owner == owners.Operator {
		return nil
	}
	to := func(label, host string) error {
		if host = strings.TrimSuffix(host, "."); a.may.Outbound(host) {
			return nil
		}
		return a.refuse(label, host+" as a destination", "", fmt.Sprintf("outbound: [%q]", host))
	}
	for i := range wants.Backends {
		b := &wants.Backends[i]
		if b.Outbound {
			if err := to("outboundHostname", b.Lookup); err != nil {
				return err
			}
		}
		if f := b.Handling.Access.Forward; f != nil && !labels.OfSwarm(f.Host) {
			if err := to("forwardAuth", f.Host); err != nil {
				return err
			}
		}
	}
	return nil
}

// raw checks labels of HAProxy's language.
func (a *asking) raw(wants *route.Service) error {
	has := func(b route.Backend) bool { return b.Handling.Extra != "" || b.Stream != nil && b.Stream.Extra != "" }
	if !a.file.Strict() || a.may.Raw || a.owner == owners.Operator || !slices.ContainsFunc(wants.Backends, has) {
		return nil
	}
	return a.refuse("backendExtra", "raw text of HAProxy's language", "", "raw: true")
}

// named is an owner as it is told to a user.
func named(owner string) string {
	if owner == owners.Operator || strings.HasPrefix(owner, "service ") {
		return owner
	}
	return "stack " + owner
}

// fits reports whether a host, or one below a wildcard, is what the text fits.
func (p pattern) fits(host string) bool {
	if name, wildcard := strings.CutPrefix(host, "*."); wildcard {
		return p.match.Fits("www."+name, p.text)
	}
	return p.match.Fits(host, p.text)
}
