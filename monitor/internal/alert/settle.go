package alert

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// settleAnnotation says for how long after a scaling an alert still speaks of the time before.
// The scaler waits for it, so that one cause makes one step.
const settleAnnotation = "settle"

// longestSettle is the longest time that the scaler takes.
const longestSettle = 24 * time.Hour

// settle is the text of that annotation: how far the condition looks back, until the next
// sample is there, and until it is evaluated. It is empty if that is not known: an
// expression of somebody's own that looks at the present alone may stand on anything.
func settle(c clause, s subject) string {
	if c.parsed == nil || s.evaluation == 0 || s.every == 0 {
		return ""
	}
	var longest, back time.Duration
	parser.Inspect(c.parsed, func(n parser.Node, path []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		behind := max(v.OriginalOffset, 0)
		for _, outer := range path {
			switch outer := outer.(type) {
			case *parser.MatrixSelector:
				behind += outer.Range
			case *parser.SubqueryExpr:
				behind += outer.Range + max(outer.OriginalOffset, 0)
			}
		}
		every := s.every
		if s.interval > 0 && selects(v, model.JobLabel, s.job) {
			every = s.interval
		}
		back, longest = max(back, behind), max(longest, behind+every)
		return nil
	})
	if longest == 0 || c.raw && back == 0 {
		return ""
	}
	if longest += s.evaluation; longest >= longestSettle {
		return "24h"
	}
	return model.Duration(longest).String()
}
