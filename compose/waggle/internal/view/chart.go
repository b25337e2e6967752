package view

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// History is how many replicas a service had, oldest first: by decisions, whose numbers hold
// until the next one, and by what was seen, which also tells how many ran.
func History(decisions []Decision, seen []Sample, service string) []Sample {
	out := slices.Clone(seen)
	for _, d := range decisions {
		if d.Service != service || d.From == d.To || d.Action == "held" || d.Action == "refused" {
			continue
		}
		if len(seen) > 0 && !d.Time.Before(seen[0].Time) {
			continue // it was seen
		}
		out = append(out, Sample{d.Time, d.From, d.From}, Sample{d.Time, d.To, d.To})
	}
	slices.SortStableFunc(out, func(a, b Sample) int { return a.Time.Compare(b.Time) })
	return out
}

// The size of the drawing, and of the frame around what is drawn, in units of its own.
const (
	chartWidth, chartHeight   = 720, 164
	chartLeft, chartTop       = 34, 26
	chartRight, chartBottom   = 704, 138
	mostLines, leastTimeframe = 5, 10 * time.Minute
)

// Chart is a drawing of replicas over time.
type Chart struct {
	Width, Height int
	// Left to Bottom are the frame.
	Left, Top, Right, Bottom int
	// Asked is a line, Running an area below it, as points of a polygon.
	Asked, Running string
	Lines, Ticks   []Tick
	// Bounds are the lines of the least and most replicas.
	Bounds []Tick
	// Says tells in words what is drawn.
	Says string
}

// Tick is a mark at an axis. Anchor is where its text is held: start, middle or end.
type Tick struct {
	X, Y         int
	Text, Anchor string
}

// Draw draws the past up to now, nil without any. least and most are the bounds, 0 for none.
func Draw(past []Sample, least, most uint64, now time.Time) *Chart {
	if len(past) == 0 {
		return nil
	}
	first := past[0].Time
	if now.Sub(first) < leastTimeframe {
		first = now.Add(-leastTimeframe)
	}
	top := max(most, 1)
	low, high := past[0].Asked, past[0].Asked
	for _, s := range past {
		top = max(top, s.Asked, s.Running)
		low, high = min(low, s.Asked), max(high, s.Asked)
	}
	c := &Chart{Width: chartWidth, Height: chartHeight, Left: chartLeft, Top: chartTop, Right: chartRight, Bottom: chartBottom}
	x := func(t time.Time) int {
		return chartLeft + int(float64(chartRight-chartLeft)*float64(t.Sub(first))/float64(max(now.Sub(first), 1)))
	}
	y := func(n uint64) int { return chartBottom - int(float64(chartBottom-chartTop)*float64(n)/float64(top)) }
	var asked, running []string
	at := func(list *[]string, x, y int) { *list = append(*list, fmt.Sprintf("%d,%d", x, y)) }
	at(&running, x(past[0].Time), chartBottom)
	for i, s := range past {
		until := now
		if i+1 < len(past) {
			until = past[i+1].Time
		}
		for _, t := range []time.Time{s.Time, until} {
			at(&asked, x(t), y(s.Asked))
			at(&running, x(t), y(s.Running))
		}
	}
	at(&running, x(now), chartBottom)
	c.Asked, c.Running = strings.Join(asked, " "), strings.Join(running, " ")
	each := (top + mostLines - 1) / mostLines
	for n := uint64(0); n <= top; n += each {
		c.Lines = append(c.Lines, Tick{chartLeft, y(n), fmt.Sprint(n), "end"})
	}
	if most > 0 {
		c.Bounds = append(c.Bounds, Tick{chartRight, y(most), fmt.Sprintf("most %d", most), "end"}, Tick{chartRight, y(least), fmt.Sprintf("least %d", least), "end"})
	}
	for i, anchor := range []string{"start", "middle", "middle", "end"} {
		t := first.Add(now.Sub(first) * time.Duration(i) / 3)
		c.Ticks = append(c.Ticks, Tick{x(t), chartBottom, shortClock(t, now), anchor})
	}
	last := past[len(past)-1]
	c.Says = fmt.Sprintf("Replicas since %s: between %d and %d, now %d asked for and %d running.", Clock(past[0].Time, now), low, high, last.Asked, last.Running)
	return c
}

func shortClock(t, now time.Time) string {
	if now.Sub(t) > 24*time.Hour {
		return t.UTC().Format("2 Jan 15:04")
	}
	return t.UTC().Format("15:04")
}
