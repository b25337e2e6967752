package table

import (
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestNobodyCanFindTheNameOfAnothersChain: a chain is found by a sum of its conditions, which
// are labels. A sum of 48 bits, as it once was, takes a graphics card some hours.
func TestNobodyCanFindTheNameOfAnothersChain(t *testing.T) {
	r := &route.Route{Paths: []string{"/a"}, Backend: "a", Conditions: []route.Condition{{Fetch: route.FetchHeader, Header: "X", Match: route.MatchExact, Values: []string{"1"}}}}
	r.Claims = r.Claim()
	tables, _, _ := CompileWithin([]*route.Route{r}, nil, 0)
	if len(tables.Chains) != 1 {
		t.Fatalf("%+v", tables)
	}
	if bits := 4 * (len(tables.Chains[0].Name) - len(route.ChainMark)); bits < 96 {
		t.Errorf("the name of a chain has %d bits", bits)
	}
}
