package route

import (
	"regexp"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/label"
)

// mostValues is how many values one condition may list: HAProxy takes 64 words a line.
const mostValues = 40

// pathTypes are the words of pathType and how they compare.
func pathTypes() map[string]Match {
	return map[string]Match{
		"path": MatchExact, "path_beg": MatchPrefix, "path_dir": MatchDir, "path_end": MatchSuffix, "path_reg": MatchRegexp, "path_sub": MatchPart,
	}
}

// domainAlgos are the words of serviceDomainAlgo and how they compare; exact hosts
// are looked up, so they need no match.
func domainAlgos() map[string]Match {
	return map[string]Match{
		"hdr(host)": "", "hdr_beg(host)": MatchPrefix, "hdr_dom(host)": MatchDomain, "hdr_end(host)": MatchSuffix,
		"hdr_reg(host)": MatchRegexp, "hdr_sub(host)": MatchPart,
	}
}

// DomainAlgo checks the operator's default for serviceDomainAlgo.
func DomainAlgo(word string) bool {
	_, ok := domainAlgos()[word]
	return ok
}

func words(table map[string]Match) string {
	var out []string
	for w := range table {
		out = append(out, w)
	}
	slices.Sort(out)
	return "one of " + strings.Join(out, ", ")
}

// match reads what a request must be for one destination. Hosts that are compared
// in two ways make two routes.
func match(g label.Group, o Options) []Route {
	r := Route{Index: g.Index, Order: g.Text("aclName", "")}
	if word := strings.ToLower(g.Word("pathType", "path_beg")); g.Has("pathType") {
		m, ok := pathTypes()[word]
		if !ok {
			g.Reject("pathType", words(pathTypes()))
		}
		if m != MatchPrefix {
			r.PathMatch = m
		}
	}
	r.Paths = paths(g, "servicePath", r.pathMatch())
	r.Conditions = conditions(g, r.pathMatch())
	if r.pathMatch() != MatchPrefix && len(r.Paths) > mostValues {
		g.Reject("servicePath", "at most 40 paths with this pathType")
	}
	exact, others, kind := hosts(g, o)
	if len(others) == 0 {
		r.Hosts = exact
		return []Route{r}
	}
	second := r
	second.Hosts, second.HostMatch = others, kind
	if len(exact) == 0 {
		return []Route{second}
	}
	r.Hosts = exact
	return []Route{r, second}
}

// conditions reads what must hold besides host and path.
func conditions(g label.Group, path Match) []Condition {
	var out []Condition
	if g.Has("servicePathExclude") {
		c := Condition{Fetch: FetchPath, Match: path, Not: true, Values: paths(g, "servicePathExclude", path)}
		if len(c.Values) > 0 {
			out = append(out, c)
		}
	}
	for _, text := range g.List("serviceHeader") {
		name, value, ok := strings.Cut(text, ":")
		if !ok || !Token(name) || value == "" || !operand(value) {
			g.RejectText("serviceHeader", text, "headers such as X-Version:3")
			continue
		}
		out = append(out, Condition{Fetch: FetchHeader, Header: name, Match: MatchExact, Values: []string{value}})
	}
	if agents := g.List("userAgent"); len(agents) > 0 {
		for _, a := range agents {
			if !operand(a) {
				g.RejectText("userAgent", a, "visible ASCII characters")
			}
		}
		out = append(out, Condition{Fetch: FetchHeader, Header: "User-Agent", Match: MatchPart, IgnoreCase: true, Values: agents})
	}
	if g.Has("srcPort") {
		g.Int("srcPort", 0, 1, 65535)
		out = append(out, Condition{Fetch: FetchPort, Match: MatchNumber, Values: []string{strings.TrimSpace(g.Text("srcPort", ""))}})
	}
	for _, c := range out {
		if len(c.Values) > mostValues {
			g.Reject("servicePathExclude", "at most 40 values")
		}
	}
	return out
}

// paths reads a list of paths, or of what paths are compared with.
func paths(g label.Group, name string, m Match) []string {
	var out []string
	for _, p := range g.List(name) {
		if want := wrongPath(p, m); want != "" {
			g.RejectText(name, p, want)
			continue
		}
		out = append(out, p)
	}
	if out == nil && !g.Has(name) {
		return []string{"/"}
	}
	if g.Blank(name) {
		g.Reject(name, "at least one path such as /shop")
	}
	return unique(out)
}

// wrongPath says what would be right, or nothing.
func wrongPath(p string, m Match) string {
	switch {
	case (m == MatchPrefix || m == MatchExact) && !validPath(p):
		return "paths such as /shop, beginning with a slash, of visible ASCII characters without ? and #"
	case m == MatchRegexp && !validRegexp(p):
		return "regular expressions of visible ASCII characters, such as ^/v[0-9]+/"
	case !operand(p) || strings.ContainsAny(p, " "):
		return "visible ASCII characters"
	}
	return ""
}

func validRegexp(text string) bool {
	if !operand(text) || len(text) > 1024 {
		return false
	}
	_, err := regexp.Compile(text)
	return err == nil
}

// visible reports whether a text is of printable ASCII, spaces included.
func visible(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f })
}

// operand reports whether a text can be what a condition compares with: a closing
// brace alone would end the condition in HAProxy's language, quoted or not.
func operand(text string) bool { return visible(text) && text != "}" }

// Token reports whether a text can be the name of a header.
func Token(name string) bool {
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

func validPath(p string) bool {
	return strings.HasPrefix(p, "/") && len(p) <= 1024 && !strings.ContainsFunc(p, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '?' || r == '#'
	})
}

// hosts reads the domains: those that are looked up, and those that are compared as
// serviceDomainAlgo says.
func hosts(g label.Group, o Options) (exact, others []string, kind Match) {
	word := strings.ToLower(g.Word("serviceDomainAlgo", o.DomainAlgo))
	if g.Bool("serviceDomainMatchAll", false) && !g.Has("serviceDomainAlgo") {
		word = "hdr_dom(host)"
	}
	if word == "" {
		word = "hdr(host)"
	}
	kind, ok := domainAlgos()[word]
	if !ok {
		g.Reject("serviceDomainAlgo", words(domainAlgos()))
	}
	for _, h := range g.List("serviceDomain") {
		lower := strings.ToLower(h)
		name, wildcard := strings.CutPrefix(lower, "*.")
		switch {
		case kind == MatchRegexp && !wildcard && validRegexp(h):
			others = append(others, h)
		case kind != "" && kind != MatchRegexp && !wildcard && validHost(strings.Trim(lower, ".")):
			others = append(others, lower)
		case validHost(name) && (kind == "" || wildcard):
			exact = append(exact, lower)
		case !wildcard && strings.HasPrefix(lower, "*") && validHost(lower[1:]):
			g.RejectText("serviceDomain", h, "names such as acme.com or *.acme.com; for both write acme.com,*.acme.com")
		default:
			g.RejectText("serviceDomain", h, "host names such as acme.com or *.acme.com, without scheme, port and path")
		}
	}
	if g.Blank("serviceDomain") {
		g.Reject("serviceDomain", "at least one host name such as acme.com")
	}
	return unique(exact), unique(others), kind
}
