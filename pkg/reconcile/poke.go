package reconcile

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/wagglehq/waggle/pkg/clock"
)

// Poke is how a loop hears that something may have changed. It is made before its
// loop, and given to it and to all who poke.
type Poke struct {
	due   chan struct{}
	clock clock.Clock
	// pokes counts all of them.
	pokes atomic.Uint64

	mu sync.Mutex // anybody pokes
	// stop takes back the poke at the time at, which is zero while no pass is wanted later.
	stop func()
	at   time.Time
}

// NewPoke returns a Poke that nobody has used yet.
func NewPoke() *Poke { return NewPokeOn(clock.Real()) }

// NewPokeOn is NewPoke by another clock than the machine's.
func NewPokeOn(c clock.Clock) *Poke {
	return &Poke{due: make(chan struct{}, 1), clock: c, stop: func() {}}
}

// Now says that something may have changed. It never blocks; pokes during a pass
// become one pass after it.
func (p *Poke) Now() {
	p.pokes.Add(1)
	select {
	case p.due <- struct{}{}:
	default:
	}
}

// After asks for a pass after a time. Of several such times the nearest counts, and a
// pass that comes earlier takes the place of all: if it wants another, it says so.
func (p *Poke) After(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.clock.Now().Add(d)
	if !p.at.IsZero() && !at.Before(p.at) {
		return
	}
	p.stop()
	p.stop, p.at = p.clock.AfterFunc(d, p.Now), at
}

// forget drops the time at which a pass is wanted.
func (p *Poke) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	p.stop, p.at = func() {}, time.Time{}
}
