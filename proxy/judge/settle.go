package judge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// Wishes are all services, wherever they come from.
type Wishes struct {
	Snapshot catalog.Snapshot
	// Accepted are the label sets last accepted, by service ID.
	Accepted map[string]catalog.Service
	// Static come from variables of the proxy, Manual over HTTP, the latter by ID.
	Static []static.Service
	Manual map[string]catalog.Service
}

// Settle settles the services of a catalog together with the static ones and those that
// came over HTTP. Static ones are never new, so that who gets what does not depend on
// what came first. The snapshot is that of the catalog with the others in it.
func Settle(settler *claims.Settler, w Wishes) (claims.Desired, catalog.Snapshot) {
	snapshot, accepted := w.Snapshot, w.Accepted
	if len(w.Static)+len(w.Manual) == 0 {
		return settler.Settle(snapshot.Sorted(), accepted), snapshot
	}
	taken := map[string]bool{}
	for _, svc := range snapshot.Services {
		if svc.OptedIn() {
			taken[svc.Name] = true
		}
	}
	snapshot.Services, accepted = copied(snapshot.Services), copied(accepted)
	var refused []claims.Verdict
	for _, s := range w.Static {
		err := s.Err
		if err == nil && taken[s.Name] {
			err = &static.NameError{Name: s.Name}
		}
		if err != nil {
			refused = append(refused, claims.Verdict{Service: s.Service, Err: err})
			continue
		}
		taken[s.Name] = true
		snapshot.Services[s.ID], accepted[s.ID] = s.Service, s.Service
	}
	// Unless a service with routes has their name, those that came over HTTP are settled
	// like those of the swarm.
	for _, svc := range slices.SortedFunc(maps.Values(w.Manual), catalog.Older) {
		if taken[svc.Name] {
			refused = append(refused, claims.Verdict{Service: svc, Err: &manualNameError{svc.Name}})
			continue
		}
		snapshot.Services[svc.ID] = svc
	}
	d := settler.Settle(snapshot.Sorted(), accepted)
	d.Verdicts = slices.Concat(d.Verdicts, refused)
	// Of two of one name that of the swarm comes first.
	slices.SortFunc(d.Verdicts, func(a, b claims.Verdict) int {
		return cmp.Or(cmp.Compare(a.Service.Name, b.Service.Name), -catalog.Older(a.Service, b.Service))
	})
	return d, snapshot
}

// copied is a copy that can be written to.
func copied(services map[string]catalog.Service) map[string]catalog.Service {
	out := make(map[string]catalog.Service, len(services))
	maps.Copy(out, services)
	return out
}

// manualNameError says that a service with routes has the name already, which comes before
// what was asked for over HTTP.
type manualNameError struct{ name string }

// Error names the name.
func (e *manualNameError) Error() string {
	return fmt.Sprintf("another service is called %s, and its labels come before what is asked for over HTTP", e.name)
}
