package listenercase

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestMain(m *testing.M) {
	acceptance.Main(Form())
	os.Exit(m.Run())
}

// The project's own cases pass against the real listener, and a case whose expectation does
// not hold fails.
func TestCases(t *testing.T) {
	listener, err := acceptance.Build(t.Context(), t.TempDir(), program)
	tooltest.Must(t, err)
	cases, err := acceptance.ReadFile("../testdata/listener.json", Form())
	tooltest.Must(t, err)
	wrong := map[string]string{
		"W1": `["notified", "a", {"query": {"serviceName": "nobody"}, "within": 0.2}]`,
		"W2": `["count", "a", {}, 2, 0.2]`,
		"W3": `["not_notified", "a", {"path": "/create", "for": 2}]`,
		"W4": `["believes", "a", {}, 0.2]`,
		"W5": `["metric", "docker_flow_error", {"operation": "serveGetNodes"}, [1, 9]]`,
		"W6": `["catalog", "service:shop", null]`,
		"W7": `["get", "/v1/docker-flow-swarm-listener/get-services", {"json": [], "within": 0.2}]`,
		"W8": `["log_lacks", "starting"]`,
		"W9": `["no_start", []]`,
	}
	var texts []string
	for id, step := range wrong {
		texts = append(texts, fmt.Sprintf(`{"id": %q, "initial": [["service", {"name": "shop", "labels": {"com.df.notify": "true"}}]],
			"steps": [["get", "/v1/docker-flow-swarm-listener/get-services", {"json": [{}]}], ["count", "a", {}, 1], %s]}`, id, step))
	}
	cases = append(cases, caseFile(t, strings.Join(texts, ","))...)
	var log bytes.Buffer
	r := acceptance.Runner{Forms: []acceptance.Form{Form()}, Log: &log, Programs: map[string]string{program: listener}, Parallel: 12} // they mostly wait
	failed := false
	_ = r.Run(t.Context(), cases, func(res acceptance.Result) { // which are to fail is judged here
		step, isWrong := wrong[res.Case.ID]
		switch kind, _, _ := strings.Cut(strings.TrimPrefix(step, `["`), `"`); {
		case !isWrong && res.Err != nil:
			failed = true
			t.Error(res)
		case isWrong && res.Err == nil:
			t.Errorf("%s passed: %s", res.Case.ID, step)
		case isWrong && !strings.Contains(res.Err.Error(), "step 3, "+kind):
			t.Errorf("%s failed otherwise: %v", res.Case.ID, res.Err)
		}
	})
	if failed {
		t.Log(log.String())
	}
}

// Each row of the listener's table of what Docker Flow's listener does names a case that says
// of itself that it is about that row.
func TestEachRowOfTheTableHasItsCase(t *testing.T) {
	page, err := os.ReadFile("../../../../listener/README.md")
	tooltest.Must(t, err)
	text, err := os.ReadFile("../testdata/listener.json")
	tooltest.Must(t, err)
	var file struct {
		Cases []struct {
			ID   string
			Refs []string
		}
	}
	tooltest.Must(t, json.Unmarshal(text, &file))
	shown := map[string][]string{}
	for _, c := range file.Cases {
		for _, ref := range c.Refs {
			shown[ref] = append(shown[ref], c.ID)
		}
	}
	for n := 1; n <= 32; n++ {
		number := fmt.Sprintf("L-%02d", n)
		row := regexp.MustCompile(`(?m)^\| ` + number + ` \|.*\| ([^|]*) \|$`).FindSubmatch(page)
		if row == nil {
			t.Errorf("the table has no %s", number)
			continue
		}
		for id := range strings.SplitSeq(string(row[1]), ", ") {
			if !slices.Contains(shown[number], id) {
				t.Errorf("%s: %q is no case about it; those are %v", number, id, shown[number])
			}
		}
	}
}

func caseFile(t *testing.T, cases string) []acceptance.Case {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cases.json")
	tooltest.Must(t, os.WriteFile(path, []byte(`{"about": "", "cases": [`+cases+`]}`), 0o644))
	all, err := acceptance.ReadFile(path, Form())
	tooltest.Must(t, err)
	return all
}

func TestWhatIsNotKnownFails(t *testing.T) {
	for _, text := range []string{
		`"steps": [["nothing"]]`,
		`"steps": [["notified", "d", {}]]`,
		`"steps": [["notified", "a", {"colour": "red"}]]`,
		`"steps": [["count", "a", {}]]`,
		`"steps": [["count", "a", {}, [1]]]`,
		`"steps": [["catalog", "thing:x", {}]]`,
		`"steps": [["stop", 1]]`,
		`"steps": [["get", "/x", {"code": 1}]]`,
		`"colour": "red", "steps": [["stop"]]`,
		`"initial": [["stop"]], "steps": [["stop"]]`,
	} {
		cases := caseFile(t, `{"id": "X", `+text+`}`)
		r := acceptance.Runner{Forms: []acceptance.Form{Form()}}
		if err := r.Run(t.Context(), cases, func(acceptance.Result) {}); err == nil {
			t.Errorf("%s passed", text)
		}
	}
}

func TestALaterFitDoesNotHideAnEarlierRequest(t *testing.T) {
	r := &receiver{requests: []*request{
		{path: "/create", query: map[string]string{"serviceName": "a", "n": "1"}},
		{path: "/create", query: map[string]string{"serviceName": "b"}},
		{path: "/create", query: map[string]string{"serviceName": "a", "n": "2"}},
		{path: "/node/create", query: map[string]string{"id": "a"}},
	}}
	if err := r.notified(want{Query: map[string]any{"n": "2"}}); err != nil {
		t.Fatal(err)
	}
	if r.notified(want{Query: map[string]any{"n": "1"}}) == nil {
		t.Error("an earlier request about the same name was not taken")
	}
	for _, w := range []want{{Query: map[string]any{"serviceName": "b"}}, {Path: "/node/create"}} {
		if err := r.notified(w); err != nil {
			t.Errorf("that about another name was taken, too: %v", err)
		}
	}
	if err := r.count(want{}, 4, 4); err != nil {
		t.Error(err)
	}
	r.forget()
	if err := r.count(want{}, 0, 0); err != nil {
		t.Error(err)
	}
}
