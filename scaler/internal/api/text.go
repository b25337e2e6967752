package api

import (
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/picture"
)

// columns is how wide the picture is.
const columns = 70

// text is what was decided, latest first, for a terminal. That of one service begins with a
// picture of its number from the first change among them until now.
func text(all []decide.Decision, isOne bool, now time.Time) string {
	var out strings.Builder
	var changes []decide.Decision // oldest first
	for i := len(all) - 1; i >= 0; i-- {
		if d := all[i]; !d.DryRun && (d.Action == decide.Scaled || d.Action == decide.Adopted) {
			changes = append(changes, d)
		}
	}
	if isOne && len(changes) > 0 {
		out.WriteString(chart(changes, now) + "\n")
	}
	for _, d := range all {
		fmt.Fprintf(&out, "%s  %-13s %s\n", d.Time.UTC().Format(time.RFC3339), d.Code, d.Message)
	}
	return out.String()
}

func chart(changes []decide.Decision, now time.Time) string {
	begin := changes[0].Time
	whole := max(now.Sub(begin), time.Second).Round(time.Second)
	bars := make([]picture.Bar, columns)
	for i := range bars {
		// A column shows its end, so that the last one is the present.
		at := begin.Add(whole * time.Duration(i) / (columns - 1))
		number := changes[0].From
		for _, d := range changes {
			if i > 0 && !d.Time.After(at) {
				number = d.To
			}
		}
		bars[i] = picture.Bar{Asked: number, Running: number}
	}
	return picture.Chart(bars, whole)
}
