package proxy

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// TestWhoIsHeardOf: a list that has just come, over a bus that is there.
func TestWhoIsHeardOf(t *testing.T) {
	var (
		now       = time.Unix(1000, 0)
		connected = true
		list      catalog.List
		there     bool
	)
	h := hearing{
		connected: func() bool { return connected }, now: func() time.Time { return now },
		list: func() (catalog.List, bool) { return list, there },
	}
	check := func(what string, want bool) {
		t.Helper()
		if got := h.current(); got != want {
			t.Errorf("%s: %t", what, got)
		}
	}
	check("before the first list", false)
	list, there = catalog.List{Time: time.Unix(1, 0)}, true // its clock is its own
	check("after it", true)
	now = now.Add(70 * time.Second)
	check("before another is overdue", true)
	now = now.Add(10 * time.Second)
	check("when another is overdue", false)
	list.Time = time.Unix(31, 0)
	check("when it has come", true)
	connected = false
	check("without a bus", false)
}
