package bus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestHeartbeats: a reader of the very server that it is connected to hears of its end by the
// connection, any other one by missing heartbeats.
func TestHeartbeats(t *testing.T) {
	const often, seldom = time.Second, 20 * time.Second
	open, keyed := bustest.Start(t), bustest.StartWithKeys(t, allKeys)
	beside, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Keys: allKeys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(beside.Stop)
	inside, err := bus.Connect(bus.Options{Component: "listener", Key: allKeys["listener"], InProcess: beside.InProcess()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(inside.Close)
	tooltest.Eventually(t, "the buckets are made", func() error { return inside.Prepare(t.Context(), 1) })
	keyed.Prepared()
	for _, c := range []struct {
		what string
		b    *bus.Bus
		want time.Duration
	}{
		{"a server that anybody may be", open.Prepared(), often},
		{"a server that has proven to be the listener's", keyed.Connect("proxy"), seldom},
		{"a server in the same process", inside, seldom},
	} {
		tooltest.Eventually(t, c.what+" tells of its bucket", func() error {
			got, err := c.b.Heartbeat(t.Context(), bus.CatalogBucket)
			if err == nil && got != c.want {
				t.Errorf("%s: a heartbeat each %v, want each %v", c.what, got, c.want)
			}
			return err
		})
		if got := c.b.HeartbeatOfCluster("several"); got != often {
			t.Errorf("%s, if it were one of several: a heartbeat each %v, want each %v", c.what, got, often)
		}
	}
}

// TestWhatNeedsNoHeartbeat: with a heartbeat that would come far too late, a reader hears of a
// bucket that somebody removes, and of a server that begins anew, within a moment.
func TestWhatNeedsNoHeartbeat(t *testing.T) {
	const moment = 8 * time.Second
	s := bustest.StartWithKeys(t, allKeys)
	listener := s.Prepared()
	manual := listener.Bucket(bus.ManualBucket)
	m := s.Connect("proxy").Bucket(bus.ManualBucket).Mirror("proxy.>", func() {})
	bustest.Run(t, m.Run)
	travels := func(value string) {
		t.Helper()
		tooltest.Eventually(t, "the bucket is there and takes "+value, func() error {
			if err := listener.Prepare(t.Context(), 1); err != nil {
				return err
			}
			_, err := manual.Put(t.Context(), "proxy.a", []byte(value))
			return err
		})
		tooltest.Within(t, moment, value+" is read", func() error {
			if v, ok := m.Value("proxy.a"); !ok || string(v.Data) != value {
				return fmt.Errorf("it has %q", v.Data)
			}
			return nil
		})
	}
	travels("the first")
	if err := listener.Remove(t.Context(), bus.ManualBucket); err != nil {
		t.Fatal(err)
	}
	travels("what comes after a removal")
	s.Stop()
	s.StartAgain()
	travels("what comes after a restart")
	s.Stop()
	s.LoseStore()
	s.StartAgain()
	travels("what comes after a loss")
}

// TestALeaseWithoutAnHeirIsSeldomWritten: in the time in which the usual one is written four
// times, one that lasts for half a minute is not, and is held.
func TestALeaseWithoutAnHeirIsSeldomWritten(t *testing.T) {
	b := bustest.Start(t).Prepared()
	revision := func(key string) uint64 {
		t.Helper()
		_, revision, err := b.Bucket(bus.LeaseBucket).Get(t.Context(), key)
		tooltest.Must(t, err)
		return revision
	}
	long := b.Lease(bus.LeaseOptions{Key: "long", Holder: "one", TTL: 30 * time.Second, Willing: func() bool { return true }})
	usual := b.Lease(bus.LeaseOptions{Key: "usual", Holder: "one", Willing: func() bool { return true }})
	for _, l := range []*bus.Lease{long, usual} {
		bustest.Run(t, l.Run)
		tooltest.Eventually(t, "it is held", func() error {
			if !l.Held() {
				return errors.New("not yet")
			}
			return nil
		})
	}
	first, last := revision("long"), revision("usual")
	for range 4 {
		tooltest.Eventually(t, "the usual one is renewed", func() error {
			if now := revision("usual"); now != last {
				last = now
				return nil
			}
			return errors.New("not yet")
		})
	}
	if now := revision("long"); now != first || !long.Held() {
		t.Errorf("written as %d and then as %d, held: %v", first, now, long.Held())
	}
}

// TestAnHeirWaitsForALongLease: how long it lasts is the holder's to say.
func TestAnHeirWaitsForALongLease(t *testing.T) {
	s := bustest.Start(t)
	s.Prepared()
	one := runs(t, s.Connect("listener"), "one", 9*time.Second)
	tooltest.Eventually(t, "one holds it", one.holds(true))
	two := runs(t, s.Connect("listener"), "two", 0)
	tooltest.Eventually(t, "two knows who holds it", func() error {
		if holder, ok := two.Holder(); !ok || holder != "one" {
			return fmt.Errorf("%q, %v", holder, ok)
		}
		return nil
	})
	one.stopped.Lock()
	defer one.stopped.Unlock()
	// Its last renewal is some three seconds old at most.
	began := time.Now()
	two.takesOver(t, one, 12*time.Second)
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("two took it after %v, as if it lasted three seconds", took)
	}
}

// TestPreparedStreamsAreLeftAlone until somebody changes one.
func TestPreparedStreamsAreLeftAlone(t *testing.T) {
	b := bustest.Start(t).Prepared()
	updates := make(chan *nats.Msg, 100)
	sub, err := b.Raw().ChanSubscribe("$JS.EVENT.ADVISORY.STREAM.UPDATED.>", updates)
	tooltest.Must(t, err)
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	next := func() string {
		t.Helper()
		select {
		case m := <-updates:
			return m.Subject[strings.LastIndex(m.Subject, ".")+1:]
		case <-time.After(tooltest.Patience):
			t.Fatal("nothing is changed")
			return ""
		}
	}
	tooltest.Must(t, b.Prepare(t.Context(), 1))
	tooltest.Must(t, b.Fill(t.Context(), bus.StatusBucket))
	if got, want := next(), "KV_"+bus.StatusBucket; got != want {
		t.Errorf("%s was changed, before anybody changed %s", got, want)
	}
	tooltest.Must(t, b.Prepare(t.Context(), 1))
	if got, want := next(), "KV_"+bus.StatusBucket; got != want {
		t.Errorf("%s was changed instead of %s, which somebody had changed", got, want)
	}
	if _, err := b.Bucket(bus.StatusBucket).Put(t.Context(), "a", make([]byte, 10_000)); err != nil {
		t.Errorf("the bucket takes no more than before: %v", err)
	}
}

// A store that was made when whoever could write one signal could erase all of them is closed.
func TestRollUpsOfAnOlderStoreAreEnded(t *testing.T) {
	s := bustest.Start(t)
	b := s.Connect("listener")
	js, err := jetstream.New(b.Raw())
	tooltest.Must(t, err)
	const name = "KV_" + bus.SignalsBucket
	tooltest.Eventually(t, "there is an older store", func() error {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
			Name: name, Subjects: []string{"$KV." + bus.SignalsBucket + ".>"}, MaxBytes: 16 << 20, MaxMsgSize: 512 << 10,
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, AllowDirect: true, DenyDelete: true, AllowMsgTTL: true,
			AllowRollup: true, SubjectDeleteMarkerTTL: 24 * time.Hour, Metadata: map[string]string{"waggle": "yes"},
		})
		return err
	})
	revision, err := b.Bucket(bus.SignalsBucket).Put(t.Context(), "victim.up", []byte("kept"))
	tooltest.Must(t, err)
	tooltest.Must(t, b.Prepare(t.Context(), 1))
	stream, err := js.Stream(t.Context(), name)
	tooltest.Must(t, err)
	if c := stream.CachedInfo().Config; c.AllowRollup || !c.DenyPurge {
		t.Errorf("roll-ups are still allowed, or purging: %+v", c)
	}
	if _, at, err := b.Bucket(bus.SignalsBucket).Get(t.Context(), "victim.up"); err != nil || at != revision {
		t.Errorf("what was there is at %d: %v, want %d", at, err, revision)
	}
}

// Whoever goes back to this version finds streams of the one after it, in which more is forbidden
// for good.
func TestAStreamThatALaterVersionHasClosed(t *testing.T) {
	s := bustest.Start(t)
	b := s.Connect("listener")
	tooltest.Eventually(t, "the bus is prepared", func() error { return b.Prepare(t.Context(), 1) })
	js, err := jetstream.New(b.Raw())
	tooltest.Must(t, err)
	for _, name := range []string{"KV_" + bus.LeaseBucket, bus.EventsStream} {
		stream, err := js.Stream(t.Context(), name)
		tooltest.Must(t, err)
		closed := stream.CachedInfo().Config
		closed.DenyPurge, closed.AllowRollup, closed.SubjectDeleteMarkerTTL, closed.AllowMsgTTL = true, false, 0, true
		_, err = js.UpdateStream(t.Context(), closed)
		tooltest.Must(t, err)
	}
	earlier := s.Connect("listener")
	tooltest.Eventually(t, "this version takes them as they are", func() error { return earlier.Prepare(t.Context(), 1) })
	if _, err := earlier.Bucket(bus.LeaseBucket).Put(t.Context(), "listener", []byte("me")); err != nil {
		t.Error(err)
	}
}
