package proxycase

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// plainly leaves of a name what may stand in the name of a service.
func plainly(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// FromStacks makes cases of a file of stacks of users: each of their services with labels is
// deployed, after the others, whatever becomes of it. It is false if the file is none of stacks.
func FromStacks(text []byte) (cases []byte, ok bool, err error) {
	var file struct {
		Stacks []struct {
			Source   struct{ Repo, Path string }
			Services []struct {
				Service string
				Labels  map[string]string
			}
		}
	}
	if json.Unmarshal(text, &file) != nil || len(file.Stacks) == 0 {
		return nil, false, nil
	}
	var out []map[string]any
	for i, s := range file.Stacks {
		var steps [][]any
		for _, svc := range s.Services {
			labels := map[string]string{}
			for _, full := range slices.Sorted(maps.Keys(svc.Labels)) {
				if name, isOurs := strings.CutPrefix(full, catalog.Prefix); isOurs {
					labels[name] = svc.Labels[full]
				}
			}
			if len(labels) > 0 {
				steps = append(steps, []any{"deploy_any", strings.Map(plainly, svc.Service), labels})
			}
		}
		if len(steps) > 0 {
			out = append(out, map[string]any{"id": fmt.Sprintf("U%02d", i+1), "kind": "N", "title": s.Source.Repo + " " + s.Source.Path, "steps": steps})
		}
	}
	cases, err = json.Marshal(map[string]any{"about": "stacks of users", "cases": out})
	return cases, true, err
}
