package docs

import (
	"cmp"
	"context"
	"errors"
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

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/label"
)

const root = "../../.."

func bees() []Component {
	return []Component{
		{Name: "proxy", Labels: []label.Spec{
			{Name: "port", Task: "Where requests go", Example: "port=8080\nservicePath=/a", Kind: "number", Default: "none", Doc: "The port, 1|2\nor more.", Indexed: true},
			{Name: "key", Task: "Where requests go", Example: "key.1=x", Kind: "text", Default: "none", Doc: "A key.", Secret: true},
		}, Refused: []label.Spec{{Name: "users", Secret: true, Indexed: true}}, Service: func(fs *flag.FlagSet) func(context.Context, app.Shell) error {
			var key app.Secret
			fs.Var(&key, "nats-key", "a key")
			fs.Int("http-port", 80, "a port")
			return nil
		}},
		{Name: "scaler", Labels: []label.Spec{{Name: "max", Task: "Scaling", Example: "max=5", Kind: "number", Default: "5", Doc: "The most."}}, Service: func(*flag.FlagSet) func(context.Context, app.Shell) error { return nil }},
	}
}

func TestLabelsPage(t *testing.T) {
	page, err := LabelsPage(bees())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- [Where requests go](#where-requests-go)\n- [Scaling](#scaling)\n",
		"## Where requests go\n\n| Label | Text | If absent | Example | Meaning |\n| --- | --- | --- | --- | --- |\n" +
			"| `com.df.port`, `com.df.port.N` | number | none | `8080` with `servicePath=/a` | The port, 1\\|2 or more. |\n" +
			"| `com.df.key` | text | none | `key.1=x` | A key. Its text is never shown. |\n",
		"## Scaling\n", "- `com.df.users`\n",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	homeless := append(bees(), Component{Name: "monitor", Labels: []label.Spec{{Name: "lost", Task: "Nowhere"}}})
	if _, err := LabelsPage(homeless); err == nil || !strings.Contains(err.Error(), `label lost of monitor: the task "Nowhere" is none of Opting in`) {
		t.Errorf("a label without a task: %v", err)
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
		"| `-admin` | `ADMIN` | `control:8080` |", "| `-version` | none |",
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
	code, err := os.ReadFile(root + "/monitor/internal/alert/packs/waggle.yaml")
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
	known := names(`(?m)^"(@[a-z_]+)":`, string(code))
	told := names("(?m)^\\| `(@[a-z_]+)", shortcutsText)
	if len(known) != 16 || !slices.Equal(known, told) {
		t.Errorf("monitor has %v, the page has %v", known, told)
	}
}

// component is one that registers the collectors and then fails or not.
func component(end error, all ...prometheus.Collector) Component {
	return Component{Name: "bee", Service: func(*flag.FlagSet) func(context.Context, app.Shell) error {
		return func(ctx context.Context, sh app.Shell) error {
			for _, c := range all {
				if err := sh.Registry.Register(c); err != nil {
					return err
				}
			}
			return cmp.Or(end, ctx.Err())
		}
	}}
}

// dances is a collector as a loop has one: several are alike but for the loop's name.
func dances(loop string) prometheus.Collector {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "waggle_bee_dances_total", Help: "Dances.", ConstLabels: prometheus.Labels{"loop": loop},
	}, []string{"to", "from"})
	c.WithLabelValues("here", "there").Inc()
	return c
}

func TestMetrics(t *testing.T) {
	page, err := MetricsPage([]Component{component(nil,
		prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "waggle_bee_flight_seconds", Help: "How long a flight took."}, []string{"result"}),
		dances("round"), dances("figure"),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "waggle_bee_age", Help: "An age."}, func() float64 { return 1 }),
	)})
	want := "## bee\n\n| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n" +
		"| `waggle_bee_age` | gauge |  | An age. |\n" +
		"| `waggle_bee_dances_total` | counter | `from`, `loop` (figure, round), `to` | Dances. |\n" +
		"| `waggle_bee_flight_seconds` | histogram | `result` | How long a flight took. |\n"
	if err != nil || !strings.HasSuffix(string(page), want) {
		t.Errorf("got %s (%v)\nwant %s", page, err, want)
	}
}

// hive offers nothing until it has seen a bee.
type hive struct{ prometheus.Collector }

func (hive) Collect(chan<- prometheus.Metric) {}

func (hive) Examples(open string) []prometheus.Metric {
	desc := prometheus.NewDesc("waggle_bee_state", "What it does.", []string{"bee", "state"}, nil)
	return []prometheus.Metric{
		prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, open, "flying"), prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 0, open, "asleep"),
	}
}

func TestMetricsThatAreThereLater(t *testing.T) {
	page, err := MetricsPage([]Component{component(nil, hive{prometheus.NewCounter(prometheus.CounterOpts{Name: "waggle_bee_x", Help: "x"})})})
	if want := "| `waggle_bee_state` | gauge | `bee`, `state` (asleep, flying) | What it does. |\n"; err != nil || !strings.HasSuffix(string(page), want) {
		t.Errorf("got %s (%v)\nwant %s", page, err, want)
	}
}

func TestMetricsThatAreNotAsTheyMustBe(t *testing.T) {
	gauge := func(name, help string) prometheus.Collector {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	for name, c := range map[string]struct {
		of   Component
		want string
	}{
		"no help":                             {component(nil, gauge("waggle_bee_x", "")), "waggle_bee_x has no help"},
		"a name that is not the component's":  {component(nil, gauge("waggle_wasp_x", "h")), "begins with waggle_bee_"},
		"two that differ":                     {component(nil, gauge("waggle_bee_x", "h"), gauge("waggle_bee_x", "i")), "waggle_bee_x"},
		"a start that fails before its loops": {component(errors.New("no hive")), "bee does not come as far as its loops: no hive"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := MetricsPage([]Component{c.of}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
