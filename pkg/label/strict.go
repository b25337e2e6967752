package label

import (
	"maps"
	"slices"
	"strings"
)

// Slips knows the names of a table, for RefuseSlips. It is made once and not changed.
type Slips struct {
	known map[string]Spec
	// strict are the Strict labels with the letters of their names, and others the letters of
	// all others.
	strict []strictName
	others map[string]bool
}

type strictName struct{ name, letters string }

// NewSlips returns the Slips of a table.
func NewSlips(table []Spec) *Slips {
	out := &Slips{known: make(map[string]Spec, len(table)), others: map[string]bool{}}
	for _, s := range table {
		out.known[s.Name] = s
		if s.Strict {
			out.strict = append(out.strict, strictName{s.Name, letters(s.Name)})
		} else {
			out.others[letters(s.Name)] = true
		}
	}
	return out
}

// RefuseSlips records a fault for each label that is meant to decide who gets in and would
// not: a Strict one that is empty, or whose name is nearly that of a Strict one and none of
// the known.
func (r *Reader) RefuseSlips(of *Slips) {
	for _, full := range slices.Sorted(maps.Keys(r.labels)) {
		name, ok := strings.CutPrefix(full, r.prefix)
		if !ok {
			continue
		}
		base, index := SplitIndex(name)
		spec, known := of.known[base]
		text := r.labels[full]
		switch {
		case known && !spec.Strict, known && index > 0 && !spec.Indexed:
		case known && strings.Trim(text, " \t\r\n") == "":
			r.reject(base, full, text, "a text: an empty one would let everybody in. Leave the label out if that is meant")
		case !known:
			if meant := of.meant(name); meant != "" {
				r.reject(meant, full, text, "the name "+r.prefix+meant+": this one is so near to it that it is taken for a slip")
			}
		}
	}
}

// meant is the Strict label that a name nearly is, in any case of letters, with other
// separators, with a wrong index, or but for a letter or two.
func (s *Slips) meant(name string) string {
	base, _, _ := strings.Cut(name, ".")
	if _, known := s.known[base]; known && base == name {
		return ""
	}
	written := letters(base)
	if len(written) > 64 || s.others[written] {
		return "" // it is nearer to another
	}
	for _, strict := range s.strict {
		most := 2
		if len(strict.letters) < 8 {
			most = 1
		}
		if apart := len(written) - len(strict.letters); apart > most || apart < -most {
			continue
		}
		if distance(written, strict.letters) <= most || swapped(written, strict.letters) {
			return strict.name
		}
	}
	return ""
}

// letters are those of a name, small, and its digits.
func letters(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, strings.ToLower(name))
}

// swapped reports whether two neighbours in one word stand the other way round in the other.
func swapped(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i+1 < len(a); i++ {
		if a[i] != b[i] {
			return a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		}
	}
	return false
}
