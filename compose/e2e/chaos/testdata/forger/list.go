package main

import (
	"maps"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// listOf counts the entries, as a listener does.
func listOf(entries catalog.Entries) (catalog.List, error) {
	services, nodes, keys := catalog.Tally(maps.Keys(entries))
	return catalog.List{Services: services, Nodes: nodes, Keys: keys}, nil
}
