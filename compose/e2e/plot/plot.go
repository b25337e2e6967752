// Package plot draws what the panels of a dashboard show, for whoever has no Grafana at hand:
// plain lines on a page, to be looked at by people.
package plot

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Point is a value at a time.
type Point struct {
	At    time.Time
	Value float64
}

// Series is one line, with what it is called.
type Series struct {
	Name   string
	Points []Point
}

// Panel is one picture of a page.
type Panel struct {
	Title  string
	Series []Series
}

// The sizes of a page, in pixels.
const (
	width, height = 560, 220 // of a panel
	left, right   = 70, 10   // of what is beside its lines
	top, bottom   = 24, 70
	line          = 14 // of text
	legends       = 4  // lines of names below a panel
)

var ( //nolint:gochecknoglobals // constants that Go cannot have
	paper  = color.RGBA{255, 255, 255, 255}
	ink    = color.RGBA{40, 40, 40, 255}
	faint  = color.RGBA{220, 220, 220, 255}
	colors = []color.RGBA{{31, 119, 180, 255}, {214, 39, 40, 255}, {44, 160, 44, 255}, {255, 127, 14, 255}, {148, 103, 189, 255}, {140, 86, 75, 255}, {227, 119, 194, 255}, {23, 190, 207, 255}}
)

// Draw draws a page of panels, two in a row.
func Draw(title string, panels []Panel) image.Image {
	page := image.NewRGBA(image.Rect(0, 0, 2*width, 30+(len(panels)+1)/2*height))
	draw.Draw(page, page.Bounds(), image.NewUniform(paper), image.Point{}, draw.Src)
	write(page, 10, 20, title, ink)
	for i, p := range panels {
		x, y := i%2*width, 30+i/2*height
		p.draw(page.SubImage(image.Rect(x, y, x+width, y+height)).(*image.RGBA))
	}
	return page
}

func (p Panel) draw(on *image.RGBA) {
	at := on.Bounds().Min
	write(on, at.X+10, at.Y+16, p.Title, ink)
	area := image.Rect(at.X+left, at.Y+top, at.X+width-right, at.Y+height-bottom)
	low, high, from, to, any := p.bounds()
	if !any {
		write(on, area.Min.X+150, (area.Min.Y+area.Max.Y)/2, "no data", colors[1])
		return
	}
	for i, value := range []float64{low, (low + high) / 2, high} {
		y := area.Max.Y - i*area.Dy()/2
		for x := area.Min.X; x < area.Max.X; x++ {
			on.SetRGBA(x, y, faint)
		}
		write(on, at.X+4, y+4, short(value), ink)
	}
	write(on, area.Min.X, area.Max.Y+line, from.Format("15:04:05"), ink)
	write(on, area.Max.X-60, area.Max.Y+line, to.Format("15:04:05"), ink)
	place := func(q Point) image.Point {
		return image.Pt(area.Min.X+int(q.At.Sub(from).Seconds()/to.Sub(from).Seconds()*float64(area.Dx())), area.Max.Y-int((q.Value-low)/(high-low)*float64(area.Dy())))
	}
	for i, s := range p.Series {
		c := colors[i%len(colors)]
		last := image.Point{}
		for j, q := range s.Points {
			next := place(q)
			if j > 0 {
				stroke(on, last, next, c)
			}
			stroke(on, next, next.Add(image.Pt(1, 0)), c)
			last = next
		}
		if i < 2*(legends-1) {
			write(on, area.Min.X-60+i%2*270, area.Max.Y+2*line+i/2*line, name(s, 36), c)
		}
	}
	if more := len(p.Series) - 2*(legends-1); more > 0 {
		write(on, area.Max.X-60, area.Max.Y+2*line+2*line, fmt.Sprintf("and %d more", more), ink)
	}
}

// bounds are the least and the greatest of values and times; any is false if there are none.
func (p Panel) bounds() (low, high float64, from, to time.Time, any bool) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range p.Series {
		for _, q := range s.Points {
			if math.IsNaN(q.Value) || math.IsInf(q.Value, 0) {
				continue
			}
			low, high = min(low, q.Value), max(high, q.Value)
			if !any || q.At.Before(from) {
				from = q.At
			}
			if !any || q.At.After(to) {
				to = q.At
			}
			any = true
		}
	}
	if low == high {
		low, high = low-1, high+1
	}
	if !from.Before(to) {
		to = from.Add(time.Second)
	}
	return low, high, from, to, any
}

// stroke draws a straight line.
func stroke(on *image.RGBA, a, b image.Point, c color.RGBA) {
	steps := max(abs(b.X-a.X), abs(b.Y-a.Y), 1)
	for i := range steps + 1 {
		on.SetRGBA(a.X+(b.X-a.X)*i/steps, a.Y+(b.Y-a.Y)*i/steps, c)
	}
}

func abs(n int) int { return max(n, -n) }

// name is that of a series with its last value, at most so long.
func name(s Series, most int) string {
	text := s.Name
	if n := len(s.Points); n > 0 {
		text += " " + short(s.Points[n-1].Value)
	}
	return string([]rune(text)[:min(most, len([]rune(text)))])
}

// short is a number with its magnitude.
func short(v float64) string {
	for _, unit := range slices.Backward([]struct {
		of   float64
		name string
	}{{1, ""}, {1e3, "k"}, {1e6, "M"}, {1e9, "G"}}) {
		if math.Abs(v) >= unit.of {
			return fmt.Sprintf("%.3g%s", v/unit.of, unit.name)
		}
	}
	return fmt.Sprintf("%.3g", v)
}

func write(on draw.Image, x, y int, text string, c color.Color) {
	d := font.Drawer{Dst: on, Src: image.NewUniform(c), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}
