package file

import (
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Hidden stands where a secret was.
const Hidden = "(hidden)"

// Shown is haproxy.cfg without passwords: those of users and of the statistics, and what is
// put into headers that usually carry one.
func (f File) Shown() string {
	var b strings.Builder
	for l := range f.Lines() {
		b.WriteString(l.shown() + "\n")
	}
	return b.String()
}

// shown is a line as anybody may see it.
func (l Line) shown() string {
	switch {
	case l.hide > 0 && l.hide < len(l.Words):
		return indent + join(append(slices.Clone(l.Words[:l.hide]), Word{text: Hidden}))
	case len(l.Words) == 0:
		return l.as
	}
	return l.written()
}

// Redact takes out of HAProxy's words about a configuration what may be a password: what it
// says about lines that hold one, and what repeats one.
func Redact(words string, lines iter.Seq[Line]) string {
	var secrets []string
	numbers := map[string]bool{}
	n := 0
	for l := range lines {
		n++
		if l.Flags&Secret != 0 && l.hide < len(l.Words) {
			// As it is written, and as HAProxy reads it.
			for _, w := range l.Words[l.hide:] {
				secrets = append(secrets, w.text, w.Text())
			}
			numbers[strconv.Itoa(n)] = true
		}
		n += strings.Count(l.as, "\n")
	}
	var out strings.Builder
	hidden := false
	for line := range strings.Lines(words) {
		// A message may go on, for one with the line that it is about.
		if strings.HasPrefix(line, "[") {
			m := place.FindStringSubmatch(line)
			hidden = m != nil && numbers[m[1]]
		}
		if hidden || slices.ContainsFunc(secrets, func(s string) bool { return s != "" && strings.Contains(line, s) }) {
			if where, _, ok := strings.Cut(line, "]:"); ok {
				line = where + "]: "
			} else if where, _, ok := strings.Cut(line, "] :"); ok {
				line = where + "] : "
			} else {
				line = ""
			}
			line += "(hidden, because it is about a password)\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// place is where HAProxy names a line of the file.
var place = regexp.MustCompile(`parsing \[[^\]]*:([0-9]+)\]`)
