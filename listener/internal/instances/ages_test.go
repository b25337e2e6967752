package instances_test

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// TestBehind: whoever has not taken up a revision is behind since that one came, however many
// have come since.
func TestBehind(t *testing.T) {
	var a instances.Ages
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	rev := func(epoch string, n uint64) catalog.Revision { return catalog.Revision{Epoch: epoch, Sequence: n} }
	behind := func(now int, r catalog.Revision, want int) {
		t.Helper()
		if got := a.Behind(at(now), r); got != time.Duration(want)*time.Second {
			t.Errorf("at %d with %v: %v, want %d s", now, r, got, want)
		}
	}
	behind(5, rev("a", 1), 0)
	a.Look(at(0), rev("a", 10))
	a.Look(at(10), rev("a", 10))
	behind(10, rev("a", 10), 0)
	a.Look(at(20), rev("a", 12))
	a.Look(at(30), rev("a", 15))
	behind(31, rev("a", 10), 11)
	behind(31, rev("a", 12), 1)
	behind(31, rev("a", 15), 0)
	behind(31, rev("a", 99), 0)
	a.Look(at(40), rev("b", 3))
	behind(45, rev("a", 15), 5)
	behind(45, rev("b", 3), 0)
	for i := range 3000 {
		a.Look(at(100+i), rev("b", uint64(i+10)))
	}
	if got := a.Behind(at(3100), rev("b", 3)); got < 2900*time.Second {
		t.Errorf("what is long ago is forgotten: %v", got)
	}
}
