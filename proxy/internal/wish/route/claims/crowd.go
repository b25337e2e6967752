package claims

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// mostEntries is how many entries and steps the tables of all services together may need, in
// the measure of table.CompileWithin. What a service asks for is bounded by itself, but one
// service's routes can be tried for the hosts of others.
const mostEntries = 300_000

// crowd is a service for which the tables have no room.
type crowd struct {
	service catalog.Service
	err     error
}

// settleWithin settles, and refuses the services for which the tables have no room. That
// depends on nothing else than what is settled, so that all replicas come to the same end.
func (m *Settler) settleWithin(ordered []catalog.Service, accepted map[string]catalog.Service) Desired {
	crowded := refusals{}
	for {
		d, one := m.settle(ordered, accepted, crowded)
		if one == nil {
			return d
		}
		crowded.add(one.service, one.err)
	}
}

// crowd chooses who is refused: of those whose labels are new the one whose routes need most.
func (s *settler) crowd(work map[string]int, accepted map[string]catalog.Service, room int) *crowd {
	of := func(id string) int { return work[id] }
	isNew := func(id string) bool {
		last, ok := accepted[id]
		return !ok || !catalog.SameLabels(last.Labels, s.d.Accepted[id].Labels)
	}
	ids := slices.Sorted(maps.Keys(s.d.Accepted))
	if changed := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !isNew(id) || of(id) == 0 }); len(changed) > 0 {
		ids = changed
	}
	// Of several that need as much the last one, so that it does not matter how they are called.
	worst := slices.MaxFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(of(a), of(b)), catalog.Older(s.d.Accepted[a], s.d.Accepted[b]))
	})
	svc := s.d.Accepted[worst]
	name := catalog.Prefix + "servicePath"
	if svc.Labels[name] == "" {
		name = catalog.Prefix + "serviceDomain"
	}
	return &crowd{svc, label.Faults{{
		Label: name, Text: label.Show(svc.Labels[name], false),
		Want: fmt.Sprintf("routes for which there is room: the tables of all services may have %d entries, and this one needs %s of them or more, since its routes are tried for the hosts of others, or those of others for its own; rather exact hosts, no aclName, fewer paths, or a greater label-budget of the proxy",
			room, strconv.Itoa(of(worst))),
	}}}
}
