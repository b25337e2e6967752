package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// insertion is what a block of CONTRIBUTING.md tells to put into a file.
type insertion struct{ file, after, text string }

// insertions reads the steps for a new label: blocks whose first line names the file, and
// the line that they come after.
func insertions(t *testing.T) []insertion {
	t.Helper()
	page := text(t, "CONTRIBUTING.md")
	_, page, _ = strings.Cut(page, "## How to add a label")
	page, _, _ = strings.Cut(page, "\n## ")
	var out []insertion
	for _, m := range regexp.MustCompile("(?s)   ```(go|text)\n   (?://|#) (\\S+), after `([^`]+)`( and the next line)?\n(.*?)   ```\n").FindAllStringSubmatch(page, -1) {
		body := m[5]
		if m[1] == "text" {
			body = strings.ReplaceAll("\n"+body, "\n   ", "\n")[1:]
		}
		content := text(t, m[2])
		at := strings.Index(content, m[3])
		if at < 0 || strings.Contains(content[at+1:], m[3]) {
			t.Fatalf("%s: want %q there once", m[2], m[3])
		}
		for range 1 + len(m[4])/len(" and the next line") {
			at += strings.IndexByte(content[at:], '\n') + 1
		}
		out = append(out, insertion{m[2], content[:at], body})
	}
	return out
}

func (i insertion) apply(t *testing.T) string {
	return i.after + i.text + strings.TrimPrefix(text(t, i.file), i.after)
}

// TestALabelIsAddedAsThePageSays does what CONTRIBUTING.md says, in copies of the files: the
// label is read, kept from what it is not for, and becomes a line of HAProxy's; a case
// that is left out is missed. Without the copies there is no trace of it.
func TestALabelIsAddedAsThePageSays(t *testing.T) {
	dir, overlay := t.TempDir(), map[string]string{}
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join(dir, "testdata")
	if err := os.CopyFS(golden, os.DirFS(filepath.Join(root, "proxy/internal/haproxy/render/testdata"))); err != nil {
		t.Fatal(err)
	}
	steps := insertions(t)
	if len(steps) != 7 {
		t.Fatalf("the page has %d steps with something to put in, want 7", len(steps))
	}
	var cases []insertion
	for i, s := range steps {
		if strings.Contains(s.file, "/testdata/") {
			cases = append(cases, s)
			continue
		}
		copied := filepath.Join(dir, string(rune('a'+i))+".go")
		if err := os.WriteFile(copied, []byte(s.apply(t)), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(absolute, s.file)] = copied
	}
	replaced, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, replaced, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(where, name string, arg ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, arg...)
		cmd.Dir = where
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	proxy := filepath.Join(absolute, "proxy")
	if out, err := run(proxy, "go", "test", "-overlay", list, "./internal/wish/route/labels", "./internal/wish/static"); err != nil {
		t.Fatalf("the label is not read as its line says: %v\n%s", err, out)
	}
	binary := filepath.Join(dir, "render.test")
	if out, err := run(proxy, "go", "test", "-c", "-overlay", list, "-o", binary, "./internal/haproxy/render"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := run(dir, binary, "-test.run", "^TestEveryLabelHasGoldenCases$"); err == nil || !strings.Contains(out, "denyQuery") {
		t.Errorf("that the label has no golden cases is not noticed: %v\n%s", err, out)
	}
	for _, c := range cases {
		if err := os.WriteFile(filepath.Join(golden, filepath.Base(c.file)), []byte(c.apply(t)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The first run writes the golden files anew, the second compares with them.
	for _, arg := range [][]string{{"-test.run", "^TestGolden$", "-update"}, {"-test.run", "^(TestGolden|TestEveryLabelHasGoldenCases)$"}} {
		if out, err := run(dir, binary, arg...); err != nil {
			t.Fatalf("%v: %v\n%s", arg, err, out)
		}
	}
	for file, want := range map[string]string{
		"each.txt": "http-request deny deny_status 403 if { query -m found }", "each-wrong.txt": `denyQuery="on": want true or false`,
	} {
		content, err := os.ReadFile(filepath.Join(golden, file))
		if err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s lacks %s (%v)", file, want, err)
		}
	}
	// What is in the tree has not learnt of it.
	if strings.Contains(text(t, "docs/labels.md"), "denyQuery") {
		t.Error("the label of the example is in docs/labels.md")
	}
}
