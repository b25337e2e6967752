package labels

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// What HAProxy takes on one line is 64 words. mostValues is how many one list may have,
// mostWords how many all conditions of a route together, beside the backend they lead to.
const (
	mostValues = 40
	mostWords  = 55
)

// atMost refuses a list that is too long for one line.
func atMost(g label.Group, name string, n int, what string) {
	if n > mostValues {
		g.Reject(name, fmt.Sprintf("at most %d %s", mostValues, what))
	}
}

// domainAlgos are the words of serviceDomainAlgo and how they compare; exact hosts
// are looked up, so they need no match.
func domainAlgos() map[string]route.Match {
	return map[string]route.Match{
		"hdr(host)": "", "hdr_beg(host)": route.MatchPrefix, "hdr_dom(host)": route.MatchDomain, "hdr_end(host)": route.MatchSuffix,
		"hdr_reg(host)": route.MatchRegexp, "hdr_sub(host)": route.MatchPart,
	}
}

// DomainAlgo checks the operator's default for serviceDomainAlgo.
func DomainAlgo(word string) bool {
	_, ok := domainAlgos()[word]
	return ok
}

func words(table map[string]route.Match) string {
	return "one of " + strings.Join(slices.Sorted(maps.Keys(table)), ", ")
}

// oneOf lists words as the page of labels does.
func oneOf(words []string) string {
	last := len(words) - 1
	return "`" + strings.Join(words[:last], "`, `") + "` or `" + words[last] + "`"
}

// pathTypeWords are those of pathType.
func pathTypeWords() []string {
	var out []string
	for _, k := range route.PathKinds() {
		out = append(out, string(k.Type))
	}
	return out
}

// match reads what a request must be for one destination. Hosts that are compared
// in two ways make two routes.
func match(g label.Group, o Options) []route.Route {
	r := route.Route{Index: g.Index, Order: g.Text("aclName", "")}
	kind, ok := route.PathType(strings.ToLower(g.Word("pathType", string(route.PathPrefix)))).Kind()
	if !ok {
		g.Reject("pathType", "one of "+strings.Join(pathTypeWords(), ", "))
		kind, _ = route.PathPrefix.Kind()
	}
	if !kind.Type.Prefix() {
		r.PathType = kind.Type
	}
	r.Paths = paths(g, "servicePath", kind)
	r.Conditions = conditions(g, kind)
	if !kind.Type.Prefix() {
		atMost(g, "servicePath", len(r.Paths), "paths with this pathType")
	}
	exact, others, hostMatch := hosts(g, o)
	if len(others) == 0 {
		r.Hosts = exact
		return []route.Route{r}
	}
	second := r
	second.Hosts, second.HostMatch = others, hostMatch
	if len(exact) == 0 {
		return []route.Route{second}
	}
	r.Hosts = exact
	return []route.Route{r, second}
}

// conditions reads what must hold besides host and path.
func conditions(g label.Group, kind route.PathKind) []route.Condition {
	var out []route.Condition
	if g.Has("servicePathExclude") {
		c := kind.Condition(true, paths(g, "servicePathExclude", kind)...)
		atMost(g, "servicePathExclude", len(c.Values), "paths")
		if len(c.Values) > 0 {
			out = append(out, c)
		}
	}
	for _, text := range g.List("serviceHeader") {
		name, value, ok := strings.Cut(text, ":")
		if !ok || !route.Token(name) || value == "" || !route.Operand(value) {
			g.RejectText("serviceHeader", text, "headers such as X-Version:3")
			continue
		}
		out = append(out, route.Condition{Fetch: route.FetchHeader, Header: name, Match: route.MatchExact, Secret: true, Values: []string{value}})
	}
	if agents := g.List("userAgent"); len(agents) > 0 {
		for _, a := range agents {
			if !route.Operand(a) {
				g.RejectText("userAgent", a, "visible ASCII characters")
			}
		}
		atMost(g, "userAgent", len(agents), "texts")
		out = append(out, route.Condition{Fetch: route.FetchHeader, Header: "User-Agent", Match: route.MatchPart, IgnoreCase: true, Values: agents})
	}
	return out
}

