package bus_test

import (
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// link is a way to a server that can be cut: then nothing comes through, and nobody is told.
type link struct {
	address string

	mu    sync.Mutex // connections come while the test looks
	used  bool
	gate  chan struct{}
	isCut bool
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	tooltest.Must(t, err)
	l := &link{address: ln.Addr().String(), gate: make(chan struct{})}
	t.Cleanup(func() { _ = ln.Close(); close(l.gate) })
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", target)
			if err != nil {
				_ = near.Close()
				return
			}
			l.mu.Lock()
			l.used = true
			l.mu.Unlock()
			go l.pass(near, far)
			go l.pass(far, near)
		}
	}()
	return l
}

func (l *link) pass(from, to net.Conn) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.mu.Lock()
		isCut := l.isCut
		l.mu.Unlock()
		if isCut {
			<-l.gate
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
}

func (l *link) isUsed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// TestTheLinkToAServerIsCut: no packet tells of it, and a reader is with another server long before the
// connection itself would notice.
func TestTheLinkToAServerIsCut(t *testing.T) {
	s := bustest.Start(t)
	writer := s.Prepared()
	target := strings.TrimPrefix(s.URL(), "nats://")
	links := []*link{newLink(t, target), newLink(t, target)}
	b, err := bus.Connect(bus.Options{URL: "nats://" + links[0].address + ",nats://" + links[1].address, Component: "proxy", Only: true})
	tooltest.Must(t, err)
	t.Cleanup(b.Close)
	m := b.Bucket(bus.CatalogBucket).Mirror(">", func() {})
	bustest.Run(t, m.Run)
	has := func(key string) func() error {
		return func() error {
			if _, ok := m.Value(key); !ok || !m.Synced() {
				return errors.New("not yet")
			}
			return nil
		}
	}
	_, err = writer.Bucket(bus.CatalogBucket).Put(t.Context(), "service.before", []byte("{}"))
	tooltest.Must(t, err)
	tooltest.Eventually(t, "the first value", has("service.before"))
	for _, l := range links {
		if l.isUsed() {
			l.cut()
			break
		}
	}
	start := time.Now()
	_, err = writer.Bucket(bus.CatalogBucket).Put(t.Context(), "service.after", []byte("{}"))
	tooltest.Must(t, err)
	tooltest.Eventually(t, "the value after the cut", has("service.after"))
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
}
