package acceptance

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// nameServer is where the DNS server listens, as Docker's does.
const nameServer = "127.0.0.11:53"

// Names is what the DNS of a case knows: names of the form and those of the case.
type Names struct {
	mu    sync.Mutex // the steps change what the server's goroutines read
	own   map[string][]netip.Addr
	added map[string][]netip.Addr
}

// NewNames knows lines of a hosts file.
func NewNames(hosts string) (*Names, error) {
	own, err := ParseHosts(hosts)
	return &Names{own: own, added: map[string][]netip.Addr{}}, err
}

// Lookup returns the addresses of a name; a name N that has addresses has them as
// tasks.N too.
func (n *Names) Lookup(name string) []netip.Addr {
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

// Know adds lines of a hosts file; an empty text takes all added names away again.
func (n *Names) Know(text string) error {
	more, err := ParseHosts(text)
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

// ParseHosts reads lines with an IPv4 address and names behind it.
func ParseHosts(text string) (map[string][]netip.Addr, error) {
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

// Serve answers questions at an address until what is returned is called.
func (n *Names) Serve(address string) (stop func(), err error) {
	ready := make(chan error, 4)
	var servers []*dns.Server
	for _, network := range []string{"udp", "tcp"} {
		s := &dns.Server{Addr: address, Net: network, Handler: dns.HandlerFunc(n.answer), NotifyStartedFunc: func() { ready <- nil }}
		go func() { ready <- s.ListenAndServe() }()
		servers = append(servers, s)
	}
	stop = func() {
		for _, s := range servers {
			_ = s.Shutdown() // One that never began has nothing to end.
		}
	}
	return stop, errors.Join(<-ready, <-ready)
}

// answer answers one query. All names together fit into a datagram.
func (n *Names) answer(w dns.ResponseWriter, query *dns.Msg) {
	m := new(dns.Msg).SetReply(query)
	m.RecursionAvailable = true
	for _, q := range query.Question {
		addrs := n.Lookup(q.Name)
		if len(addrs) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		if q.Qtype != dns.TypeA {
			continue
		}
		for _, a := range addrs {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 600}, A: a.AsSlice()})
		}
	}
	_ = w.WriteMsg(m) // whoever asks asks again
}

// addresses are those of a name as texts.
func (n *Names) addresses(name string) []string {
	var out []string
	for _, a := range n.Lookup(name) {
		out = append(out, a.String())
	}
	return out
}
