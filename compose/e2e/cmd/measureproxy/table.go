package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// tables prints tables and counts the goals that were missed.
type tables struct {
	out  io.Writer
	lost []string
}

func (t *tables) table(title string, columns ...string) {
	fmt.Fprintf(t.out, "\n%s\n\n| %s |\n|%s\n", title, strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
}

func (t *tables) row(cells ...string) { fmt.Fprintf(t.out, "| %s |\n", strings.Join(cells, " | ")) }

// goal is what a number should be: at most, or if atLeast is set at least, so much.
type goal struct {
	limit   float64
	atLeast bool
	// format shows a number with its unit ("%.2f").
	format string
}

func (g goal) met(value float64) bool {
	if g.atLeast {
		return value >= g.limit
	}
	return value <= g.limit
}

func (g goal) String() string {
	sign := "<="
	if g.atLeast {
		sign = ">="
	}
	return sign + " " + fmt.Sprintf(g.format, g.limit)
}

// result prints a row that ends with a number, its goal and whether that is met. In
// between stands what else is worth knowing.
func (t *tables) result(what string, value float64, g goal, more ...string) {
	word := "met"
	if !g.met(value) {
		word = "MISSED"
		t.lost = append(t.lost, what)
	}
	t.row(slices.Concat([]string{what}, more, []string{fmt.Sprintf(g.format, value), g.String(), word})...)
}

// missed is an error if a goal was.
func (t *tables) missed() error {
	if len(t.lost) > 0 {
		return fmt.Errorf("goals missed: %s", strings.Join(t.lost, "; "))
	}
	return nil
}

// median is the lower one of the two in the middle of an even number.
func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)/2]
}

// ratios divides numbers that were measured next to each other.
func ratios(over, under []float64) []float64 {
	var out []float64
	for i := range over {
		out = append(out, over[i]/under[i])
	}
	return out
}
