package load

import (
	"context"
	"net"
	"sync"
)

// Arrivals counts the requests with a number of their own by what the tasks of the demo
// application tell, which is so whatever becomes of a task afterwards.
type Arrivals struct {
	conn net.PacketConn
	mu   sync.Mutex // the reader counts while others ask
	by   map[string]int
}

// Listen begins to listen for what tasks tell, at a free port of an address, until Close.
func Listen(ctx context.Context, host string) (*Arrivals, error) {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	a := &Arrivals{conn: conn, by: map[string]int{}}
	go func() {
		buffer := make([]byte, 1024)
		for {
			n, _, err := conn.ReadFrom(buffer)
			if err != nil {
				return // Close ends it
			}
			a.mu.Lock()
			a.by[string(buffer[:n])]++
			a.mu.Unlock()
		}
	}()
	return a, nil
}

// Addr is for the demo application's flag -report.
func (a *Arrivals) Addr() string { return a.conn.LocalAddr().String() }

// Close ends the listening.
func (a *Arrivals) Close() { _ = a.conn.Close() }

// Forget begins anew.
func (a *Arrivals) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.by)
}

// Count returns how many requests arrived, and how many of them more than once.
func (a *Arrivals) Count() (all, twice int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, times := range a.by {
		if times > 1 {
			twice++
		}
	}
	return len(a.by), twice
}
