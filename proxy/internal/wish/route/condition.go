package route

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
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

// Condition is one thing that must hold of a request: that one of the values fits
// or, negated, that none does.
type Condition struct {
	Fetch      Fetch
	Header     string
	Match      Match
	IgnoreCase bool
	Not        bool
	Values     []string
}

// String is how a condition is told to a user; equal conditions have equal texts.
func (c Condition) String() string {
	var b strings.Builder
	if c.Not {
		b.WriteString("not ")
	}
	b.WriteString(string(c.Fetch))
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

// Request is what a route is found by; for the model in tests.
type Request struct {
	Host, Path string
	Header     map[string]string // names in lower case
	Port       int
}

// Holds reports whether a condition is true of a request.
func (c Condition) Holds(r Request) bool {
	text := ""
	switch c.Fetch {
	case FetchPath:
		text = r.Path
	case FetchHost:
		text = strings.ToLower(r.Host)
	case FetchPort:
		text = strconv.Itoa(r.Port)
	case FetchHeader:
		var ok bool
		if text, ok = r.Header[strings.ToLower(c.Header)]; !ok {
			return c.Not
		}
	}
	return slices.ContainsFunc(c.Values, func(v string) bool { return c.fits(text, v) }) != c.Not
}

func (c Condition) fits(text, value string) bool {
	if c.Match == MatchRegexp {
		if c.IgnoreCase {
			value = "(?i)" + value
		}
		ok, err := regexp.MatchString(value, text)
		return err == nil && ok
	}
	if c.IgnoreCase {
		text, value = strings.ToLower(text), strings.ToLower(value)
	}
	switch c.Match {
	case MatchExact, MatchNumber:
		return text == value
	case MatchPrefix:
		return strings.HasPrefix(text, value)
	case MatchSuffix:
		return strings.HasSuffix(text, value)
	case MatchPart:
		return strings.Contains(text, value)
	case MatchDir:
		return between(text, value, "/?")
	case MatchDomain:
		return between(text, value, ".:/?")
	}
	return false
}

// between reports whether value stands in text between delimiters or the ends.
func between(text, value, delimiters string) bool {
	value = strings.Trim(value, delimiters)
	for i := 0; value != "" && i+len(value) <= len(text); i++ {
		end := i + len(value)
		if text[i:end] == value && (i == 0 || strings.IndexByte(delimiters, text[i-1]) >= 0) &&
			(end == len(text) || strings.IndexByte(delimiters, text[end]) >= 0) {
			return true
		}
	}
	return false
}
