// Package known tells which labels any component of Waggle reads.
package known

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// file is generated from the tables of all components, which the listener must
// not import: one label per line, "name[ indexed][ secret]", without the prefix. Empty
// lines and lines that begin with # are passed over.
//
//go:embed labels.txt
var file string

// Table returns all known labels.
func Table() ([]label.Spec, error) { return Parse(file) }

// Parse reads a text of the form of labels.txt.
func Parse(text string) ([]label.Spec, error) {
	var out []label.Spec
	seen := map[string]bool{}
	line := 0
	for row := range strings.SplitSeq(text, "\n") {
		line++
		words := strings.Fields(row)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		spec := label.Spec{Name: words[0]}
		for _, word := range words[1:] {
			switch word {
			case "indexed":
				spec.Indexed = true
			case "secret":
				spec.Secret = true
			default:
				return nil, fmt.Errorf("known labels, line %d: %q: want indexed or secret behind the name", line, word)
			}
		}
		if strings.HasPrefix(spec.Name, catalog.Prefix) {
			return nil, fmt.Errorf("known labels, line %d: %q: want the name without %s", line, spec.Name, catalog.Prefix)
		}
		if seen[spec.Name] {
			return nil, fmt.Errorf("known labels, line %d: %q stands there twice", line, spec.Name)
		}
		seen[spec.Name] = true
		out = append(out, spec)
	}
	return out, nil
}

// Foreign reports whether a label, without the prefix, belongs to a companion of
// Docker Flow that Waggle knows nothing of.
func Foreign(name string) bool {
	return name == "cron" || strings.HasPrefix(name, "cron.") || strings.HasPrefix(name, "letsencrypt.")
}

// Secrets returns what tells whether the text of a label, named with the prefix, may be
// a secret: the table says so, or nobody here knows the label and its name looks like
// it, or like that of a secret label mistyped. It is for one goroutine.
func Secrets(table []label.Spec) func(full string) bool {
	const most = 10_000 // names that are remembered
	specs := index(table)
	remembered := map[string]bool{}
	return func(full string) bool {
		secret, ok := remembered[full]
		if !ok {
			secret = isSecret(strings.TrimPrefix(full, catalog.Prefix), specs, table)
			if len(remembered) >= most {
				clear(remembered)
			}
			remembered[full] = secret
		}
		return secret
	}
}

func isSecret(name string, specs map[string]label.Spec, table []label.Spec) bool {
	if spec, ok := find(name, specs); ok {
		return spec.Secret
	}
	base, _ := label.SplitIndex(name)
	base = strings.ToLower(base)
	for _, word := range []string{"passw", "secret", "token", "key", "credential", "auth"} {
		if strings.Contains(base, word) {
			return true
		}
	}
	return slices.ContainsFunc(table, func(s label.Spec) bool { return s.Secret && label.Near(base, strings.ToLower(s.Name)) })
}

func index(table []label.Spec) map[string]label.Spec {
	out := make(map[string]label.Spec, len(table))
	for _, s := range table {
		out[s.Name] = s
	}
	return out
}

// find returns the label of a name without prefix.
func find(name string, specs map[string]label.Spec) (label.Spec, bool) {
	if spec, ok := specs[name]; ok {
		return spec, true
	}
	base, n := label.SplitIndex(name)
	spec, ok := specs[base]
	return spec, ok && spec.Indexed && n > 0
}

// Hidden stands for a text that is not shown.
const Hidden = "(hidden)"

// Show returns the labels as they may be shown: the texts of secret labels, and of those
// that nobody here knows, are hidden; the mistyped name of a secret label would
// otherwise disclose it.
func Show(labels map[string]string, table []label.Spec) map[string]string {
	specs := index(table)
	out := make(map[string]string, len(labels))
	for full, text := range labels {
		name := strings.TrimPrefix(full, catalog.Prefix)
		if spec, ok := find(name, specs); !ok || spec.Secret {
			text = Hidden
		}
		out[full] = text
	}
	return out
}
