package render

import (
	"regexp"
	"strings"
)

// folder is what comes before the name of a file of ours.
var folder = regexp.MustCompile(`/[^\s,()"']*/([^/\s,()"']+\.(map|list|lua|acl))`)

// shared is the part of a frame that is the same for all replicas with the same
// settings: without ports, sockets and folders, which may differ from machine to machine.
func shared(frame string) string {
	var b strings.Builder
	for line := range strings.Lines(frame) {
		switch words := strings.TrimLeft(line, " "); {
		case strings.HasPrefix(words, "bind "), strings.HasPrefix(words, "stats socket "), strings.HasPrefix(words, "peer "):
			continue
		case strings.Contains(words, ".map") || strings.Contains(words, ".list") || strings.Contains(words, ScriptEnd) || strings.Contains(words, ListEnd):
			line = folder.ReplaceAllString(line, "$1")
		}
		b.WriteString(line)
	}
	return b.String()
}
