package counts

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/parts/partstest"
)

func TestNames(t *testing.T) {
	partstest.Names(t, Parts(), func(c parts.Config) error { return Run(t.Context(), c) })
}

// TestWhatWasSeen: two looks with fewer tasks, 20 ms each, and one that came late.
func TestWhatWasSeen(t *testing.T) {
	at := func(ms, wanted, running int) sample {
		return sample{time.UnixMilli(int64(ms)), wanted, running}
	}
	seen := []sample{at(0, 9, 9), at(20, 2, 9), at(40, 9, 4), at(60, 9, 3), at(120, 9, 9)}
	if fewest, longest := least(seen); fewest.running != 3 || longest != 60*time.Millisecond {
		t.Errorf("the fewest %+v, the longest time between two %s", fewest, longest)
	}
	if wanted := below(seen, 9, func(s sample) int { return s.wanted }); wanted != 20*time.Millisecond {
		t.Errorf("fewer were wanted for %s", wanted)
	}
	if ran := below(seen, 9, func(s sample) int { return s.running }); ran != 80*time.Millisecond {
		t.Errorf("fewer ran for %s", ran)
	}
}
