package acceptance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is where the DNS server listens, as Docker's does.
const nameServer = "127.0.0.11:53"

// names is what the DNS knows: the fixture's names and those of the case.
type names struct {
	mu    sync.Mutex // the steps change what the server's goroutines read
	own   map[string][]netip.Addr
	added map[string][]netip.Addr
}

func newNames() *names {
	at := func(list ...string) []netip.Addr {
		var out []netip.Addr
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	return &names{added: map[string][]netip.Addr{}, own: map[string][]netip.Addr{
		"svc-a": at(addrA), "tasks.svc-a": at(addrA1, addrA2),
		"svc-b": at(addrB), "svc-c": at(addrC), "ext.host": at(addrC),
		bystander: at(addrC),
	}}
}

// lookup returns the addresses of a name; a name N that has addresses has them as
// tasks.N too.
func (n *names) lookup(name string) []netip.Addr {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	of, _ := strings.CutPrefix(name, "tasks.")
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, known := range []struct {
		table map[string][]netip.Addr
		name  string
	}{{n.added, name}, {n.added, of}, {n.own, name}, {n.own, of}} {
		if addrs := known.table[known.name]; len(addrs) > 0 {
			return addrs
		}
	}
	return nil
}

// know adds lines of a hosts file; an empty text takes all added names away again.
func (n *names) know(text string) error {
	more, err := parseHosts(text)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(more) == 0 {
		n.added = map[string][]netip.Addr{}
	}
	for name, addrs := range more {
		n.added[name] = addrs
	}
	return nil
}

// parseHosts reads lines with an IPv4 address and names behind it.
func parseHosts(text string) (map[string][]netip.Addr, error) {
	out := map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(words[0])
		if err != nil || !addr.Is4() || len(words) < 2 {
			return nil, fmt.Errorf("%q: want an IPv4 address and a name", strings.TrimSpace(line))
		}
		for _, name := range words[1:] {
			name = strings.ToLower(name)
			out[name] = append(out[name], addr)
		}
	}
	return out, nil
}

// serve answers questions until the process ends.
func (n *names) serve(ctx context.Context) error {
	var lc net.ListenConfig
	datagrams, err := lc.ListenPacket(ctx, "udp", nameServer)
	if err != nil {
		return err
	}
	streams, err := lc.Listen(ctx, "tcp", nameServer)
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := datagrams.ReadFrom(buf)
			if err != nil {
				return
			}
			if out := n.answer(buf[:size]); out != nil {
				_, _ = datagrams.WriteTo(out, from) // whoever asks asks again
			}
		}
	}()
	go accept(streams, n.serveStream)
	return nil
}

func (n *names) serveStream(c net.Conn) {
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		out := n.answer(query)
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// answer returns the answer to one query, nil if it is none. All names together
// fit into a datagram.
func (n *names) answer(query []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	addrs := n.lookup(q.Name.String())
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if len(addrs) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range addrs {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET, TTL: 600},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// accept serves each connection in a goroutine of its own until the listener closes.
func accept(ln net.Listener, serve func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client was gone before it was accepted
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}
