package acmetest

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// The key by which updates are signed.
const (
	KeyName = "waggle."
	Secret  = "c2VjcmV0IG9mIHRoZSB6b25lIGZvciB0ZXN0cyBvbmx5"
)

// Zone is a name server that takes updates (RFC 2136) from whoever signs them.
type Zone struct {
	// Addr is where it answers.
	Addr string
	mu   sync.Mutex // it answers from goroutines of its own
	txt  map[string][]string
	// cnames lead from one name to another, unsigned counts updates without a signature.
	cnames   map[string]string
	unsigned int
}

// StartZone starts one.
func StartZone(t *testing.T) *Zone {
	t.Helper()
	s := &Zone{txt: map[string][]string{}, cnames: map[string]string{}}
	list, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed with the test.
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = list.Addr().String()
	conn, err := net.ListenPacket("udp", s.Addr) //nolint:noctx // it is closed with the test.
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []*dns.Server{{PacketConn: conn}, {Listener: list}} {
		listening, done := make(chan struct{}), make(chan error, 1)
		d.Handler, d.TsigSecret = s, map[string]string{KeyName: Secret}
		d.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		d.NotifyStartedFunc = func() { close(listening) }
		go func() { done <- d.ActivateAndServe() }()
		<-listening
		t.Cleanup(func() {
			_ = d.Shutdown()
			if err := <-done; err != nil {
				t.Log(err)
			}
		})
	}
	return s
}

// zoneOf is the zone in which a name lies.
func zoneOf(name string) string {
	labels := dns.SplitDomainName(name)
	return dns.Fqdn(strings.Join(labels[max(0, len(labels)-2):], "."))
}

// ServeDNS answers.
func (s *Zone) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := new(dns.Msg).SetReply(r)
	m.Authoritative = true
	if r.Opcode == dns.OpcodeUpdate {
		if r.IsTsig() == nil || w.TsigStatus() != nil {
			s.unsigned++
			m.Rcode = dns.RcodeRefused
		} else {
			s.update(r.Ns)
		}
		if r.IsTsig() != nil {
			m.SetTsig(KeyName, dns.HmacSHA256, 300, int64(r.IsTsig().TimeSigned))
		}
		_ = w.WriteMsg(m)
		return
	}
	q := r.Question[0]
	name := strings.ToLower(q.Name)
	if to, ok := s.cnames[name]; ok {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 1}, Target: to})
		name = to
	}
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: zoneOf(name), Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1}, Ns: "ns." + zoneOf(name), Mbox: "x." + zoneOf(name), Serial: 1}
	switch {
	case q.Qtype == dns.TypeSOA && name == zoneOf(name):
		m.Answer = append(m.Answer, soa)
	case q.Qtype == dns.TypeTXT:
		for _, text := range s.txt[name] {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1}, Txt: []string{text}})
		}
	case q.Qtype == dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)})
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, soa)
	}
	_ = w.WriteMsg(m)
}

func (s *Zone) update(records []dns.RR) {
	for _, r := range records {
		name := strings.ToLower(r.Header().Name)
		txt, isText := r.(*dns.TXT)
		switch {
		case r.Header().Class == dns.ClassINET && isText:
			s.txt[name] = append(s.txt[name], strings.Join(txt.Txt, ""))
		case r.Header().Class == dns.ClassANY:
			delete(s.txt, name)
		case isText:
			var left []string
			for _, have := range s.txt[name] {
				if have != strings.Join(txt.Txt, "") {
					left = append(left, have)
				}
			}
			s.txt[name] = left
		}
	}
}

// At are the texts at a name.
func (s *Zone) At(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.txt[name]...)
}

// Lead makes a name lead to another one.
func (s *Zone) Lead(name, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cnames[name] = to
}

// Unsigned is how many updates had no signature, or a wrong one.
func (s *Zone) Unsigned() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unsigned
}

// Use sets the variables by which updates are sent to it, with the secret in a file.
func (s *Zone) Use(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tsig")
	if err := os.WriteFile(file, []byte(Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"RFC2136_NAMESERVER": s.Addr, "RFC2136_TSIG_KEY": KeyName, "RFC2136_TSIG_ALGORITHM": dns.HmacSHA256, "RFC2136_TSIG_SECRET_FILE": file,
		"RFC2136_POLLING_INTERVAL": "1", "RFC2136_PROPAGATION_TIMEOUT": "20",
	} {
		t.Setenv(name, value)
	}
}
