package keep

import "regexp"

// reference is a variable in a stack file: $NAME, ${NAME}, ${NAME:-default} and the like,
// or $$, which stands for one $.
var reference = regexp.MustCompile(`\$(?:(\$)|([_A-Za-z][_A-Za-z0-9]*)|\{([_A-Za-z][_A-Za-z0-9]*)(?:(:?[-?])([^}]*))?\})`)

// interpolate returns a text with its variables filled in as docker stack deploy does, or
// the name of one that has neither a value nor a default.
func interpolate(text string, variable func(string) (string, bool)) (value, missing string) {
	value = reference.ReplaceAllStringFunc(text, func(found string) string {
		m := reference.FindStringSubmatch(found)
		dollar, name, operator, other := m[1], m[2]+m[3], m[4], m[5]
		if dollar != "" {
			return dollar
		}
		var set string
		var ok bool
		if variable != nil {
			set, ok = variable(name)
		}
		switch {
		case ok && (set != "" || operator == "" || operator[0] != ':'):
			return set
		case operator == "-" || operator == ":-":
			return other
		}
		missing = name
		return ""
	})
	return value, missing
}
