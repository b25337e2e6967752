package table

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Passed tells of services, by ID, which of their requests go to others.
type Passed struct {
	// Shadowed are claims that no request reaches, each with the service that takes its
	// requests.
	Shadowed map[string][]string
	// by are those who come first with some requests, by the ID of whose they are and
	// their own name, each with one of their claims.
	by map[string]map[string]string
	// compared is how many pairs have been looked at.
	compared int
}

// mostCompared is how many pairs of claims are looked at for who comes first, which takes
// some 20 ms. Beyond that, who is overtaken is not told.
const mostCompared = 2_000_000

func newPassed() *Passed {
	return &Passed{Shadowed: map[string][]string{}, by: map[string]map[string]string{}}
}

// shadows adds the claims that no request reaches.
func (p *Passed) shadows(byHost map[string][]*leaf) {
	for _, leaves := range byHost {
		for _, l := range leaves {
			if l.blocked != "" && !l.reached && !l.rest() {
				id := l.route.Service.ID
				p.Shadowed[id] = append(p.Shadowed[id], l.String()+" (all its requests go to "+l.blocked+")")
			}
		}
	}
	for _, list := range p.Shadowed {
		slices.Sort(list)
	}
}

// overtaken adds what of the candidates of a class, in their order, comes before others by
// something else than a more specific host or path, as far as mostCompared allows.
func (p *Passed) overtaken(candidates []*leaf) {
	for i, first := range candidates {
		if first.rest() || first.plain() {
			continue
		}
		if p.compared += len(candidates) - i - 1; p.compared > mostCompared {
			return
		}
		for _, l := range candidates[i+1:] {
			if !l.rest() && first.overtakes(l) {
				p.add(l.route.Service.ID, first.route.Service.Name, first.Claim)
			}
		}
	}
}

func (p *Passed) add(id, name string, c route.Claim) {
	if p.by[id] == nil {
		p.by[id] = map[string]string{}
	}
	if shown := c.String(); p.by[id][name] == "" || shown < p.by[id][name] {
		p.by[id][name] = shown
	}
}

// plain reports whether nothing but host and path decides about a leaf's place.
func (l *leaf) plain() bool {
	return l.simple() && l.explicit() == "" && !(l.Host == "" && route.WellKnown(l.Path))
}

// overtakes reports whether a leaf, which comes first, takes requests of another's that it
// would not have by host and path.
func (l *leaf) overtakes(other *leaf) bool {
	a, b := l.route, other.route
	if a.Service.ID == b.Service.ID || a.Group != "" && a.Group == b.Group {
		return false
	}
	if !strings.HasPrefix(l.node(), other.node()) && !strings.HasPrefix(other.node(), l.node()) {
		return false
	}
	filed := l.route.HostMatch == ""
	if kind, _ := a.PathType.Kind(); !kind.Filed {
		filed = false
	}
	if !filed {
		return true
	}
	mine, theirs := hostRank(l), hostRank(other)
	return mine < theirs || mine == theirs && len(l.Path) <= len(other.Path)
}

// Redirected adds redirects from hosts that wildcards, or comparisons, of others cover.
func (p *Passed) Redirected(services []route.Service, routes []*route.Route) {
	for i := range services {
		for _, redirect := range services[i].Redirects {
			for _, r := range routes {
				if r.Service.ID == services[i].ID || r.Group != "" && r.Group == redirect.Group {
					continue
				}
				covers := func(host string) bool {
					suffix, wildcard := strings.CutPrefix(host, "*")
					return wildcard && r.HostMatch == "" && strings.HasSuffix(redirect.From, suffix) || r.HostMatch != "" && r.HostMatch.Fits(redirect.From, host)
				}
				if slices.ContainsFunc(r.Hosts, covers) {
					p.add(r.Service.ID, services[i].Name, route.Claim{Host: redirect.From, Kind: route.ClaimRedirect})
				}
			}
		}
	}
}

// Overtaken says who comes first with some requests of a service, sorted by name.
func (p *Passed) Overtaken(id string) []string {
	const most = 10
	var out []string
	names := slices.Sorted(maps.Keys(p.by[id]))
	for i, name := range names {
		if i == most {
			return append(out, fmt.Sprintf("and %d other services come first with some of its requests", len(names)-most))
		}
		out = append(out, fmt.Sprintf("%s comes first with some of its requests, by %s", name, p.by[id][name]))
	}
	return out
}
