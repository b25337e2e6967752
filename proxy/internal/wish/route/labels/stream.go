package labels

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// The values of reqMode.
const (
	modeHTTP = "http"
	modeTCP  = "tcp"
	modeSNI  = "sni"
)

func reqMode(g label.Group) string { return g.OneOf("reqMode", modeHTTP, reqModes()...) }

// streaming reports whether a destination asks for something else than HTTP, if
// only for what there is not.
func streaming(g label.Group) bool {
	return g.Has("reqMode") && !strings.EqualFold(strings.TrimSpace(g.Text("reqMode", "")), modeHTTP)
}

// stream reads the labels of one index whose reqMode is tcp or sni.
func (rd *Reader) stream(svc catalog.Service, g label.Group, mode string, besideHTTP bool) route.Service {
	o := rd.o
	for _, name := range []string{"srcPort", "port"} {
		if !g.Has(name) {
			g.Reject(name, map[string]string{
				"srcPort": "the number of the port of the proxy on which connections come in",
				"port":    "the number of the port on which the service listens",
			}[name])
		}
	}
	s := route.Stream{
		Service: svc, Index: g.Index, Names: serverNames(g, mode, besideHTTP), Order: g.Text("aclName", ""),
		Group: group(g), TimeoutClient: timeout(g, "timeoutClient"), KeepAlive: g.Bool("clitcpka", false),
	}
	entries := ports(g, "srcPort")
	for _, p := range entries {
		if slices.Contains(o.Ports, p) && !(s.Shares() && slices.Contains(o.EntryPorts, p) && !slices.Contains(o.PlainPorts, p)) {
			g.RejectText("srcPort", strconv.Itoa(p), "a port that the proxy does not use itself")
		}
	}
	does := &route.StreamBackend{
		Spread:        streamSpread(g),
		TimeoutServer: timeout(g, "timeoutServer"), TimeoutTunnel: timeout(g, "timeoutTunnel"), Extra: extra(g, o),
	}
	lookup, outbound := rd.o.lookup(svc, g)
	b := route.Backend{Service: svc.Name, Lookup: lookup, Outbound: outbound, Port: g.Int("port", 0, 1, 65535), Stream: does}
	b.Handling.Access.SendProxy = sendProxy(g)
	rd.refuseHTTP(g, besideHTTP)
	b.Name = svc.Name + "-tcp" + strconv.Itoa(b.Port) + "_" + strconv.Itoa(g.Index)
	var terms route.Terms
	for _, p := range entries {
		terms.Scope = route.PortScope(strconv.Itoa(p))
		terms.Duration("timeoutClient", s.TimeoutClient)
	}
	if s.Group != "" {
		// No service can have a colon in its name.
		b.Name = "group:" + s.Group
		b.Share = share(svc, g, does.Spread)
		terms.Scope = route.GroupScope(s.Group)
		terms.Duration("timeoutServer", does.TimeoutServer)
		terms.Duration("timeoutTunnel", does.TimeoutTunnel)
		spreadTerms(&terms, does.Spread)
		if does.Extra != "" {
			g.Reject("backendExtra", "no com.df.serviceGroup beside it")
		}
	}
	s.Backend = b.Name
	var streams []route.Stream
	for _, p := range entries {
		s.Port = p
		streams = append(streams, s)
	}
	return route.Service{Backends: []route.Backend{b}, Streams: streams, Terms: terms.List}
}

// serverNames reads what the server name of a connection is compared with: for
// sni the paths, for tcp, or without paths, the domains. What stands without an index is for
// the destinations of HTTP, if there are any.
func serverNames(g label.Group, mode string, besideHTTP bool) []route.ServerName {
	has := func(name string) bool { return g.Has(name) && (g.Own(name) || !besideHTTP) }
	list, how := "serviceDomain", "serviceDomainAlgo"
	switch {
	case mode == modeSNI && (has("servicePath") || !g.Has("serviceDomain")):
		list, how = "servicePath", "pathType"
	case mode != modeSNI && !has("serviceDomain"):
		return nil
	}
	kind := matcher(g, how)
	var out []route.ServerName
	for _, text := range g.List(list) {
		n, ok := serverName(kind, text)
		if !ok {
			g.RejectText(list, text, "server names such as www.acme.com or *.acme.com, or what "+how+" says")
		}
		out = append(out, n)
	}
	if !g.Has(list) || g.Blank(list) {
		g.Reject(list, "at least one server name such as www.acme.com")
	}
	slices.SortFunc(out, func(a, b route.ServerName) int {
		return cmp.Or(strings.Compare(a.Value, b.Value), strings.Compare(string(a.Match), string(b.Match)))
	})
	return slices.Compact(out)
}

// matcher reads "req_ssl_sni -i -m end" as HAProxy does, where -i changes nothing.
func matcher(g label.Group, name string) route.Match {
	if !g.Has(name) {
		return route.MatchExact
	}
	words := strings.Fields(g.Text(name, ""))
	kind := route.MatchExact
	ok := len(words) > 0 && (strings.EqualFold(words[0], "req_ssl_sni") || strings.EqualFold(words[0], "req.ssl_sni"))
	for i := 1; ok && i < len(words); i++ {
		switch words[i] {
		case "-i":
		case "-m":
			i++
			ok = i < len(words) && slices.Contains([]route.Match{route.MatchExact, route.MatchPrefix, route.MatchSuffix, route.MatchPart, route.MatchDomain, route.MatchRegexp}, route.Match(words[i]))
			if ok {
				kind = route.Match(words[i])
			}
		default:
			ok = false
		}
	}
	if !ok {
		g.Reject(name, "req_ssl_sni, or with a way to compare (beg, dom, end, reg, str or sub) such as req_ssl_sni -m end")
	}
	return kind
}

func serverName(kind route.Match, text string) (route.ServerName, bool) {
	lower := strings.ToLower(text)
	if kind == route.MatchRegexp {
		return route.ServerName{Match: kind, Value: text}, route.ValidRegexp(text)
	}
	if name, wildcard := strings.CutPrefix(lower, "*."); wildcard && kind == route.MatchExact {
		return route.ServerName{Match: route.MatchSuffix, Value: "." + name}, route.ValidHost(name)
	}
	if kind == route.MatchExact {
		return route.ServerName{Match: kind, Value: lower}, route.ValidHost(lower)
	}
	return route.ServerName{Match: kind, Value: lower}, route.ValidHost(strings.Trim(lower, "."))
}
