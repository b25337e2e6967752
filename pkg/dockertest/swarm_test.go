package dockertest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/dockertest"
)

// TestShapesAreTheRecordedOnes compares the fields of the answers with those that
// a real engine gave: the swarm in memory may tell less, never something else.
func TestShapesAreTheRecordedOnes(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(dockertest.Service{
		Name: "shop_web", Stack: "shop", Replicas: 2, Networks: []string{"waggle"},
		Labels: map[string]string{"com.df.notify": "true"}, ContainerLabels: map[string]string{"com.df.port": "1"},
	})
	swarm.Create(dockertest.Service{Name: "shop_agent", Stack: "shop", Global: true, Networks: []string{"waggle"}})
	swarm.Scale("shop_web", 3)
	swarm.SetUpdateState("shop_web", "completed")
	swarm.LabelNode("m1", map[string]string{}, nil)
	for _, name := range []string{"services", "nodes", "networks", "tasks"} {
		file, err := os.ReadFile(filepath.Join("..", "docker", "testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		recorded := fields(t, file)
		for _, field := range fields(t, get(t, swarm, "/v1.41/"+name)) {
			if !slices.Contains(recorded, field) && !strings.Contains(field, ".Labels") {
				t.Errorf("%s: field %s is not in what the engine answered: %v", name, field, recorded)
			}
		}
	}
}

func get(t *testing.T, swarm *dockertest.Swarm, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(swarm.Host(), "tcp", "http", 1)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// fields returns the paths of all fields in a JSON text, sorted.
func fields(t *testing.T, text []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var out []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(path+"[]", e)
			}
		case map[string]any:
			for key, e := range v {
				out = append(out, path+"."+key)
				walk(path+"."+key, e)
			}
		}
	}
	walk("", v)
	slices.Sort(out)
	return slices.Compact(out)
}

func TestEventsHaveTheRecordedShape(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("..", "docker", "testdata", "events.json"))
	if err != nil {
		t.Fatal(err)
	}
	recorded := fields(t, []byte("["+strings.ReplaceAll(strings.TrimSpace(string(file)), "\n", ",")+"]"))
	swarm := dockertest.New(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(swarm.Host(), "tcp", "http", 1)+"/v1.41/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	swarm.Create(dockertest.Service{Name: "web", Replicas: 1})
	swarm.Scale("web", 2)
	swarm.SetUpdateState("web", "updating")
	swarm.Remove("web")
	swarm.CutEvents()
	stream := json.NewDecoder(res.Body)
	var actions []string
	for {
		var event json.RawMessage
		if err := stream.Decode(&event); err != nil {
			break
		}
		for _, field := range fields(t, []byte("["+string(event)+"]")) {
			if !slices.Contains(recorded, field) {
				t.Errorf("field %s is not in what the engine told: %v", field, recorded)
			}
		}
		var known struct{ Action string }
		if err := json.Unmarshal(event, &known); err != nil {
			t.Fatal(err)
		}
		actions = append(actions, known.Action)
	}
	if got := strings.Join(actions, " "); got != "create update update remove" {
		t.Errorf("events %q", got)
	}
}
