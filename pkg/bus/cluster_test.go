package bus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// A NATS of the user's own: three servers with what the listener prints for them.
func TestThreeServersWithThePrintedConfiguration(t *testing.T) {
	servers := bustest.Cluster(t, 3, allKeys)
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.URL())
	}
	connect := func(component string) *bus.Bus {
		t.Helper()
		b, err := bus.Connect(bus.Options{URL: strings.Join(urls, ","), Component: component, Key: allKeys[component]})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	listener := connect("listener")
	tooltest.Eventually(t, "the buckets are made, three times each", func() error { return listener.Prepare(t.Context(), 3) })
	holds(t, listener, connect)

	catalogue := listener.Bucket(bus.CatalogBucket)
	mirrors := map[string]*bus.Mirror{}
	for _, component := range []string{"proxy", "monitor", "scaler"} {
		mirrors[component] = connect(component).Bucket(bus.CatalogBucket).Mirror(">", func() {})
		bustest.Run(t, mirrors[component].Run)
	}
	travels := func(text string) {
		t.Helper()
		start := time.Now()
		tooltest.Eventually(t, "the listener writes", func() error {
			_, err := catalogue.Put(t.Context(), "service.victim", []byte(text))
			return err
		})
		written := time.Since(start)
		tooltest.Eventually(t, "all three read it", func() error {
			for component, m := range mirrors {
				if v, ok := m.Value("service.victim"); !ok || string(v.Data) != text {
					return fmt.Errorf("%s has %q", component, v.Data)
				}
			}
			return nil
		})
		// NATS waits for up to nine seconds before it elects another leader, and a write
		// without an answer is given up after two.
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("%s: it took %v, want less than 15 s", text, took)
		} else {
			t.Logf("%s: written after %v, read by all after %v", text, written, took)
		}
	}
	travels("before")
	leader := func() *bustest.Process {
		t.Helper()
		js, err := jetstream.New(listener.Raw())
		if err != nil {
			t.Fatal(err)
		}
		var found *bustest.Process
		tooltest.Eventually(t, "the catalog has a leader", func() error {
			s, err := js.Stream(t.Context(), "KV_"+bus.CatalogBucket)
			if err != nil {
				return err
			}
			for _, p := range servers {
				if c := s.CachedInfo().Cluster; c != nil && c.Leader == p.Name() {
					found = p
					return nil
				}
			}
			return errors.New("none")
		})
		return found
	}
	first := leader()
	first.Kill()
	travels("with two of three")
	first.Start()
	tooltest.Eventually(t, "the third is back", func() error { return listener.Prepare(t.Context(), 3) })
	travels("with three again")
}
