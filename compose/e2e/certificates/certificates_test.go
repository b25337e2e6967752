package certificates

import (
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/parts/partstest"
	"github.com/wagglehq/waggle/proxy/acmetest"
)

func TestNames(t *testing.T) {
	partstest.Names(t, Parts(), func(c parts.Config) error { return Run(t.Context(), c) })
}

// TestTwoForOneTime: what was obtained twice for one time is found, and what nobody fetched; an
// order that came to nothing, and a renewal, are neither.
func TestTwoForOneTime(t *testing.T) {
	now := time.Unix(10000, 0)
	order := func(host string, placed, finalized, fetched int64) acmetest.Order {
		at := func(s int64) time.Time {
			if s == 0 {
				return time.Time{}
			}
			return time.Unix(s, 0)
		}
		return acmetest.Order{Host: host, Placed: at(placed), Finalized: at(finalized), Fetched: at(fetched)}
	}
	got := twice([]acmetest.Order{
		order("well.com", 100, 0, 0), order("well.com", 101, 110, 111), order("well.com", 200, 210, 211),
		order("twice.com", 100, 110, 111), order("twice.com", 120, 130, 131),
		order("lost.com", 100, 110, 0), order("young.com", 9990, 9999, 0),
	}, time.Minute, now)
	if all := strings.Join(got, "; "); len(got) != 2 || !strings.Contains(all, "two certificates for twice.com within 20.0 s") || !strings.Contains(all, "lost.com") {
		t.Errorf("%q", got)
	}
}

// TestFurtherOrders: a lost order counts once another has led to the certificate; one that is
// being worked on does not.
func TestFurtherOrders(t *testing.T) {
	good, lost := acmetest.Order{Finalized: time.Unix(1, 0)}, acmetest.Order{}
	for _, c := range []struct {
		orders []acmetest.Order
		want   int
	}{
		{nil, 0},
		{[]acmetest.Order{good, good, lost}, 0},
		{[]acmetest.Order{good, lost, good, good}, 1},
		{[]acmetest.Order{lost, good, lost, lost, good, lost}, 3},
	} {
		if got := further(c.orders); got != c.want {
			t.Errorf("%v: %d, want %d", c.orders, got, c.want)
		}
	}
}
