package whycase

import (
	"bytes"
	"encoding/json"
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

// The project's own cases pass against the real program.
func TestCases(t *testing.T) {
	run(t, "../testdata/why.json", func(res acceptance.Result) {
		if res.Err != nil {
			t.Error(res)
		}
	})
}

// TestWrongCasesFail: a runner that passes everything is of no use.
func TestWrongCasesFail(t *testing.T) {
	const (
		web = `["service", {"name": "s_a", "labels": {"com.df.notify": "true", "com.df.serviceDomain": "a.test", "com.df.port": "80"}, "stack": "s"}]`
		yml = `{"file": "services: {a: {image: x, deploy: {labels: {com.df.notify: 'yes'}}}}"}`
	)
	var cases []json.RawMessage
	for i, steps := range []string{
		web + `, ["why", "s_a", {"first_broken": "labels"}]`, web + `, ["why", "s_a", {"states": {"route": "wait"}}]`,
		web + `, ["why", "s_a", {"states": {"rout": "ok"}}]`, web + `, ["why", "s_a", {"contains": ["nowhere|never"]}]`,
		web + `, ["why", "s_a", {"lacks": ["S_A"]}]`, web + `, ["why", "s_a", {"exit": 1}]`, web + `, ["why", "s_a", {"first": ""}]`,
		web + `, ["why", "s_b", {"fix_contains": ["s_a"]}]`, web + `, ["why_url", "http://a.test/", {"service": null}]`,
		web + `, ["why_url", "http://b.test/", {"others": {"s_a": "path"}}]`, web + `, ["status", {"json": {"services": []}}]`,
		web + `, ["status", {"order": ["s_b"]}]`, web + `, ["cli", ["dance"], {"exit": 0}]`, web + `, ["dance"]`,
		`["lint", ` + yml + `, {"exit": 0}]`, `["lint", ` + yml + `, {"clean": ["a"]}]`, `["lint", ` + yml + `, {"findings": [{"service": "b"}]}]`,
		`["lint", ` + yml + `, {"findings": [{"label": "com.df.notify", "level": "warning"}]}]`, `["remove", "s_a"]`,
	} {
		cases = append(cases, json.RawMessage(fmt.Sprintf(`{"id": "F%d", "kind": "N", "title": %q, "steps": [%s]}`, i, steps, steps)))
	}
	text, err := json.Marshal(map[string]any{"about": "cases that fail", "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, file, func(res acceptance.Result) {
		if res.Err == nil {
			t.Error(res)
		}
	})
}

func run(t *testing.T, file string, tell func(acceptance.Result)) {
	t.Helper()
	cases, err := acceptance.ReadFile(file, Form())
	if err != nil {
		t.Fatal(err)
	}
	path, err := acceptance.Build(t.Context(), t.TempDir(), program)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	told := 0
	err = acceptance.Runner{Forms: []acceptance.Form{Form()}, Log: &log, Programs: map[string]string{program: path}}.Run(t.Context(), cases, func(res acceptance.Result) {
		told++
		tell(res)
	})
	if told != len(cases) || err != nil && !strings.Contains(err.Error(), "cases failed") {
		t.Errorf("%d of %d cases, %v\n%s", told, len(cases), err, log.String())
	}
}
