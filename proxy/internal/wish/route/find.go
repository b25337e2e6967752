package route

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Request is what a route is found by.
type Request struct {
	Host, Path string
	Header     map[string]string // names in lower case
	Port       int
}

// Find returns the backend of a request as HAProxy finds it in the tables.
func (t Tables) Find(r Request) (backend string, ok bool) {
	r.Host, r.Path = strings.ToLower(r.Host), Canonical(r.Path)
	found := ""
	for _, e := range t.Hosts {
		if e.Key == r.Host {
			found = e.Value
		}
	}
	if found == "" {
		for _, e := range t.Wildcards {
			if strings.HasSuffix(r.Host, e.Key) {
				found = e.Value
				break
			}
		}
	}
	for _, key := range []string{found + r.Path, r.Path} {
		best := -1
		for i, e := range t.Paths {
			if strings.HasPrefix(key, e.Key) && (best < 0 || len(e.Key) > len(t.Paths[best].Key)) {
				best = i
			}
		}
		if best >= 0 {
			return follow(t, t.Paths[best].Value, r)
		}
	}
	return "", false
}

// follow returns the backend of the first step of a chain that fits.
func follow(t Tables, value string, r Request) (string, bool) {
	if !strings.HasPrefix(value, ChainMark) {
		return value, true
	}
	name, last, _ := strings.Cut(value, ChainEnd)
	i := slices.IndexFunc(t.Chains, func(c Chain) bool { return c.Name == name })
	for _, s := range t.Chains[i].Steps {
		if !slices.ContainsFunc(s.If, func(c Condition) bool { return !c.Holds(r) }) {
			return s.Backend, true
		}
	}
	return last, last != ""
}

// Holds reports whether the condition is true of a request.
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
	return slices.ContainsFunc(c.Values, func(v string) bool { return fits(c, text, v) }) != c.Not
}

func fits(c Condition, text, value string) bool {
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
	case MatchRegexp:
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
