package label

import (
	"strings"
	"unicode"
)

// Entries is List for a text that may stand on several lines, each of which begins a
// new element.
func (g Group) Entries(name string) []string {
	full, text, ok := g.find(name)
	if !ok {
		return nil
	}
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		if strings.ContainsFunc(line, unicode.IsControl) {
			g.r.reject(name, full, text, "text without control characters")
			return nil
		}
		for part := range strings.SplitSeq(line, g.r.separator) {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}
