package addresses

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/dns/dnsmessage"
)

// server is a DNS server as Docker's: it knows tasks.many. with 100 tasks and
// tasks.one. with one, cuts what does not fit into a datagram, and offers TCP.
type server struct {
	udp, tcp atomic.Int64
	other    atomic.Int64 // questions for anything but A records
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

func startServer(tb testing.TB) *server {
	tb.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	pc, err := lc.ListenPacket(tb.Context(), "udp", ln.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{}
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, ln.Addr().String())
	}
	ended := make(chan struct{}, 2)
	tb.Cleanup(func() {
		_ = ln.Close()
		_ = pc.Close()
		<-ended
		<-ended
	})
	go func() {
		defer func() { ended <- struct{}{} }()
		buf := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			s.udp.Add(1)
			_, _ = pc.WriteTo(s.answer(buf[:n], false), from)
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.tcp.Add(1)
			s.serveTCP(c)
		}
	}()
	return s
}

func (s *server) serveTCP(c net.Conn) {
	defer func() { _ = c.Close() }()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, query); err != nil {
		return
	}
	answer := s.answer(query, true)
	_, _ = c.Write(binary.BigEndian.AppendUint16(nil, uint16(len(answer))))
	_, _ = c.Write(answer)
}

func (s *server) answer(query []byte, tcp bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	limit := 512
	for _, r := range m.Additionals {
		if r.Header.Type == dnsmessage.TypeOPT {
			limit = int(r.Header.Class)
		}
	}
	q := m.Questions[0]
	if q.Type != dnsmessage.TypeA {
		s.other.Add(1)
	}
	tasks := map[string]int{"tasks.many.": 100, "tasks.one.": 1}[q.Name.String()]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if tasks == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	for i := range tasks {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 600},
			Body:   &dnsmessage.AResource{A: [4]byte{10, 90, 0, byte(i + 1)}},
		})
	}
	out, err := m.Pack()
	if err == nil && !tcp && len(out) > limit {
		m.Truncated, m.Answers = true, m.Answers[:10]
		out, err = m.Pack()
	}
	if err != nil {
		return nil
	}
	return out
}

func TestAllOfAHundredTasksArriveThroughTheRealResolver(t *testing.T) {
	s := startServer(t)
	poked := make(chan struct{}, 100)
	f := New(Options{
		Resolver: System{Dial: s.dial},
		Changed:  func() { poked <- struct{}{} },
		Log:      slog.New(slog.DiscardHandler),
		Registry: prometheus.NewRegistry(),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	f.Set(map[string]Target{
		"many": {Name: "tasks.many.", Expected: true},
		"one":  {Name: "tasks.one.", Expected: true},
		"none": {Name: "tasks.none."},
	}, Known{})
	for {
		many, _ := f.Addresses("many")
		one, _ := f.Addresses("one")
		none, known := f.Addresses("none")
		if len(many) == 100 && len(one) == 1 && known {
			if len(none) != 0 {
				t.Errorf("a name that does not exist has %d addresses", len(none))
			}
			break
		}
		select {
		case <-poked:
		case <-ctx.Done():
			t.Fatalf("after 10 s: many %d, one %d, none known %t", len(many), len(one), known)
		}
	}
	if s.tcp.Load() == 0 {
		t.Error("TCP was not used, so the answer was not cut and this shows nothing")
	}
	if n := s.other.Load(); n > 0 {
		t.Errorf("%d questions for other than A records", n)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}

// BenchmarkLookup is what one look-up costs, a server in the same process included.
func BenchmarkLookup(b *testing.B) {
	s := startServer(b)
	r := System{Dial: s.dial}
	for b.Loop() {
		if _, err := r.LookupNetIP(b.Context(), "ip4", "tasks.one."); err != nil {
			b.Fatal(err)
		}
	}
}
