package alert

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// condition reads the text of alertIf: a shortcut, several joined, or PromQL. Its
// error says what would be right.
func condition(text string, s subject) (clause, error) {
	c := clause{expr: text, raw: true}
	if strings.HasPrefix(text, "@") {
		var err error
		if c, err = compound(text, s); err != nil {
			return clause{}, err
		}
	}
	var err error
	if c.parsed, err = s.parse(c.expr); err != nil {
		return clause{}, fmt.Errorf("a PromQL expression: %w%s", err, cure(text, err))
	}
	if t := c.parsed.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return clause{}, fmt.Errorf("an expression that gives an instant vector or a scalar, not a %s", t)
	}
	return c, nil
}

// compound reads one shortcut, or several joined by operators, of which and and
// unless bind tighter than or, as in PromQL. Joined shortcuts keep their
// summaries and lose their labels: which of them should hold is not ours to say.
func compound(text string, s subject) (clause, error) {
	words, ops := split(text)
	clauses := make([]clause, len(words))
	for i, w := range words {
		c, err := s.pack.single(w, s)
		if err != nil {
			return clause{}, err
		}
		clauses[i] = c
	}
	if len(clauses) == 1 {
		return clauses[0], nil
	}
	joined, raw := map[string]string{}, false
	for i, c := range clauses {
		raw = raw || c.raw
		for key, text := range c.annotations {
			if before, ok := joined[key]; ok {
				text = before + " " + ops[i-1] + " " + text
			}
			joined[key] = text
		}
	}
	all := clause{series: mixed}
	if s.pack.textual {
		all.expr = clauses[0].expr
		for i, op := range ops {
			all.expr += " " + op + " " + clauses[i+1].expr
		}
	} else {
		all = join(clauses, ops)
	}
	all.annotations, all.raw = joined, raw
	return all, nil
}

// join writes several clauses as one, in which each keeps its meaning.
func join(clauses []clause, ops []string) clause {
	all := clause{series: mixed}
	term := clause{expr: "(" + clauses[0].expr + ")", series: clauses[0].series}
	for i, op := range ops {
		next := clauses[i+1]
		if op == "or" {
			all = either(all, term)
			term = clause{expr: "(" + next.expr + ")", series: next.series}
			continue
		}
		term.expr += " " + op + match(term.series, next.series) + " (" + next.expr + ")"
	}
	return either(all, term)
}

func either(a, b clause) clause {
	if a.expr == "" {
		return b
	}
	return clause{expr: a.expr + " or " + b.expr, series: mixed}
}

// match is what must stand behind and or unless so that the two sides meet although
// their results carry different labels.
func match(a, b series) string {
	onNode := func(s series) bool { return s == node || s == filesystem }
	switch {
	case a == b && a != mixed:
		return ""
	case onNode(a) && onNode(b):
		return " on (instance)"
	default:
		return " on ()"
	}
}

// operator joins two shortcuts. White space around it does not count, so that each shortcut may have
// a line of its own.
var operator = regexp.MustCompile(`\s*_(unless|and|or)_\s*@`)

// split takes a compound apart at the operators that stand before an "@".
func split(text string) (words, ops []string) {
	for {
		at := operator.FindStringSubmatchIndex(text)
		if at == nil {
			return append(words, text), ops
		}
		words, ops = append(words, text[:at[0]]), append(ops, text[at[2]:at[3]])
		text = text[at[1]-len("@"):]
	}
}
