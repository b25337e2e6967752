package bus_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// seen waits until the writer sees what check wants.
func (l listener) seen(what string, check func(bus.Seen) bool) bus.Seen {
	l.t.Helper()
	var seen bus.Seen
	tooltest.Eventually(l.t, what, func() error {
		var ok bool
		if seen, ok = l.w.Seen(); !ok || !check(seen) {
			return fmt.Errorf("complete: %v, keys: %v", ok, slices.Sorted(maps.Keys(seen.Entries)))
		}
		return nil
	})
	return seen
}

func has(key string) func(bus.Seen) bool {
	return func(s bus.Seen) bool { return s.Entries[key] != nil }
}

func service(t *testing.T, name, path string) catalog.Entry {
	t.Helper()
	value, err := catalog.Encode(catalog.Service{ID: "id-" + name, Name: name, Labels: map[string]string{"com.df.servicePath": path}})
	if err != nil {
		t.Fatal(err)
	}
	return catalog.Entry{Key: catalog.ServiceKey("id-" + name), Value: value}
}

// TestOwnWritesAreNoNews: what a writer has written comes back before it has heard that it
// landed, and must not make it look at everything again.
func TestOwnWritesAreNoNews(t *testing.T) {
	s := bustest.Start(t)
	var pokes atomic.Int32
	w := s.Prepared().CatalogWriter(func() { pokes.Add(1) })
	bustest.Run(t, w.Run)
	one := listener{t, w}
	one.publish("a")
	before := pokes.Load()
	for i := range 50 {
		one.publish("a", fmt.Sprintf("b%d", i))
	}
	other := newListener(t, s.Connect("listener"))
	other.seen("another sees the last", has("service.id-b49"))
	if got := pokes.Load() - before; got != 0 {
		t.Errorf("%d of 50 own changes were news", got)
	}
	other.publish("a", "c")
	one.seen("the first sees what another wrote", has("service.id-c"))
	if pokes.Load() == before {
		t.Error("what another wrote was no news")
	}
}

// TestSomeKeysAreEnoughToWriteThem: who writes a few entries need not have seen the others.
func TestSomeKeysAreEnoughToWriteThem(t *testing.T) {
	one := newListener(t, bustest.Start(t).Prepared())
	one.publish("a", "b")
	one.publish("a")
	all, _ := one.w.Seen()
	few, ok := one.w.SeenOf("service.id-a", "service.id-b", "service.id-c")
	if !ok || len(few.Entries) != 1 || string(few.Entries["service.id-a"]) != string(all.Entries["service.id-a"]) {
		t.Fatalf("complete: %v, keys: %v", ok, slices.Sorted(maps.Keys(few.Entries)))
	}
	plan := bus.Plan{Put: []catalog.Entry{service(t, "a", "/new"), service(t, "b", "/again"), service(t, "c", "/first")}}
	if done, err := one.w.Write(t.Context(), few, plan); err != nil || len(done.Changes.Put) != 3 {
		t.Errorf("what changed, what was deleted and what never was: %d of 3 written, %v", len(done.Changes.Put), err)
	}
	for _, e := range plan.Put {
		if _, err := one.w.Write(t.Context(), few, bus.Plan{Put: []catalog.Entry{{Key: e.Key, Value: []byte("{}")}}}); !errors.Is(err, bus.ErrConflict) {
			t.Errorf("%s was changed since it was seen: %v, want ErrConflict", e.Key, err)
		}
	}
}

