package plot

import (
	"image"
	"image/color"
	"math"
	"testing"
	"time"
)

// TestLinesAreWhereTheirValuesAre: a series that grows ends higher than it began, one without a
// value leaves its panel empty, and no point is drawn beside its panel.
func TestLinesAreWhereTheirValuesAre(t *testing.T) {
	at := time.Unix(1e9, 0)
	growing := Series{Name: "growing", Points: []Point{{at, 1}, {at.Add(time.Minute), 2}, {at.Add(2 * time.Minute), 10}}}
	page := Draw("a page", []Panel{{"grows", []Series{growing}}, {"nothing", nil}, {"no number", []Series{{Name: "n", Points: []Point{{at, math.NaN()}}}}}})
	if got := page.Bounds(); got != image.Rect(0, 0, 2*width, 30+2*height) {
		t.Error(got)
	}
	is := func(x, y int, c color.RGBA) bool { return color.RGBAModel.Convert(page.At(x, y)) == c }
	firsts, lasts := 0, 0
	for y := 30 + top; y <= 30+height-bottom; y++ {
		if is(left, y, colors[0]) {
			firsts = y
		}
		if is(width-right, y, colors[0]) {
			lasts = y
		}
	}
	if firsts == 0 || lasts == 0 || lasts >= firsts {
		t.Errorf("it begins at %d and ends at %d", firsts, lasts)
	}
	for x := width; x < 2*width; x++ {
		for y := 30; y < 30+height; y++ {
			if is(x, y, colors[0]) {
				t.Fatalf("a point at %d, %d", x, y)
			}
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.25", 12: "12", 1500: "1.5k", -2e6: "-2M", 3.21e9: "3.21G"} {
		if got := short(v); got != want {
			t.Errorf("%g: %s, want %s", v, got, want)
		}
	}
}
