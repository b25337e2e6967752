package render

import (
	"strconv"
	"strings"
)

// mostFiles bounds the open files that HAProxy counts on where the limit is higher, or
// where there is none: it keeps a table of as many, and makes half of them the number
// of connections. Who wants more says a number of connections.
const mostFiles = 200000

// withFileLimit bounds the open files of a configuration without a number of connections.
func withFileLimit(text string, s Settings) string {
	if s.MaxConn > 0 {
		return text
	}
	const end = "\n\ndefaults "
	return strings.Replace(text, end, "\n  fd-hard-limit "+strconv.Itoa(mostFiles)+end, 1)
}
