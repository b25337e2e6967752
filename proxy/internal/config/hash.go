package config

import (
	"regexp"
	"strings"
)

// ofTheMachine are lines of the frame that say where a replica listens.
var ofTheMachine = regexp.MustCompile(`^ +(bind|stats socket) `)

// folder is what comes before the name of a file of ours.
var folder = regexp.MustCompile(`/[^\s,()"']*/([^/\s,()"']+\.(map|list))`)

// shared is the part of a frame that is the same for all replicas with the same
// settings: without ports, sockets and folders, which may differ from machine to machine.
func shared(frame string) string {
	var b strings.Builder
	for line := range strings.Lines(frame) {
		if !ofTheMachine.MatchString(line) {
			b.WriteString(folder.ReplaceAllString(line, "$1"))
		}
	}
	return b.String()
}
