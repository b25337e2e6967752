package labels

import (
	"slices"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// access reads who gets into a destination.
func access(svc catalog.Service, g label.Group, o Options) route.Access {
	return route.Access{
		Allowed: addresses(g, "allowedAddresses"), Denied: addresses(g, "deniedAddresses"),
		Limit: limit(g), CORS: cors(g), Users: users(svc, g, o), UserHeader: userHeader(g, o), Forward: forwardAuth(svc, g, o),
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

// addresses reads a list of them, nil if there is none. An empty list is a fault,
// because nobody can tell whether it means all or none.
func addresses(g label.Group, name string) *route.Addresses {
	if !g.Has(name) {
		return nil
	}
	const want = "addresses or networks such as 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32"
	var out []string
	for _, text := range g.List(name) {
		a, ok := route.ParseAddress(text)
		if !ok {
			g.RejectText(name, text, want)
			continue
		}
		out = append(out, a)
	}
	if g.Blank(name) {
		g.Reject(name, want)
	}
	slices.Sort(out)
	return &route.Addresses{List: slices.Compact(out)}
}

// limit reads rateLimit, "100/10s".
func limit(g label.Group) *route.Limit {
	if !g.Has("rateLimit") {
		return nil
	}
	l, ok := route.ParseLimit(g.Text("rateLimit", ""))
	if !ok {
		g.Reject("rateLimit", "requests and whole seconds, minutes or hours, such as 100/10s or 20/1m, up to 1000000 requests and 24h")
		return nil
	}
	return &l
}
