// Package report prints what was measured: tables of rows, numbers beside their goals,
// medians.
package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Tables prints tables and counts the goals that were missed.
type Tables struct {
	Out  io.Writer
	lost []string
}

// Table begins a table.
func (t *Tables) Table(title string, columns ...string) {
	fmt.Fprintf(t.Out, "\n%s\n\n| %s |\n|%s\n", title, strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
}

// Row prints a row; of several times it shows the median.
func (t *Tables) Row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case time.Duration:
			texts[i] = Milliseconds(c) + " ms"
		case []time.Duration:
			texts[i] = Milliseconds(Median(c)) + " ms"
		default:
			texts[i] = fmt.Sprint(c)
		}
	}
	fmt.Fprintf(t.Out, "| %s |\n", strings.Join(texts, " | "))
}

// Milliseconds are those of a time, without their unit.
func Milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f", float64(d.Microseconds())/1000)
}

// Goal is what a number should be.
type Goal struct {
	limit   float64
	atLeast bool
	format  string
}

// AtMost is a goal with the format of a number and its unit ("%.2f").
func AtMost(limit float64, format string) Goal { return Goal{limit, false, format} }

// AtLeast is the other kind.
func AtLeast(limit float64, format string) Goal { return Goal{limit, true, format} }

func (g Goal) met(value float64) bool {
	if g.atLeast {
		return value >= g.limit
	}
	return value <= g.limit
}

// String is the goal as the tables show it.
func (g Goal) String() string {
	sign := "<="
	if g.atLeast {
		sign = ">="
	}
	return sign + " " + fmt.Sprintf(g.format, g.limit)
}

// Result prints a row that ends with a number, its goal and whether that is met. In
// between stands what else is worth knowing.
func (t *Tables) Result(what string, value float64, g Goal, more ...any) {
	word := "met"
	if !g.met(value) {
		word = "MISSED"
		t.lost = append(t.lost, what)
	}
	t.Row(slices.Concat([]any{what}, more, []any{fmt.Sprintf(g.format, value), g, word})...)
}

// Missed is an error if a goal was.
func (t *Tables) Missed() error {
	if len(t.lost) > 0 {
		return fmt.Errorf("goals missed: %s", strings.Join(t.lost, "; "))
	}
	return nil
}

// Median is the lower one of the two in the middle of an even number.
func Median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}

// Ratios divides numbers that were measured next to each other.
func Ratios(over, under []float64) []float64 {
	var out []float64
	for i := range over {
		out = append(out, over[i]/under[i])
	}
	return out
}

// Metric returns the sum of a metric in what /metrics answers, 0 where nothing was counted
// yet.
func Metric(text, name string) (float64, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
	}
	return sum, nil
}
