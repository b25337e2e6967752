package docs

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/label"
)

const root = "../../.."

func bees() []Component {
	return []Component{
		{Name: "proxy", Title: "Routes", Labels: []label.Spec{
			{Name: "port", Kind: "number", Default: "none", Doc: "The port, 1|2\nor more.", Indexed: true},
			{Name: "key", Kind: "text", Default: "none", Doc: "A key.", Secret: true},
		}, Refused: []label.Spec{{Name: "users", Secret: true, Indexed: true}}, Flags: func(fs *flag.FlagSet) {
			var key app.Secret
			fs.Var(&key, "nats-key", "a key")
			fs.Int("http-port", 80, "a port")
		}},
		{Name: "scaler", Title: "Scaling", Labels: []label.Spec{{Name: "max", Kind: "number", Default: "5", Doc: "The most."}}, Flags: func(*flag.FlagSet) {}},
	}
}

func TestLabelsPage(t *testing.T) {
	page, err := LabelsPage(bees())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## Routes\n\n| Label | Text | If absent | Meaning |\n| --- | --- | --- | --- |\n" +
			"| `com.df.key` | text | none | A key. Its text is never shown. |\n" +
			"| `com.df.port`, `com.df.port.N` | number | none | The port, 1\\|2 or more. |\n",
		"## Scaling\n", "- `com.df.users`\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	twice := append(bees(), Component{Name: "monitor", Labels: []label.Spec{{Name: "users"}}})
	if _, err := LabelsPage(twice); err == nil || !strings.Contains(err.Error(), "label users is described by proxy and by monitor") {
		t.Errorf("a label described twice: %v", err)
	}
}

func TestKnown(t *testing.T) {
	text, err := Known(bees())
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "see package known.\n")
	if want := "key secret\nmax\nport indexed\nusers indexed secret\n"; list != want {
		t.Errorf("got %q, want %q", list, want)
	}
}

func TestSettingsPage(t *testing.T) {
	page := string(SettingsPage(bees()))
	for _, want := range []string{
		"| `-http-port` | `HTTP_PORT` | `80` | a port |\n| `-nats-key` | `NATS_KEY` | empty | a key (secret: give it as a file) |\n",
		"| `-admin` | `ADMIN` | `:8080` |", "| `-version` | none |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

// The examples of the total order on the page are those that the proxy's test proves.
func TestOrderOnThePageIsTheOrderThatIsTested(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), root+"/proxy/internal/wish/route/table/table_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var tested []string
	numbered := regexp.MustCompile(`^\d+\. `)
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "TestOrder" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil && numbered.MatchString(text) {
					tested = append(tested, text)
				}
			}
			return true
		})
	}
	var told []string
	for _, m := range regexp.MustCompile(`(?m)^(\d+\. )\*\*(.*)\*\*`).FindAllStringSubmatch(orderText, -1) {
		told = append(told, m[1]+m[2])
	}
	if len(tested) != 10 || !slices.Equal(tested, told) {
		t.Errorf("the test has\n%s\nthe page has\n%s", strings.Join(tested, "\n"), strings.Join(told, "\n"))
	}
}

func TestShortcutsOnThePageAreThoseOfMonitor(t *testing.T) {
	code, err := os.ReadFile(root + "/monitor/internal/alert/shortcut.go")
	if err != nil {
		t.Fatal(err)
	}
	names := func(pattern, text string) []string {
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return out
	}
	known := names(`(?m)^\t\t"(@[a-z_]+)":`, string(code))
	told := names("(?m)^\\| `(@[a-z_]+)", shortcutsText)
	if len(known) != 12 || !slices.Equal(known, told) {
		t.Errorf("monitor has %v, the page has %v", known, told)
	}
}

