package route

import (
	"slices"
	"strings"
	"sync"
)

// PathType is how a service compares paths: a word of com.df.pathType. HAProxy's word for
// it is a Match.
type PathType string

// The PathTypes that the code must know by name.
const (
	// PathPrefix is the one of services that do not choose; so is the zero value.
	PathPrefix PathType = "path_beg"
	PathExact  PathType = "path"
)

// PathKind is all that there is to know of a PathType.
type PathKind struct {
	Type PathType
	// Match and Operand are how HAProxy compares, and with what; without an Operand it
	// compares with the label's text itself.
	Match   Match
	Operand func(text string) string
	// Form is the text as it is compared with the canonical form of a path; without it the
	// text stays as it is.
	Form func(text string) string
	// Filed says that every path that fits begins with the text, so that it is looked up
	// there. Others are tried for all paths.
	Filed bool
	// Valid admits a text, and Want says what would be right.
	Valid func(text string) bool
	Want  string
}

// PathKinds are all PathTypes, sorted by their words.
func PathKinds() []PathKind { return slices.Clone(pathKinds()) }

// pathKinds makes them once, as each destination of each service asks for one. A new one is
// one more row here.
var pathKinds = sync.OnceValue(func() []PathKind { //nolint:gochecknoglobals // a constant that Go cannot have
	const (
		aPath   = "paths such as /shop, beginning with a slash, of visible ASCII characters without ? and #"
		aText   = "visible ASCII characters"
		aRegexp = "regular expressions of visible ASCII characters, such as ^/v[0-9]+/"
	)
	word := func(p string) bool { return Operand(p) && !strings.Contains(p, " ") }
	validPath := func(p string) bool { return ValidPath(p) && word(p) }
	return []PathKind{
		{Type: PathExact, Match: MatchExact, Form: Canonical, Filed: true, Valid: validPath, Want: aPath},
		{Type: PathPrefix, Match: MatchPrefix, Form: CanonicalPart, Filed: true, Valid: validPath, Want: aPath},
		{Type: "path_dir", Match: MatchDir, Form: CanonicalPart, Valid: word, Want: aText},
		{Type: "path_end", Match: MatchSuffix, Form: CanonicalPart, Valid: word, Want: aText},
		{Type: "path_reg", Match: MatchRegexp, Valid: func(p string) bool { return ValidRegexp(p) && word(p) }, Want: aRegexp},
		{Type: "path_sub", Match: MatchPart, Form: CanonicalPart, Valid: word, Want: aText},
	}
})

// Kind returns what there is to know of a PathType, not ok if there is no such one.
func (t PathType) Kind() (kind PathKind, ok bool) {
	if t == "" {
		t = PathPrefix
	}
	for _, k := range pathKinds() {
		if k.Type == t {
			return k, true
		}
	}
	return PathKind{}, false
}

// Prefix reports whether paths are compared by their beginning, which a look-up does.
func (t PathType) Prefix() bool { return t == "" || t == PathPrefix }

// Condition is that one of the paths fits or, negated, that none does.
func (k PathKind) Condition(not bool, paths ...string) Condition {
	values := paths
	if k.Operand != nil {
		values = make([]string, len(paths))
		for i, p := range paths {
			values[i] = k.Operand(p)
		}
	}
	return Condition{Fetch: FetchPath, Match: k.Match, Not: not, Values: values}
}

// ValidPath admits the beginning of a path.
func ValidPath(p string) bool {
	return strings.HasPrefix(p, "/") && len(p) <= mostText && !strings.ContainsFunc(p, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '?' || r == '#'
	})
}

// WellKnown reports whether a path is one of those that come first, whatever the host.
func WellKnown(path string) bool {
	const prefix = "/.well-known"
	return len(path) >= len(prefix) && strings.EqualFold(path[:len(prefix)], prefix)
}

// mostText is how long a text may be that requests are compared with.
const mostText = 1024

// ValidRegexp admits a regular expression: what Go and PCRE2 have in common, and
// look-around, which PCRE2 alone has.
func ValidRegexp(text string) bool {
	return Operand(text) && len(text) <= mostText && compiles(text)
}

// Visible reports whether a text is of printable ASCII, spaces included.
func Visible(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f })
}

// Operand reports whether a text can be what a condition compares with: a closing
// brace alone would end the condition in HAProxy's language, quoted or not.
func Operand(text string) bool { return Visible(text) && text != "}" }

// ValidHost admits what DNS and container names are made of; an address is a name too.
func ValidHost(h string) bool {
	if h == "" || len(h) > 253 {
		return false
	}
	for part := range strings.SplitSeq(h, ".") {
		if part == "" || len(part) > 63 || strings.ContainsFunc(part, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}
