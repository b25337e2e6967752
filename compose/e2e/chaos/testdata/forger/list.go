package main

import "github.com/wagglehq/waggle/pkg/catalog"

// listOf counts the entries, as a listener does.
func listOf(entries catalog.Entries) (catalog.List, error) {
	services, nodes := catalog.Count(entries)
	return catalog.List{Services: services, Nodes: nodes}, nil
}