// example is a service with all forms of declarations that are understood.
func example() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"pkg/loop/loop.go": file(`package loop
import "github.com/prometheus/client_golang/prometheus"
type Options struct { Component, Name string; Registry prometheus.Registerer }
func newMetrics(o Options) {
	fixed := prometheus.Labels{"loop": o.Name}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "waggle", Subsystem: o.Component, Name: name, Help: help, ConstLabels: fixed})
	}
	gauge("hash", "A hash.")
	gauge("last_"+"seen", "A time.")
}`),
		"bee/names.go": file("package bee\nconst Component = \"bee\"\n"),
		"bee/bee.go": file(`package bee
import (
	registry "github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/loop"
)
func Run(reg registry.Registerer) {
	run := func(name string) { loop.New(loop.Options{Component: Component, Name: name, Registry: reg}) }
	run("dances")
	run("flights")
	loop.New(loop.Options{Component: Component, Name: "silent"})
	registry.NewCounterVec(registry.CounterOpts{
		Namespace: "waggle", Subsystem: Component, Name: "stings_total", Help: "Stings " + "by target.",
	}, []string{"target", "result"})
}`),
		"bee/bee_test.go": file("package bee\nthis is not read"),
	}
}

func TestMetrics(t *testing.T) {
	all, err := Metrics(example(), []string{"bee"}, "pkg", "bee")
	if err != nil {
		t.Fatal(err)
	}
	page := string(MetricsPage([]Component{{Name: "bee"}}, all))
	want := "## bee\n\n| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n" +
		"| `waggle_bee_hash` | gauge | `loop` (dances, flights) | A hash. |\n" +
		"| `waggle_bee_last_seen` | gauge | `loop` (dances, flights) | A time. |\n" +
		"| `waggle_bee_stings_total` | counter | `result`, `target` | Stings by target. |\n"
	if !strings.HasSuffix(page, want) {
		t.Errorf("got %s\nwant %s", page, want)
	}
}

func TestMetricsThatCannotBeReadAreErrors(t *testing.T) {
	const head = "package bee\nimport \"github.com/prometheus/client_golang/prometheus\"\n"
	for _, c := range []struct{ name, code, want string }{
		{"a name computed at run time", `func f() { var s []string; prometheus.NewGauge(prometheus.GaugeOpts{Name: s[0], Help: "h"}) }`, "not understood"},
		{"a variable of somewhere else", `func f() { prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "h"}) }`, "the text of name is not known"},
		{"a parameter of a function that nobody calls", `func f(name string) { prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "h"}) }`, "no call of f"},
		{"options that are put aside", `func f() { o := prometheus.GaugeOpts{Name: "waggle_bee_x", Help: "h"}; prometheus.NewGauge(o) }`, "do not stand in the call"},
		{"no help", `func f() { prometheus.NewGauge(prometheus.GaugeOpts{Name: "waggle_bee_x"}) }`, "waggle_bee_x has no help"},
		{"labels computed at run time", `func f() { prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "waggle_bee_x", Help: "h"}, names()) }`, "want a literal list"},
		{"a name that is not the house's", `func f() { prometheus.NewGauge(prometheus.GaugeOpts{Name: "stings", Help: "h"}) }`, "waggle_COMPONENT_"},
		{"two that differ", `func f() { prometheus.NewGauge(prometheus.GaugeOpts{Name: "waggle_bee_x", Help: "h"}); prometheus.NewGauge(prometheus.GaugeOpts{Name: "waggle_bee_x", Help: "i"}) }`, "declared twice and not alike"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := fstest.MapFS{"bee/bee.go": &fstest.MapFile{Data: []byte(head + c.code)}}
			if _, err := Metrics(tree, []string{"bee"}, "bee"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestMetricsOfTheHouse(t *testing.T) {
	all, err := Metrics(os.DirFS(root), []string{"listener", "proxy", "monitor", "scaler"}, "listener", "proxy", "monitor", "scaler", "pkg")
	if err != nil {
		t.Fatal(err)
	}
	// Each component has a loop, whose metrics are declared in pkg.
	for _, component := range []string{"listener", "proxy", "monitor", "scaler"} {
		if !slices.ContainsFunc(all, func(m Metric) bool {
			return m.Name == "waggle_"+component+"_passes_total" && m.Type == "counter" && slices.Equal(m.Labels, []string{"loop", "result"}) && len(m.Values["loop"]) > 0
		}) {
			t.Errorf("the passes of %s are missing", component)
		}
	}
}
