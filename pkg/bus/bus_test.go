package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// swarm returns a snapshot with the named services and one node.
func swarm(names ...string) catalog.Snapshot {
	s := catalog.Snapshot{
		Services: map[string]catalog.Service{},
		Nodes:    map[string]catalog.Node{"n1": {ID: "n1", Hostname: "one", Role: "manager"}},
		Tasks:    map[string][]catalog.Task{},
	}
	for _, name := range names {
		s.Services["id-"+name] = catalog.Service{ID: "id-" + name, Name: name, Mode: catalog.Replicated, Replicas: 1}
	}
	return s
}

func entries(t *testing.T, s catalog.Snapshot) catalog.Entries {
	t.Helper()
	e, large, err := catalog.EncodeAll(s)
	if err != nil || len(large) > 0 {
		t.Fatal(err, large)
	}
	return e
}

type listener struct {
	t *testing.T
	w *bus.CatalogWriter
}

func newListener(t *testing.T, b *bus.Bus) listener {
	w := b.CatalogWriter(func() {})
	bustest.Run(t, w.Run)
	return listener{t, w}
}

func (l listener) publish(names ...string) {
	l.t.Helper()
	tooltest.Eventually(l.t, "the listener has written", func() error {
		seen, ok := l.w.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := l.w.Write(l.t.Context(), seen, seen.Plan(entries(l.t, swarm(names...))))
		return err
	})
}

func wants(c *bus.Catalog, names ...string) func() error {
	return func() error {
		s, ok := c.Snapshot()
		if !ok {
			return errors.New("incomplete")
		}
		if len(s.Services) != len(names) {
			return fmt.Errorf("%d services, want %d", len(s.Services), len(names))
		}
		for _, n := range names {
			if _, ok := s.ByName(n); !ok {
				return fmt.Errorf("%s is missing", n)
			}
		}
		return nil
	}
}

func reader(t *testing.T, b *bus.Bus) *bus.Catalog {
	c := b.Catalog(func() {})
	bustest.Run(t, c.Run)
	return c
}

func TestCatalogTravels(t *testing.T) {
	s := bustest.Start(t)
	l := newListener(t, s.Prepared())
	c := reader(t, s.Connect("proxy"))
	if _, ok := c.Snapshot(); ok {
		t.Fatal("an empty bucket is not a complete catalog")
	}
	l.publish("a", "b")
	tooltest.Eventually(t, "both services arrive", wants(c, "a", "b"))
	l.publish("b", "c")
	tooltest.Eventually(t, "one went and one came", wants(c, "b", "c"))
	l.publish()
	tooltest.Eventually(t, "an empty swarm is a complete catalog too", wants(c))
	late := reader(t, s.Connect("monitor"))
	l.publish("c")
	tooltest.Eventually(t, "a late reader sees the whole", wants(late, "c"))
}

func TestNothingIsWrittenTwice(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	l := newListener(t, b)
	l.publish("a")
	c := reader(t, b)
	tooltest.Eventually(t, "the service arrives", wants(c, "a"))
	before, _ := c.Snapshot()
	l.publish("a")
	l.publish("a", "b")
	tooltest.Eventually(t, "the next service arrives", wants(c, "a", "b"))
	after, _ := c.Snapshot()
	if got := after.Revision.Sequence - before.Revision.Sequence; got != 2 {
		t.Fatalf("%d writes, want 2: the new service and the list", got)
	}
}

func TestChangesAreSeenAtOnceAfterARestartOfTheServer(t *testing.T) {
	s := bustest.Start(t)
	l := newListener(t, s.Prepared())
	c := reader(t, s.Connect("proxy"))
	l.publish("a", "b")
	tooltest.Eventually(t, "both services arrive", wants(c, "a", "b"))
	s.Stop()
	if err := wants(c, "a", "b")(); err != nil {
		t.Fatalf("without a bus the last state stays: %v", err)
	}
	s.StartAgain()
	start := time.Now()
	l.publish("b", "c")
	tooltest.Eventually(t, "the change arrives", wants(c, "b", "c"))
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the change took %v, want well under the 17 s of a plain watch", took)
	}
}

