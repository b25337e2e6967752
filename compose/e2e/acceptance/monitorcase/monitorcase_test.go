package monitorcase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestMain(m *testing.M) {
	acceptance.Main(Form())
	var err error
	if builds, err = os.MkdirTemp("", "monitorcase"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(builds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// The project's own cases pass against the real monitor, Prometheus and promtool.
func TestCases(t *testing.T) {
	cases, err := acceptance.ReadFile("../testdata/monitor.json", Form())
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := runner(t, &log)
	if err := r.Run(t.Context(), cases, func(res acceptance.Result) {
		if res.Err != nil {
			t.Error(res)
		} else {
			t.Log(res)
		}
	}); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// Each row of the monitor's table of what Docker Flow Monitor does names what shows it: a case
// that says of itself that it is about that row, a test, or a decision.
func TestEachRowOfTheTableIsShown(t *testing.T) {
	const root = "../../../../"
	page, err := os.ReadFile(root + "monitor/README.md")
	tooltest.Must(t, err)
	text, err := os.ReadFile("../testdata/monitor.json")
	tooltest.Must(t, err)
	var file struct {
		Cases []struct{ ID, Spec string }
	}
	tooltest.Must(t, json.Unmarshal(text, &file))
	about := map[string][]string{}
	for _, c := range file.Cases {
		about[c.ID] = regexp.MustCompile(`M-W?\d+`).FindAllString(c.Spec, -1)
	}
	tests := map[string]bool{}
	for _, module := range []string{"monitor", "pkg"} {
		tooltest.Must(t, testsBelow(root+module, tests))
	}
	used := map[string]bool{}
	row := func(number string) {
		cells := regexp.MustCompile(`(?m)^\| ` + number + ` \| [^|]+ \| [^|]+ \| ([^|]+) \|$`).FindSubmatch(page)
		if cells == nil {
			t.Errorf("the table has no %s", number)
			return
		}
		for shown := range strings.SplitSeq(string(cells[1]), ", ") {
			decision, isDecision := strings.CutPrefix(shown, "ADR ")
			switch {
			case isDecision:
				if found, err := filepath.Glob(fmt.Sprintf("%sdocs/adr/%04s-*.md", root, decision)); err != nil || len(found) != 1 {
					t.Errorf("%s: there is no %s: %v", number, shown, err)
				}
			case strings.Contains(shown, "."):
				if !tests[shown] {
					t.Errorf("%s: there is no test %s", number, shown)
				}
			case !slices.Contains(about[shown], number):
				t.Errorf("%s: %q is no case about it", number, shown)
			}
			used[number+" "+shown] = true
		}
	}
	for n := 1; n <= 34; n++ {
		row(fmt.Sprintf("M-%02d", n))
	}
	for n := 1; n <= 22; n++ {
		row(fmt.Sprintf("M-W%02d", n))
	}
	for id, numbers := range about {
		for _, number := range numbers {
			if !used[number+" "+id] {
				t.Errorf("the case %s is about %s, whose row does not name it", id, number)
			}
		}
	}
}

// testsBelow adds the tests of a folder and those below it, as "package.TestName".
func testsBelow(folder string, into map[string]bool) error {
	name, test := regexp.MustCompile(`(?m)^package (\w+?)(?:_test)?$`), regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	return filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		in := name.FindSubmatch(text)
		if in == nil {
			return fmt.Errorf("%s: of no package", path)
		}
		for _, t := range test.FindAllSubmatch(text, -1) {
			into[string(in[1])+"."+string(t[1])] = true
		}
		return nil
	})
}

func runner(t *testing.T, log *bytes.Buffer) acceptance.Runner {
	t.Helper()
	r := acceptance.Runner{Forms: []acceptance.Form{Form()}, Log: log, Programs: map[string]string{
		"prometheus": tooltest.Path(t, "prometheus"), "promtool": tooltest.Path(t, "promtool"),
	}}
	paths, err := built()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Programs, paths)
	return r
}

// builds is where the components lie that are built once for all tests.
var builds string

var built = sync.OnceValues(func() (map[string]string, error) {
	paths := map[string]string{}
	for _, name := range Form().Builds {
		path, err := acceptance.Build(context.Background(), builds, name)
		if err != nil {
			return nil, err
		}
		paths[name] = path
	}
	return paths, nil
})

// caseFile writes a file with one case and reads it.
func caseFile(t *testing.T, subject, steps string) []acceptance.Case {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cases.json")
	text := fmt.Sprintf(`{"about": "", "cases": [{"id": "one", "kind": "P", "title": "one case", "subject": %q, "spec": "", "env": {}, "secrets": {}, "files": {}, "note": "", "steps": [%s]}]}`, subject, steps)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := acceptance.ReadFile(path, Form())
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestWhatIsNotKnownFails: a step, a member, a word.
func TestWhatIsNotKnownFails(t *testing.T) {
	for _, tc := range []struct{ subject, steps, says string }{
		{"monitor", `["targets", "a", []], ["dance"]`, `unknown step "dance"`},
		{"monitor", `["targets", "a"]`, "1 values, want 2"},
		{"monitor", `["service", {"name": "a", "colour": "red"}]`, `unknown field "colour"`},
		{"monitor", `["service", {"name": "a", "mode": "solitary"}]`, `mode "solitary"`},
		{"monitor", `["service", {"name": "a", "labels": {"com.df.scrapePort": "1"}}]`, "without its prefix"},
		{"monitor", `["service", {"name": "a", "tasks": [{"state": "flying"}]}]`, `state "flying"`},
		{"monitor", `["service", {"name": "a", "tasks": [{"state": "running", "addresses": {"other": "127.0.0.1"}}]}]`, "address on the network"},
		{"monitor", `["service", {"name": "a", "update": {"state": "stuck", "started": 1}}]`, `update "stuck"`},
		{"monitor", `["node", {"hostname": "a"}]`, "without an ID"},
		{"monitor", `["burst", {"name": "a"}, 2, 1]`, "no text has %d"},
		{"monitor", `["bus", "away"]`, `"away"`},
		{"monitor", `["targets", "a", [{"address": "a:1", "interval": "soon"}]]`, `"soon" is no duration`},
		{"monitor", `["rule", {"expr": "up"}]`, "without the alert's name"},
		{"monitor", `["fires", {"alert": "a", "series": [], "at": "1m", "want": false, "count": 1}]`, "neither labels nor count"},
		{"monitor", `["fires", {"alert": "a", "series": [["up"]], "at": "1m", "want": true}]`, "a series and its values"},
		{"monitor", `["status", "a", {"state": "fine"}]`, `state "fine"`},
		{"monitor", `["get", {"from": "moon", "path": "/", "status": 200}]`, `from "moon"`},
		{"monitor", `["get", {"from": "monitor", "path": "/", "status": 200, "valid": "yes"}]`, `valid "yes"`},
		{"monitor", `["http", {"path": "ping"}]`, "want path and status"},
		{"listener", `["state", [["a", {}, "soon"]]], ["remove", "a"]`, `value "soon"`},
		{"wasp", `["mark"]`, `subject "wasp"`},
	} {
		var got error
		r := acceptance.Runner{Forms: []acceptance.Form{Form()}}
		if err := r.Run(t.Context(), caseFile(t, tc.subject, tc.steps), func(res acceptance.Result) { got = res.Err }); err == nil {
			t.Errorf("%s passes", tc.steps)
		}
		if got == nil || !strings.Contains(got.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.steps, got, tc.says)
		}
	}
}

// TestWhatDoesNotHoldFails, with the real monitor.
func TestWhatDoesNotHoldFails(t *testing.T) {
	r := runner(t, &bytes.Buffer{})
	for _, tc := range []struct{ subject, steps, says string }{
		{"monitor", `["start_fails", {}, ["no such reason"]]`, "start_fails: it started"},
		{"monitor", `["start_fails", {"env": {"RETENTION": "0s"}}, ["no such reason"]]`, "no error says"},
		{"monitor", `["state", [["up", {}, 1]]]`, "no step of a case of the monitor"},
		{"listener", `["targets", "a", []]`, "no step of a case of the listener"},
	} {
		var got error
		if err := r.Run(t.Context(), caseFile(t, tc.subject, tc.steps), func(res acceptance.Result) { got = res.Err }); err == nil {
			t.Errorf("%s passes", tc.steps)
		}
		if got == nil || !strings.Contains(got.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.steps, got, tc.says)
		}
	}
}

