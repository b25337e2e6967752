// Package plain makes what others have written fit to be shown: labels, names and Docker's words
// may hold what moves the cursor of a terminal, turns the direction of writing, or is not seen.
package plain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is a text with everything that is not seen written out, such as \x1b or \u200b; lines stay
// apart.
func Text(text string) string { return shown(text, "\n\t") }

// Line is Text on one line.
func Line(text string) string { return shown(text, "") }

func shown(text, kept string) string {
	isSeen := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) || strings.ContainsRune(kept, r) }
	if strings.IndexFunc(text, func(r rune) bool { return !isSeen(r) }) < 0 {
		return text
	}
	var out strings.Builder
	for i, r := range text {
		switch {
		case isSeen(r):
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == utf8.RuneError && text[i] != "\uFFFD"[0], r < utf8.RuneSelf:
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case r > 0xFFFF:
			fmt.Fprintf(&out, `\U%08x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}
