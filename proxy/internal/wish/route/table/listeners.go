package table

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// compareRules is the total order of the rules of a port: those of services with an
// aclName first, by the bytes of the names; then the exact name before others and the
// longer before the shorter; then the older service, the smaller index, the value.
func compareRules(a, b streamRule) int {
	return cmp.Or(
		firstIf(a.explicit() != "", b.explicit() != ""),
		strings.Compare(a.explicit(), b.explicit()),
		firstIf(a.Name.Match == route.MatchExact, b.Name.Match == route.MatchExact),
		cmp.Compare(len(b.Name.Value), len(a.Name.Value)),
		catalog.Older(a.of.Service, b.of.Service),
		cmp.Compare(a.of.Index, b.of.Index),
		strings.Compare(a.Name.Value, b.Name.Value),
		strings.Compare(string(a.Name.Match), string(b.Name.Match)),
	)
}

type streamRule struct {
	route.StreamRule
	of *route.Stream
	// common says that services of several owners have names on the port, who do not
	// order theirs before those of others.
	common bool
}

func (r *streamRule) explicit() string {
	if r.common {
		return ""
	}
	return r.of.Order
}

// Listeners compiles streams whose claims are all different, or of one group.
func Listeners(services []route.Service, walls *Walls) []route.Listener {
	ports := map[int]*route.Listener{}
	rules := map[int][]streamRule{}
	for _, svc := range services {
		for i := range svc.Streams {
			s := &svc.Streams[i]
			l := ports[s.Port]
			if l == nil {
				l = &route.Listener{Port: s.Port}
				ports[s.Port] = l
			}
			l.KeepAlive = l.KeepAlive || s.KeepAlive
			l.TimeoutClient = max(l.TimeoutClient, s.TimeoutClient)
			if s.Names == nil {
				l.Default = s.Backend
			}
			for _, n := range s.Names {
				rules[s.Port] = append(rules[s.Port], streamRule{route.StreamRule{Name: n, Backend: s.Backend}, s, false})
			}
		}
	}
	var out []route.Listener
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		l := *ports[port]
		if walls.several(rules[port]) {
			for i := range rules[port] {
				rules[port][i].common = true
			}
		}
		slices.SortFunc(rules[port], compareRules)
		for _, r := range rules[port] {
			// Members of a group may have the same rule.
			if !slices.Contains(l.Rules, r.StreamRule) {
				l.Rules = append(l.Rules, r.StreamRule)
			}
		}
		out = append(out, l)
	}
	return out
}
