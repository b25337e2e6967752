// Package place tells where a container stands: its networks, its own addresses on them, and
// the ways out. It reads the kernel's tables (the interfaces, and proc_pid_net(5)).
package place

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

// Place is where this process runs: its networks, and the ways out of it.
type Place struct {
	Networks []Network
	// Gateways are the ways out, by interface.
	Gateways map[string]netip.Addr
}

// Networks reads which networks this machine, or container, is on, loopback too.
func Networks() ([]Network, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("the own networks: %w", err)
	}
	var out []Network
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("the own networks: %w", err)
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, Network{i.Name, prefix})
			}
		}
	}
	return out, nil
}

// Look reads where this process runs. The networks of a container do not change.
func Look() (Place, error) {
	var p Place
	var err error
	if p.Networks, err = Networks(); err != nil {
		return p, err
	}
	routes, err := os.Open("/proc/net/route")
	if err != nil {
		return p, fmt.Errorf("the own routes: %w", err)
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

// Own are the own addresses.
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
