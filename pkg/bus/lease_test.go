package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// candidate is one who wants the lease.
type candidate struct {
	*bus.Lease
	isUnwilling atomic.Bool
	// stopped is held to stop the process, as a signal would.
	stopped sync.Mutex
	mu      sync.Mutex
	told    []bool
	stop    func()
}

func runs(t *testing.T, b *bus.Bus, name string, ttl time.Duration) *candidate {
	c := &candidate{}
	c.Lease = b.Lease(bus.LeaseOptions{
		Key: "listener", Holder: name, TTL: ttl,
		Willing: func() bool {
			c.stopped.Lock()
			defer c.stopped.Unlock()
			return !c.isUnwilling.Load()
		},
		Changed: func(held bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.told = append(c.told, held)
		},
	})
	c.stop = bustest.Run(t, c.Run)
	return c
}

func (c *candidate) holds(want bool) func() error {
	return func() error {
		if c.Held() != want {
			return fmt.Errorf("held: %v", !want)
		}
		return nil
	}
}

// takesOver waits until c holds the lease, and fails if both do at one moment.
func (c *candidate) takesOver(t *testing.T, from *candidate, within time.Duration) {
	t.Helper()
	start := time.Now()
	tooltest.Eventually(t, "the other takes over", func() error {
		if from.Held() && c.Held() {
			t.Fatal("both hold the lease")
		}
		return c.holds(true)()
	})
	if took := time.Since(start); took > within {
		t.Errorf("it took %v, want at most %v", took, within)
	}
}

func TestOneHoldsTheLease(t *testing.T) {
	s := bustest.Start(t)
	s.Prepared()
	one := runs(t, s.Connect("listener"), "one", 0)
	tooltest.Eventually(t, "one holds it", one.holds(true))
	two := runs(t, s.Connect("listener"), "two", 0)
	tooltest.Eventually(t, "two knows who holds it", func() error {
		if holder, ok := two.Holder(); !ok || holder != "one" {
			return fmt.Errorf("%q, %v", holder, ok)
		}
		return nil
	})
	one.stop()
	two.takesOver(t, one, time.Second)
	if !slices.Equal(one.told, []bool{true, false}) {
		t.Errorf("one was told %v", one.told)
	}
	one = runs(t, s.Connect("listener"), "one", 0)
	tooltest.Eventually(t, "one has read", func() error {
		if holder, _ := one.Holder(); holder != "two" {
			return errors.New("not yet")
		}
		return nil
	})
	if one.Held() {
		t.Error("who comes back takes nothing away")
	}
	two.isUnwilling.Store(true)
	one.takesOver(t, two, 2*time.Second)
}

func TestAStoppedHolderIsReplaced(t *testing.T) {
	s := bustest.Start(t)
	s.Prepared()
	one, two := runs(t, s.Connect("listener"), "one", 0), (*candidate)(nil)
	tooltest.Eventually(t, "one holds it", one.holds(true))
	two = runs(t, s.Connect("listener"), "two", 0)
	one.stopped.Lock()
	// Its last renewal is at most a second old, and lasts three.
	two.takesOver(t, one, 4500*time.Millisecond)
	one.stopped.Unlock()
	tooltest.Eventually(t, "one learns of it", func() error {
		if holder, _ := one.Holder(); holder != "two" || one.Held() {
			return fmt.Errorf("the holder is %q, held: %v", holder, one.Held())
		}
		one.mu.Lock()
		defer one.mu.Unlock()
		if !slices.Equal(one.told, []bool{true, false}) {
			return fmt.Errorf("told %v", one.told)
		}
		return nil
	})
}

func TestAHolderWithoutABusDoesNotBelieveForLong(t *testing.T) {
	s := bustest.Start(t)
	s.Prepared()
	one := runs(t, s.Connect("listener"), "one", 0)
	tooltest.Eventually(t, "one holds it", one.holds(true))
	s.Stop()
	start := time.Now()
	tooltest.Eventually(t, "it does not believe any more", one.holds(false))
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it believed for %v", took)
	}
	s.StartAgain()
	tooltest.Eventually(t, "it holds it again", one.holds(true))
	s.Stop()
	s.LoseStore()
	s.StartAgain()
	s.Prepared()
	tooltest.Eventually(t, "it holds it on a new store", one.holds(true))
}

// TestWhoStartsAgainUnderHisNameNeedNotWait is a holder that was killed.
func TestWhoStartsAgainUnderHisNameNeedNotWait(t *testing.T) {
	s := bustest.Start(t)
	s.Prepared()
	b := s.Connect("listener")
	one := runs(t, b, "one", 0)
	tooltest.Eventually(t, "one holds it", one.holds(true))
	b.Close()
	one.stop()
	start := time.Now()
	again := runs(t, s.Connect("listener"), "one", 0)
	tooltest.Eventually(t, "it holds it again", again.holds(true))
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestAPurgedLeaseIsFound: of that, no reader is told.
func TestAPurgedLeaseIsFound(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	k := b.Bucket(bus.LeaseBucket)
	if _, err := k.Put(t.Context(), "listener", []byte(`{"holder":"one","nonce":"x"}`)); err != nil {
		t.Fatal(err)
	}
	two := runs(t, b, "two", 0)
	tooltest.Eventually(t, "two knows of one", func() error {
		if holder, _ := two.Holder(); holder != "one" {
			return errors.New("not yet")
		}
		return nil
	})
	if err := b.Purge(context.WithoutCancel(t.Context()), bus.LeaseBucket, "listener"); err != nil {
		t.Fatal(err)
	}
	tooltest.Within(t, 4500*time.Millisecond, "two takes it", two.holds(true))
}

// TestALeaseThatTheBusKeepsRunsOut: servers that have a new leader are late to remove what
// has run out.
func TestALeaseThatTheBusKeepsRunsOut(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	if _, err := b.Bucket(bus.LeaseBucket).Put(t.Context(), "listener", []byte(`{"holder":"one","nonce":"x"}`)); err != nil {
		t.Fatal(err)
	}
	two := runs(t, b, "two", 0)
	tooltest.Within(t, 6*time.Second, "two takes it", two.holds(true))
	if holder, _ := two.Holder(); holder != "two" {
		t.Errorf("the holder is %q", holder)
	}
}
