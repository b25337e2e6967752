package alert

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// subject is what a shortcut speaks of.
type subject struct {
	// service is the full name, which cAdvisor knows; job is the name that the
	// service is called, which its scrape job bears.
	service, job string
	// interval is how often job is scraped; 0 if that is not known.
	interval time.Duration
	// every is how often others are scraped, evaluation how often rules are evaluated; 0 if
	// that is not known.
	every, evaluation time.Duration
	// proxies is the job of the proxies, and how often they are scraped.
	proxies Proxies
	// language is that of Prometheus.
	language Language
	// pack has the shortcuts, and words is what their templates are told of the alert.
	pack  *Pack
	words alertWords
}

// clause is a condition with what comes along with it.
type clause struct {
	expr                string
	annotations, labels map[string]string
	series              series
	// parsed is the expression; raw says that it is not one of ours.
	parsed parser.Expr
	raw    bool
}

// series says which labels the results of an expression carry, since PromQL
// joins two vectors only where their labels agree.
type series int

const (
	whole      series = iota // one result without labels
	container                // one result per container, with its name and node
	node                     // one result per node, with the labels instance and node
	filesystem               // one result per disk, instance and node among its labels
	mixed                    // results of several kinds
)

// valueKind is what a shortcut's value must be.
type valueKind string

const (
	number   valueKind = "a number"
	bound    valueKind = "a bucket bound"
	interval valueKind = "a range such as 5m"
)

// boundMatcher matches a bucket bound in every way that client libraries and
// Prometheus write it: since version 3, Prometheus stores 1 as 1.0.
func boundMatcher(text string) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "=" + strconv.Quote(text)
	}
	plain := strconv.FormatFloat(f, 'g', -1, 64)
	stored := plain
	if !strings.ContainsAny(plain, ".eIN") {
		stored += ".0"
	}
	var forms []string
	for _, form := range []string{text, plain, stored} {
		if !slices.Contains(forms, form) {
			forms = append(forms, form)
		}
	}
	if len(forms) == 1 {
		return "=" + strconv.Quote(text)
	}
	for i, form := range forms {
		forms[i] = strings.NewReplacer(".", "[.]", "+", "[+]").Replace(form)
	}
	return `=~"` + strings.Join(forms, "|") + `"`
}

var numberPattern = regexp.MustCompile(`^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$`)

// tooShort reports whether a range, as Prometheus writes it, is shorter than two scrape
// intervals. The left end of a range does not belong to it, so it may hold one sample
// alone, of which there is no rate. An interval of 0 is not known.
func tooShort(text string, every time.Duration) bool {
	d, err := model.ParseDuration(text)
	return err == nil && time.Duration(d) < 2*every
}

// check reports whether a text is such a value.
func (k valueKind) check(text string) bool {
	switch k {
	case bound:
		return text == "+Inf" || numberPattern.MatchString(text)
	case interval:
		d, err := model.ParseDuration(text)
		return err == nil && d > 0
	case quantile, latencyBound:
		return k.proxied(text)
	default:
		return numberPattern.MatchString(text)
	}
}

func describe(kinds []valueKind) string {
	texts := make([]string, len(kinds))
	for i, k := range kinds {
		texts[i] = string(k)
	}
	return strings.Join(texts, ", ")
}
