package route

import (
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Access says who gets into a backend, and what it tells browsers about that. Its
// zero value lets everybody in.
type Access struct {
	// Allowed and Denied decide by the client's address.
	Allowed, Denied *Addresses
	Limit           *Limit
	CORS            *CORS
	// Users is nil if no name and password are asked for.
	Users   *Users
	Forward *ForwardAuth
	// SecurityHeaders adds what makes browsers careful to answers that lack it.
	SecurityHeaders bool
	// SendProxy is the version of the PROXY protocol that tasks are spoken to with,
	// 0 for none.
	SendProxy int
}

// AsksForClient reports whether the client's address decides, or is told.
func (a Access) AsksForClient() bool {
	return a.Allowed != nil || a.Denied != nil || a.Limit != nil || a.Forward != nil
}

// access reads who gets into a destination.
func access(svc catalog.Service, g label.Group, o Options) Access {
	return Access{
		Allowed: addresses(g, "allowedAddresses"), Denied: addresses(g, "deniedAddresses"),
		Limit: limit(g), CORS: cors(g), Users: users(svc, g, o), Forward: forwardAuth(g),
		SecurityHeaders: g.Bool("securityHeaders", false), SendProxy: sendProxy(g),
	}
}

// refuseHTTP refuses the labels of HTTP at a destination of connections. That one of them
// does nothing must not be found out by an attack. What does not guard and stands without
// an index is passed over if the service has a destination of HTTP, for which it is meant.
func (rd *Reader) refuseHTTP(g label.Group, besideHTTP bool) {
	for _, spec := range rd.table {
		if spec.HTTPOnly && g.Has(spec.Name) && (spec.Guarding || g.Own(spec.Name) || !besideHTTP) {
			g.Reject(spec.Name, "no com.df.reqMode=tcp or sni, where the proxy sees no requests; an index of its own keeps the label from it")
		}
	}
}

func sendProxy(g label.Group) int {
	return map[string]int{"v1": 1, "v2": 2}[g.OneOf("sendProxy", "", "v1", "v2")]
}
