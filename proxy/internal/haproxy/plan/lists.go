package plan

import (
	"slices"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// diffLists finds the entries that come and go. It reports false if there is a new
// list, which HAProxy reads at a reload only; one that nothing names any more does
// no harm.
func (p *Plan) diffLists(have, want file.File) bool {
	for _, name := range want.ListNames() {
		old, ok := have.Lists[name]
		if !ok {
			return false
		}
		for _, e := range want.Lists[name] {
			if !slices.Contains(old, e) {
				p.AddEntries = append(p.AddEntries, ListChange{name, e})
			}
		}
		for _, e := range old {
			if !slices.Contains(want.Lists[name], e) {
				p.DropEntries = append(p.DropEntries, ListChange{name, e})
			}
		}
	}
	return true
}
