package alert

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// Language is what of PromQL is taken beyond what every Prometheus does.
type Language = parser.Options

// dialects are the features of Prometheus that widen its language, by the names by which it is told
// to have them.
var dialects = []struct { //nolint:gochecknoglobals // a constant that Go cannot have
	feature string
	learn   func(*Language)
}{
	{"promql-experimental-functions", func(l *Language) { l.EnableExperimentalFunctions = true }},
	{"promql-duration-expr", func(l *Language) { l.ExperimentalDurationExpr = true }},
	{"promql-extended-range-selectors", func(l *Language) { l.EnableExtendedRangeSelectors = true }},
	{"promql-binop-fill-modifiers", func(l *Language) { l.EnableBinopFillModifiers = true }},
}

// LanguageOf is the language of a Prometheus with these features, separated by commas, and the
// names of those that make it so.
func LanguageOf(features string) (out Language, names []string) {
	given := strings.Split(strings.ReplaceAll(features, " ", ""), ",")
	for _, d := range dialects {
		if slices.Contains(given, d.feature) {
			d.learn(&out)
			names = append(names, d.feature)
		}
	}
	return out, names
}

// Widest reads what any Prometheus may have taken.
func Widest() parser.Parser {
	var l Language
	for _, d := range dialects {
		d.learn(&l)
	}
	return parser.NewParser(l)
}

// parse reads an expression.
func (s subject) parse(text string) (parser.Expr, error) {
	return parser.NewParser(s.language).ParseExpr(text)
}
