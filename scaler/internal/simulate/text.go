package simulate

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/picture"
)

// Text is the curve for a terminal that is so many characters wide, with its changes.
func (c Curve) Text(width int) string {
	var out strings.Builder
	columns := min(max(width-9, 10), len(c.Samples))
	loads, bars := make([]float64, columns), make([]picture.Bar, columns)
	for i := range columns {
		// A column shows its last second, so that the last one is the end.
		part := c.Samples[i*len(c.Samples)/columns : (i+1)*len(c.Samples)/columns]
		last := part[len(part)-1]
		bars[i] = picture.Bar{Asked: last.Replicas, Running: last.Running}
		for _, s := range part {
			loads[i] += s.Load / float64(len(part))
		}
	}
	whole := time.Duration(len(c.Samples)-1) * time.Second
	fmt.Fprintf(&out, " load  %s\n%s\n", picture.Spark(loads), picture.Chart(bars, whole))
	for _, change := range c.Changes {
		d := change.Decision
		fmt.Fprintf(&out, "%9s  from %d to %d: %s\n", change.At, d.From, d.To, d.Reason)
	}
	least, most := c.Bounds()
	last := c.Samples[len(c.Samples)-1]
	fmt.Fprintf(&out, "%d changes; least %d, most %d, at the end %d (bounds %d to %d)\n", len(c.Changes), least, most, last.Replicas, c.Policy.Min, c.Policy.Max)
	return out.String()
}

// Bounds returns the least and the greatest number that was asked for.
func (c Curve) Bounds() (least, most uint64) {
	for i, s := range c.Samples {
		if i == 0 {
			least = s.Replicas
		}
		least, most = min(least, s.Replicas), max(most, s.Replicas)
	}
	return least, most
}

// Reached returns when the number was at least so great first, false if never.
func (c Curve) Reached(number uint64) (time.Duration, bool) {
	for i, s := range c.Samples {
		if s.Replicas >= number {
			return time.Duration(i) * time.Second, true
		}
	}
	return 0, false
}

// MarshalJSON is the curve for a program: what it came to, and each change.
func (c Curve) MarshalJSON() ([]byte, error) {
	type change struct {
		At     string `json:"at"`
		From   uint64 `json:"from"`
		To     uint64 `json:"to"`
		Code   string `json:"code"`
		Want   string `json:"want"`
		Reason string `json:"reason"`
	}
	out := struct {
		Least   uint64   `json:"least"`
		Most    uint64   `json:"most"`
		End     uint64   `json:"end"`
		Changes []change `json:"changes"`
	}{Changes: []change{}}
	out.Least, out.Most = c.Bounds()
	out.End = c.Samples[len(c.Samples)-1].Replicas
	for _, one := range c.Changes {
		d := one.Decision
		out.Changes = append(out.Changes, change{one.At.String(), d.From, d.To, string(d.Code), string(d.Want), d.Reason})
	}
	return json.Marshal(out)
}
