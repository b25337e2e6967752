package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dances are a form whose steps have no values.
func dances(name string, kinds ...string) Form {
	f := Form{Name: name, Steps: Common(), Read: func(rest json.RawMessage) (Open, error) {
		var own struct {
			Hive string `json:"hive"`
		}
		return nil, Strict(rest, &own)
	}}
	for _, kind := range kinds {
		f.Steps[kind] = func(values []json.RawMessage) (Step, error) { return Step{}, Fill(values) }
	}
	return f
}

func TestTheFormOfAFileIsRecognisedByItsSteps(t *testing.T) {
	forms := []Form{dances("bee", "round", "waggle"), dances("wasp", "sting", "flee")}
	for _, tc := range []struct{ cases, form, fault string }{
		{`{"id": "1", "steps": [["round"], ["sleep", 1]]}`, "bee", ""},
		{`{"id": "1", "steps": [["sting"], ["remove", "x"]]}`, "wasp", ""},
		{`{"id": "1", "hive": "x", "steps": [["sting"]]}, {"id": "2", "steps": [["flee"]]}`, "wasp", ""},
		{`{"id": "1", "steps": [["sting"]]}, {"id": "2", "steps": [["flee"]]}, {"id": "3", "steps": [["round"]]}`, "wasp", `step 1: unknown step "round"`},
		{`{"id": "1", "nest": "x", "steps": [["sting"]]}`, "wasp", `unknown field "nest"`},
		{`{"id": "1", "steps": [["sting", 1]]}`, "wasp", "sting: it has 1 values, want 0"},
		{`{"id": "1", "steps": [["hum"]]}`, "", `unknown step "hum"; the forms that are known, with their steps: bee (remove, round, sleep, waggle); wasp (`},
		{`{"id": "1", "steps": [["sleep", 1], ["hum"], ["buzz"], ["crawl"]]}`, "bee", `unknown step "hum"; the forms that are known`},
		{`{"steps": [["sting"]]}`, "wasp", "no id"},
	} {
		path := filepath.Join(t.TempDir(), "cases.json")
		if err := os.WriteFile(path, fmt.Appendf(nil, `{"cases": [%s]}`, tc.cases), 0o600); err != nil {
			t.Fatal(err)
		}
		cases, err := ReadFile(path, forms...)
		if err != nil {
			t.Fatal(err)
		}
		last := cases[len(cases)-1]
		if last.form.Name != tc.form || (last.fault == nil) != (tc.fault == "") || last.fault != nil && !strings.Contains(last.fault.Error(), tc.fault) {
			t.Errorf("%s is of the form %q and has the fault %v, want %q, %q", tc.cases, last.form.Name, last.fault, tc.form, tc.fault)
		}
	}
}
