package label

import (
	"strings"
	"unicode"
)

// Lines returns a text of several lines. A line may end as it does in a file or with
// the two characters \n, because a label in a stack file has one line. It is "" when
// the label is absent.
func (g Group) Lines(name string) string {
	text, _, _ := g.lookUp(name)
	if text == "" {
		return ""
	}
	return strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", "\r\n", "\n").Replace(text)
}

// Block returns a text of several lines as it stands, for what is quoted wherever it
// goes. Line breaks and tabs are its only control characters, and a line ends in a
// line feed alone. The result is def when the label is absent or at fault.
func (g Group) Block(name, def string) string {
	full, text, ok := g.find(name)
	if !ok {
		return def
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		g.r.reject(name, full, text, "text without control characters other than line breaks and tabs")
		return def
	}
	return text
}
