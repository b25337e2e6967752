package alert

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// carries reports whether results of an expression may have a label. It says yes unless
// the expression itself rules it out.
func carries(e parser.Expr, name string) bool {
	switch e := e.(type) {
	case *parser.NumberLiteral, *parser.StringLiteral:
		return false
	case *parser.ParenExpr:
		return carries(e.Expr, name)
	case *parser.UnaryExpr:
		return carries(e.Expr, name)
	case *parser.BinaryExpr:
		return carries(e.LHS, name) || carries(e.RHS, name)
	case *parser.AggregateExpr:
		switch e.Op {
		case parser.SUM, parser.AVG, parser.COUNT, parser.MIN, parser.MAX, parser.GROUP, parser.STDDEV, parser.STDVAR, parser.QUANTILE:
			return (e.Without || slices.Contains(e.Grouping, name)) && carries(e.Expr, name)
		}
	case *parser.Call:
		switch e.Func.Name {
		case "scalar", "time", "vector", "pi":
			return false
		}
	}
	return true
}

// doubts are what is wrong with an expression that Prometheus takes, in words that say
// what to do. Shortcuts are written so that there is none.
func doubts(c clause, s subject) []string {
	if !c.raw || c.parsed == nil {
		return nil
	}
	var out []string
	tell := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	parser.Inspect(c.parsed, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			for _, m := range n.LabelMatchers {
				if bound, form := stored(m); form != "" {
					tell("%s does not match %s, as Prometheus 3 stores that bound; write %s", m, bound, form)
				}
			}
		case *parser.MatrixSelector:
			of, ok := n.VectorSelector.(*parser.VectorSelector)
			if ok && n.Range < 2*s.interval && selects(of, model.JobLabel, s.job) {
				tell("the range [%s] never holds two samples, because the service is scraped every %s; make it at least %s",
					model.Duration(n.Range), model.Duration(s.interval), model.Duration(2*s.interval))
			}
		}
		return nil
	})
	return out
}

// selects reports whether a selector asks for one value of a label.
func selects(v *parser.VectorSelector, name, value string) bool {
	return slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Type == labels.MatchEqual && m.Name == name && m.Value == value
	})
}

var wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)

// stored is the first whole bound or quantile of a matcher as Prometheus 3 stores it, and how
// the matcher would match that as well; both are empty if it does.
func stored(m *labels.Matcher) (bound, form string) {
	if m.Name != model.BucketLabel && m.Name != model.QuantileLabel {
		return "", ""
	}
	switch m.Type {
	case labels.MatchEqual:
		if wholeNumber.MatchString(m.Value) {
			return m.Value + ".0", fmt.Sprintf(`%s=~"%s|%s[.]0"`, m.Name, m.Value, m.Value)
		}
	case labels.MatchRegexp:
		bounds := strings.Split(m.Value, "|")
		for i, b := range bounds {
			if wholeNumber.MatchString(b) && !m.Matches(b+".0") {
				bound, bounds[i] = cmp.Or(bound, b+".0"), b+"|"+b+"[.]0"
			}
		}
		if bound != "" {
			return bound, fmt.Sprintf(`%s=~"%s"`, m.Name, strings.Join(bounds, "|"))
		}
	}
	return "", ""
}

// functions that Prometheus 3 calls otherwise, by their former names.
var formerFunction = regexp.MustCompile(`\bholt_winters\s*\(`)

// cure says what can be done about an expression that is not taken: what a function that Prometheus
// no longer knows is called now, and where what it has is switched on.
func cure(text string, err error) string {
	switch {
	case formerFunction.MatchString(text):
		return "; since Prometheus 3 holt_winters is called double_exponential_smoothing, and must be switched on (ARG_ENABLE-FEATURE=promql-experimental-functions of monitor)"
	case strings.Contains(err.Error(), "is not enabled"):
		return "; it is experimental, and is switched on by ARG_ENABLE-FEATURE=promql-experimental-functions of monitor"
	}
	return ""
}
