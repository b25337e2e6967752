package controller

import (
	"cmp"
	"maps"
	"slices"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// settleWith settles the services of a catalog together with the static ones and those
// that came over HTTP. Static ones are never new, so that who gets what does not
// depend on what came first.
func (c *Controller) settleWith(in input) (claims.Desired, catalog.Snapshot) {
	snapshot, accepted := in.snapshot, in.accepted
	if len(c.o.Static)+len(in.manual) == 0 {
		return c.settler.Settle(snapshot.Sorted(), accepted), snapshot
	}
	taken := map[string]bool{}
	for _, svc := range snapshot.Services {
		if svc.OptedIn() {
			taken[svc.Name] = true
		}
	}
	snapshot.Services, accepted = maps.Clone(snapshot.Services), maps.Clone(accepted)
	if snapshot.Services == nil {
		snapshot.Services = map[string]catalog.Service{}
	}
	if accepted == nil {
		accepted = map[string]catalog.Service{}
	}
	var out []claims.Verdict
	for _, s := range c.o.Static {
		err := s.Err
		if err == nil && taken[s.Name] {
			err = &static.NameError{Name: s.Name}
		}
		if err != nil {
			out = append(out, claims.Verdict{Service: s.Service, Err: err})
			continue
		}
		taken[s.Name] = true
		snapshot.Services[s.ID], accepted[s.ID] = s.Service, s.Service
	}
	out = append(out, join(snapshot.Services, in.manual, taken)...)
	d := c.settler.Settle(snapshot.Sorted(), accepted)
	d.Verdicts = slices.Concat(d.Verdicts, out)
	// Of two of one name that of the swarm comes first.
	slices.SortFunc(d.Verdicts, func(a, b claims.Verdict) int {
		return cmp.Or(cmp.Compare(a.Service.Name, b.Service.Name), -catalog.Older(a.Service, b.Service))
	})
	return d, snapshot
}

// swarmOnly leaves the static services out: they are not part of what the bus and
// the disk remember.
func swarmOnly(services map[string]catalog.Service) map[string]catalog.Service {
	out := maps.Clone(services)
	maps.DeleteFunc(out, func(id string, _ catalog.Service) bool { return static.Is(id) })
	return out
}

// warn tells once, at the start, what is wrong with static services.
func (c *Controller) warn() {
	for _, s := range c.o.Static {
		for _, variable := range s.Unknown {
			c.o.Log.Warn("a variable that means nothing", "variable", variable, "name", s.Name)
		}
	}
}

// tell logs, once for each change, the static services that are rejected; those of
// the catalog are told about on the bus.
func (c *Controller) tell() {
	told := map[string]string{}
	for _, v := range c.desired.Verdicts {
		if !static.Is(v.Service.ID) || v.Err == nil {
			continue
		}
		told[v.Service.ID] = v.Err.Error()
		if c.told[v.Service.ID] != v.Err.Error() {
			c.o.Log.Warn("a static service is rejected", "name", v.Service.Name, "id", v.Service.ID, "error", v.Err)
		}
	}
	c.told = told
}

// Published are the statuses for the bus: those of the swarm's services, which
// every proxy agrees on.
func (v *View) Published() []catalog.Status {
	return slices.DeleteFunc(v.Statuses(), func(s catalog.Status) bool { return static.Is(s.ServiceID) })
}
