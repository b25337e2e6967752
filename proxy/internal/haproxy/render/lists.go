package render

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// ListEnd is how the names of files with addresses end.
const ListEnd = ".acl"

// addressList is a file of addresses that a backend's rule looks into.
type addressList struct {
	name    string
	allowed bool
	entries []string
}

// lists are those of a backend, in the order of its rules.
func lists(backend string, a route.Access) []addressList {
	var out []addressList
	if a.Allowed != nil {
		out = append(out, addressList{backend + ".allowed" + ListEnd, true, a.Allowed.List})
	}
	if a.Denied != nil {
		out = append(out, addressList{backend + ".denied" + ListEnd, false, a.Denied.List})
	}
	return out
}

// ListText is the content of a list's file.
func ListText(entries []string) string {
	if len(entries) == 0 {
		return ""
	}
	return strings.Join(entries, "\n") + "\n"
}

// ListNames are the names of a configuration's lists, sorted.
func (f File) ListNames() []string { return slices.Sorted(maps.Keys(f.Lists)) }

// listInText finds the lists that a section names.
var listInText = regexp.MustCompile(` -f \S*/([^/\s]+` + regexp.QuoteMeta(ListEnd) + `)(?:\s|$)`)

// listsIn returns the names of the lists of a text, without entries.
func listsIn(text string) map[string][]string {
	out := map[string][]string{}
	for _, m := range listInText.FindAllStringSubmatch(text, -1) {
		out[m[1]] = nil
	}
	return out
}

// ListChange is one entry of one list.
type ListChange struct{ List, Entry string }

// diffLists finds the entries that come and go. It reports false if there is a new
// list, which HAProxy reads at a reload only; one that nothing names any more does
// no harm.
func (p *Plan) diffLists(have, want File) bool {
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
