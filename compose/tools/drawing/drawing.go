// Package drawing makes a picture of boxes and arrows (SVG) from lines of text, so that a
// picture on a page is changed like its text.
package drawing

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A line of a drawing is one of these; a line that begins with # is passed over.
//
//	box ID COLUMN ROW TITLE | FURTHER LINE | ...
//	arrow ID ID TEXT         a solid line; TEXT may be missing
//	line ID ID TEXT          the same, dashed
var (
	boxLine   = regexp.MustCompile(`^box (\w+) ([0-9.]+) ([0-9.]+) (.+)$`)
	arrowLine = regexp.MustCompile(`^(arrow|line) (\w+) (\w+)(?: (.+))?$`)
)

// Sizes in pixels.
const (
	width, height = 176, 76
	stepX, stepY  = 232, 132
	margin        = 16
)

type box struct {
	x, y  float64
	lines []string
}

// SVG draws the text. The error names the line that it cannot read.
func SVG(title, text string) ([]byte, error) {
	boxes := map[string]box{}
	var order []string
	var arrows [][]string
	right, bottom := 0.0, 0.0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if m := boxLine.FindStringSubmatch(line); m != nil {
			column, errColumn := strconv.ParseFloat(m[2], 64)
			row, errRow := strconv.ParseFloat(m[3], 64)
			if errColumn != nil || errRow != nil {
				return nil, fmt.Errorf("%q: want numbers of a column and a row", line)
			}
			b := box{x: margin + column*stepX, y: margin + row*stepY}
			for part := range strings.SplitSeq(m[4], "|") {
				b.lines = append(b.lines, strings.TrimSpace(part))
			}
			boxes[m[1]], order = b, append(order, m[1])
			right, bottom = max(right, b.x+width+margin), max(bottom, b.y+height+margin)
			continue
		}
		m := arrowLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("%q: want box ID COLUMN ROW TITLE, or arrow ID ID TEXT", line)
		}
		for _, id := range m[2:4] {
			if _, ok := boxes[id]; !ok {
				return nil, fmt.Errorf("%q: there is no box %s before it", line, id)
			}
		}
		arrows = append(arrows, m[1:])
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" role="img" font-family="sans-serif" font-size="13">
<title>%s</title>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#5b6472"/></marker></defs>
<rect width="100%%" height="100%%" fill="#ffffff"/>
`, right, bottom, right, escaped(title))
	for _, a := range arrows {
		from, to := boxes[a[1]], boxes[a[2]]
		x1, y1, x2, y2 := between(from, to)
		dash := ""
		if a[0] == "line" {
			dash = ` stroke-dasharray="5 4"`
		}
		fmt.Fprintf(&b, `<path d="M%.0f %.0fL%.0f %.0f" stroke="#5b6472" stroke-width="1.5" fill="none" marker-end="url(#tip)"%s/>`+"\n", x1, y1, x2, y2, dash)
		if a[3] != "" {
			anchor, dx := "middle", 0.0
			if x1 == x2 {
				anchor, dx = "start", 8
			}
			fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="%s" fill="#5b6472" font-size="12" stroke="#ffffff" stroke-width="4" paint-order="stroke">%s</text>`+"\n", (x1+x2)/2+dx, (y1+y2)/2-5, anchor, escaped(a[3]))
		}
	}
	for _, id := range order {
		box := boxes[id]
		fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="%d" height="%d" rx="8" fill="#fff7e0" stroke="#d39e00"/>`+"\n", box.x, box.y, width, height)
		y := box.y + height/2 + 5 - float64(len(box.lines)-1)*9
		for i, line := range box.lines {
			weight := ""
			if i == 0 {
				weight = ` font-weight="bold"`
			}
			fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle" fill="#1f2430"%s>%s</text>`+"\n", box.x+width/2, y+float64(i)*18, weight, escaped(line))
		}
	}
	b.WriteString("</svg>\n")
	return []byte(b.String()), nil
}

// between is from the edge of one box to that of another: sideways if they stand beside each
// other, else up or down.
func between(from, to box) (x1, y1, x2, y2 float64) {
	const halfW, halfH = width / 2, height / 2
	x1, y1, x2, y2 = from.x+halfW, from.y+halfH, to.x+halfW, to.y+halfH
	switch {
	case from.y == to.y && from.x < to.x:
		return x1 + halfW, y1, x2 - halfW, y2
	case from.y == to.y:
		return x1 - halfW, y1, x2 + halfW, y2
	case from.y < to.y:
		return x1, y1 + halfH, x2, y2 - halfH
	}
	return x1, y1 - halfH, x2, y2 + halfH
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