// ports reads a list of port numbers, each once.
func ports(g label.Group, name string) []int {
	var out []int
	for _, text := range g.List(name) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 65535 {
			g.RejectText(name, text, "port numbers from 1 to 65535")
			continue
		}
		out = append(out, n)
	}
	if g.Blank(name) {
		g.Reject(name, "at least one port number")
	}
	atMost(g, name, len(out), "ports")
	return unique(out)
}

// onPort is the condition that a request came in by one of the ports.
func onPort(ports ...int) route.Condition {
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = strconv.Itoa(p)
	}
	return route.Condition{Fetch: route.FetchPort, Match: route.MatchNumber, Values: texts}
}

// entries makes of a route one for each of its entry ports, so that each is claimed by itself.
// Requests that are redirected to TLS come in by another port than they go on by, so that
// one which only has ports with TLS leads from the others too, behind all that claim them.
func entries(rt route.Route, g label.Group, does route.Handling, o Options) []route.Route {
	if !g.Has("srcPort") {
		return []route.Route{rt}
	}
	list := ports(g, "srcPort")
	var out []route.Route
	for _, p := range list {
		entryPort(g, "srcPort", p, o)
		one := rt
		one.Conditions = append(slices.Clone(rt.Conditions), onPort(p))
		out = append(out, one)
	}
	plain := o.PlainPorts
	if len(o.EntryPorts) == 0 {
		plain = []int{80}
	}
	if does.HTTPSOnly && len(list) > 0 && len(plain) > 0 && !slices.ContainsFunc(list, func(p int) bool { return slices.Contains(plain, p) }) {
		rt.Conditions = append(slices.Clone(rt.Conditions), onPort(plain...))
		rt.Redirected = true
		out = append(out, rt)
	}
	return out
}

// entryPort refuses a port by which no request comes in.
func entryPort(g label.Group, name string, port int, o Options) {
	if port > 0 && g.Has(name) && len(o.EntryPorts) > 0 && !slices.Contains(o.EntryPorts, port) {
		texts := make([]string, len(o.EntryPorts))
		for i, p := range o.EntryPorts {
			texts[i] = strconv.Itoa(p)
		}
		g.Reject(name, "one of the proxy's ports for requests: "+strings.Join(texts, ", "))
	}
}

// oneLine refuses conditions that are too many for one line together, by the label that
// takes the most of it.
func oneLine(g label.Group, r *route.Route) {
	words := 0
	for _, c := range r.Steps(route.Claim{}) {
		words += c.Words()
	}
	if words <= mostWords {
		return
	}
	longest, most := "", 0
	for _, name := range []string{"servicePathExclude", "serviceHeader", "userAgent"} {
		n := len(g.List(name))
		if name == "serviceHeader" {
			n *= route.Condition{Values: make([]string, 1)}.Words()
		}
		if n > mostValues && name != "serviceHeader" {
			return // that has been said
		}
		if n > most {
			longest, most = name, n
		}
	}
	g.Reject(longest, fmt.Sprintf("fewer: all conditions take together at most %d words of HAProxy's language, and these take %d, one for each value and six or seven for each list or header", mostWords, words))
}

// paths reads a list of paths, or of what paths are compared with.
func paths(g label.Group, name string, kind route.PathKind) []string {
	var out []string
	for _, p := range g.List(name) {
		if !kind.Valid(p) {
			g.RejectText(name, p, kind.Want)
			continue
		}
		if kind.Form != nil {
			p = kind.Form(p)
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

// hosts reads the domains: those that are looked up, and those that are compared as
// serviceDomainAlgo says.
func hosts(g label.Group, o Options) (exact, others []string, kind route.Match) {
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
		case kind == route.MatchRegexp && !wildcard && route.ValidRegexp(h):
			others = append(others, h)
		case kind != "" && kind != route.MatchRegexp && !wildcard && route.ValidHost(strings.Trim(lower, ".")):
			others = append(others, lower)
		case route.ValidHost(name) && (kind == "" || wildcard):
			exact = append(exact, lower)
		case !wildcard && strings.HasPrefix(lower, "*") && route.ValidHost(lower[1:]):
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
