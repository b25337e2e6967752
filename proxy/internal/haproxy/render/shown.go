package render

import (
	"regexp"
	"strings"
)

// Hidden stands where a secret was.
const Hidden = "(hidden)"

// secretHeader are headers whose texts are nobody's business.
var secretHeader = regexp.MustCompile(`(?i)^["']?(.*authorization|.*cookie|.*token.*|.*secret.*|.*password.*|.*api-?key.*)["']?$`)

// SecretHeader reports whether a header of that name usually carries a secret.
func SecretHeader(name string) bool { return secretHeader.MatchString(name) }

// Shown hides passwords in a configuration: those of users and of the statistics, and
// what is put into headers that usually carry one.
func Shown(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(shownLine(line))
	}
	return b.String()
}

func shownLine(line string) string {
	words, ends := split(line)
	// hide replaces everything from a word on.
	hide := func(from int) string {
		if from >= len(words) {
			return line
		}
		return line[:ends[from]-len(words[from])] + Hidden + "\n"
	}
	at := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch {
	case at(0) == "user" && (at(2) == "password" || at(2) == "insecure-password"):
		return hide(3)
	case at(0) == "stats" && at(1) == "auth":
		return hide(2)
	case strings.HasPrefix(at(0), "http-") && (strings.HasSuffix(at(1), "-header") || strings.HasSuffix(at(1), "-header-value")) && SecretHeader(at(2)):
		return hide(3)
	}
	return line
}

// split returns the words of a line, quoted as they stand there, and where each ends.
func split(line string) (words []string, ends []int) {
	start, quote := -1, rune(0)
	escaped := false
	for i, r := range line {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
			if start < 0 {
				start = i
			}
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
			if start < 0 {
				start = i
			}
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			if start >= 0 {
				words, ends = append(words, line[start:i]), append(ends, i)
				start = -1
			}
		case start < 0:
			start = i
		}
	}
	if start >= 0 {
		words, ends = append(words, line[start:]), append(ends, len(line))
	}
	return words, ends
}