// TestAStaleWriterChangesNothing: two listeners, of which one has stood still.
func TestAStaleWriterChangesNothing(t *testing.T) {
	s := bustest.Start(t)
	one, two := newListener(t, s.Prepared()), newListener(t, s.Connect("listener"))
	one.publish("a", "b")
	stale := two.seen("two sees both", has("service.id-b"))
	one.publish("a", "c")
	c := reader(t, s.Connect("proxy"))
	tooltest.Eventually(t, "b went and c came", wants(c, "a", "c"))
	for what, plan := range map[string]bus.Plan{
		"puts what is gone":         {Put: []catalog.Entry{service(t, "b", "/b")}},
		"puts what others have put": {Put: []catalog.Entry{service(t, "c", "/other")}},
		"deletes what is gone":      {Delete: []string{"service.id-b"}},
		"seals an older list":       {List: &catalog.List{Writer: "two"}},
		"does all of it":            {Put: []catalog.Entry{service(t, "b", "/b")}, Delete: []string{"service.id-a"}, List: &catalog.List{Writer: "two"}},
	} {
		written, err := two.w.Write(t.Context(), stale, plan)
		if !errors.Is(err, bus.ErrConflict) || !written.Changes.Empty() {
			t.Errorf("who %s: %v, %+v", what, err, written.Changes)
		}
	}
	if err := wants(c, "a", "c")(); err != nil {
		t.Error(err)
	}
	// With what is there now, it is a matter of course.
	fresh := two.seen("two sees c", func(s bus.Seen) bool { return s.Entries["service.id-c"] != nil && s.Entries["service.id-b"] == nil })
	written, err := two.w.Write(t.Context(), fresh, bus.Plan{
		Put: []catalog.Entry{service(t, "b", "/b")}, Delete: []string{"service.id-a"}, List: &catalog.List{Writer: "two"}, Indexes: map[string]uint64{"service.id-b": 17},
	})
	if err != nil || len(written.Changes.Put) != 1 || len(written.Changes.Delete) != 1 {
		t.Fatal(written, err)
	}
	tooltest.Eventually(t, "b is back and a gone", wants(c, "b", "c"))
	seen := one.seen("one sees it, too", has("service.id-b"))
	if seen.Indexes["service.id-b"] != 17 || len(seen.Indexes) != 1 {
		t.Errorf("Swarm's versions are %v", seen.Indexes)
	}
}

// TestTheListSaysWhatIsThere: its counts and hash are of the bucket, also after a refusal.
func TestTheListSaysWhatIsThere(t *testing.T) {
	s := bustest.Start(t)
	l := newListener(t, s.Prepared())
	c := reader(t, s.Connect("proxy"))
	seen := l.seen("the bucket is read", func(bus.Seen) bool { return true })
	huge := catalog.Entry{Key: catalog.TasksKey("id-huge"), Value: fmt.Appendf(nil, "%q", strings.Repeat("x", 600<<10))}
	vast := catalog.Entry{Key: catalog.ServiceKey("id-vast"), Value: fmt.Appendf(nil, "%q", strings.Repeat("x", 2<<20))}
	written, err := l.w.Write(t.Context(), seen, bus.Plan{
		Put:  []catalog.Entry{service(t, "a", "/a"), huge, service(t, "b", "/b"), vast},
		List: &catalog.List{Cluster: "c1", Index: 9, Writer: "one"},
	})
	if err != nil || len(written.Changes.Put) != 2 || len(written.Refused) != 2 {
		t.Fatalf("%v, put %v, refused %v", err, written.Changes.Put, written.Refused)
	}
	for _, key := range []string{huge.Key, vast.Key} {
		if written.Refused[key] == nil || !strings.Contains(written.Refused[key].Error(), key) {
			t.Errorf("%s: %v", key, written.Refused[key])
		}
	}
	tooltest.Eventually(t, "the others are there", wants(c, "a", "b"))
	list, _ := c.List()
	if list.Schema != catalog.Schema || list.Cluster != "c1" || list.Index != 9 || list.Writer != "one" || list.Epoch == "" || list.Services != 2 || list.Nodes != 0 {
		t.Errorf("%+v", list)
	}
	_, _, hash := catalog.Tally(slices.Values([]string{"service.id-a", "service.id-b"}))
	if list.Keys != hash {
		t.Errorf("the hash is %s, want %s", list.Keys, hash)
	}
}

