package render

import (
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// needs is what services need of the sections that all share.
type needs struct {
	users                       []route.Users
	askElsewhere, measureBodies bool
}

// needsOf collects them, user lists in the order of the services, each once.
func needsOf(services []route.Service) needs {
	var n needs
	seen := map[string]bool{}
	for _, svc := range services {
		for i := range svc.Backends {
			a := &svc.Backends[i].Handling.Access
			n.askElsewhere = n.askElsewhere || a.Forward != nil
			n.measureBodies = n.measureBodies || svc.Backends[i].Handling.MaxBody > 0
			if a.Users != nil && !seen[a.Users.List] {
				seen[a.Users.List] = true
				n.users = append(n.users, *a.Users)
			}
		}
	}
	return n
}
