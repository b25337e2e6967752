package swarmcase_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/swarmcase"
)

func TestFits(t *testing.T) {
	for _, c := range []struct {
		want, got string
		fits      bool
	}{
		{`{"a": "x"}`, `{"a": "x", "b": 1}`, true},
		{`{"a": "x"}`, `{"a": "y"}`, false},
		{`{"a": "*"}`, `{"a": "y"}`, true},
		{`{"a": "*"}`, `{"a": ""}`, false},
		{`{"a": "*"}`, `{}`, false},
		{`{"a": null}`, `{"b": 1}`, true},
		{`{"a": null}`, `{"a": ""}`, false},
		{`{"a": 1}`, `{"a": 1.0}`, true},
		{`{"a": 1}`, `{"a": "1"}`, false},
		{`[["h1", "x"], ["h2", "y"]]`, `[["h2", "y"], ["h1", "x"]]`, true},
		{`["*", "x"]`, `["x", "y"]`, true}, // the first one must not keep what only the second fits
		{`["x"]`, `["x", "y"]`, false},
		{`["x", "x"]`, `["x", "y"]`, false},
		{`{"a": 1}`, `[1]`, false},
	} {
		var want, got any
		if json.Unmarshal([]byte(c.want), &want) != nil || json.Unmarshal([]byte(c.got), &got) != nil {
			t.Fatal(c)
		}
		if err := swarmcase.Fits(want, got); (err == nil) != c.fits {
			t.Errorf("%s and %s: %v", c.want, c.got, err)
		}
	}
}

// read does steps upon a swarm.
func read(t *testing.T, s *swarmcase.Swarm, steps ...string) {
	t.Helper()
	for _, text := range steps {
		var values []json.RawMessage
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c, err := swarmcase.Read(values)
		if err == nil {
			err = c.Do(s)
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func ask(s *swarmcase.Swarm, path string) (status int, body string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), "GET", path, nil))
	return w.Code, w.Body.String()
}

func TestStepsMakeTheSwarm(t *testing.T) {
	s := swarmcase.New()
	read(t, s,
		`["tasks", "api", [{"state": "starting", "ip": {"waggle": "10.9.9.9"}}]]`,
		`["service", {"name": "s%", "labels": {"com.df.path": "/%", "com.df.long": ["ab", 3]}, "count": 2}]`,
		`["service", {"name": "api", "replicas": 4}]`,
		`["service", {"name": "api", "image": "img:2", "update": "paused"}]`,
		`["node", {"id": "n2", "state": "down"}]`,
	)
	_, services := ask(s, "/v1.41/services")
	for _, want := range []string{`"com.df.path":"/2"`, `"com.df.long":"ababab"`, `"Replicas":4`, `"Image":"img:2"`, `"State":"paused"`} {
		if !strings.Contains(services, want) {
			t.Errorf("there is no %s in %s", want, services)
		}
	}
	if _, tasks := ask(s, "/v1.41/tasks"); strings.Count(tasks, `"Slot"`) != 3 || !strings.Contains(tasks, "10.9.9.9/16") {
		t.Errorf("tasks %s", tasks)
	}
	if _, nodes := ask(s, "/v1.41/nodes"); !strings.Contains(nodes, `"State":"down"`) || !strings.Contains(nodes, "192.0.2.1") {
		t.Errorf("nodes %s", nodes)
	}
	read(t, s, `["recreate", {"name": "api"}]`, `["remove", "s1"]`, `["remove_node", "n2"]`, `["docker", {"fail": ["nodes"], "message": "no leader"}]`)
	if _, again := ask(s, "/v1.41/services"); strings.Contains(again, "paused") || strings.Contains(again, `"s1"`) {
		t.Errorf("services %s", again)
	}
	if status, text := ask(s, "/v1.41/nodes"); status != 500 || !strings.Contains(text, "no leader") {
		t.Errorf("%d %s", status, text)
	}
}

func TestWhatIsNotKnownIsAnError(t *testing.T) {
	for _, text := range []string{
		`["nothing"]`, `[]`, `["service", {"name": "x", "colour": "red"}]`, `["service", {}]`, `["tasks", "x", [{"state": "asleep"}]]`,
		`["docker", {"fail": ["events"]}]`, `["node", {"id": "n2", "state": "up"}]`, `["service", {"name": "x", "update": "soon"}]`,
		`["remove"]`, `["service", {"name": "x", "labels": {"com.df.a": ["x"]}}]`,
	} {
		var values []json.RawMessage
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			t.Fatal(err)
		}
		if _, err := swarmcase.Read(values); err == nil {
			t.Errorf("%s is no step", text)
		}
	}
}
