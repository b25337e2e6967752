package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
)

// Link and picture of a page, of which a manual page has the words.
var link = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)

// ManualPage is the page about the command waggle as man shows it.
func ManualPage(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "waggle.md"))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), "\n") // man has a title of its own
	var out strings.Builder
	out.WriteString("% waggle 1\n\n# NAME\n\nwaggle \\- answers why a service of the swarm is not routed, scraped or scaled\n\n# DESCRIPTION\n")
	isCode := false
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "```") {
			isCode = !isCode
		}
		if !isCode {
			line = link.ReplaceAllString(line, "$1")
			if heading, ok := strings.CutPrefix(line, "## "); ok {
				line = "# " + strings.ToUpper(heading)
			}
		}
		out.WriteString(line)
	}
	return md2man.Render([]byte(out.String())), nil
}
