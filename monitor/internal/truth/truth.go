// Package truth tells why a rule that is loaded cannot fire: nothing that it looks at is
// there. It is pure: it asks questions, which somebody else puts to Prometheus, and turns
// the answers into words that say what to do.
package truth

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/wagglehq/waggle/monitor/internal/alert"
)

// Lately is how Answers are bounded, in words: whoever asks Prometheus looks so far back.
const Lately = "in the last hour"

// Question is what Prometheus is asked about the series that it has had lately.
type Question struct {
	// Selector says which, as PromQL.
	Selector string
	// Label asks for the values that it has in these series. Without it the question is
	// whether there are any, and every value means yes.
	Label string
}

// Answers are the values by their questions. A question that is not among them has
// not been answered yet.
type Answers map[Question][]string

// Tell returns what keeps an expression from having a result, each thing once, and the
// questions that must be answered before more can be said.
func Tell(expr string, known Answers) (words []string, open []Question) {
	e, err := alert.Widest().ParseExpr(expr)
	if err != nil {
		return nil, nil
	}
	t := teller{known: known}
	for _, s := range t.missing(e) {
		t.say(t.why(s))
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			t.say(t.bound(matchersOf(v)))
		}
		return nil
	})
	if len(t.open) > 0 {
		return nil, t.open
	}
	return t.words, nil
}

type teller struct {
	known Answers
	words []string
	open  []Question
}

func (t *teller) say(words string) {
	if words != "" && !slices.Contains(t.words, words) {
		t.words = append(t.words, words)
	}
}

// ask returns the answer to a question, nothing while there is none.
func (t *teller) ask(q Question) []string {
	answer, ok := t.known[q]
	if !ok && !slices.Contains(t.open, q) {
		t.open = append(t.open, q)
	}
	return answer
}

// has reports whether there are such series; also while that is not known.
func (t *teller) has(m matchers) bool {
	q := Question{Selector: m.String()}
	_, ok := t.known[q]
	return len(t.ask(q)) > 0 || !ok
}

// missing returns the selectors without series for which an expression has no result.
// Of two sides of or, both must be missing.
func (t *teller) missing(e parser.Expr) []matchers {
	switch e := e.(type) {
	case *parser.VectorSelector:
		if m := matchersOf(e); !t.has(m) {
			return []matchers{m}
		}
	case *parser.MatrixSelector:
		return t.missing(e.VectorSelector)
	case *parser.SubqueryExpr:
		return t.missing(e.Expr)
	case *parser.ParenExpr:
		return t.missing(e.Expr)
	case *parser.UnaryExpr:
		return t.missing(e.Expr)
	case *parser.StepInvariantExpr:
		return t.missing(e.Expr)
	case *parser.AggregateExpr:
		return t.missing(e.Expr)
	case *parser.Call:
		if strings.HasPrefix(e.Func.Name, "absent") {
			return nil // it is made for that
		}
		var out []matchers
		for _, arg := range e.Args {
			out = append(out, t.missing(arg)...)
		}
		return out
	case *parser.BinaryExpr:
		left, right := t.missing(e.LHS), t.missing(e.RHS)
		switch {
		case e.Op == parser.LUNLESS:
			return left
		case e.Op == parser.LOR && (len(left) == 0 || len(right) == 0):
			return nil
		}
		return append(left, right...)
	}
	return nil
}

