package route

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// withoutLookaround writes a regular expression of PCRE2 as Go reads it: look-ahead and
// look-behind, which Go has not, become plain groups, so that all the rest is checked. It
// is not ok if a group is not closed, or if what is looked for behind has no length of its
// own, which HAProxy's library refuses.
func withoutLookaround(text string) (plain string, ok bool) {
	if !strings.Contains(text, "(?=") && !strings.Contains(text, "(?!") && !strings.Contains(text, "(?<=") && !strings.Contains(text, "(?<!") {
		return text, true
	}
	var out strings.Builder
	type group struct {
		start  int // in out, behind the words that open it
		behind bool
	}
	var open []group
	for i, class := 0, false; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			out.WriteByte(c)
			i++
			c = text[i]
		case class:
			class = c != ']'
		case c == '[':
			class = true
			// A bracket that comes first in a class stands for itself.
			for _, first := range []string{"[^]", "[]"} {
				if strings.HasPrefix(text[i:], first) {
					out.WriteString(first[:len(first)-1])
					i += len(first) - 1
					c = ']'
					break
				}
			}
		case c == '(':
			g := group{}
			for _, words := range []string{"(?=", "(?!", "(?<=", "(?<!"} {
				if strings.HasPrefix(text[i:], words) {
					g.behind = words[2] == '<'
					i += len(words) - 1
					out.WriteString("(?")
					c = ':'
					break
				}
			}
			g.start = out.Len() + 1
			open = append(open, g)
		case c == ')':
			if len(open) == 0 {
				return "", false
			}
			g := open[len(open)-1]
			open = open[:len(open)-1]
			if g.behind && !bounded(out.String()[g.start:]) {
				return "", false
			}
		}
		out.WriteByte(c)
	}
	return out.String(), len(open) == 0
}

// bounded reports whether an expression finds texts of one length only, or of one for each
// of its alternatives: how PCRE2 wants what is looked for behind. Older versions want more;
// HAProxy's own check tells.
func bounded(text string) bool {
	re, err := syntax.Parse(text, syntax.Perl)
	return err == nil && !repeats(re)
}

// repeats reports whether a part of an expression may fit a number of times.
func repeats(re *syntax.Regexp) bool {
	times := re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpQuest || re.Op == syntax.OpRepeat && re.Min != re.Max
	return times || slices.ContainsFunc(re.Sub, repeats)
}

// compiles reports whether a text is a regular expression.
func compiles(text string) bool {
	plain, ok := withoutLookaround(text)
	if !ok {
		return false
	}
	_, err := regexp.Compile(plain)
	return err == nil
}
