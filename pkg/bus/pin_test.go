package bus_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// rogue listens like a server and writes down what clients tell it.
type rogue struct {
	net.Listener
	mu    sync.Mutex
	heard bytes.Buffer
	calls int
}

// newRogue speaks TLS with those keys, or, without any, plainly.
func newRogue(t *testing.T, keys map[string]string) *rogue {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rogue{Listener: l}
	var config *tls.Config
	if keys != nil {
		if config, err = bus.ServerTLS(keys); err != nil {
			t.Fatal(err)
		}
	}
	bustest.Run(t, func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { l.Close() })
		defer stop()
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil
			}
			r.mu.Lock()
			r.calls++
			r.mu.Unlock()
			if config != nil {
				conn = tls.Server(conn, config)
			}
			go r.talk(conn)
		}
	})
	return r
}

func (r *rogue) talk(conn net.Conn) {
	defer conn.Close()
	if _, err := io.WriteString(conn, `INFO {"server_id":"x","version":"2.15.2","headers":true,"max_payload":1048576,"nonce":"sign-this","auth_required":true}`+"\r\n"); err != nil {
		return
	}
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		r.mu.Lock()
		r.heard.Write(buffer[:n])
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *rogue) called() (int, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls, r.heard.String()
}

func TestAServerWithoutTheKeyLearnsNothing(t *testing.T) {
	for name, keys := range map[string]map[string]string{
		"it speaks plainly":             nil,
		"it has other keys":             {"listener": "another-key-0123456789", "proxy": "yet-another-key-0123456789"},
		"it has another component's":    {"proxy": allKeys["monitor"]},
		"it has the listener's own key": {"proxy": allKeys["listener"]},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRogue(t, keys)
			var log strings.Builder
			var mu sync.Mutex
			b, err := bus.Connect(bus.Options{
				URL: "tls://" + r.Addr().String(), Component: "proxy", Key: allKeys["proxy"],
				Log: slog.New(slog.NewTextHandler(writer(func(p []byte) { mu.Lock(); log.Write(p); mu.Unlock() }), nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			tooltest.Eventually(t, "it was tried again and again", func() error {
				if n, _ := r.called(); n < 4 {
					return errors.New("not yet")
				}
				return nil
			})
			if b.Connected() {
				t.Error("the proxy believes it")
			}
			if _, heard := r.called(); strings.Contains(heard, "CONNECT") || strings.Contains(heard, "sig") {
				t.Errorf("it heard %q", heard)
			}
			mu.Lock()
			defer mu.Unlock()
			if n := strings.Count(log.String(), "bus passed over"); n != 1 || !strings.Contains(log.String(), r.Addr().String()) {
				t.Errorf("want the address to be named once:\n%s", log.String())
			}
		})
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestTheServersKeyIsAskedForOnlyWhereItCanBeGiven(t *testing.T) {
	for name, o := range map[string]bus.Options{
		"without a key":       {URL: "tls://x:4222"},
		"some servers":        {URL: "tls://x:4222,nats://y:4222", Key: allKeys["proxy"]},
		"a CA without TLS":    {URL: "nats://x:4222", CA: bus.SystemCA},
		"a CA that is none":   {URL: "tls://x:4222", CA: "nonsense"},
		"a key that is short": {URL: "tls://x:4222", Key: "0123456789abcde"},
		"one of two is short": {URL: "tls://x:4222", Key: allKeys["proxy"] + " short"},
	} {
		o.Component = "proxy"
		if b, err := bus.Connect(o); err == nil {
			b.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// Both sides change their key at their own time; the listener's comes first and goes
// last.
func TestRotationOfAKey(t *testing.T) {
	const before, after = "the-proxys-former-key", "the-proxys-new-key-01"
	with := func(proxy string) map[string]string {
		return map[string]string{"listener": allKeys["listener"], "proxy": proxy, "monitor": allKeys["monitor"], "scaler": allKeys["scaler"]}
	}
	s := bustest.StartWithKeys(t, with(before))
	l := s.Prepared()
	c := l.Bucket(bus.StatusBucket).Mirror("proxy.>", func() {})
	bustest.Run(t, c.Run)
	said := 0
	says := func(key string) {
		t.Helper()
		b, err := bus.Connect(bus.Options{URL: s.URL(), Component: "proxy", Key: key})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		said++
		tooltest.Eventually(t, "the proxy says something", func() error {
			_, err := b.Bucket(bus.StatusBucket).Put(t.Context(), "proxy.x"+string(rune('a'+said)), []byte("{}"))
			return err
		})
		tooltest.Eventually(t, "the listener hears all of it", func() error {
			if values, ok := c.Values(); !ok || len(values) != said {
				return errors.New("not yet")
			}
			return nil
		})
	}
	rekey := func(proxy string) {
		t.Helper()
		s.Stop()
		s.Rekey(with(proxy))
		s.StartAgain()
	}
	says(before)
	rekey(before + "\n" + after)
	says(before)
	says(after + " " + before)
	says(after)
	rekey(after + " " + before)
	says(before)
	says(after)
	rekey(after)
	says(after)
	stale, err := bus.Connect(bus.Options{URL: s.URL(), Component: "proxy", Key: before})
	if err != nil {
		t.Fatal(err)
	}
	defer stale.Close()
	tooltest.Eventually(t, "the former key is refused", func() error {
		if err := stale.Raw().LastError(); err == nil && stale.Raw().Status() != nats.RECONNECTING {
			return errors.New("not yet")
		}
		return nil
	})
	if stale.Connected() {
		t.Error("the former key still opens")
	}
}

// What a component does with its bus works through the wall, also after the server
// was away.
func TestWhatAComponentDoesWorksThroughTheWall(t *testing.T) {
	s := bustest.StartWithKeys(t, allKeys)
	s.Prepared()
	b := s.Connect("scaler")
	signals := b.Bucket(bus.SignalsBucket)
	m := signals.Mirror(">", func() {})
	bustest.Run(t, m.Run)
	instances := b.Bucket(bus.StatusBucket).Mirror(bus.InstanceKey("scaler", "")+">", func() {})
	bustest.Run(t, instances.Run)
	has := func(m *bus.Mirror, key string, want bool) {
		t.Helper()
		tooltest.Eventually(t, key, func() error {
			if _, ok := m.Value(key); ok != want || !m.Synced() {
				return errors.New("not yet")
			}
			return nil
		})
	}
	for round := range 2 {
		key := "web" + string(rune('a'+round)) + ".up"
		var revision uint64
		tooltest.Eventually(t, "a new key is written", func() (err error) {
			revision, err = signals.Put(t.Context(), key, []byte("1"), bus.IfRevision(0))
			return err
		})
		has(m, key, true)
		if _, err := signals.Put(t.Context(), key, []byte("2"), bus.IfRevision(0)); !errors.Is(err, bus.ErrConflict) {
			t.Errorf("written as new once more: %v", err)
		}
		if _, err := signals.Put(t.Context(), key, []byte("2"), bus.IfRevision(revision), bus.WithTTL(time.Second)); err != nil {
			t.Error(err)
		}
		has(m, key, false) // it ends, and a mark says so
		if _, err := signals.Put(t.Context(), "gone", []byte("1")); err != nil {
			t.Error(err)
		}
		has(m, "gone", true)
		if err := signals.Delete(t.Context(), "gone"); err != nil {
			t.Error(err)
		}
		has(m, "gone", false)
		if _, _, err := signals.Get(t.Context(), "gone"); !errors.Is(err, bus.ErrNotFound) {
			t.Errorf("get what is gone: %v", err)
		}
		instance := bus.InstanceKey("scaler", "i"+string(rune('a'+round)))
		if _, err := b.Bucket(bus.StatusBucket).Put(t.Context(), instance, []byte("{}"), bus.WithTTL(time.Second)); err != nil {
			t.Error(err)
		}
		has(instances, instance, true)
		has(instances, instance, false) // it ends without a mark
		if err := b.Publish(t.Context(), bus.DecisionsStream, "web", []byte{byte('0' + round)}); err != nil {
			t.Error(err)
		}
		last, err := b.Last(t.Context(), bus.DecisionsStream, 1)
		if err != nil || len(last) != 1 || last[0].Value[0] != byte('0'+round) {
			t.Errorf("the last decision: %v, %v", last, err)
		}
		s.Stop()
		s.StartAgain()
	}
}
