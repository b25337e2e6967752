// Package outbound decides where the requests of a service may go that do not go to its own
// tasks: what com.df.outboundHostname and com.df.forwardAuth may name, and which addresses
// such a name may have. It is pure.
package outbound

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// None is the operator's word for: no host at all.
const None = "none"

// Rules are what the operator says. The zero value allows everything but what is inside.
type Rules struct {
	// limited says that there is a list, of hosts (exact, or "*.example.com") and networks.
	limited  bool
	hosts    []string
	networks []netip.Prefix
}

// Parse reads a list of host names, names with a wildcard in front, addresses and networks,
// separated by commas or spaces. An empty list allows everything but what is inside.
func Parse(text string) (Rules, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	r := Rules{limited: len(words) > 0}
	if len(words) == 1 && words[0] == None {
		return r, nil
	}
	for _, word := range words {
		if p, ok := network(word); ok {
			r.networks = append(r.networks, p)
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(word, "."))
		if rest := strings.TrimPrefix(name, "*."); rest == "" || word == None || strings.ContainsAny(rest, "*/:[]") {
			return Rules{}, fmt.Errorf("%q: want host names such as legacy.example.com or *.example.com, addresses, networks such as 10.20.0.0/16, or %s alone", word, None)
		}
		r.hosts = append(r.hosts, name)
	}
	return r, nil
}

func network(word string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(word); err == nil {
		return p.Masked(), true
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(word, "["), "]"))
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// Range is a network in which no host outside is.
type Range struct {
	Net netip.Prefix
	// What says what is there, as the end of "ADDRESS is ...".
	What string
}

// Single is the range of one address.
func Single(a netip.Addr, what string) Range {
	return Range{netip.PrefixFrom(a, a.BitLen()), what}
}

const (
	itself    = "the proxy itself"
	linkLocal = "link-local, where clouds keep what only the node may know"
	metadata  = "where a cloud keeps what only the node may know"
	nobody    = "no address of a host"
)

// fixed are inside everywhere; they are asked about with each address of each answer of DNS.
var fixed = []Range{ //nolint:gochecknoglobals // a constant that Go cannot have
	{netip.MustParsePrefix("127.0.0.0/8"), itself}, {netip.MustParsePrefix("::1/128"), itself},
	// A connection to nobody's address is one to the own host.
	{netip.MustParsePrefix("0.0.0.0/8"), itself}, {netip.MustParsePrefix("::/128"), itself},
	{netip.MustParsePrefix("169.254.0.0/16"), linkLocal}, {netip.MustParsePrefix("fe80::/10"), linkLocal},
	{netip.MustParsePrefix("100.100.100.200/32"), metadata}, {netip.MustParsePrefix("fd00:ec2::254/128"), metadata},
	{netip.MustParsePrefix("224.0.0.0/4"), nobody}, {netip.MustParsePrefix("ff00::/8"), nobody}, {netip.MustParsePrefix("240.0.0.0/4"), nobody},
}

// Networks of IPv6 in which an address of IPv4 stands.
var (
	compatible = netip.MustParsePrefix("::/96")        //nolint:gochecknoglobals // a constant that Go cannot have
	nat64      = netip.MustParsePrefix("64:ff9b::/96") //nolint:gochecknoglobals // likewise
	sixToFour  = netip.MustParsePrefix("2002::/16")    //nolint:gochecknoglobals // likewise
)

// Host returns why no requests may go to hosts of a name, whatever its addresses are;
// empty if they may, as far as the name says.
func (r Rules) Host(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case r.listed(name):
		return ""
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return name + " is " + itself
	case r.limited && len(r.networks) == 0:
		return name + " is not among what the operator allows (the setting outbound)"
	}
	return ""
}

func (r Rules) listed(name string) bool {
	return slices.ContainsFunc(r.hosts, func(h string) bool {
		below, wild := strings.CutPrefix(h, "*")
		return h == name || wild && strings.HasSuffix(name, below)
	})
}

// Address returns why requests for a host may not go to one of its addresses, empty if they
// may. The host is empty if the address itself was named. inside are the networks that are
// inside here, beside those that are everywhere.
//
// What is inside is opened only by an entry of the operator's list that lies within it, so
// that a wide network does not open it by the way.
func (r Rules) Address(host string, a netip.Addr, inside []Range) string {
	for _, form := range forms(a) {
		for _, ranges := range [][]Range{fixed, inside} {
			for _, in := range ranges {
				if in.Net.Contains(form) && !r.opened(in.Net, form) {
					return a.String() + " is " + in.What
				}
			}
		}
	}
	if !r.limited || r.listed(strings.ToLower(strings.TrimSuffix(host, "."))) && host != "" || r.contains(a.Unmap()) {
		return ""
	}
	return a.String() + " is not among what the operator allows (the setting outbound)"
}

// Forbidden are the networks in which no host outside is: what is inside, here and everywhere,
// without what the operator's list opens of it. They are sorted, each stands there once. It is
// what Address forbids, for whoever can compare addresses and no more.
func (r Rules) Forbidden(inside []Range) []netip.Prefix {
	var out []netip.Prefix
	for _, ranges := range [][]Range{fixed, translated(), inside} {
		for _, in := range ranges {
			opens := slices.DeleteFunc(slices.Clone(r.networks), func(p netip.Prefix) bool { return p.Bits() < in.Net.Bits() })
			out = append(out, Without([]netip.Prefix{in.Net}, opens)...)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// translated are the networks of IPv6 whose addresses lead to those of IPv4, but for the mapped
// ones, which are compared as those.
func translated() []Range { return []Range{{compatible, nobody}, {nat64, nobody}, {sixToFour, nobody}} }

// Only are the networks in which the addresses of a host must be by the operator's list; none
// if they may be anywhere outside.
func (r Rules) Only(host string) []netip.Prefix {
	if !r.limited || r.listed(strings.ToLower(strings.TrimSuffix(host, "."))) {
		return nil
	}
	return r.networks
}

func (r Rules) opened(in netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(r.networks, func(p netip.Prefix) bool { return p.Bits() >= in.Bits() && p.Contains(a) })
}

func (r Rules) contains(a netip.Addr) bool {
	return slices.ContainsFunc(r.networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forms are an address and those of IPv4 that it may lead to: mapped and compatible ones,
// and those behind the translations NAT64 (RFC 6052) and 6to4 (RFC 3056).
func forms(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	out := []netip.Addr{a}
	if a.Is4() {
		return out
	}
	b := a.As16()
	four := func(at int) { out = append(out, netip.AddrFrom4([4]byte(b[at:at+4]))) }
	switch {
	case a.IsUnspecified() || a.IsLoopback():
	case compatible.Contains(a), nat64.Contains(a):
		four(12)
	case sixToFour.Contains(a):
		four(2)
	}
	return out
}
