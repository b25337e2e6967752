package keep

import (
	"fmt"
	"maps"
	"slices"
)

// verify refuses a text that does not say what the file said but for the numbers of the
// targets: that an anchor leads elsewhere is seen in this way too.
func verify(text []byte, said map[string]any, targets []target) error {
	_, now, err := read(text)
	if err != nil {
		return &Refusal{What: "the file", Why: "cannot be edited: with its numbers " + err.Error()}
	}
	services, _ := said["services"].(map[string]any)
	for _, t := range targets {
		service, _ := services[t.name].(map[string]any)
		if deploy, ok := service["deploy"].(map[string]any); ok {
			deploy["replicas"] = t.value()
		}
	}
	after, _ := now["services"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if !same(services[name], after[name]) {
			return &Refusal{What: "services." + name, Why: "would change: it shares an anchor with a service whose number changes"}
		}
	}
	if !same(said, now) {
		return &Refusal{What: "the file", Why: "cannot be edited: something else would change, through an anchor"}
	}
	return nil
}

// same compares as texts, in which a number is equal to itself, also if it is none.
func same(a, b any) bool { return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b) }
