package settings

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Network is one that this machine, or container, is on.
type Network struct {
	Interface string
	// Net holds the own address.
	Net netip.Prefix
}

// Place is where the proxy runs: its networks, and the ways out of it.
type Place struct {
	Networks []Network
	// Gateways are the ways out, by interface.
	Gateways map[string]netip.Addr
}

// LookAround reads where the proxy runs. The networks of a container do not change.
func LookAround() (Place, error) {
	var p Place
	all, err := net.Interfaces()
	if err != nil {
		return p, fmt.Errorf("the networks of the proxy: %w", err)
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return p, fmt.Errorf("the networks of the proxy: %w", err)
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				p.Networks = append(p.Networks, Network{i.Name, prefix})
			}
		}
	}
	routes, err := os.Open("/proc/net/route")
	if err != nil {
		return p, fmt.Errorf("the routes of the proxy: %w", err)
	}
	defer routes.Close()
	p.Gateways, err = gateways(routes)
	return p, err
}

// gateways reads /proc/net/route (proc_pid_net(5)): a line of headings, then for each route
// the interface, destination and gateway, both as hexadecimal numbers of the machine's
// order of bytes.
func gateways(routes io.Reader) (map[string]netip.Addr, error) {
	out := map[string]netip.Addr{}
	lines := bufio.NewScanner(routes)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 3 || strings.Trim(words[1], "0") != "" {
			continue
		}
		b, err := hex.DecodeString(words[2])
		if err != nil || len(b) != 4 {
			continue
		}
		a := [4]byte{}
		binary.NativeEndian.PutUint32(a[:], binary.BigEndian.Uint32(b))
		if addr := netip.AddrFrom4(a); !addr.IsUnspecified() {
			out[words[0]] = addr
		}
	}
	return out, lines.Err()
}

// Own are the proxy's addresses.
func (p Place) Own() []netip.Addr {
	out := make([]netip.Addr, len(p.Networks))
	for i, n := range p.Networks {
		out[i] = n.Net.Addr()
	}
	return out
}

// Shared are the networks that lead to other services and nowhere else: overlays. That of
// the way out belongs to the node, or to whoever stands in front of it.
func (p Place) Shared() []netip.Prefix {
	var out []netip.Prefix
	for _, n := range p.Networks {
		_, leadsOut := p.Gateways[n.Interface]
		if !leadsOut && !n.Net.Addr().IsLoopback() && !n.Net.Addr().IsLinkLocalUnicast() {
			out = append(out, n.Net.Masked())
		}
	}
	return out
}

// Ways are the gateways, sorted.
func (p Place) Ways() []netip.Addr {
	var out []netip.Addr
	for _, a := range p.Gateways {
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// unnamed are networks without what of them is named: a part of one, or all of it.
func unnamed(networks, names []netip.Prefix) []netip.Prefix {
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
