package reconcile

import (
	"sync"
	"time"
)

// Poke is how a loop hears that something may have changed. It is made before its
// loop, and given to it and to all who poke.
type Poke struct {
	due chan struct{}

	mu sync.Mutex // anybody pokes
	// timer pokes at the time at, which is zero while no pass is wanted later.
	timer *time.Timer
	at    time.Time
}

// NewPoke returns a Poke that nobody has used yet.
func NewPoke() *Poke { return &Poke{due: make(chan struct{}, 1)} }

// Now says that something may have changed. It never blocks; pokes during a pass
// become one pass after it.
func (p *Poke) Now() {
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
	at := time.Now().Add(d)
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.Now)
	} else if p.at.IsZero() || at.Before(p.at) {
		p.timer.Reset(d)
	} else {
		return
	}
	p.at = at
}

// forget drops the time at which a pass is wanted.
func (p *Poke) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.at = time.Time{}
	}
}
