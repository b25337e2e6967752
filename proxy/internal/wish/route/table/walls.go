package table

import (
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Walls keep the routes of owners apart. A host that an owner has leads to his routes alone,
// or to nobody; those for any host are for hosts that nobody has, and for his own.
type Walls struct {
	// Of is the owner of a service.
	Of func(catalog.Service) string
	// Hosts are names and wildcards that have an owner, with routes or without.
	Hosts map[string]string
	// Guest says of a route for any host whether it is for those of all owners too.
	Guest func(*route.Route, route.Claim) bool
}

// several reports whether rules are of more than one owner.
func (w *Walls) several(rules []streamRule) bool {
	return w != nil && slices.ContainsFunc(rules, func(r streamRule) bool { return w.Of(r.of.Service) != w.Of(rules[0].of.Service) })
}

// compile adds the entries of the hosts of each owner, and of those that nobody has.
func (w *Walls) compile(routes []*route.Route, t *tables, passed *Passed) {
	of := map[string][]*route.Route{}
	var guests []*route.Route
	for _, r := range routes {
		owner := w.Of(r.Service)
		of[owner] = append(of[owner], r)
		if r.HostMatch == "" && len(r.Hosts) == 0 && slices.ContainsFunc(r.Claims, func(c route.Claim) bool { return w.Guest(r, c) }) {
			guests = append(guests, r)
		}
	}
	hosts := map[string][]string{}
	for host, owner := range w.Hosts {
		hosts[owner] = append(hosts[owner], host)
		if of[owner] == nil {
			of[owner] = []*route.Route{}
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(of)) {
		own := of[owner]
		for _, r := range guests {
			if w.Of(r.Service) != owner {
				own = append(own[:len(own):len(own)], r)
			}
		}
		c := newCompiler(own, t, passed)
		patterns := map[string]bool{}
		for host := range c.byHost {
			patterns[host] = host != ""
		}
		for _, host := range hosts[owner] {
			patterns[host] = true
		}
		everywhere := slices.DeleteFunc(slices.Clone(c.byHost[""]), func(l *leaf) bool {
			return w.Of(l.route.Service) != owner && !w.Guest(l.route, l.Claim)
		})
		for _, host := range slices.Sorted(maps.Keys(patterns)) {
			if !patterns[host] {
				continue
			}
			t.host(host)
			if c.owned(host, everywhere); t.full() {
				return
			}
		}
		c.passed.shadows(c.hosted())
	}
	w.common(routes, t, passed)
}

// common adds the entries of requests for hosts that nobody has.
func (w *Walls) common(routes []*route.Route, t *tables, passed *Passed) {
	var any []*route.Route
	for _, r := range routes {
		if r.HostMatch != "" || len(r.Hosts) == 0 || r.Default {
			any = append(any, r)
		}
	}
	c := newCompiler(any, t, passed)
	for host := range c.byHost {
		if host != "" {
			delete(c.byHost, host)
		}
	}
	clear(c.wildcards)
	leaves := c.byHost[""]
	for _, l := range leaves {
		l.common = !w.Guest(l.route, l.Claim) && slices.ContainsFunc(any, func(r *route.Route) bool { return w.Of(r.Service) != w.Of(l.route.Service) })
	}
	slices.SortFunc(leaves, compare)
	c.class("", nil)
	c.passed.shadows(c.byHost)
}

// hosted are the leaves that are for hosts of the owner. What he has for any host is told of
// where hosts that nobody has are compiled.
func (c *compiler) hosted() map[string][]*leaf {
	out := maps.Clone(c.byHost)
	delete(out, "")
	return out
}

// owned adds the entries of a host pattern whose requests find routes of its owner, those in
// everywhere besides, and otherwise nobody.
func (c *compiler) owned(host string, everywhere []*leaf) {
	name := class(host)
	candidates := slices.Clone(c.byHost[host])
	for i, letter := range name {
		if letter == '.' && (i > 0 || !strings.HasPrefix(host, "*")) {
			candidates = append(candidates, c.wildcards[name[i:]]...)
		}
	}
	candidates = append(candidates, everywhere...)
	candidates = append(candidates, &leaf{Claim: route.Claim{Path: "/", Kind: route.ClaimRest}, route: &route.Route{Backend: route.Nobody}, last: true})
	lv := &level{}
	lv.clear()
	c.fill(host, lv, nil, candidates)
}
