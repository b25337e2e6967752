package table

import (
	"slices"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// First returns the backend of the first claim, in the order of routes, that fits.
func First(services []route.Service, fits func(r *route.Route, c route.Claim, steps []route.Condition) bool) string {
	var found []*leaf
	for _, s := range services {
		for i := range s.Routes {
			r := &s.Routes[i]
			for _, c := range r.Claims {
				if l := (&leaf{Claim: c, route: r}); fits(r, c, l.steps()) {
					found = append(found, l)
				}
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.MinFunc(found, compare).route.Backend
}
