package console

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// Who may look.
const (
	// ProxyOnly admits this machine and the tasks of Waggle's proxy, which has asked who it is.
	ProxyOnly = "proxy"
	// Anybody admits whoever reaches the port.
	Anybody = "anybody"
)

// guard refuses those who come past the proxy: services of tenants share a network with it, and
// may reach the port without having said who they are.
type guard struct {
	from  string
	world *world
}

func (g guard) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.isAdmitted(r) {
			http.Error(w, "this console answers the proxy alone; reach it by its host name", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g guard) isAdmitted(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	peer, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if g.from == Anybody || peer.Unmap().IsLoopback() {
		return true
	}
	return g.isProxy(peer.Unmap(), g.world.state()) || g.isProxy(peer.Unmap(), g.world.fresh(r.Context()))
}

// isProxy reports whether an address is that of a task of Waggle's proxy.
func (g guard) isProxy(peer netip.Addr, st state) bool {
	if st.known == nil {
		return false
	}
	p := st.known.Picture()
	svc, ok := p.ByName(cmp.Or(p.Stack, "waggle") + "_proxy")
	if !ok {
		return false
	}
	for _, t := range p.Tasks[svc.ID] {
		for _, all := range t.Addresses {
			if t.Running() && slices.Contains(all, peer.String()) {
				return true
			}
		}
	}
	return false
}
