package sleep

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// street is where tasks listen or do not.
type street struct {
	mu     sync.Mutex
	listen map[netip.AddrPort]bool
	tries  int
	hangs  bool
}

func (s *street) dial(ctx context.Context, addr netip.AddrPort) error {
	s.mu.Lock()
	s.tries++
	listens, hangs := s.listen[addr], s.hangs
	s.mu.Unlock()
	switch {
	case listens:
		return nil
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	}
	return errors.New("connection refused")
}

func (s *street) opens(addr netip.Addr, port uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listen[netip.AddrPortFrom(addr, port)] = true
}

// waiting runs Arrivals for the time of a test, which hears of changes.
func waiting(t *testing.T, s *street) (*Arrivals, chan time.Time) {
	t.Helper()
	changed := make(chan time.Time, 1000)
	a := NewArrivals(func() { changed <- time.Now() })
	a.dial = s.dial
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, changed
}

var (
	door80     = Door{"tasks.web.", 80}
	one, other = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
)

func wants(t *testing.T, what string, got []netip.Addr, want ...netip.Addr) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// TestATaskIsUsedOnceItListens: and soon after that, however long it took to start.
func TestATaskIsUsedOnceItListens(t *testing.T) {
	for _, takes := range []time.Duration{0, 30 * time.Millisecond, time.Second, 15 * time.Second} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &street{listen: map[netip.AddrPort]bool{}}
				a, changed := waiting(t, s)
				wants(t, "asleep", a.Admit(door80, nil))
				begin := time.Now()
				wants(t, "started", a.Admit(door80, []netip.Addr{one}))
				time.Sleep(takes)
				wants(t, "not listening", a.Admit(door80, []netip.Addr{one}))
				s.opens(one, 80)
				if took := (<-changed).Sub(begin); took-takes > tryLeast {
					t.Errorf("seen %v after it listens", took-takes)
				}
				wants(t, "listening", a.Admit(door80, []netip.Addr{one}), one)
				tries := s.tries
				time.Sleep(time.Minute)
				wants(t, "another one", a.Admit(door80, []netip.Addr{one, other}), one, other)
				if s.tries != tries {
					t.Errorf("%d tries although it listens", s.tries-tries)
				}
			})
		})
	}
}

// TestWhatIsInUseStaysInUse: a controller that starts keeps back nothing, for HAProxy has it, and
// a service that is asleep again begins anew.
func TestWhatIsInUseStaysInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := waiting(t, &street{})
		wants(t, "the first", a.Admit(door80, []netip.Addr{one}), one)
		wants(t, "more", a.Admit(door80, []netip.Addr{one, other}), one, other)
		wants(t, "others, of which one was used", a.Admit(door80, []netip.Addr{other}), other)
		wants(t, "another port", a.Admit(Door{"tasks.web.", 81}, []netip.Addr{one}), one)
		wants(t, "asleep", a.Admit(door80, nil))
		wants(t, "awake", a.Admit(door80, []netip.Addr{other}))
		a.Keep(func(at Door) bool { return at.Port == 81 })
		wants(t, "another service of that name", a.Admit(door80, []netip.Addr{other}), other)
	})
}

// TestOneOfTwoThatListens: is enough for those who wait, and the other one is used when it listens,
// or does not for too long, though nobody else asks for a pass.
func TestOneOfTwoThatListens(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Second, 10 * time.Second, time.Hour} {
		t.Run(takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &street{listen: map[netip.AddrPort]bool{}}
				a, changed := waiting(t, s)
				begin := time.Now()
				a.Admit(door80, nil)
				s.opens(other, 80)
				wants(t, "started", a.Admit(door80, []netip.Addr{one, other}))
				<-changed
				wants(t, "one listens", a.Admit(door80, []netip.Addr{one, other}), other)
				third := netip.MustParseAddr("10.0.0.3")
				wants(t, "further ones are used at once", a.Admit(door80, []netip.Addr{one, other, third}), other, third)
				time.AfterFunc(takes, func() { s.opens(one, 80) })
				select {
				case at := <-changed:
					if took := at.Sub(begin); took > min(takes, arrivedAnyway)+tryLeast {
						t.Errorf("seen after %v", took)
					}
				case <-time.After(time.Minute):
					t.Fatal("nobody says that it may be used")
				}
				wants(t, "then all are used", a.Admit(door80, []netip.Addr{one, other, third}), one, other, third)
			})
		})
	}
}

// TestATaskThatNeverListens: is used in the end, so that people are told what is wrong with it,
// and is not tried without end.
func TestATaskThatNeverListens(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &street{listen: map[netip.AddrPort]bool{}, hangs: hangs}
			a, changed := waiting(t, s)
			a.Admit(door80, nil)
			begin := time.Now()
			wants(t, "started", a.Admit(door80, []netip.Addr{one}))
			if took := (<-changed).Sub(begin); took != arrivedAnyway {
				t.Errorf("given up after %v", took)
			}
			wants(t, "given up", a.Admit(door80, []netip.Addr{one}), one)
			tries := s.tries
			time.Sleep(time.Minute)
			if s.tries > tries || tries > 400 || len(changed) > 0 {
				t.Errorf("%d tries, %d after the end", tries, s.tries-tries)
			}
		})
	}
}

// TestManyThatHang: keep nobody waiting who listens, whether they are many tasks or many ports of
// one that answers nothing.
func TestManyThatHang(t *testing.T) {
	many := make([]netip.Addr, 0, 2000)
	for i := range 2000 {
		many = append(many, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	for name, wake := range map[string]func(a *Arrivals, addrs []netip.Addr){
		"tasks": func(a *Arrivals, addrs []netip.Addr) { a.Admit(Door{"tasks.many.", 80}, addrs) },
		"ports": func(a *Arrivals, addrs []netip.Addr) {
			for i := range 2000 {
				a.Admit(Door{"tasks.many.", 1000 + i}, addrs[:min(len(addrs), 1)])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &street{listen: map[netip.AddrPort]bool{}, hangs: true}
				a, changed := waiting(t, s)
				wake(a, nil)
				a.Admit(door80, nil)
				wake(a, many)
				time.Sleep(100 * time.Millisecond)
				s.opens(one, 80)
				begin := time.Now()
				a.Admit(door80, []netip.Addr{one})
				if took := (<-changed).Sub(begin); took > tryLeast {
					t.Errorf("seen after %v", took)
				}
			})
		})
	}
}
