// Package picture draws numbers over time as text.
package picture

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Spark is one character for each value, the higher the greater; the least possible value
// is 0. A value that is no number is a blank.
func Spark(values []float64) string {
	const steps = "▁▂▃▄▅▆▇█"
	top := 0.0
	for _, v := range values {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			top = max(top, v)
		}
	}
	levels := []rune(steps)
	var out strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v) || v < 0:
			out.WriteByte(' ')
		case top == 0:
			out.WriteRune(levels[0])
		default:
			out.WriteRune(levels[int(math.Round(min(v/top, 1)*float64(len(levels)-1)))])
		}
	}
	return out.String()
}

// Bar is a number of replicas at one moment, of which some run.
type Bar struct{ Asked, Running uint64 }

// most is how many lines a chart has at most.
const most = 12

// Chart draws bars over each other, one column each, with what runs and what is asked for
// and does not run yet.
func Chart(bars []Bar, whole time.Duration) string {
	var top uint64 = 1
	for _, b := range bars {
		top = max(top, b.Asked, b.Running)
	}
	each := (top + most - 1) / most
	var out strings.Builder
	for level := (top + each - 1) / each * each; level > 0; level -= each {
		var line strings.Builder
		for _, b := range bars {
			// A line stands for the numbers from the one below it on.
			switch least := level - each + 1; {
			case b.Running >= least:
				line.WriteRune('█')
			case b.Asked >= least:
				line.WriteRune('░')
			default:
				line.WriteByte(' ')
			}
		}
		fmt.Fprintf(&out, "%5d ┤%s\n", level, strings.TrimRight(line.String(), " "))
	}
	fmt.Fprintf(&out, "    0 └%s\n", strings.Repeat("─", len(bars)))
	end := whole.String()
	if strings.HasSuffix(end, "m0s") {
		end = strings.TrimSuffix(end, "0s")
	}
	fmt.Fprintf(&out, "       0%*s\n", max(len(bars)-1, len(end)+1), end)
	return out.String()
}
