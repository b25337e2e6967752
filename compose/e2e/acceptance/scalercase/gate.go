package scalercase

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
)

// state is what a peer does.
type state string

// The states of a peer.
const (
	isOK    state = "ok"
	isAway  state = "away"
	isHung  state = "hangs"
	isEnded state = "ended"
)

// gate stands in front of a peer and lets it be away, or hang: then nothing passes it, in
// either direction, until it is well again.
type gate struct {
	addr string
	// behind is the address of the peer, or handler is the peer itself.
	behind  string
	handler http.Handler

	// mu guards the rest.
	mu       sync.Mutex
	listener net.Listener
	server   *http.Server // of handler
	conns    map[net.Conn]struct{}
	state    state
	open     chan struct{} // closed while it does not hang
	// calling is asked before anything is sent to the peer, and says whether ended is to be
	// called before or after that; nil: it is not asked.
	calling func() (before, after bool)
	ended   func()
}

// watch has whoever stands in front of the gate end at something that it sends.
func (g *gate) watch(calling func() (before, after bool), ended func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calling, g.ended = calling, ended
}

// watched are these two.
func (g *gate) watched() (calling func() (before, after bool), ended func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calling == nil {
		return func() (before, after bool) { return false, false }, func() {}
	}
	return g.calling, g.ended
}

// newPeer returns a peer at an address, with its gate.
func newPeer(addr string, h http.Handler) (*gate, error) {
	g := &gate{addr: addr, handler: h, conns: map[net.Conn]struct{}{}, open: make(chan struct{}), state: isOK}
	close(g.open)
	return g, g.listen()
}

// newGate returns the gate at an address, in front of another one.
func newGate(addr, behind string) (*gate, error) {
	g := &gate{addr: addr, behind: behind, conns: map[net.Conn]struct{}{}, open: make(chan struct{}), state: isOK}
	close(g.open)
	return g, g.listen()
}

func (g *gate) listen() error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", g.addr)
	if err != nil {
		return err
	}
	g.listener = l
	if g.handler == nil {
		go g.accept(l)
		return nil
	}
	g.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.pass()
		g.handler.ServeHTTP(w, r)
	})}
	go func() { _ = g.server.Serve(l) }() // it ends when it is closed
	return nil
}

// is makes the peer be so.
func (g *gate) is(s state) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.state
	g.state = s
	if was == isHung && s != isHung {
		close(g.open)
	}
	if (s == isAway || s == isEnded) && g.listener != nil {
		_ = g.listener.Close()
		g.listener = nil
		if g.server != nil {
			_ = g.server.Close()
		}
		for c := range g.conns {
			_ = c.Close()
		}
	}
	if s == isHung && was != isHung {
		g.open = make(chan struct{})
	}
	if (s == isOK || s == isHung) && g.listener == nil {
		return g.listen()
	}
	return nil
}

// hangs reports whether nothing passes.
func (g *gate) hangs() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == isHung
}

func (g *gate) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if !g.keep(c) {
			continue
		}
		go g.serve(c)
	}
}

// keep notes a connection, so that it ends when the peer goes away.
func (g *gate) keep(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == isAway || g.state == isEnded {
		_ = c.Close()
		return false
	}
	g.conns[c] = struct{}{}
	return true
}

func (g *gate) drop(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	_ = c.Close()
}

func (g *gate) serve(c net.Conn) {
	defer g.drop(c)
	g.pass()
	there, err := new(net.Dialer).DialContext(context.Background(), "tcp", g.behind)
	if err != nil || !g.keep(there) {
		return
	}
	defer g.drop(there)
	done := make(chan struct{}, 2)
	calling, ended := g.watched()
	go g.copy(there, c, calling, ended, done)
	go g.copy(c, there, func() (before, after bool) { return false, false }, ended, done)
	<-done
}

// pass returns when something may pass.
func (g *gate) pass() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

func (g *gate) copy(to io.Writer, from io.Reader, calling func() (before, after bool), ended func(), done chan<- struct{}) {
	defer func() { done <- struct{}{} }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.pass()
		if n > 0 {
			before, after := calling()
			if before {
				ended()
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
			if after {
				ended()
				return
			}
		}
		if err != nil {
			return
		}
	}
}
