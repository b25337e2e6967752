package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestReadersLiveThroughAStoreThatGoesBack: after a power cut or a restored backup the
// store counts on from an older message.
func TestReadersLiveThroughAStoreThatGoesBack(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	l := newListener(t, b)
	l.publish("a", "b")
	backup := s.Keep()
	c := reader(t, s.Connect("proxy"))
	m := s.Connect("scaler").Bucket(bus.SignalsBucket).Mirror(">", func() {})
	bustest.Run(t, m.Run)
	signals := b.Bucket(bus.SignalsBucket)
	tooltest.Eventually(t, "many signals are given", func() error {
		for i := range 20 {
			if _, err := signals.Put(t.Context(), "web.up", fmt.Append(nil, i)); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 20 {
		l.publish("a", "b", fmt.Sprint("c", i))
	}
	tooltest.Eventually(t, "all is read", wants(c, "a", "b", "c19"))
	tooltest.Eventually(t, "the last signal is read", func() error {
		if v, _ := m.Value("web.up"); string(v.Data) != "19" {
			return fmt.Errorf("%q", v.Data)
		}
		return nil
	})
	before, _ := c.Snapshot()
	s.Rewind(backup)
	tooltest.Eventually(t, "the reader sees what the store holds now", wants(c, "a", "b"))
	tooltest.Eventually(t, "the listener does, too", func() error {
		if seen, ok := l.w.Seen(); !ok || len(seen.Entries) != 3 {
			return fmt.Errorf("%d entries, complete: %v", len(seen.Entries), ok)
		}
		return nil
	})
	l.publish("a", "b", "new")
	tooltest.Eventually(t, "a new service is seen at once", wants(c, "a", "b", "new"))
	after, _ := c.Snapshot()
	if after.Revision.Epoch == before.Revision.Epoch {
		t.Error("a store that lost something begins a new epoch")
	}
	tooltest.Eventually(t, "the signal that was lost is believed no longer", func() error {
		if v, ok := m.Value("web.up"); ok {
			return fmt.Errorf("it is %q", v.Data)
		}
		return nil
	})
	if _, err := signals.Put(t.Context(), "web.up", []byte("again")); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "a new signal is read", func() error {
		if v, _ := m.Value("web.up"); string(v.Data) != "again" {
			return fmt.Errorf("%q", v.Data)
		}
		return nil
	})
}

// TestABucketThatIsRemovedIsMissedAtOnce: somebody removed it by hand.
func TestABucketThatIsRemovedIsMissedAtOnce(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	l := newListener(t, b)
	l.publish("a")
	c := reader(t, s.Connect("proxy"))
	tooltest.Eventually(t, "the service is read", wants(c, "a"))
	var pokes atomic.Int64
	missed := make(chan struct{}, 1)
	bustest.Run(t, func(ctx context.Context) error {
		b.OnMissing(ctx, func() {
			pokes.Add(1)
			select {
			case missed <- struct{}{}:
			default:
			}
		})
		return nil
	})
	start := time.Now()
	if err := b.Remove(t.Context(), bus.CatalogBucket); err != nil {
		t.Fatal(err)
	}
	select {
	case <-missed:
	case <-time.After(15 * time.Second):
		t.Fatal("nobody misses it")
	}
	if took := time.Since(start); took > 2500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if err := b.Prepare(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the reader knows that nothing is known", func() error {
		if _, ok := c.Snapshot(); ok {
			return errors.New("it still believes")
		}
		return nil
	})
	tooltest.Eventually(t, "the listener knows, too", func() error {
		if seen, ok := l.w.Seen(); !ok || len(seen.Entries) > 0 {
			return errors.New("it still believes")
		}
		return nil
	})
	l.publish("a")
	tooltest.Eventually(t, "the service is back", wants(c, "a"))
}

// TestAReaderTellsWhenAndOfWhat: the server's time and Swarm's version of a value.
func TestAReaderTellsWhenAndOfWhat(t *testing.T) {
	b := bustest.Start(t).Prepared()
	m := b.Bucket(bus.CatalogBucket).Mirror(">", func() {})
	bustest.Run(t, m.Run)
	before := time.Now()
	if _, err := b.Bucket(bus.CatalogBucket).Put(t.Context(), catalog.ServiceKey("a"), []byte("{}"), bus.WithIndex(17)); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "it is read", func() error {
		v, _ := m.Value(catalog.ServiceKey("a"))
		if v.Index != 17 || v.Time.Before(before.Add(-time.Second)) || v.Time.After(time.Now().Add(time.Second)) {
			return fmt.Errorf("%+v", v)
		}
		return nil
	})
}