func TestSubset(t *testing.T) {
	for _, tc := range []struct {
		want, got string
		is        bool
	}{
		{`{"a": 1}`, `{"a": 1, "b": 2}`, true},
		{`{"a": 1}`, `{"a": 2}`, false},
		{`{"a": 1}`, `{"b": 1}`, false},
		{`{"a": {"b": "90s"}}`, `{"a": {"b": "1m30s"}}`, true},
		{`{"a": "90"}`, `{"a": "1m30s"}`, false},
		{`[1, 2]`, `[2, 3, 1]`, true},
		{`[1, 1]`, `[1, 2]`, false},
		{`[{"a": 1}, {}]`, `[{"a": 1}, {"b": 1}]`, true},
		{`[{}, {"a": 1}]`, `[{"a": 1}, {"b": 1}]`, true},
		{`[{}, {"a": 1}]`, `[{"a": 1}]`, false},
		{`[]`, `{}`, false},
		{`true`, `"true"`, false},
		{`null`, `null`, true},
	} {
		var want, got any
		tooltest.Must(t, errors.Join(json.Unmarshal([]byte(tc.want), &want), json.Unmarshal([]byte(tc.got), &got)))
		if err := subset(want, got); (err == nil) != tc.is {
			t.Errorf("%s in %s: %v", tc.want, tc.got, err)
		}
	}
}

