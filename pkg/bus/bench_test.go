package bus_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// thousand returns a swarm of a thousand services, each with labels and two tasks.
func thousand(b *testing.B, path string) catalog.Entries {
	b.Helper()
	s := catalog.Snapshot{Services: map[string]catalog.Service{}, Nodes: map[string]catalog.Node{"n": {ID: "n"}}, Tasks: map[string][]catalog.Task{}}
	for i := range 1000 {
		id := fmt.Sprint("service", i)
		s.Services[id] = catalog.Service{
			ID: id, Name: id, Mode: catalog.Replicated, Replicas: 2, Networks: []string{"waggle"},
			Labels: map[string]string{catalog.Notify: "true", "com.df.servicePath": "/" + id, "com.df.port": "8080"},
		}
		s.Tasks[id] = []catalog.Task{{ID: id + "a", State: "running", Desired: "running"}, {ID: id + "b", State: "running", Desired: "running"}}
	}
	svc := s.Services["service7"]
	svc.Labels = map[string]string{catalog.Notify: "true", "com.df.servicePath": path}
	s.Services["service7"] = svc
	entries, _, err := catalog.EncodeAll(s)
	if err != nil {
		b.Fatal(err)
	}
	return entries
}

func published(b *testing.B) (*bustest.Server, *bus.CatalogWriter, [2]catalog.Entries) {
	s := bustest.Start(b)
	w := s.Prepared().CatalogWriter(func() {})
	bustest.Run(b, w.Run)
	both := [2]catalog.Entries{thousand(b, "/a"), thousand(b, "/b")}
	tooltest.Eventually(b, "a thousand services are published", func() error { return writeAll(b, w, both[0]) })
	return s, w, both
}

// BenchmarkSeenAndWrite is one change among a thousand services.
func BenchmarkSeenAndWrite(b *testing.B) {
	_, w, both := published(b)
	i := 0
	for b.Loop() {
		i++
		if err := writeAll(b, w, both[i%2]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSnapshot is of a catalog that stays as it is.
func BenchmarkSnapshot(b *testing.B) {
	s, _, _ := published(b)
	c := s.Connect("proxy").Catalog(func() {})
	bustest.Run(b, c.Run)
	tooltest.Eventually(b, "all is read", func() error {
		if _, ok := c.Snapshot(); !ok {
			return errors.New("not yet")
		}
		return nil
	})
	for b.Loop() {
		if _, ok := c.Snapshot(); !ok {
			b.Fatal("incomplete")
		}
	}
}

// BenchmarkChangeToSnapshot is the way of one changed service through a reader's builder.
func BenchmarkChangeToSnapshot(b *testing.B) {
	builder := catalog.NewBuilder()
	both := [2]catalog.Entries{thousand(b, "/a"), thousand(b, "/b")}
	for key, value := range both[0] {
		take(b, builder, key, value)
	}
	i := 0
	for b.Loop() {
		i++
		key := catalog.ServiceKey("service7")
		take(b, builder, key, both[i%2][key])
		if s := builder.Snapshot(1); len(s.Services) != 1000 {
			b.Fatal(len(s.Services))
		}
	}
}

func writeAll(b *testing.B, w *bus.CatalogWriter, want catalog.Entries) error {
	seen, ok := w.Seen()
	if !ok {
		return bus.ErrNotSynced
	}
	_, err := w.Write(b.Context(), seen, seen.Plan(want))
	return err
}

func take(b *testing.B, builder *catalog.Builder, key string, value []byte) {
	if err := builder.Put(key, value, 1); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLast reads the newest 200 messages of a stream.
func BenchmarkLast(b *testing.B) {
	s := bustest.Start(b)
	listener := s.Prepared()
	for i := range 250 {
		if err := listener.Publish(b.Context(), bus.DecisionsStream, fmt.Sprint("web", i%20), make([]byte, 400)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if got, err := listener.Last(b.Context(), bus.DecisionsStream, 200); err != nil || len(got) != 200 {
			b.Fatal(len(got), err)
		}
	}
}
