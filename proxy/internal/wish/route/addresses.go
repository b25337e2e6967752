package route

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/label"
)

// Addresses are addresses and networks, in the form of their texts: sorted, each once.
type Addresses struct{ List []string }

// addresses reads a list of them, nil if there is none. An empty list is a fault,
// because nobody can tell whether it means all or none.
func addresses(g label.Group, name string) *Addresses {
	if !g.Has(name) {
		return nil
	}
	const want = "addresses or networks such as 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32"
	var out []string
	for _, text := range g.List(name) {
		a, ok := address(text)
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
	return &Addresses{slices.Compact(out)}
}

// address writes an address or network in the one form that its equals have.
func address(text string) (string, bool) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		return a.Unmap().String(), err == nil && a.Zone() == ""
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return "", false
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return "", false
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p = p.Masked(); p.IsSingleIP() {
		return p.Addr().String(), true
	}
	return p.String(), true
}