// TestSecretsComeBeforeTheirService, and a service whose texts are refused is left out.
func TestSecretsComeBeforeTheirService(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	l := newListener(t, b)
	open, whole := reader(t, s.Connect("monitor")), s.Connect("proxy").CatalogWithSecrets(func() {})
	bustest.Run(t, whole.Run)
	publish := func(texts map[string]string) bus.Written {
		t.Helper()
		snapshot := swarm()
		for name, text := range texts {
			snapshot.Services["id-"+name] = catalog.Service{ID: "id-" + name, Name: name, Labels: map[string]string{"com.df.users": text}}
		}
		want, cut, err := catalog.EncodeApart(snapshot, func(label string) bool { return label == "com.df.users" }, func(text string) string { return "mark:" + text })
		if err != nil || len(cut) > 0 {
			t.Fatal(err, cut)
		}
		seen := l.seen("the bucket is read", func(bus.Seen) bool { return true })
		written, err := l.w.Write(t.Context(), seen, seen.Plan(want))
		if err != nil {
			t.Fatal(err)
		}
		return written
	}
	reads := func(texts map[string]string) {
		t.Helper()
		tooltest.Eventually(t, "who may read them sees the texts", func() error {
			s, ok := whole.Snapshot()
			for name, text := range texts {
				if svc := s.Services["id-"+name]; svc.Labels["com.df.users"] != text || len(svc.Withheld) > 0 {
					return fmt.Errorf("%s: %+v", name, svc)
				}
			}
			if !ok || len(s.Services) != len(texts) {
				return fmt.Errorf("%d services, complete: %v", len(s.Services), ok)
			}
			return nil
		})
	}
	publish(map[string]string{"a": "me:secret", "b": "you:secret"})
	reads(map[string]string{"a": "me:secret", "b": "you:secret"})
	tooltest.Eventually(t, "the others read them, too", wants(open, "a", "b"))
	snapshot, _ := open.Snapshot()
	if svc := snapshot.Services["id-a"]; svc.Labels["com.df.users"] != "" || svc.Withheld["com.df.users"] != "mark:me:secret" {
		t.Errorf("who may not read them sees %+v", svc)
	}
	if written := publish(map[string]string{"a": "me:other"}); len(written.Changes.Delete) != 2 {
		t.Errorf("deleted are %v", written.Changes.Delete)
	}
	reads(map[string]string{"a": "me:other"})
	// A text that does not get through keeps its service as it was.
	if err := b.Fill(t.Context(), bus.SecretsBucket); err != nil {
		t.Fatal(err)
	}
	written := publish(map[string]string{"a": strings.Repeat("x", 1000)})
	if len(written.Refused) != 2 || written.Refused[catalog.ServiceKey("id-a")] == nil {
		t.Errorf("refused are %v", written.Refused)
	}
	reads(map[string]string{"a": "me:other"})
}

// TestWhatExpiresLeavesNoConflict: the mark of a deletion goes without a word.
func TestWhatExpiresLeavesNoConflict(t *testing.T) {
	s := bustest.Start(t)
	b := s.Prepared()
	l := newListener(t, b)
	l.publish("a", "b")
	l.publish("a")
	k := b.Bucket(bus.CatalogBucket)
	if _, err := k.Put(t.Context(), "service.id-b", nil, bus.WithHeader("KV-Operation", "DEL"), bus.WithTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "the mark has expired", func() error {
		if _, revision, err := k.Get(t.Context(), "service.id-b"); !errors.Is(err, bus.ErrNotFound) || revision != 0 {
			return fmt.Errorf("revision %d, %v", revision, err)
		}
		return nil
	})
	l.publish("a", "b")
	c := reader(t, b)
	tooltest.Eventually(t, "b is back", wants(c, "a", "b"))
}

// TestMoreEntriesThanTheClientHolds is the start of a very large swarm.
func TestMoreEntriesThanTheClientHolds(t *testing.T) {
	s := bustest.Start(t)
	l := newListener(t, s.Prepared())
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprint("s", i))
	}
	l.publish(names...)
	c := reader(t, s.Connect("proxy"))
	tooltest.Eventually(t, "all are there", wants(c, names...))
	l.publish("s1")
	tooltest.Eventually(t, "and gone", wants(c, "s1"))
}
