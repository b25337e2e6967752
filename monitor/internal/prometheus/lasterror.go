package prometheus

import (
	"regexp"
	"strings"
)

var (
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)
	status = regexp.MustCompile(`(HTTP status \d+).*`)
)

// withoutAnswer is what Prometheus says of a failed scrape without anything that the target
// answered: labels say what is asked, and whoever may read the error need not be who
// may ask there. Prometheus quotes what it read, and shows the whole line of the status.
func withoutAnswer(text string) string {
	asked := ""
	if rest, ok := strings.CutPrefix(text, `Get "`); ok {
		if url, _, closed := strings.Cut(rest, `"`); closed {
			asked = `Get "` + url + `"`
			text = text[len(asked):]
		}
	}
	return asked + status.ReplaceAllString(quoted.ReplaceAllString(text, `"..."`), "$1")
}
