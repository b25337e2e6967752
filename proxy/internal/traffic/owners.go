package traffic

import (
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Owners tells whose backends are whose. It is not changed any more once it is made.
type Owners struct {
	// services are their names, sorted.
	services []string
	// http are those that are asked by HTTP, which have answers and a latency.
	http map[string]bool
	// backends are those of one service; members, by backend, are those of groups, whose
	// servers tell whose they are.
	backends map[string]string
	members  map[string]map[string]string
}

// OwnersOf are those of services in force.
func OwnersOf(services []route.Service) *Owners {
	o := &Owners{http: map[string]bool{}, backends: map[string]string{}, members: map[string]map[string]string{}}
	for _, s := range services {
		for _, b := range s.Backends {
			if b.Share.Group == "" {
				o.backends[b.Name] = s.Name
			} else {
				if o.members[b.Name] == nil {
					o.members[b.Name] = map[string]string{}
				}
				o.members[b.Name][b.Share.Member] = s.Name
			}
			o.http[s.Name] = o.http[s.Name] || b.Stream == nil
			o.services = append(o.services, s.Name)
		}
	}
	slices.Sort(o.services)
	o.services = slices.Compact(o.services)
	return o
}

// groups reports whether servers must be looked at to know whose traffic it is.
func (o *Owners) groups() bool { return len(o.members) > 0 }

// of is the service to which a backend, or a server of it, belongs.
func (o *Owners) of(backend, server string) (service string, ok bool) {
	if service, ok := o.backends[backend]; ok {
		return service, true
	}
	member, _, _ := strings.Cut(server, ":")
	service, ok = o.members[backend][member]
	return service, ok
}