func TestKeyDeletedAndPurgedWhileTheReaderWasAway(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	m := b.Bucket(bus.SignalsBucket).Mirror(">", func() {})
	bustest.Run(t, m.Run)
	other := s.Connect("scaler").Bucket(bus.SignalsBucket)
	for _, key := range []string{"stays", "goes"} {
		if _, err := other.Put(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want int) func() error {
		return func() error {
			v, ok := m.Values()
			if !ok || len(v) != want {
				return fmt.Errorf("%d keys (synced %v), want %d", len(v), ok, want)
			}
			return nil
		}
	}
	tooltest.Eventually(t, "both keys arrive", has(2))
	// The store is exchanged for one in which the key was never written, which is
	// what deleted and purged looks like to a reader that comes back.
	s.Stop()
	s.LoseStore()
	s.StartAgain()
	tooltest.Eventually(t, "the bucket is made anew", func() error { return b.Prepare(t.Context(), 1) })
	tooltest.Eventually(t, "the remaining key is written", func() error {
		_, err := other.Put(t.Context(), "stays", []byte("x"))
		return err
	})
	tooltest.Eventually(t, "the purged key is gone", has(1))
}

func TestBusThatLostItsStoreCostsNothing(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	l := newListener(t, b)
	var incomplete atomic.Int64
	var c *bus.Catalog
	seen := make(chan int, 1024)
	c = s.Connect("proxy").Catalog(func() {
		if snap, ok := c.Snapshot(); ok {
			seen <- len(snap.Services)
		} else {
			incomplete.Add(1)
		}
	})
	bustest.Run(t, c.Run)
	l.publish("a", "b")
	tooltest.Eventually(t, "both services arrive", wants(c, "a", "b"))
	first, _ := c.Snapshot()
	for len(seen) > 0 {
		<-seen
	}
	s.Stop()
	s.LoseStore()
	s.StartAgain()
	tooltest.Eventually(t, "the buckets are made anew", func() error { return b.Prepare(t.Context(), 1) })
	// The listener is slow to list: the reader sees an empty bucket for a while.
	tooltest.Eventually(t, "the reader has seen the empty bucket", func() error {
		if _, ok := c.Snapshot(); ok {
			return errors.New("still the old state")
		}
		return nil
	})
	// Its own copy is poked for, too; what is written before that is compared with a
	// bucket that is no more, and written again after the poke.
	tooltest.Eventually(t, "the listener has seen it", func() error {
		if seen, ok := l.w.Seen(); !ok || len(seen.Entries) > 0 {
			return fmt.Errorf("it knows of %d entries, synced: %t", len(seen.Entries), ok)
		}
		return nil
	})
	l.publish("a", "b")
	tooltest.Eventually(t, "the catalog is complete again", wants(c, "a", "b"))
	for len(seen) > 0 {
		if n := <-seen; n != 2 {
			t.Errorf("the reader was given a snapshot of %d services, want none but the whole 2", n)
		}
	}
	again, _ := c.Snapshot()
	if again.Revision.Epoch == first.Revision.Epoch {
		t.Error("a new store begins a new epoch")
	}
}

func TestPermissions(t *testing.T) {
	keys := map[string]string{
		"listener": "0123456789abcdef-l", "proxy": "0123456789abcdef-p", "scaler": "0123456789abcdef-s",
	}
	s := bustest.StartWithKeys(t, keys)
	l := newListener(t, s.Prepared())
	l.publish("a")
	proxy, scaler := s.Connect("proxy"), s.Connect("scaler")
	c := reader(t, proxy)
	tooltest.Eventually(t, "the proxy reads the catalog", wants(c, "a"))
	st := proxy.Statuses("p1", func() {})
	bustest.Run(t, st.Run)
	tooltest.Eventually(t, "the proxy writes its statuses", func() error {
		return st.Publish(t.Context(), []catalog.Status{{ServiceID: "id-a", Service: "a", State: catalog.StateApplied}})
	})
	if _, err := scaler.Bucket(bus.SignalsBucket).Put(t.Context(), "a.up", []byte("{}")); err != nil {
		t.Errorf("the scaler writes signals: %v", err)
	}
	for what, write := range map[string]func(context.Context) error{
		"the proxy writes the catalog": func(ctx context.Context) error {
			_, err := proxy.Bucket(bus.CatalogBucket).Put(ctx, "service.x", []byte("{}"))
			return err
		},
		"the proxy writes signals": func(ctx context.Context) error {
			_, err := proxy.Bucket(bus.SignalsBucket).Put(ctx, "x.up", []byte("{}"))
			return err
		},
		"the scaler routes in the proxy's name": func(ctx context.Context) error {
			_, err := scaler.Bucket(bus.ManualBucket).Put(ctx, "proxy.service.x", []byte("{}"))
			return err
		},
		"the proxy speaks for the scaler": func(ctx context.Context) error {
			_, err := proxy.Bucket(bus.StatusBucket).Put(ctx, "scaler.x", []byte("{}"))
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if write(ctx) == nil {
			t.Errorf("%s, which must be refused", what)
		}
		cancel()
	}
	wrong, err := bus.Connect(bus.Options{URL: s.URL(), Component: "proxy", Key: "another-key-of-a-stranger"})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := wrong.Bucket(bus.CatalogBucket).Get(ctx, catalog.ListKey); err == nil {
		t.Error("a stranger reads the catalog")
	}
}

func TestCompareAndSetAndTTL(t *testing.T) {
	s := bustest.Start(t)
	k := s.Prepared().Bucket(bus.SignalsBucket)
	first, err := k.Put(t.Context(), "a.up", []byte("1"), bus.IfRevision(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Put(t.Context(), "a.up", []byte("2"), bus.IfRevision(0)); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("writing a key that exists as new: %v, want ErrConflict", err)
	}
	if _, err := k.Put(t.Context(), "a.up", []byte("2"), bus.IfRevision(first), bus.WithTTL(time.Second)); err != nil {
		t.Errorf("writing on the right revision: %v", err)
	}
	tooltest.Eventually(t, "the value expires", func() error {
		_, _, err := k.Get(t.Context(), "a.up")
		if !errors.Is(err, bus.ErrNotFound) {
			return fmt.Errorf("get: %v", err)
		}
		return nil
	})
}

func TestLastMessagesOfAStream(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	if got, err := b.Last(t.Context(), bus.DecisionsStream, 3); err != nil || len(got) != 0 {
		t.Fatalf("an empty stream: %v, %v", got, err)
	}
	for i := range 5 {
		if err := b.Publish(t.Context(), bus.DecisionsStream, "web", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.Last(t.Context(), bus.DecisionsStream, 3)
	if err != nil || len(got) != 3 || string(got[0].Value) != "2" || string(got[2].Value) != "4" {
		t.Fatalf("last three: %v, %v", got, err)
	}
	for _, id := range []string{"one", "two", "one"} {
		if err := b.Publish(t.Context(), bus.EventsStream, "web", []byte(id), bus.WithID(id)); err != nil {
			t.Fatal(err)
		}
	}
	got, err = b.Last(t.Context(), bus.EventsStream, 3)
	if err != nil || len(got) != 2 || string(got[1].Value) != "two" {
		t.Fatalf("of two messages with one mark the first is kept: %v, %v", got, err)
	}
}

// TestReadersOfAStreamAreForgotten: components may not delete readers, not even their own.
func TestReadersOfAStreamAreForgotten(t *testing.T) {
	b := bustest.Start(t).Prepared()
	for i := range 3 {
		if err := b.Publish(t.Context(), bus.DecisionsStream, "web", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		if got, err := b.Last(t.Context(), bus.DecisionsStream, 2); err != nil || len(got) != 2 || string(got[1].Value) != "2" {
			t.Fatalf("reading number %d: %v, %v", i, got, err)
		}
	}
	tooltest.Eventually(t, "the server has forgotten them", func() error {
		if n, err := b.Readers(t.Context(), bus.DecisionsStream); err != nil || n > 0 {
			return fmt.Errorf("%d are left (%v)", n, err)
		}
		return nil
	})
}

func TestToken(t *testing.T) {
	for in, want := range map[string]string{"go-demo_main": "go-demo_main", "": "=", "a.b": "=YS5i", "a b": "=YSBi"} {
		if got := bus.Token(in); got != want {
			t.Errorf("Token(%q) = %q, want %q", in, got, want)
		}
	}
}

// A reader whose session is cut while it begins anew by itself must end all the
// same: both happen at once whenever the server comes back.
func TestReaderEndsWhileTheServerComesBack(t *testing.T) {
	s := bustest.Start(t)
	s.Prepared()
	b := s.Connect("proxy")
	for range 6 {
		var readers []*bus.Mirror
		var stops []func()
		for range 20 {
			m := b.Bucket(bus.CatalogBucket).Mirror(">", func() {})
			readers = append(readers, m)
			stops = append(stops, bustest.Run(t, m.Run))
		}
		tooltest.Eventually(t, "all have read", func() error {
			for _, m := range readers {
				if !m.Synced() {
					return errors.New("not yet")
				}
			}
			return nil
		})
		s.Stop()
		s.StartAgain()
		tooltest.Eventually(t, "the connection is back", func() error {
			if !b.Connected() {
				return errors.New("not yet")
			}
			return nil
		})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, stop := range stops {
				stop()
			}
		}()
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			t.Fatal("a reader does not end")
		}
	}
}

// TestNoPasswordInErrors: a URL that cannot be read holds one too.
func TestNoPasswordInErrors(t *testing.T) {
	for _, url := range []string{"nats://me:geheim@ho st:4222", "nats://me:geheim@host:port", "nats://me:ge%zzheim@host", "://me:geheim@host"} {
		b, err := bus.Connect(bus.Options{URL: url, Component: "proxy"})
		if err == nil {
			b.Close()
			continue
		}
		if strings.Contains(err.Error(), "heim") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
