package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/waggle/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestImport: each way in which labels of other proxies are written becomes labels that lint has
// nothing against, with what is lost.
func TestImport(t *testing.T) {
	examples, err := filepath.Glob("../migrate/testdata/*.yml")
	if err != nil || len(examples) < 12 {
		t.Fatal(err, examples)
	}
	for _, path := range examples {
		name := strings.TrimSuffix(filepath.Base(path), ".yml")
		t.Run(name, func(t *testing.T) {
			proxy, _, _ := strings.Cut(name, "-")
			code, out, errs := waggle(t, nil, "import", proxy, path)
			want := cli.Fine
			switch {
			case strings.Contains(out, "# closed: "):
				want = cli.Closed
			case strings.Contains(out, "# lost: "):
				want = cli.Faults
			}
			if code != want {
				t.Errorf("exit code %d, want %d: %s%s", code, want, out, errs)
			}
			golden := strings.TrimSuffix(path, ".yml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(out), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before, err := os.ReadFile(golden)
			if err != nil || string(before) != out {
				t.Errorf("it is\n%s\nwant\n%s %v", out, before, err)
			}
			stack := file(t, "version: \"3.8\"\n"+strings.ReplaceAll(out, "    deploy:", "    image: x:1\n    deploy:"))
			_, found, _ := waggle(t, map[string]string{"DOMAIN": "admin.example.com"}, "lint", stack)
			for line := range strings.Lines(found) {
				// What is said to be lost must be set by hand, such as a port.
				if strings.Contains(line, ": error: ") && !strings.Contains(out, "# lost: ") {
					t.Errorf("lint: %s", line)
				}
			}
		})
	}
}

// dialects is a table of what import makes of public ways to write labels of Traefik, restated:
// what the first line of each file says, the labels that come of it, and what is said besides.
func dialects(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../migrate/testdata/traefik-public-*.yml")
	if err != nil || len(files) < 10 {
		t.Fatal(err, files)
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var out strings.Builder
	out.WriteString("| Written as | Put over, as `com.df.` | Lost or closed, and what to do |\n| --- | --- | --- |\n")
	for _, path := range files {
		about, _, _ := strings.Cut(strings.TrimPrefix(read(path), "# "), "\n")
		var labels, said []string
		for line := range strings.Lines(read(strings.TrimSuffix(path, ".yml") + ".golden")) {
			line = strings.TrimSpace(line)
			name, _, isLabel := strings.Cut(line, ": ")
			if base, ok := strings.CutPrefix(name, "com.df."); isLabel && ok {
				base, _, _ = strings.Cut(base, ".")
				labels = append(labels, base)
			}
			kind, rest, _ := strings.Cut(strings.TrimPrefix(line, "# "), ": ")
			if label, text, ok := strings.Cut(rest, ": "); ok && (kind == "lost" || kind == "closed") {
				said = append(said, kind+": `"+label+"`: "+text)
			}
		}
		slices.Sort(labels)
		if len(said) == 0 {
			said = []string{"nothing"}
		}
		out.WriteString("| " + about + " | `" + strings.Join(slices.Compact(labels), "`, `") + "` | " + strings.Join(said, "<br>") + " |\n")
	}
	return out.String()
}

// TestTheDialectsOnThePageAreWhatComesOut: docs/from-traefik.md has the table as it is.
func TestTheDialectsOnThePageAreWhatComesOut(t *testing.T) {
	const page, begin, end = "../../../../docs/from-traefik.md", "<!-- dialects: written by the tests of waggle import with -update -->\n\n", "\n<!-- end of dialects -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, isFound := strings.Cut(string(text), begin)
	have, after, isWhole := strings.Cut(rest, end)
	if !isFound || !isWhole {
		t.Fatal("the page has no place for the table")
	}
	want := dialects(t)
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		have = want
	}
	if have != want {
		t.Errorf("the page has\n%s\nwant\n%s", have, want)
	}
}

func TestImportOfNothing(t *testing.T) {
	if code, out, _ := waggle(t, nil, "import", "traefik", file(t, stackOf(service("web", "com.df.notify=true")))); code != cli.Fine || !strings.Contains(out, "no service has labels of traefik") {
		t.Errorf("%d %s", code, out)
	}
	for text, want := range map[string]string{"7": "cannot unmarshal", "version: '3'\n": "no services"} {
		if code, _, errs := waggle(t, nil, "import", "caddy", file(t, text)); code != cli.NoAnswer || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s", text, code, errs)
		}
	}
	if code, _, errs := waggle(t, nil, "import", "nginx", "x.yml"); code != cli.Usage || !strings.Contains(errs, "traefik") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestCompletion: each shell gets the commands, their flags, and what may stand behind them.
func TestCompletion(t *testing.T) {
	for shell, parts := range map[string][]string{
		"bash": {"complete -o default -F _waggle waggle", "--watch", `lint:--output) words="text json github gitlab"`, "$(waggle services"},
		"zsh":  {"#compdef waggle", "bashcompinit", "--against"},
		"fish": {"-a why -d", "-l stack -d", "'traefik caddy'", "(waggle services"},
	} {
		code, out, _ := waggle(t, nil, "completion", shell)
		for _, part := range parts {
			if code != cli.Fine || !strings.Contains(out, part) {
				t.Errorf("%s has no %q: %d\n%s", shell, part, code, out)
			}
		}
		if strings.Contains(out, "services)") {
			t.Errorf("%s offers what is for the shell alone", shell)
		}
	}
	if code, out, _ := waggle(t, map[string]string{"WAGGLE_URL": swarm(t), "WAGGLE_TOKEN": token}, "services"); code != cli.Fine || out != "shop_api\nshop_web\n" {
		t.Errorf("%d %q", code, out)
	}
	if code, out, errs := waggle(t, map[string]string{"WAGGLE_URL": "http://127.0.0.1:1"}, "services"); code != cli.NoAnswer || out+errs != "" {
		t.Errorf("%d %q", code, out+errs)
	}
}
