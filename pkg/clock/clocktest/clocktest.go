// Package clocktest is a clock that only a test moves, and that knows when all is done that
// was due. Unlike testing/synctest it goes together with real sockets.
package clocktest

import (
	"context"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/clock"
)

// Clock is the time of a test. Its functions may be called by any goroutine; only one
// moves it.
type Clock struct {
	// mu guards the rest, and all timers.
	mu      sync.Mutex
	now     time.Time
	members map[*Member]struct{}
	// changes counts what was set, reset and stopped.
	changes uint64
}

// New returns a clock that shows a time and stands.
func New(now time.Time) *Clock { return &Clock{now: now, members: map[*Member]struct{}{}} }

// Now is the time that it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Member returns a clock of one component, which shows the same.
func (c *Clock) Member() *Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := &Member{c: c, timers: map[*timer]struct{}{}}
	c.members[m] = struct{}{}
	return m
}

// Next is when the next timer fires; false if none is set.
func (c *Clock) Next() (at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.members {
		for t := range m.timers {
			if t.isSet && (!ok || t.at.Before(at)) {
				at, ok = t.at, true
			}
		}
	}
	return at, ok
}

// Set moves the clock to a time, never back, and fires what is due then.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.now) {
		c.now = now
	}
	for m := range c.members {
		for t := range m.timers {
			if t.isSet && !t.at.After(c.now) {
				t.fire()
			}
		}
	}
}

// AtWork is how many timers have fired whose owners are not done with what they do then.
// changes grows with everything that is done to a timer.
func (c *Clock) AtWork() (n int, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.members {
		for t := range m.timers {
			if t.isFired {
				n++
			}
		}
	}
	return n, c.changes
}

// Member is the clock of one component.
type Member struct {
	c      *Clock
	timers map[*timer]struct{}
}

var _ clock.Clock = (*Member)(nil)

// Leave takes back all timers of a component that has ended. Those that it sets later never fire.
func (m *Member) Leave() {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	delete(m.c.members, m)
}

// Now is the time of the test.
func (m *Member) Now() time.Time { return m.c.Now() }

// timer is one of Timer, with a channel, or of AfterFunc.
type timer struct {
	m       *Member
	at      time.Time
	isSet   bool
	isFired bool
	ch      chan time.Time
	f       func()
}

func (t *timer) fire() {
	t.isSet, t.isFired = false, true
	if t.f == nil {
		t.ch <- t.m.c.now
		return
	}
	go func() {
		t.f()
		t.Stop()
	}()
}

// set arms it. mu is held.
func (t *timer) set(d time.Duration) {
	t.m.c.changes++
	t.isSet, t.isFired, t.at = true, false, t.m.c.now.Add(d)
	t.m.timers[t] = struct{}{}
	if t.ch != nil {
		select {
		case <-t.ch: // nobody has looked
		default:
		}
	}
	if d <= 0 {
		t.fire()
	}
}

// Timer is that of clock.Clock.
func (m *Member) Timer(d time.Duration) clock.Timer {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	t := &timer{m: m, ch: make(chan time.Time, 1)}
	t.set(d)
	return t
}

// AfterFunc is that of clock.Clock.
func (m *Member) AfterFunc(d time.Duration, f func()) func() {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	t := &timer{m: m, f: f}
	t.set(d)
	return func() {
		m.c.mu.Lock()
		defer m.c.mu.Unlock()
		if !t.isFired {
			t.drop()
		}
	}
}

// C is where it fires.
func (t *timer) C() <-chan time.Time { return t.ch }

// Reset sets it anew: its owner is done with what it fired for.
func (t *timer) Reset(d time.Duration) {
	t.m.c.mu.Lock()
	defer t.m.c.mu.Unlock()
	t.set(d)
}

// Stop ends it.
func (t *timer) Stop() {
	t.m.c.mu.Lock()
	defer t.m.c.mu.Unlock()
	t.drop()
}

func (t *timer) drop() {
	t.m.c.changes++
	t.isSet, t.isFired = false, false
	delete(t.m.timers, t)
}

// WithTimeout is that of clock.Clock.
func (m *Member) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(parent)
	l := &limited{Context: inner}
	stop := m.AfterFunc(d, func() {
		l.mu.Lock()
		l.isOver = inner.Err() == nil
		l.mu.Unlock()
		cancel(context.DeadlineExceeded)
	})
	return l, func() {
		stop()
		cancel(nil)
	}
}

// limited is a context that ends at a time of the test.
type limited struct {
	context.Context
	// mu guards isOver, which the clock's goroutine writes.
	mu     sync.Mutex
	isOver bool
}

// Deadline says nothing: whoever asks would wait by the clock of the machine.
func (l *limited) Deadline() (time.Time, bool) { return time.Time{}, false }

// Err is that of a context whose time has passed.
func (l *limited) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isOver {
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}
