package render

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// addressList is a file of addresses that a backend's rule looks into.
type addressList struct {
	name    string
	allowed bool
	entries []string
}

// lists are those of a backend, in the order of its rules.
func lists(backend string, a route.Access) []addressList {
	var out []addressList
	if a.Allowed != nil {
		out = append(out, addressList{backend + ".allowed" + file.ListEnd, true, a.Allowed.List})
	}
	if a.Denied != nil {
		out = append(out, addressList{backend + ".denied" + file.ListEnd, false, a.Denied.List})
	}
	return out
}

// mostNetworks is how many networks of the operator's stand on a line, on which another list of
// them may stand too; where there are more, they are a file.
const mostNetworks = 20

// The files of trusted proxies, and of those among them that are none.
const (
	trustedList   = "trusted" + file.ListEnd
	untrustedList = "untrusted" + file.ListEnd
)

// within holds for addresses in networks of the operator's.
func (s Settings) within(address file.Fetch, name string, networks []netip.Prefix) file.Test {
	words := bare("-m", "ip")
	if len(networks) > mostNetworks {
		return file.Is(address, append(words, bare("-f", s.MapPath(name))...)...)
	}
	for _, p := range networks {
		words = append(words, file.W(p.String()))
	}
	return file.Is(address, words...)
}

// trusted are the tests that hold together for addresses of trusted proxies.
func (s Settings) trusted(address file.Fetch) []file.Test {
	var out []file.Test
	if len(s.TrustedProxies) > 0 {
		out = append(out, s.within(address, trustedList, s.TrustedProxies))
	}
	if len(s.Untrusted) > 0 {
		out = append(out, file.Not(s.within(address, untrustedList, s.Untrusted)))
	}
	return out
}

// addLists adds those that are files.
func (s Settings) addLists(to map[string][]string) {
	for name, networks := range map[string][]netip.Prefix{trustedList: s.TrustedProxies, untrustedList: s.Untrusted} {
		if len(networks) > mostNetworks {
			to[name] = entries(networks)
		}
	}
}

// entries are networks as they stand in a file, sorted, each once, and as HAProxy shows them.
func entries(networks []netip.Prefix) []string {
	out := make([]string, len(networks))
	for i, p := range networks {
		if out[i] = p.String(); p.IsSingleIP() {
			out[i] = p.Addr().String()
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// scriptName tells versions of a script apart, so that another one is another frame.
func scriptName(name, text string) string {
	sum := sha256.Sum256([]byte(text))
	return name + "-" + hex.EncodeToString(sum[:4]) + file.ScriptEnd
}
