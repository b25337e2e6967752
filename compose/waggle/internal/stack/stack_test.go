package stack_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"testing"

	"github.com/wagglehq/waggle/compose/waggle/internal/stack"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
)

// deployed is what the listener lists after 'docker stack deploy -c testdata/shop.yml shop':
// testdata/shop.json has what the command asked the engine for, as recorded (Docker 28.2).
func deployed(t *testing.T) map[string]catalog.Service {
	t.Helper()
	text, err := os.ReadFile("testdata/shop.json")
	if err != nil {
		t.Fatal(err)
	}
	var specs []map[string]any
	if err := json.Unmarshal(text, &specs); err != nil {
		t.Fatal(err)
	}
	swarm := dockertest.New(t)
	for _, spec := range specs {
		tasks := spec["TaskTemplate"].(map[string]any)
		// The engine finds networks by their names, and has one replica where none is asked for.
		var networks []string
		for _, n := range tasks["Networks"].([]any) {
			networks = append(networks, n.(map[string]any)["Target"].(string))
		}
		if r, ok := spec["Mode"].(map[string]any)["Replicated"].(map[string]any); ok && r["Replicas"] == nil {
			r["Replicas"] = 1
		}
		name := spec["Name"].(string)
		swarm.Create(dockertest.Service{Name: name, Networks: networks, Pending: true})
		swarm.Change(name, func(made map[string]any) {
			tasks["Networks"] = made["TaskTemplate"].(map[string]any)["Networks"]
			clear(made)
			maps.Copy(made, spec)
		})
	}
	client, err := docker.Connect(swarm.Host(), docker.AllowRead, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	listing, err := client.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]catalog.Service{}
	for _, svc := range listing.Snapshot.Services {
		out[svc.Name] = svc
	}
	return out
}

// plain leaves out what only a swarm knows.
func plain(svc catalog.Service) catalog.Service {
	svc.ID, svc.CreatedAt, svc.Spec, svc.Previous, svc.Update, svc.UpdateState = "", catalog.Service{}.CreatedAt, "", nil, nil, ""
	if len(svc.Labels) == 0 {
		svc.Labels = nil
	}
	if len(svc.ContainerLabels) == 0 {
		svc.ContainerLabels = nil
	}
	return svc
}

// TestWhatIsReadIsWhatTheListenerPublishes: after a deployment of the same file.
func TestWhatIsReadIsWhatTheListenerPublishes(t *testing.T) {
	want := deployed(t)
	read, err := stack.Read("shop", nil, "testdata/shop.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(read) != len(want) {
		t.Errorf("%d are read, %d deployed", len(read), len(want))
	}
	for _, svc := range read {
		if got, want := plain(svc.Service), plain(want[svc.Name]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as\n%+v\nand listed as\n%+v", svc.Name, got, want)
		}
	}
}
