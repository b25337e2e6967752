package route

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/label"
)

// Fetch is what of a request a condition looks at.
type Fetch string

// What conditions look at. A header is named in Condition.Header.
const (
	FetchPath   Fetch = "path"
	FetchHost   Fetch = "host" // in lower case, without port
	FetchHeader Fetch = "header"
	FetchPort   Fetch = "port" // on which the request came in
)

// Match is how a condition compares.
type Match string

// The ways of HAProxy to compare texts.
const (
	MatchExact  Match = "str"
	MatchPrefix Match = "beg"
	MatchSuffix Match = "end"
	MatchPart   Match = "sub" // anywhere
	MatchDir    Match = "dir" // whole segments of a path, anywhere
	MatchDomain Match = "dom" // whole labels of a host name, anywhere
	MatchRegexp Match = "reg"
	MatchNumber Match = "int"
)

// Fits reports whether a host name, in lower case, is what a text asks for by this match.
func (m Match) Fits(host, text string) bool {
	switch m {
	case MatchRegexp:
		re, err := regexp.Compile("(?i)" + text)
		return err == nil && re.MatchString(host)
	case MatchExact, MatchNumber:
		return host == text
	case MatchPrefix:
		return strings.HasPrefix(host, text)
	case MatchSuffix:
		return strings.HasSuffix(host, text)
	case MatchPart:
		return strings.Contains(host, text)
	case MatchDir, MatchDomain:
		return strings.Contains("."+host+".", "."+strings.Trim(text, ".")+".")
	}
	return false
}

// Condition is one thing that must hold of a request: that one of the values fits
// or, negated, that none does.
type Condition struct {
	Fetch      Fetch
	Header     string
	Match      Match
	IgnoreCase bool
	Not        bool
	// Secret says that nobody but the service itself may see what is compared.
	Secret bool
	Values []string
}

// Words is how many words a condition takes of a line of HAProxy's: two braces, what is
// looked at, how it is compared, the mark before the values, and these.
func (c Condition) Words() int {
	n := 6 + len(c.Values)
	if c.IgnoreCase {
		n++
	}
	return n
}

// Shown is a condition as everybody may see it.
func (c Condition) Shown() string { return c.text(c.Secret) }

// String says all of a condition, what is secret too; equal conditions have equal texts.
func (c Condition) String() string { return c.text(false) }

func (c Condition) text(hidden bool) string {
	var b strings.Builder
	if c.Not {
		b.WriteString("not ")
	}
	b.WriteString(string(c.Fetch))
	if hidden {
		return b.String() + " " + label.Show("", true)
	}
	if c.Header != "" {
		b.WriteString(" " + strings.ToLower(c.Header))
	}
	b.WriteString(" " + string(c.Match))
	if c.IgnoreCase {
		b.WriteString(" (any case)")
	}
	for _, v := range c.Values {
		b.WriteString(" " + strconv.Quote(v))
	}
	return b.String()
}

// Token reports whether a text can be the name of a header.
func Token(name string) bool {
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}