func TestTargetIs(t *testing.T) {
	got := shownTarget{
		Labels: map[string]string{"job": "a", "node": "one"}, ScrapeURL: "http://127.0.0.1:9/m%C3%A9", ScrapeInterval: "1m30s", ScrapeTimeout: "1s",
		Health: "down", LastError: "Sample limit exceeded",
	}
	for _, tc := range []struct {
		want target
		is   bool
	}{
		{target{Address: "127.0.0.1:9", Path: "/mé", Interval: "90s", Timeout: "1000ms", Health: "down", Error: "sample limit", Labels: map[string]string{"job": "a"}, Lacks: []string{"role"}}, true},
		{target{Address: "127.0.0.2:9"}, false},
		{target{Address: "127.0.0.1:9", Path: "/m"}, false},
		{target{Address: "127.0.0.1:9", Interval: "1m"}, false},
		{target{Address: "127.0.0.1:9", Timeout: "2s"}, false},
		{target{Address: "127.0.0.1:9", Health: "up"}, false},
		{target{Address: "127.0.0.1:9", Error: "refused"}, false},
		{target{Address: "127.0.0.1:9", Labels: map[string]string{"job": "b"}}, false},
		{target{Address: "127.0.0.1:9", Lacks: []string{"node"}}, false},
	} {
		if err := tc.want.is(got); (err == nil) != tc.is {
			t.Errorf("%+v: %v", tc.want, err)
		}
	}
}

func TestRowIs(t *testing.T) {
	name, value, text := "service", 2.0, "a"
	family := &dto.MetricFamily{Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &value}, Label: []*dto.LabelPair{{Name: &name, Value: &text}}}}}
	for _, tc := range []struct {
		row string
		is  bool
	}{
		{`["m", {"service": "a"}, 2]`, true}, {`["m", {"service": "a"}, 3]`, false}, {`["m", {"service": "b"}, 2]`, false},
		{`["m", {"service": "b"}, null]`, true}, {`["m", {}, null]`, false}, {`["m", {}, "any"]`, true},
		{`["m", {}, "old"]`, true}, {`["m", {}, "new"]`, false},
	} {
		var r row
		tooltest.Must(t, json.Unmarshal([]byte(tc.row), &r))
		if err := r.is(family); (err == nil) != tc.is {
			t.Errorf("%s: %v", tc.row, err)
		}
	}
}
