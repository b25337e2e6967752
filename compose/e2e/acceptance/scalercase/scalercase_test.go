package scalercase

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

func TestMain(m *testing.M) {
	acceptance.Main(Form())
	os.Exit(m.Run())
}

// The project's own cases pass against the real scaler.
func TestCases(t *testing.T) {
	run(t, "../testdata/scaler.json", func(r acceptance.Result) {
		if r.Err != nil {
			t.Error(r)
		} else {
			t.Log(r)
		}
	})
}

// TestRounds: a scaler that is ended at any of the first calls of a step leaves one step, told
// once, and no false answer. The long form is make rounds-scaler.
func TestRounds(t *testing.T) {
	cases, err := Rounds(2 * perCase)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(path, cases, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, path, func(r acceptance.Result) {
		if r.Err != nil {
			t.Error(r)
		}
	})
}

func run(t *testing.T, path string, tell func(acceptance.Result)) {
	t.Helper()
	cases, err := acceptance.ReadFile(path, Form())
	if err != nil {
		t.Fatal(err)
	}
	program, err := acceptance.Build(t.Context(), t.TempDir(), "scaler")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := acceptance.Runner{Forms: []acceptance.Form{Form()}, Programs: map[string]string{"scaler": program}, Log: &log}
	if err := r.Run(t.Context(), cases, tell); err != nil {
		t.Logf("%v\n%s", err, log.String())
	}
}

// A case that asks for what is not so, or that is not of the form, fails and says why.
func TestWhatIsNotSoFails(t *testing.T) {
	const shop = `["service", "shop", {"labels": {"scaleMax": "9"}, "replicas": 2}]`
	faults := []struct{ fields, reason string }{
		{`"steps": [["replicas", "shop", 2]]`, "there is no service shop"},
		{`"steps": [` + shop + `, ["replicas", "shop", 3]]`, "it has 2 replicas, want 3"},
		{`"steps": [` + shop + `, ["fire", "shop", "up"], ["changes", "shop", []]]`, "the scaler wrote [3], want []"},
		{`"steps": [` + shop + `, ["fire", "shop", "up"], ["decision", "shop", {"code": "scaled"}], ["decision", "shop", {"code": "scaled"}]]`, "no such decision"},
		{`"steps": [` + shop + `, ["fire", "shop", "up"], ["no_decision", "shop"]]`, "there is one"},
		{`"steps": [` + shop + `, ["hand", {"service": "shop", "to": 4}, {"code": "unchanged"}]]`, "the decision is not as it should be"},
		{`"steps": [` + shop + `, ["hand", {"service": "shop", "to": 4}, {"status": "4xx"}]]`, "the status is 200, want 4xx"},
		{`"steps": [` + shop + `, ["status", "shop", {"state": "degraded"}]]`, "it is {State:applied"},
		{`"steps": [` + shop + `, ["told", {"service": "shop"}]]`, "it was told 0 times"},
		{`"steps": [` + shop + `, ["fire", "shop", "up"], ["not_told", {"service": "shop"}]]`, "it was told 1 times"},
		{`"steps": [` + shop + `, ["hand", {"service": "shop", "to": 4}, {}], ["docker_calls_at_most", 1]]`, "calls of Docker, want 1 at most"},
		{`"steps": [` + shop + `, ["advance", "1m"], ["queries_at_most", 2]]`, "queries to Prometheus, want 2 at most"},
		{`"steps": [` + shop + `, ["spread", "shop", {"n1": 1}]]`, "run on map[n1:2]"},
		{`"steps": [` + shop + `, ["spec", "shop", {"image": "v2"}]]`, "it is v1 with 2 replicas"},
		{`"steps": [["service", "shop", {"labels": {}, "replicas": 1, "colour": "red"}]]`, `unknown field "colour"`},
		{`"steps": [["dance", "shop"]]`, `unknown step "dance"`},
		{`"steps": [` + shop + `, ["peer", "moon", "ok"]]`, `peer "moon"`},
		{`"steps": [` + shop + `, ["advance", "soon"]]`, `"soon": want a time`},
		{`"steps": [` + shop + `, ["docker", {"fail": "update", "ok": true}]]`, "want one of"},
		{`"env": {"COLOUR": "red"}, "steps": [` + shop + `]`, "no setting COLOUR"},
		{`"secrets": {"key": "x"}, "steps": [` + shop + `]`, `unknown secret "key"`},
	}
	var all []string
	for i, f := range faults {
		all = append(all, fmt.Sprintf(`{"id": "%d", "kind": "N", "title": "one", %s}`, i, f.fields))
	}
	path := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(path, []byte(`{"about": "", "cases": [`+strings.Join(all, ",\n")+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := 0
	run(t, path, func(r acceptance.Result) {
		want := faults[seen].reason
		seen++
		if r.Err == nil || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("%s\nwant: %s", r, want)
		}
	})
	if seen != len(faults) {
		t.Errorf("%d of %d cases were run", seen, len(faults))
	}
}
