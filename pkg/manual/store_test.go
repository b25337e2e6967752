package manual

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// store starts a replica's Store.
func store(t *testing.T, b *bus.Bus, file string) *Store {
	t.Helper()
	s, err := New(b, "proxy", Services, file, func() {})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, s.Run)
	return s
}

// knows waits until a store knows these services, and the bus says so.
func knows(t *testing.T, s *Store, names ...string) {
	t.Helper()
	tooltest.Eventually(t, fmt.Sprintf("it knows %v", names), func() error {
		got, complete := s.Services()
		if !complete || len(got) != len(names) {
			return fmt.Errorf("%v %v", complete, got)
		}
		for _, name := range names {
			if got[ID(name)].Name != name {
				return fmt.Errorf("%v", got)
			}
		}
		return nil
	})
}

func wanted(name, path string, created int64) catalog.Service {
	return catalog.Service{ID: ID(name), Name: name, CreatedAt: time.Unix(created, 0).UTC(), Labels: map[string]string{"com.df.servicePath": path}}
}

func TestWhatOneTakesTheOtherReads(t *testing.T) {
	keys := map[string]string{"listener": "the-listeners-secret", "proxy": "the-proxys-own-secret"}
	server := bustest.StartWithKeys(t, keys)
	server.Prepared()
	one := store(t, server.Connect("proxy"), filepath.Join(t.TempDir(), "manual.json"))
	two := store(t, server.Connect("proxy"), filepath.Join(t.TempDir(), "manual.json"))
	knows(t, one)
	knows(t, two)
	if err := one.Put(t.Context(), wanted("a.b", "/a", 1)); err != nil {
		t.Fatal(err)
	}
	knows(t, two, "a.b")
	// It keeps its age, whoever changes it.
	if err := two.Put(t.Context(), wanted("a.b", "/b", 2)); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the change is read", func() error {
		got, _ := one.Services()
		if svc := got[ID("a.b")]; svc.Labels["com.df.servicePath"] != "/b" || svc.CreatedAt.Unix() != 1 {
			return fmt.Errorf("%+v", svc)
		}
		return nil
	})
	if err := errors.Join(two.Remove(t.Context(), "a.b"), two.Remove(t.Context(), "nobody")); err != nil {
		t.Fatal(err)
	}
	knows(t, one)
}

// TestBusThatLostItsStore: what a replica knows it brings back, but not what was
// removed while it was away.
func TestBusThatLostItsStore(t *testing.T) {
	server := bustest.Start(t)
	server.Prepared()
	file := filepath.Join(t.TempDir(), "manual.json")
	b := server.Connect("proxy")
	one := store(t, b, file)
	knows(t, one)
	if err := errors.Join(one.Put(t.Context(), wanted("a", "/a", 1)), one.Put(t.Context(), wanted("b", "/b", 2)), one.Keep(t.Context())); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	server.LoseStore()
	server.StartAgain()
	server.Prepared()
	tooltest.Eventually(t, "the new store is read", func() error {
		if _, ok := one.mirror.Value(one.prefix + mark); ok || !one.mirror.Synced() {
			return errors.New("still the old one")
		}
		return nil
	})
	knows(t, one, "a", "b")
	tooltest.Eventually(t, "it is brought back", func() error { return one.Keep(t.Context()) })
	two := store(t, server.Connect("proxy"), filepath.Join(t.TempDir(), "manual.json"))
	knows(t, two, "a", "b")

	if err := two.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// One that comes back with what it knew takes the bus's word.
	late := filepath.Join(t.TempDir(), "manual.json")
	if err := os.WriteFile(late, old, 0o600); err != nil {
		t.Fatal(err)
	}
	three := store(t, server.Connect("proxy"), late)
	knows(t, three, "b")
	if err := three.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	knows(t, two, "b")
}

func TestWithoutABus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "manual.json")
	if err := os.WriteFile(file, []byte(`{"manual-a":{"id":"manual-a","name":"a","mode":"global","replicas":0,"createdAt":"2026-01-01T00:00:00Z"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	server := bustest.Start(t)
	server.Stop()
	s := store(t, server.Connect("proxy"), file)
	if got, complete := s.Services(); complete || len(got) != 1 || got[ID("a")].Name != "a" {
		t.Errorf("%v %v", got, complete)
	}
	if err := s.Put(t.Context(), wanted("b", "/b", 1)); !errors.Is(err, bus.ErrNotSynced) {
		t.Error(err)
	}
	if err := s.Remove(t.Context(), "a"); !errors.Is(err, bus.ErrNotSynced) {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := New(server.Connect("proxy"), "proxy", Services, file, func() {}); s == nil || err == nil {
		t.Errorf("a broken file: %v %v", s, err)
	}
}

// TestADamagedStore: a service that the bus has lost by a bad disk was removed by nobody, and is there
// again with whoever has it, also one who was away meanwhile. One that was removed is not.
func TestADamagedStore(t *testing.T) {
	server := bustest.Start(t)
	server.Prepared()
	file := filepath.Join(t.TempDir(), "manual.json")
	b := server.Connect("proxy")
	one := store(t, b, file)
	knows(t, one)
	for _, name := range []string{"a", "b", "c"} {
		tooltest.Must(t, one.Put(t.Context(), wanted(name, "/"+name, 1)))
	}
	tooltest.Must(t, one.Keep(t.Context()))
	b.Close() // and hears no more
	two := store(t, server.Connect("proxy"), filepath.Join(t.TempDir(), "manual.json"))
	knows(t, two, "a", "b", "c")
	tooltest.Must(t, two.Remove(t.Context(), "c"))
	server.Damage(bus.ManualBucket, two.key("a"))
	fresh := store(t, server.Connect("proxy"), filepath.Join(t.TempDir(), "manual.json"))
	knows(t, fresh, "b")
	knows(t, two, "a", "b")
	late := store(t, server.Connect("proxy"), file)
	knows(t, late, "a", "b")
	tooltest.Must(t, late.Keep(t.Context()))
	knows(t, fresh, "a", "b")
	tooltest.Must(t, fresh.Remove(t.Context(), "a"))
	knows(t, two, "b")
	knows(t, late, "b")
}