// why says why there are no such series.
func (t *teller) why(m matchers) string {
	name := m.name()
	for _, f := range families() {
		if strings.HasPrefix(name, f.prefix) && !t.has(matchers{labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, f.prefix+".+")}) {
			return fmt.Sprintf("no %s is in sight: Prometheus has had no series %s... %s; %s", f.exporter, f.prefix, Lately, f.cure)
		}
	}
	if name == "" {
		return fmt.Sprintf("no series %s %s", m, Lately)
	}
	bare := m.only(model.MetricNameLabel)
	if t.has(bare) && len(m) > len(bare) {
		if m.without(model.BucketLabel).String() != m.String() && t.has(m.without(model.BucketLabel)) {
			return "" // its bounds are told
		}
		for _, one := range m {
			if one.Name == model.JobLabel && one.Type == labels.MatchEqual {
				if jobs := t.ask(Question{name, model.JobLabel}); len(jobs) > 0 && !slices.Contains(jobs, one.Value) {
					return fmt.Sprintf("no series %s %s: the metric is there for the jobs %s, not for %s", m, Lately, list(jobs), one.Value)
				}
			}
		}
		return fmt.Sprintf("no series %s %s: the metric %s is there, but not with these labels", m, Lately, name)
	}
	others := t.ask(Question{`{__name__=~"` + regexp.QuoteMeta(former(name)) + `(_bytes|_seconds|_total|_seconds_total|_bytes_total|_celsius)"}`, model.MetricNameLabel})
	if len(others) > 0 {
		return fmt.Sprintf("no series %s %s: the metric is called %s today", m, Lately, list(others))
	}
	if today, ok := renamed(name); ok {
		return fmt.Sprintf("no series %s %s: node_exporter has called it %s since version 0.16", m, Lately, today)
	}
	return fmt.Sprintf("no series %s %s: is the name right, and is what offers it scraped?", m, Lately)
}

// bound says that a histogram has other bounds than the one that is asked for.
func (t *teller) bound(m matchers) string {
	rest := m.without(model.BucketLabel)
	if len(rest) == len(m) || !t.has(rest) || t.has(m) {
		return ""
	}
	bounds := t.ask(Question{rest.String(), model.BucketLabel})
	if len(bounds) == 0 {
		return ""
	}
	return fmt.Sprintf("%s has no such bucket: its bounds are %s", m, list(bounds))
}

// family are metrics that come of one kind of exporter.
type family struct{ prefix, exporter, cure string }

func families() []family {
	return []family{
		{"container_", "cAdvisor", "deploy one on every node, and scrape it by com.df.scrapePort"},
		{"node_", "node_exporter", "deploy one on every node, and scrape it by com.df.scrapePort"},
		{"swarm_", "listener that tells the state of the swarm", "have it scraped (OWN_STACK of monitor), with its STATE_METRICS on"},
	}
}

// former is what a name that says its unit may have been derived from.
func former(name string) string {
	for _, end := range []string{"_ms", "_total"} {
		name = strings.TrimSuffix(name, end)
	}
	return name
}

var (
	memory = regexp.MustCompile(`^node_memory_[A-Za-z_]+$`)
	disk   = regexp.MustCompile(`^node_filesystem_(size|free|avail)$`)
)

// renamed is what node_exporter calls a metric since it says units.
func renamed(name string) (string, bool) {
	switch {
	case memory.MatchString(name) && !strings.HasSuffix(name, "_bytes"), disk.MatchString(name):
		return name + "_bytes", true
	case name == "node_cpu":
		return "node_cpu_seconds_total", true
	case name == "node_boot_time", name == "node_time":
		return name + "_seconds", true
	}
	return "", false
}

// matchers are the matchers of a selector, the name of the metric among them.
type matchers []*labels.Matcher

func matchersOf(v *parser.VectorSelector) matchers { return v.LabelMatchers }

// String is the selector as PromQL.
func (m matchers) String() string {
	name, texts := "", []string{}
	for _, one := range m {
		if one.Name == model.MetricNameLabel && one.Type == labels.MatchEqual && model.LegacyValidation.IsValidMetricName(one.Value) {
			name = one.Value
			continue
		}
		texts = append(texts, one.String())
	}
	if len(texts) == 0 {
		return name
	}
	slices.Sort(texts)
	return name + "{" + strings.Join(texts, ", ") + "}"
}

func (m matchers) name() string {
	for _, one := range m.only(model.MetricNameLabel) {
		return one.Value
	}
	return ""
}

// only keeps the matchers of one label that say what it is.
func (m matchers) only(name string) matchers {
	return slices.DeleteFunc(slices.Clone(m), func(one *labels.Matcher) bool { return one.Name != name || one.Type != labels.MatchEqual })
}

// without leaves the matchers of one label out.
func (m matchers) without(name string) matchers {
	return slices.DeleteFunc(slices.Clone(m), func(one *labels.Matcher) bool { return one.Name == name })
}

// most is how many values are named.
const most = 12

func list(values []string) string {
	if len(values) > most {
		return strings.Join(values[:most], ", ") + " and others"
	}
	return strings.Join(values, ", ")
}
