package docs

import (
	"regexp"
	"strings"
)

// Block is one fenced block of a page.
type Block struct {
	// Kind is the word behind the fence ("sh"), empty if there is none.
	Kind string
	Text string
}

// Blocks returns the fenced blocks of a page, without the indentation of a list.
func Blocks(page string) []Block {
	var out []Block
	inside, indent := false, ""
	for line := range strings.Lines(page) {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case strings.HasPrefix(trimmed, "```") && !inside:
			inside, indent = true, line[:len(line)-len(trimmed)]
			out = append(out, Block{Kind: strings.TrimSpace(trimmed[3:])})
		case strings.HasPrefix(trimmed, "```"):
			inside = false
		case inside:
			out[len(out)-1].Text += strings.TrimPrefix(line, indent)
		}
	}
	return out
}

// Commands returns the commands of the blocks marked sh, one for each line.
func Commands(page string) []string {
	var out []string
	for _, b := range Blocks(page) {
		if b.Kind != "sh" {
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(b.Text, "\\\n", "")) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				out = append(out, line)
			}
		}
	}
	return out
}

// WithoutBlocks returns the page's prose.
func WithoutBlocks(page string) string {
	return regexp.MustCompile("(?ms)^ *```.*?^ *```\\s*$").ReplaceAllString(page, "")
}

// Links returns where the page's prose leads to, without what follows a #.
func Links(page string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`).FindAllStringSubmatch(WithoutBlocks(page), -1) {
		out = append(out, m[1])
	}
	return out
}
