package picture_test

import (
	"math"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/picture"
)

func TestSpark(t *testing.T) {
	for want, values := range map[string][]float64{
		"":         nil,
		"▁▁":       {0, 0},
		"▁▂▃▄▅▆▇█": {0, 1, 2, 3, 4, 5, 6, 7},
		"▅ █":      {1, math.NaN(), 2},
		"██":       {3, math.Inf(1)},
	} {
		if got := picture.Spark(values); got != want {
			t.Errorf("%v is %q, want %q", values, got, want)
		}
	}
}

func TestChart(t *testing.T) {
	want := "" +
		"    3 ┤    █\n" +
		"    2 ┤  ░██\n" +
		"    1 ┤ ████\n" +
		"    0 └─────\n" +
		"       0 10m\n"
	if got := picture.Chart([]picture.Bar{{}, {1, 1}, {2, 1}, {2, 2}, {2, 3}}, 10*time.Minute); got != want {
		t.Errorf("drawn is\n%s\nwant\n%s", got, want)
	}
	want = "" +
		"   30 ┤ ░\n" +
		"   27 ┤ ░\n" +
		"   24 ┤ ░\n" +
		"   21 ┤ ░\n" +
		"   18 ┤ ░\n" +
		"   15 ┤ ░\n" +
		"   12 ┤ ░\n" +
		"    9 ┤ ░\n" +
		"    6 ┤ █\n" +
		"    3 ┤██\n" +
		"    0 └──\n" +
		"       0 1h30m\n"
	if got := picture.Chart([]picture.Bar{{1, 1}, {30, 4}}, 90*time.Minute); got != want {
		t.Errorf("drawn is\n%s\nwant\n%s", got, want)
	}
}
