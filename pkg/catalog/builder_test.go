package catalog_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// fill puts all entries into a builder, secrets first, and a list that fits them.
func fill(t *testing.T, b *catalog.Builder, entries catalog.Entries) {
	t.Helper()
	list := catalog.List{Schema: catalog.Schema, Epoch: "e"}
	list.Services, list.Nodes, list.Keys = catalog.Tally(maps.Keys(entries))
	put(t, b, catalog.ListKey, list)
	for key, value := range entries {
		if err := b.Put(key, value, 1); err != nil {
			t.Fatal(err)
		}
	}
}

func put(t *testing.T, b *catalog.Builder, key string, v any) {
	t.Helper()
	value, err := catalog.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Put(key, value, 1); err != nil {
		t.Fatal(err)
	}
}

// TestValuesOfTheVersionBeforeAreRead reads what the first version of the catalog wrote.
func TestValuesOfTheVersionBeforeAreRead(t *testing.T) {
	files, err := filepath.Glob("testdata/v1/*.json")
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	b := catalog.NewBuilder()
	for _, file := range files {
		value, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Put(strings.TrimSuffix(filepath.Base(file), ".json"), value, 7); err != nil {
			t.Error(err)
		}
	}
	if !b.Complete() {
		t.Fatal("one service and one node are complete by their number: that list has no hash")
	}
	want := catalog.Snapshot{
		Revision: catalog.Revision{Epoch: "ABCDEFGHIJKLMNOPQRSTUVWXYZ", Sequence: 7},
		Services: map[string]catalog.Service{"s1": {
			ID: "s1", Name: "shop_web", Stack: "shop",
			Labels:          map[string]string{"com.df.notify": "true", "com.df.servicePath": "/shop?<&>", "com.df.port": "8080"},
			ContainerLabels: map[string]string{"com.df.users": "me:secret"}, Mode: catalog.Replicated, Replicas: 2,
			Networks: []string{"shop_default", "waggle"}, EndpointMode: "vip",
			CreatedAt: time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC), UpdateState: "updating",
		}},
		Nodes: map[string]catalog.Node{"n1": {
			ID: "n1", Hostname: "one", Address: "10.0.0.1", Role: "manager", Availability: "active", State: "ready",
			Labels: map[string]string{"com.df.zone": "a"},
		}},
		Tasks: map[string][]catalog.Task{"s1": {
			{ID: "t1", Slot: 1, Node: "n1", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"10.1.0.5"}}},
			{ID: "t2", Slot: 2, State: "preparing", Desired: "running"},
		}},
		Revisions: map[string]uint64{"s1": 7},
		Cut:       map[string]int{},
	}
	if got := b.Snapshot(7); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestCompleteMeansTheSameKeys(t *testing.T) {
	entries := catalog.Entries{catalog.ServiceKey("a"): []byte(`{"id":"a"}`), catalog.ServiceKey("b"): []byte(`{"id":"b"}`), catalog.NodeKey("n"): []byte(`{"id":"n"}`)}
	b := catalog.NewBuilder()
	fill(t, b, entries)
	if !b.Complete() {
		t.Fatal("all that the list counts is there")
	}
	// One went and another came: their number is the same.
	b.Delete(catalog.ServiceKey("a"))
	if b.Complete() {
		t.Error("a service is missing")
	}
	put(t, b, catalog.ServiceKey("c"), catalog.Service{ID: "c"})
	if b.Complete() {
		t.Error("the list is of other keys")
	}
	b.Delete(catalog.ServiceKey("c"))
	put(t, b, catalog.ServiceKey("a"), catalog.Service{ID: "a"})
	if !b.Complete() {
		t.Error("all is there again")
	}
	if err := b.Put(catalog.ServiceKey("a"), []byte("broken"), 2); err == nil || !b.Complete() {
		t.Errorf("one broken value must be named (%v), and holds up nobody", err)
	}
	for schema, want := range map[int]bool{0: false, 1: true, catalog.Schema: true, catalog.Schema + 1: false} {
		list := catalog.List{Schema: schema, Services: 2, Nodes: 1}
		if put(t, b, catalog.ListKey, list); b.Complete() != want {
			t.Errorf("a list of schema %d: complete is %v", schema, b.Complete())
		}
	}
	b.Delete(catalog.ListKey)
	if b.Complete() {
		t.Error("nothing is complete without a list")
	}
}

// TestTheHashOfKeysIsWhatOthersCompute pins how it is made.
func TestTheHashOfKeysIsWhatOthersCompute(t *testing.T) {
	keys := catalog.Entries{"service.b": nil, "node.n": nil, "service.a": nil, "tasks.a": nil, "_list": nil, "secret.a": nil}
	services, nodes, hash := catalog.Tally(maps.Keys(keys))
	// printf 'node.n\nservice.a\nservice.b\n' | sha256sum
	const want = "af977b1f6b0d2746a2aa33a19354febd701ffc46490c6f606203044a9b2b840d"
	if services != 2 || nodes != 1 || hash != want {
		t.Errorf("%d services, %d nodes, hash %s, want 2, 1, %s", services, nodes, hash, want)
	}
}

func TestASnapshotStaysAsItIs(t *testing.T) {
	b := catalog.NewBuilder()
	put(t, b, catalog.ServiceKey("a"), catalog.Service{ID: "a", Replicas: 1})
	put(t, b, catalog.TasksKey("a"), catalog.Tasks{Tasks: []catalog.Task{{ID: "t"}}, Total: 9})
	before := b.Snapshot(1)
	put(t, b, catalog.ServiceKey("a"), catalog.Service{ID: "a", Replicas: 2})
	b.Delete(catalog.TasksKey("a"))
	if before.Services["a"].Replicas != 1 || before.Cut["a"] != 9 || len(before.Tasks["a"]) != 1 {
		t.Errorf("it became %+v", before)
	}
	if after := b.Snapshot(2); after.Services["a"].Replicas != 2 || len(after.Cut)+len(after.Tasks) > 0 {
		t.Errorf("the next one is %+v", after)
	}
}
