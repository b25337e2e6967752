package stack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/cli/cli/compose/loader"
)

// Explain says on one line why Docker would not take files, and what to do about it.
func Explain(err error) (text, fix string) {
	var parts []string
	for line := range strings.Lines(err.Error()) {
		parts = append(parts, strings.TrimSpace(line))
	}
	text = strings.Join(parts, " ")
	var forbidden *loader.ForbiddenPropertiesError
	switch {
	case errors.As(err, &forbidden):
		names := slices.Sorted(maps.Keys(forbidden.Properties))
		var why []string
		for _, name := range names {
			why = append(why, strings.TrimSuffix(forbidden.Properties[name], "."))
		}
		return fmt.Sprintf("docker stack deploy does not take %s: %s", strings.Join(names, ", "), strings.Join(slices.Compact(why), "; ")), "take " + strings.Join(names, ", ") + " out"
	case strings.Contains(text, "required variable "):
		_, rest, _ := strings.Cut(text, "required variable ")
		name, _, _ := strings.Cut(rest, " ")
		return strings.TrimSuffix(text, "; you may need to escape any $ with another $"), "set the variable " + name + " for waggle lint, as for docker stack deploy"
	case strings.Contains(text, "invalid interpolation format"):
		return text, "write $$ for each $ that begins no variable"
	case strings.Contains(text, "labels.") && strings.Contains(text, "must be a string"):
		return text, `put the text of the label between quotes, such as "true"`
	}
	return text, "see what docker stack config -c FILE says"
}
