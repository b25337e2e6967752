package label

import (
	"slices"
	"strings"
)

// Unknown is a label under the prefix that no component reads.
type Unknown struct {
	// Label is the full name.
	Label string
	// Nearest is the full name of the most similar known label, empty if none is near.
	Nearest string
	// Letters is in how many letters the two differ, whatever their case.
	Letters int
}

// Mistyped reports whether a known label is surely meant: at most two letters differ.
func (u Unknown) Mistyped() bool { return u.Nearest != "" && u.Letters <= 2 }

// FindUnknown returns the first labels under prefix that table does not name, sorted, at
// most so many, and how many more there are. Labels for which foreign answers true belong
// to somebody else and are passed over.
func FindUnknown(prefix string, labels map[string]string, table []Spec, foreign func(name string) bool, most int) (first []Unknown, more int) {
	known := make(map[string]Spec, len(table))
	for _, s := range table {
		known[s.Name] = s
	}
	var names []string
	for full := range labels {
		name, ok := strings.CutPrefix(full, prefix)
		if !ok || (foreign != nil && foreign(name)) {
			continue
		}
		if _, ok := known[name]; ok {
			continue
		}
		base, index := SplitIndex(name)
		if s, ok := known[base]; ok && s.Indexed && index > 0 {
			continue
		}
		names = append(names, full)
	}
	slices.Sort(names)
	// To look for the nearest name is dear, and a service may have thousands of labels.
	for _, full := range names[:min(len(names), most)] {
		u := Unknown{Label: full}
		base, _ := SplitIndex(strings.TrimPrefix(full, prefix))
		if near := nearest(base, table); near != "" {
			u.Nearest, u.Letters = prefix+near, distance(strings.ToLower(base), strings.ToLower(near))
		}
		first = append(first, u)
	}
	return first, len(names) - len(first)
}

// Near reports whether a word may be meant where another is written.
func Near(written, meant string) bool { return distance(written, meant) < limit(written) }

// limit is the edit distance from which on two words are not near.
func limit(written string) int { return len(written)/3 + 2 }

// nearest returns the name with the smallest edit distance, if it is small for
// the length of the word.
func nearest(name string, table []Spec) string {
	lower := strings.ToLower(name)
	best, bestDistance := "", limit(name)
	for _, s := range table {
		d := distance(lower, strings.ToLower(s.Name))
		if d < bestDistance || (d == bestDistance && best != "" && s.Name < best) {
			best, bestDistance = s.Name, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short words, in bytes.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
