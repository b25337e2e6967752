package owners

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// Operator owns the services of variables of the proxy, and may have everything.
const Operator = "the operator"

// Owners are what the file says.
type Owners struct {
	firstCome bool
	// grants are those of the owners that the file names, rest is what others get.
	grants map[string]Grant
	rest   Grant
	// hosts are the listed ones with their owners, ports those who may share each.
	hosts map[string]string
	ports map[int][]string
}

// ofService is the owner of a service without a stack: itself. No stack has a space in its name.
func ofService(name string) string { return "service " + name }

// index finds what is listed for two.
func (o *Owners) index() error {
	for _, name := range slices.Sorted(maps.Keys(o.grants)) {
		g := o.grants[name]
		if other, ok := o.grants[g.Owner]; g.Owner != "" && (!ok || other.Owner != "") {
			return fmt.Errorf("%s: owner: %q: want a stack of this file that has no other owner itself", name, g.Owner)
		}
		owner := cmp.Or(g.Owner, name)
		for _, host := range g.Hosts {
			if host == Any {
				continue
			}
			if other, ok := o.hosts[host]; ok && other != owner {
				return fmt.Errorf("hosts: %q is listed for %s and for %s: want one owner, or owner: %s beside the other", host, other, owner, other)
			}
			o.hosts[host] = owner
		}
		for _, port := range g.Ports {
			if !slices.Contains(o.ports[port], owner) {
				o.ports[port] = append(o.ports[port], owner)
			}
		}
	}
	return nil
}

// name is under which the file may list a service.
func name(svc catalog.Service) string {
	if svc.Stack != "" {
		return svc.Stack
	}
	return ofService(svc.Name)
}

// Of is the owner of a service.
func (o *Owners) Of(svc catalog.Service) string {
	if static.Is(svc.ID) {
		return Operator
	}
	name := name(svc)
	return cmp.Or(o.grants[name].Owner, name)
}

// Grant is what a service may have.
func (o *Owners) Grant(svc catalog.Service) Grant {
	if static.Is(svc.ID) {
		return Grant{Hosts: []string{Any}, WellKnown: true, Default: true, Everywhere: true}
	}
	own := name(svc)
	g, listed := o.grants[own]
	if !listed {
		g = o.rest.of(svc.Stack)
	}
	if g.Owner != "" {
		g = g.with(o.grants[g.Owner])
	}
	return g
}

// of is the default for one stack. A service without one gets nothing by its name, because
// it could be called like a stack.
func (g Grant) of(stack string) Grant {
	put := func(list []string, name string) []string {
		var out []string
		for _, text := range list {
			if stack != "" || !strings.Contains(text, Stack) {
				out = append(out, strings.ReplaceAll(text, Stack, name))
			}
		}
		return out
	}
	g.Hosts, g.Paths = put(g.Hosts, strings.ToLower(stack)), put(g.Paths, stack)
	return g
}

// with is what two may have together.
func (g Grant) with(o Grant) Grant {
	g.Hosts, g.Paths = slices.Concat(g.Hosts, o.Hosts), slices.Concat(g.Paths, o.Paths)
	g.Ports, g.Groups = slices.Concat(g.Ports, o.Ports), slices.Concat(g.Groups, o.Groups)
	g.Names, g.Networks = slices.Concat(g.Names, o.Names), slices.Concat(g.Networks, o.Networks)
	g.WellKnown, g.Default, g.Everywhere, g.Raw = g.WellKnown || o.WellKnown, g.Default || o.Default, g.Everywhere || o.Everywhere, g.Raw || o.Raw
	return g
}

// Strict reports whether nobody has what the file does not give him.
func (o *Owners) Strict() bool { return !o.firstCome }

// Hosts are the listed ones with their owners. They must not be changed.
func (o *Owners) Hosts() map[string]string { return o.hosts }

// Host returns whose a host or a wildcard is by the file: the longest that covers it counts.
func (o *Owners) Host(host string) (owner string, listed bool) {
	for _, pattern := range Covering(host) {
		if owner, ok := o.hosts[pattern]; ok {
			return owner, true
		}
	}
	return "", false
}

// Port returns who may share a port by the file, nil if it lists nobody.
func (o *Owners) Port(port int) []string { return o.ports[port] }

// Covering are a host or wildcard itself and the wildcards that cover it, the longest first.
func Covering(host string) []string {
	out := []string{host}
	name := strings.TrimPrefix(host, "*.")
	if name == host {
		_, name, _ = strings.Cut(name, ".")
		if name != "" {
			out = append(out, "*."+name)
		}
	}
	for {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return out
		}
		name = rest
		out = append(out, "*."+name)
	}
}

// Any reports whether every host may be had that is listed for nobody.
func (g Grant) Any() bool { return slices.Contains(g.Hosts, Any) }

// Host reports whether a host or wildcard is among those of a grant.
func (g Grant) Host(host string) bool {
	return g.Any() || slices.ContainsFunc(Covering(host), func(p string) bool { return slices.Contains(g.Hosts, p) })
}

// Path reports whether a path is at or below one of a grant.
func (g Grant) Path(path string) bool {
	return g.Any() || slices.ContainsFunc(g.Paths, func(p string) bool {
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(p, "/"))
		return ok && (rest == "" || rest[0] == '/')
	})
}

// Outbound reports whether a grant lists a host name or an address.
func (g Grant) Outbound(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return slices.ContainsFunc(g.Networks, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return slices.ContainsFunc(Covering(strings.ToLower(strings.TrimSuffix(host, "."))), func(p string) bool { return slices.Contains(g.Names, p) })
}
