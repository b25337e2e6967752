package alert

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

var update = flag.Bool("update", false, "write the golden files anew")

// service has labels given as "name=text" lines, without prefix.
func service(name string, lines ...string) catalog.Service {
	svc := catalog.Service{ID: "id-" + name, Name: name, Mode: catalog.Replicated, Labels: map[string]string{}}
	for _, line := range lines {
		key, text, _ := strings.Cut(line, "=")
		svc.Labels[catalog.Prefix+key] = text
	}
	return svc
}

// TestGolden reads files "NAME REPLICAS [stack STACK]", labels, "----" and the rules that come out.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) < 4 {
		t.Fatal("the golden files are missing", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			in, want, _ := strings.Cut(string(content), "----\n")
			lines := strings.Split(strings.TrimSpace(in), "\n")
			head := strings.Fields(lines[0])
			svc := service(head[0], lines[1:]...)
			replicas, err := strconv.ParseUint(head[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if len(head) == 4 {
				svc.Stack = head[3]
			}
			got := string(render(t, svc, replicas))
			if *update {
				if err := os.WriteFile(path, []byte(in+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// render returns the rules file of a service whose alerts are all right.
func render(t *testing.T, svc catalog.Service, replicas uint64) []byte {
	t.Helper()
	about := About{
		Replicas: replicas, Listener: "waggle_listener", Proxies: Proxies{Job: "waggle_proxy", Interval: 10 * time.Second},
		Every: 10 * time.Second, Evaluation: 10 * time.Second,
	}
	alerts, idle := FromService(svc, about)
	if len(idle) > 0 {
		t.Fatal(idle)
	}
	if load, ok := Wanted(svc, about); ok {
		alerts = append(alerts, load)
	}
	var rules []Rule
	for _, a := range alerts {
		if a.Err != nil {
			t.Fatalf("alert %d: %v", a.Index, a.Err)
		}
		rules = append(rules, a.Rule)
	}
	b, err := Render(rules)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFaultsNameTheLabel(t *testing.T) {
	for _, c := range []struct {
		name, labels string // labels, separated by line ends
		label, want  string // the label at fault and a part of what would be right
	}{
		{"a name without a condition", "alertName=a", "com.df.alertIf", "a PromQL expression or a shortcut"},
		{"a condition without a name", "alertIf.3=up == 0", "com.df.alertName.3", "a name"},
		{"an index inherits nothing", "alertName=a\nalertIf=up == 0\nalertName.1=b", "com.df.alertIf.1", "a PromQL expression"},
		{"an empty name", "alertName= \nalertIf=up == 0", "com.df.alertName", "a name"},
		{"an endless name", "alertName=" + strings.Repeat("x", 201) + "\nalertIf=up == 0", "com.df.alertName", "at most 200 bytes"},
		{"PromQL that is none", "alertName=a\nalertIf=sum(", "com.df.alertIf", "unclosed left parenthesis"},
		{"PromQL that gives a matrix", "alertName=a\nalertIf=up[5m]", "com.df.alertIf", "not a matrix"},
		{"PromQL that gives a text", "alertName=a\nalertIf=\"x\"", "com.df.alertIf", "not a string"},
		{"an unknown shortcut", "alertName=a\nalertIf=@nope:1", "com.df.alertIf", "@service_mem_limit"},
		{"an unknown part of a compound", "alertName=a\nalertIf=@replicas_running_and_@nope", "com.df.alertIf", "@service_mem_limit"},
		{"a shortcut mixed with PromQL", "alertName=a\nalertIf=@replicas_running and up == 1", "com.df.alertIf", "@service_mem_limit"},
		{"a value too few", "alertName=a\nalertIf=@resp_time_above:0.1,5m", "com.df.alertIf", "with 3 values: a bucket bound, a range such as 5m, a number"},
		{"a value that is no number", "alertName=a\nalertIf=@service_mem_limit:much", "com.df.alertIf", `a number instead of "much"`},
		{"a value that would be PromQL", "alertName=a\nalertIf=@service_mem_limit:0 or vector(1)", "com.df.alertIf", "a number instead of"},
		{"a range that is none", "alertName=a\nalertIf=@resp_time_above:0.1,5,0.9", "com.df.alertIf", "a range such as 5m instead of"},
		{"a bound that is none", "alertName=a\nalertIf=@resp_time_above:0x1,5m,0.9", "com.df.alertIf", "a bucket bound instead of"},
		{"a duration that is none", "alertName=a\nalertIf=up == 0\nalertFor=soon", "com.df.alertFor", "a duration as Prometheus writes it"},
		{"a label without value", "alertName=a\nalertIf=up == 0\nalertLabels=x=1,severity", "com.df.alertLabels", "name=value"},
		{"a label's name that is none", "alertName=a\nalertIf=up == 0\nalertLabels=my-label=1", "com.df.alertLabels", "letters, digits and _"},
		{"a label that Prometheus keeps for itself", "alertName=a\nalertIf=up == 0\nalertLabels=__x=1", "com.df.alertLabels", "taken by Prometheus"},
		{"somebody else's name", "alertName=a\nalertIf=up == 0\nalertLabels=owner=shop", "com.df.alertLabels", "owner says whose alert it is"},
		{"a label twice", "alertName=a\nalertIf=up == 0\nalertLabels=x=1,x=2", "com.df.alertLabels", "each name once"},
		{"a template that does not end", "alertName=a\nalertIf=up == 0\nalertAnnotations=summary={{ $value", "com.df.alertAnnotations", "unclosed action"},
		{"a template with an unknown function", "alertName=a\nalertIf=up == 0\nalertAnnotations=summary={{ env \"HOME\" }}", "com.df.alertAnnotations", `function "env" not defined`},
		{"a template with an unknown variable", "alertName=a\nalertIf=up == 0\nalertLabels=x={{ $nope }}", "com.df.alertLabels", "undefined variable"},
		{"annotations that begin with a comma's rest", "alertName=a\nalertIf=up == 0\nalertAnnotations=just text", "com.df.alertAnnotations", "name=value"},
		{"persistence that is neither", "alertName=a\nalertIf=up == 0\nalertPersistent=maybe", "com.df.alertPersistent", "true or false"},
		{"a text that is no UTF-8", "alertName=a\xff\nalertIf=up == 0", "com.df.alertName", "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			alerts, _ := FromService(service("web", strings.Split(c.labels, "\n")...), About{Replicas: 1})
			f := label.First(alerts[len(alerts)-1].Err)
			if f == nil || f.Label != c.label || !strings.Contains(f.Want, c.want) {
				t.Fatalf("fault %v, want one of %s that says %q", f, c.label, c.want)
			}
		})
	}
}

// A block scalar of a stack file has several lines and ends in a line break.
func TestTextsOfSeveralLines(t *testing.T) {
	svc := service("web", "alertName=busy\n", "alertIf=sum(\r\n\trate(x_total[5m])\n)\n> 1\n", "alertFor=5m\n", "alertAnnotations=summary=busy,description=first line\n- alert: mine, with a comma\n")
	alerts, _ := FromService(svc, About{Replicas: 1})
	if alerts[0].Err != nil {
		t.Fatal(alerts[0].Err)
	}
	r := alerts[0].Rule
	if r.Name != "web_busy" || r.Expr != "sum(\n\trate(x_total[5m])\n)\n> 1" || r.For != "5m" || r.Annotations["description"] != "first line\n- alert: mine, with a comma" {
		t.Fatalf("%+v", r)
	}
	checkFile(t, []Rule{r})
	for _, labels := range []string{"alertName=a\nb", "alertIf=up\x00 == 0"} {
		key, _, _ := strings.Cut(labels, "=")
		alerts, _ := FromService(service("web", "alertName=a", "alertIf=up == 0", labels), About{Replicas: 1})
		if f := label.First(alerts[0].Err); f == nil || f.Label != "com.df."+key {
			t.Errorf("%q: %v", labels, f)
		}
	}
}

// TestATemplateKeepsItsCommas: a comma within a template ends neither an annotation nor a label,
// whatever follows it.
func TestATemplateKeepsItsCommas(t *testing.T) {
	const query = "{{ with printf \"up{job='%s',instance='%s'}\" $labels.job $labels.instance | query }}{{ . | first | value }}{{ end }}"
	const team = `{{ if match "a,b=c" $labels.job }}bees{{ else }}wasps{{ end }}`
	alerts, _ := FromService(service("web", "alertName=x", "alertIf=up == 0", "alertAnnotations=summary="+query+", and more,next=b", "alertLabels=team="+team+",severity=high"), About{})
	r := alerts[0].Rule
	if alerts[0].Err != nil || r.Annotations["summary"] != query+", and more" || r.Annotations["next"] != "b" || r.Labels["team"] != team || r.Labels["severity"] != "high" {
		t.Errorf("%v %q %q", alerts[0].Err, r.Annotations, r.Labels)
	}
}

func TestARangeHoldsTwoSamples(t *testing.T) {
	for _, c := range []struct {
		condition string
		every     time.Duration
		want      string
	}{
		{"@resp_time_above:0.1,30s,0.9", 30 * time.Second, `at least 1m instead of "30s"`},
		{"@resp_time_server_error:59s,0.1", 30 * time.Second, "at least 1m"},
		{"@replicas_running_or_@resp_time_below:0.1,30s,0.9", 30 * time.Second, "at least 1m"},
		{"@resp_time_above:0.1,30s,0.9", 15 * time.Second, ""},
		{"@resp_time_above:0.1,1m,0.9", 30 * time.Second, ""},
		{"@resp_time_above:0.1,5s,0.9", 0, ""},
	} {
		alerts, _ := FromService(service("web", "alertName=a", "alertIf="+c.condition), About{Replicas: 1, Interval: c.every})
		f := label.First(alerts[0].Err)
		if (c.want == "") != (f == nil) || f != nil && (f.Label != "com.df.alertIf" || !strings.Contains(f.Want, c.want)) {
			t.Errorf("%s at %s: %v, want %q", c.condition, c.every, f, c.want)
		}
	}
}

func TestWhatCanBeSeenOfAnExpressionIsTold(t *testing.T) {
	for condition, want := range map[string]string{
		`sum(rate(s_bucket{job="web",le="1"}[5m])) < 1`: `com.df.alertIf: le="1" does not match 1.0, as Prometheus 3 stores that bound; write le=~"1|1[.]0"`,
		`s{quantile="1"} > 1`:                           `write quantile=~"1|1[.]0"`,
		`sum(rate(s_bucket{le=~"1|2.5|10"}[5m])) < 1`:   `write le=~"1|1[.]0|2.5|10|10[.]0"`,
		`rate(x_total{job="web"}[30s]) > 1`:             "the range [30s] never holds two samples, because the service is scraped every 20s; make it at least 40s",
		`s{le="1.0"} > 1`:                               "",
		`s{le="0.5"} > 1`:                               "",
		`s{le=~"1|1[.]0"} > 1`:                          "",
		`s{le=~"1([.]0)?"} > 1`:                         "",
		`rate(x_total{job="db"}[30s]) > 1`:              "",
		`rate(x_total{job="web"}[40s]) > 1`:             "",
		`@resp_time_above:1,40s,0.9`:                    "",
	} {
		alerts, _ := FromService(service("web", "alertName=a", "alertIf="+condition), About{Interval: 20 * time.Second})
		a := alerts[0]
		if a.Err != nil || len(a.Warnings) > 1 || strings.Join(a.Warnings, "") == "" != (want == "") || !strings.Contains(strings.Join(a.Warnings, ""), want) {
			t.Errorf("%s: %v, %q, want %q", condition, a.Err, a.Warnings, want)
		}
	}
	alerts, _ := FromService(service("web", "alertName=a", "alertIf=holt_winters(x[5m], 0.5, 0.5) > 1"), About{})
	if f := label.First(alerts[0].Err); f == nil || !strings.Contains(f.Want, "double_exponential_smoothing") {
		t.Error(f)
	}
}

func TestWhatResultsMayCarry(t *testing.T) {
	for expr, want := range map[string]bool{
		"1 > bool 0": false, "up > 1": true, "sum(up) > 1": false, "sum by (scale) (up) > 1": true, "sum by (service) (up) > 1": false,
		"sum without (a) (up) > 1": true, "topk(1, up)": true, "vector(1)": false, "-sum(up)": false, "(sum(up))": false,
		`label_replace(vector(1), "scale", "up", "", "")`: true, "sum(up) and up": true, `absent(up{scale="up"})`: true,
		`count_values("scale", up)`: true, "sum by (scale) (sum(up))": false, "max(up) > scalar(up)": false,
	} {
		alerts, _ := FromService(service("web", "alertName=a", "alertIf="+expr), About{})
		if alerts[0].Err != nil {
			t.Fatal(alerts[0].Err)
		}
		if _, taken := alerts[0].Rule.Labels["scale"]; taken != want {
			t.Errorf("%s: taken away %t, want %t", expr, taken, want)
		}
	}
}

func TestOneBadAlertLeavesTheOthers(t *testing.T) {
	alerts, _ := FromService(service("web", "alertName.1=a", "alertIf.1=up == 0", "alertName.2=b", "alertIf.2=up ==", "alertName.7=c", "alertIf.7=up == 1"), About{Replicas: 1})
	var right []int
	for _, a := range alerts {
		if a.Err == nil {
			right = append(right, a.Index)
		}
	}
	if len(alerts) != 3 || !slices.Equal(right, []int{1, 7}) {
		t.Fatalf("%d alerts, of which %v are right", len(alerts), right)
	}
}

func TestThereIsNoLimitToAlerts(t *testing.T) {
	svc := service("web")
	for i := range 300 {
		n := strconv.Itoa(3*i + 1)
		svc.Labels["com.df.alertName."+n], svc.Labels["com.df.alertIf."+n] = "a"+n, "up == "+n
	}
	if alerts, _ := FromService(svc, About{Replicas: 1}); len(alerts) != 300 || alerts[299].Index != 898 || alerts[299].Err != nil {
		t.Fatalf("%d alerts", len(alerts))
	}
}

func TestLabelsWithoutAnAlertAreNamed(t *testing.T) {
	alerts, idle := FromService(service("web", "alertName.1=a", "alertIf.1=up == 0", "alertFor=30s", "alertLabels.4=x=1"), About{Replicas: 1})
	if len(alerts) != 1 || len(idle) != 2 || !strings.HasPrefix(idle[0], "com.df.alertFor has no effect") || !strings.HasPrefix(idle[1], "com.df.alertLabels.4 has no effect") {
		t.Fatal(alerts, idle)
	}
}

func TestSplitOfCompounds(t *testing.T) {
	for text, want := range map[string]string{
		"@a":                         "[@a] []",
		"@a:1,2_and_@b":              "[@a:1,2 @b] [and]",
		"@a_unless_@b_or_@c":         "[@a @b @c] [unless or]",
		"@a_or_b_and_@c":             "[@a_or_b @c] [and]",
		"@a_and_@b_and_@c_unless_@d": "[@a @b @c @d] [and and unless]",
		"@a\n_or_@b:1 _and_\n  @c":   "[@a @b:1 @c] [or and]",
	} {
		words, ops := split(text)
		if got := "[" + strings.Join(words, " ") + "] [" + strings.Join(ops, " ") + "]"; got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestBoundsMatchHoweverTheyAreWritten(t *testing.T) {
	for text, want := range map[string]string{
		"0.1": `="0.1"`, "1": `=~"1|1[.]0"`, "1.0": `=~"1[.]0|1"`, "10": `=~"10|10[.]0"`, ".25": `=~"[.]25|0[.]25"`,
		"0.10": `=~"0[.]10|0[.]1"`, "+Inf": `="+Inf"`, "2500000": `=~"2500000|2[.]5e[+]06"`,
	} {
		if got := boundMatcher(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestEqualRulesHaveEqualKeys(t *testing.T) {
	a, _ := FromService(service("web", "alertName.1=a", "alertIf.1=up == 0", "alertName.2=a", "alertIf.2=up == 0", "alertName.3=b", "alertIf.3=up == 0"), About{Replicas: 1})
	if a[0].Rule.Key() != a[1].Rule.Key() || a[0].Rule.Key() == a[2].Rule.Key() || a[0].Rule.Key() == "" {
		t.Fatal("keys do not tell rules apart")
	}
}

// FuzzNoTextBreaksOut gives any text to every label of an alert, between two
// alerts of other services. Whatever it is, the file holds exactly the rules that
// were admitted, each as it was meant.
func FuzzNoTextBreaksOut(f *testing.F) {
	for _, seed := range []string{
		"plain", "", "a: b", "- x", "\"", "'", "\\", "#", "{{ $value }}", "{{", "a=1,b=2", "x=y\n  - alert: evil\n    expr: vector(1)",
		"&a", "*a", "!!binary x", "|", ">", "%YAML", "---", "...", "\u2028", "\u0085", "null", "true", "0x10", "2020-01-01", "<<",
		"severity=\"\n", "a=b: c", "yes=no", "@replicas_running", "@service_mem_limit:0.8", "up == 0", "\xff", "\x00", strings.Repeat("x", 10000),
	} {
		f.Add(seed, "x="+seed, seed)
	}
	before, _ := FromService(service("aaa", "alertName=a", "alertIf=up == 0"), About{Replicas: 1})
	after, _ := FromService(service("zzz", "alertName=z", "alertIf=up == 0"), About{Replicas: 1})
	f.Fuzz(func(t *testing.T, name, pairs, condition string) {
		svc := service("mmm")
		maps.Copy(svc.Labels, map[string]string{
			"com.df.alertName.1": name, "com.df.alertIf.1": "up == 0", "com.df.alertLabels.1": pairs, "com.df.alertAnnotations.1": pairs,
			"com.df.alertName.2": "b", "com.df.alertIf.2": condition, "com.df.alertFor.2": name, "com.df.alertAnnotations.2": pairs,
			"com.df.alertName.3": "c", "com.df.alertIf.3": "up == 0", "com.df.alertLabels.3": "x=" + name,
		})
		alerts, _ := FromService(svc, About{Replicas: 1})
		rules := []Rule{before[0].Rule}
		for _, a := range alerts {
			if a.Err == nil {
				rules = append(rules, a.Rule)
			}
		}
		rules = append(rules, after[0].Rule)
		checkFile(t, rules)
	})
}
