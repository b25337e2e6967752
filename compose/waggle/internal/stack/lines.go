package stack

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lines are where services and their labels stand in a file.
type lines struct {
	service int
	// labels are by full name.
	labels map[string]int
}

// readLines tells where each service of a file stands.
func readLines(file string) (map[string]lines, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out := map[string]lines{}
	if len(doc.Content) == 0 {
		return out, nil
	}
	each(child(doc.Content[0], "services"), func(key, value *yaml.Node) {
		at := lines{service: key.Line, labels: map[string]int{}}
		// What stands on the service comes last: it is what counts.
		for _, labels := range []*yaml.Node{child(value, "labels"), child(child(value, "deploy"), "labels")} {
			each(labels, func(name, _ *yaml.Node) { at.labels[name.Value] = name.Line })
			if labels != nil && labels.Kind == yaml.SequenceNode {
				for _, one := range labels.Content {
					name, _, _ := strings.Cut(one.Value, "=")
					at.labels[name] = one.Line
				}
			}
		}
		out[key.Value] = at
	})
	return out, nil
}

// each calls do for the pairs of a map, those of maps that are merged into it first.
func each(node *yaml.Node, do func(key, value *yaml.Node)) {
	if node = plain(node); node == nil || node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Tag == "!!merge" {
			merged := plain(node.Content[i+1])
			if merged.Kind != yaml.SequenceNode {
				each(merged, do)
				continue
			}
			for _, one := range merged.Content {
				each(one, do)
			}
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; key.Tag != "!!merge" {
			do(key, plain(node.Content[i+1]))
		}
	}
}

// plain is what an alias stands for.
func plain(node *yaml.Node) *yaml.Node {
	for node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

func child(node *yaml.Node, name string) (found *yaml.Node) {
	each(node, func(key, value *yaml.Node) {
		if key.Value == name {
			found = value
		}
	})
	return found
}
