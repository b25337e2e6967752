package outbound

import (
	"net/netip"
	"slices"
)

// Without are networks without what of them is named: a part of one, or all of it.
func Without(networks, names []netip.Prefix) []netip.Prefix {
	out := networks
	for _, name := range names {
		var rest []netip.Prefix
		for _, p := range out {
			within := slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Bits() <= name.Bits() && n.Contains(name.Addr()) })
			if within && name.Bits() <= p.Bits() && name.Contains(p.Addr()) {
				continue
			}
			rest = append(rest, minus(p, name)...)
		}
		out = rest
	}
	return out
}

// minus is a network without another, as networks; all of it, unless the other is a part of
// it and smaller.
func minus(p, hole netip.Prefix) []netip.Prefix {
	if p.Bits() >= hole.Bits() || !p.Overlaps(hole) {
		return []netip.Prefix{p}
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1).Masked()
	high := netip.PrefixFrom(after(low), low.Bits())
	out := []netip.Prefix{}
	for _, half := range []netip.Prefix{low, high} {
		if half != hole {
			out = append(out, minus(half, hole)...)
		}
	}
	return out
}

// after is the first address behind a network.
func after(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	bit := p.Bits() - 1
	b[bit/8] |= 1 << (7 - bit%8)
	a, _ := netip.AddrFromSlice(b)
	return a
}
