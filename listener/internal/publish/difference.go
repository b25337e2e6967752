package publish

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// mostNamed is how many changed labels of a service are named.
const mostNamed = 10

// difference says in words what changed of a service between two values of its entry: of
// labels their names alone. It is empty if nothing that has a name did, or one is broken.
func difference(before, after []byte) string {
	var a, b catalog.Service
	if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil {
		return ""
	}
	words := differing(a.Labels, b.Labels, a.Withheld, b.Withheld)
	for _, full := range differing(a.ContainerLabels, b.ContainerLabels) {
		words = append(words, full+" on the container")
	}
	if more := len(words) - mostNamed; more > 0 {
		words = append(words[:mostNamed], fmt.Sprintf("%d other labels", more))
	}
	if a.Replicas != b.Replicas {
		words = append(words, fmt.Sprintf("replicas %d to %d", a.Replicas, b.Replicas))
	}
	if a.Image != b.Image {
		words = append(words, "image")
	}
	if !slices.Equal(a.Networks, b.Networks) {
		words = append(words, "networks")
	}
	if !slices.Equal(a.Ports, b.Ports) {
		words = append(words, "published ports")
	}
	if a.UpdateState != b.UpdateState && b.UpdateState != "" {
		words = append(words, "update "+strings.ReplaceAll(b.UpdateState, "_", " "))
	}
	if len(words) == 0 && a.Spec != b.Spec {
		words = append(words, "specification")
	}
	return strings.Join(words, ", ")
}

// differing are the names that pairs of maps do not share with one text, sorted.
func differing(pairs ...map[string]string) []string {
	found := map[string]bool{}
	for i := 0; i < len(pairs); i += 2 {
		a, b := pairs[i], pairs[i+1]
		for _, from := range []map[string]string{a, b} {
			for name := range from {
				x, isA := a[name]
				y, isB := b[name]
				if isA != isB || x != y {
					found[name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
