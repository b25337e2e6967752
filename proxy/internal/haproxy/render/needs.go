package render

import (
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// needs is what services need of the sections that all share.
type needs struct {
	users        []route.Users
	askElsewhere bool
}

// needsOf collects them, user lists in the order of the services, each once.
func needsOf(services []route.Service) needs {
	var n needs
	seen := map[string]bool{}
	for _, svc := range services {
		for i := range svc.Backends {
			a := &svc.Backends[i].Handling.Access
			n.askElsewhere = n.askElsewhere || a.Forward != nil
			if a.Users != nil && !seen[a.Users.List] {
				seen[a.Users.List] = true
				n.users = append(n.users, *a.Users)
			}
		}
	}
	return n
}

// scripts are those that all services need, and these ones, by file name.
func (n needs) scripts() map[string]string {
	out := map[string]string{pathScriptName(): pathScript}
	if n.askElsewhere {
		out[forwardScriptName()] = forwardScript
	}
	return out
}
