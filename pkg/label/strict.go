package label

import (
	"maps"
	"slices"
	"strings"
)

// RefuseSlips records a fault for each label that is meant to decide who gets in and would
// not: a Strict one that is empty, or whose name is nearly that of a Strict one and none of
// the known.
func (r *Reader) RefuseSlips() {
	for _, full := range slices.Sorted(maps.Keys(r.labels)) {
		name, ok := strings.CutPrefix(full, r.prefix)
		if !ok {
			continue
		}
		base, index := SplitIndex(name)
		spec, known := r.spec(base)
		text := r.labels[full]
		switch {
		case known && !spec.Strict, known && index > 0 && !spec.Indexed:
		case known && strings.Trim(text, " \t\r\n") == "":
			r.reject(base, full, text, "a text: an empty one would let everybody in. Leave the label out if that is meant")
		case !known:
			if meant := r.slip(name); meant != "" {
				r.reject(meant, full, text, "the name "+r.prefix+meant+": this one is so near to it that it is taken for a slip")
			}
		}
	}
}

func (r *Reader) spec(name string) (Spec, bool) {
	i := slices.IndexFunc(r.table, func(s Spec) bool { return s.Name == name })
	if i < 0 {
		return Spec{}, false
	}
	return r.table[i], true
}

// slip is the Strict label that a name nearly is, in any case of letters, with other
// separators, with a wrong index, or but for a letter or two.
func (r *Reader) slip(name string) string {
	base, _, _ := strings.Cut(name, ".")
	written := letters(base)
	if _, known := r.spec(base); known && base == name || len(written) > 64 {
		return ""
	}
	for _, s := range r.table {
		if !s.Strict && letters(s.Name) == written {
			return "" // it is nearer to another
		}
	}
	for _, s := range r.table {
		if !s.Strict {
			continue
		}
		meant, most := letters(s.Name), 2
		if len(meant) < 8 {
			most = 1
		}
		if distance(written, meant) <= most || swapped(written, meant) {
			return s.Name
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
