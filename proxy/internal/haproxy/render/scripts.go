package render

import (
	"maps"
	"slices"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// scripts are those that all services need, and these ones, by file name.
func (n needs) scripts(lists userLists) map[string]string {
	out := map[string]string{pathScriptName(): pathScript}
	if n.askElsewhere {
		out[forwardScriptName()] = forwardScript
	}
	if n.measureBodies {
		out[scriptName("maxbody", bodyScript)] = bodyScript
	}
	if n.hold {
		out[holdScriptName()] = holdScript
	}
	if text := lists.script(); text != "" {
		out[scriptName("apr1", text)] = text
	}
	return out
}

// scriptLines load scripts. What they read is the same either way, but HAProxy 3.1 warns of
// a choice that is not made.
func scriptLines(s Settings, scripts map[string]string) []file.Line {
	out := []file.Line{lineOf(".if", "version_atleast(3.1)"), lineOf("tune.lua.bool-sample-conversion", "normal"), lineOf(".endif")}
	for _, name := range slices.Sorted(maps.Keys(scripts)) {
		load := "lua-load-per-thread"
		if name == holdScriptName() {
			load = "lua-load" // what it counts is counted for all threads
		}
		out = append(out, lineOf(load, s.MapPath(name)))
	}
	return out
}
