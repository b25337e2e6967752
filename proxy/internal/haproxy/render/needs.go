package render

import (
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// needs is what services need of the sections that all share.
type needs struct {
	users                       []route.Users
	askElsewhere, measureBodies bool
	// hold says that requests may have to wait for a service that sleeps.
	hold bool
	// uniqueID says that requests need an id, which costs as much as a dozen rules.
	uniqueID bool
}

// needsOf collects them, user lists in the order of the services, each once.
func needsOf(services []route.Service) needs {
	var n needs
	seen := map[string]bool{}
	for _, svc := range services {
		for i := range svc.Backends {
			h := &svc.Backends[i].Handling
			a := &h.Access
			n.hold = n.hold || svc.Backends[i].Sleeps
			n.askElsewhere = n.askElsewhere || a.Forward != nil
			n.measureBodies = n.measureBodies || h.MaxBody > 0
			n.uniqueID = n.uniqueID || asksForID(*h)
			if a.Users != nil && !seen[a.Users.List] {
				seen[a.Users.List] = true
				n.users = append(n.users, *a.Users)
			}
		}
	}
	return n
}

// fetchOfID is how labels ask for the id of a request.
const fetchOfID = "unique-id"

// asksForID reports whether a service wants requests to have an id, or writes raw text, which
// may hold anything.
func asksForID(h route.Handling) bool {
	return h.Extra != "" || slices.ContainsFunc(h.Headers, func(a route.HeaderAction) bool {
		return slices.ContainsFunc(a.Value, func(p route.Part) bool { return p.Fetch == fetchOfID })
	})
}

// mayAskForID is the same of what the operator writes. A format has it as %ID, and by its name.
func (s Settings) mayAskForID() bool {
	return len(s.ExtraGlobal)+len(s.ExtraFrontend) > 0 || strings.Contains(s.LogFormat, "ID") || strings.Contains(s.LogFormat, fetchOfID)
}
