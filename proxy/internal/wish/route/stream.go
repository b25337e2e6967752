package route

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Stream is one way into a service below HTTP: the connections of a port, all of
// them, or those that ask for a name by TLS, which is passed through.
type Stream struct {
	Service catalog.Service
	// Index is that of the labels, 0 for those without.
	Index int
	// Port of the proxy on which connections come in.
	Port int
	// Names decide which of them are the service's; nil means those that fit no
	// name of others.
	Names []ServerName
	// Order is the service's aclName, empty if it has none.
	Order string
	// Group is the name under which services share their ports and one backend.
	Group   string
	Backend string
	// TimeoutClient is 0 for the default.
	TimeoutClient time.Duration
	// KeepAlive has the kernel find out which clients are gone.
	KeepAlive bool
}

// ServerName is what the name that a client asks for by TLS (SNI) is compared
// with, in any case of letters.
type ServerName struct {
	Match Match
	Value string
}

// StreamBackend is what a backend has that is not HTTP.
type StreamBackend struct {
	// Spread is how connections are spread over the tasks.
	Spread Spread
	// TimeoutServer and TimeoutTunnel are 0 for the default.
	TimeoutServer, TimeoutTunnel time.Duration
	// Extra is a raw line, which only the operator's switch admits.
	Extra string
}

// Listener is a port on which connections come in that are not HTTP.
type Listener struct {
	Port          int
	TimeoutClient time.Duration
	KeepAlive     bool
	// Rules are tried in this order.
	Rules []StreamRule
	// Default is the backend of the connections that fit no rule; if it is empty
	// they are closed.
	Default string
}

// StreamRule leads to a backend if the server name fits.
type StreamRule struct {
	Name    ServerName
	Backend string
}

// The values of reqMode.
const (
	modeHTTP = "http"
	modeTCP  = "tcp"
	modeSNI  = "sni"
)

func reqMode(g label.Group) string { return g.OneOf("reqMode", modeHTTP, modeHTTP, modeTCP, modeSNI) }

// streaming reports whether a destination asks for something else than HTTP, if
// only for what there is not.
func streaming(g label.Group) bool {
	return g.Has("reqMode") && !strings.EqualFold(strings.TrimSpace(g.Text("reqMode", "")), modeHTTP)
}

// stream reads the labels of one index whose reqMode is tcp or sni.
func (rd *Reader) stream(svc catalog.Service, g label.Group, mode string, besideHTTP bool) Service {
	o := rd.o
	for _, name := range []string{"srcPort", "port"} {
		if !g.Has(name) {
			g.Reject(name, map[string]string{
				"srcPort": "the number of the port of the proxy on which connections come in",
				"port":    "the number of the port on which the service listens",
			}[name])
		}
	}
	s := Stream{
		Service: svc, Index: g.Index, Port: g.Int("srcPort", 0, 1, 65535), Names: serverNames(g, mode), Order: g.Text("aclName", ""),
		Group: group(g), TimeoutClient: timeout(g, "timeoutClient"), KeepAlive: g.Bool("clitcpka", false),
	}
	if slices.Contains(o.Ports, s.Port) {
		g.Reject("srcPort", "a port that the proxy does not use itself")
	}
	does := &StreamBackend{
		Spread:        streamSpread(g),
		TimeoutServer: timeout(g, "timeoutServer"), TimeoutTunnel: timeout(g, "timeoutTunnel"), Extra: extra(g, o),
	}
	lookup, outbound := lookup(svc, g)
	b := Backend{Service: svc.Name, Lookup: lookup, Outbound: outbound, Port: g.Int("port", 0, 1, 65535), Stream: does}
	b.Handling.Access.SendProxy = sendProxy(g)
	rd.refuseHTTP(g, besideHTTP)
	b.Name = svc.Name + "-tcp" + strconv.Itoa(b.Port) + "_" + strconv.Itoa(g.Index)
	terms := terms{scope: portScope(strconv.Itoa(s.Port))}
	terms.duration("timeoutClient", s.TimeoutClient)
	if s.Group != "" {
		// No service can have a colon in its name.
		b.Name = "group:" + s.Group
		b.Share = share(svc, g, does.Spread)
		terms.scope = groupScope(s.Group)
		terms.duration("timeoutServer", does.TimeoutServer)
		terms.duration("timeoutTunnel", does.TimeoutTunnel)
		terms.spread(does.Spread)
		if does.Extra != "" {
			g.Reject("backendExtra", "no com.df.serviceGroup beside it")
		}
	}
	s.Backend = b.Name
	return Service{Backends: []Backend{b}, Streams: []Stream{s}, Terms: terms.list}
}

// serverNames reads what the server name of a connection is compared with: for
// sni the paths, for tcp, or without paths, the domains.
func serverNames(g label.Group, mode string) []ServerName {
	list, how := "serviceDomain", "serviceDomainAlgo"
	switch {
	case mode == modeSNI && (g.Has("servicePath") || !g.Has("serviceDomain")):
		list, how = "servicePath", "pathType"
	case !g.Has("serviceDomain"):
		return nil
	}
	kind := matcher(g, how)
	var out []ServerName
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
	slices.SortFunc(out, func(a, b ServerName) int {
		return cmp.Or(strings.Compare(a.Value, b.Value), strings.Compare(string(a.Match), string(b.Match)))
	})
	return slices.Compact(out)
}

// matcher reads "req_ssl_sni -i -m end" as HAProxy does, where -i changes nothing.
func matcher(g label.Group, name string) Match {
	if !g.Has(name) {
		return MatchExact
	}
	words := strings.Fields(g.Text(name, ""))
	kind := MatchExact
	ok := len(words) > 0 && (strings.EqualFold(words[0], "req_ssl_sni") || strings.EqualFold(words[0], "req.ssl_sni"))
	for i := 1; ok && i < len(words); i++ {
		switch words[i] {
		case "-i":
		case "-m":
			i++
			ok = i < len(words) && slices.Contains([]Match{MatchExact, MatchPrefix, MatchSuffix, MatchPart, MatchDomain, MatchRegexp}, Match(words[i]))
			if ok {
				kind = Match(words[i])
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

func serverName(kind Match, text string) (ServerName, bool) {
	lower := strings.ToLower(text)
	if kind == MatchRegexp {
		return ServerName{kind, text}, validRegexp(text)
	}
	if name, wildcard := strings.CutPrefix(lower, "*."); wildcard && kind == MatchExact {
		return ServerName{MatchSuffix, "." + name}, validHost(name)
	}
	if kind == MatchExact {
		return ServerName{kind, lower}, validHost(lower)
	}
	return ServerName{kind, lower}, validHost(strings.Trim(lower, "."))
}

// compareRules is the total order of the rules of a port: those of services with an
// aclName first, by the bytes of the names; then the exact name before others and the
// longer before the shorter; then the older service, the smaller index, the value.
func compareRules(a, b streamRule) int {
	return cmp.Or(
		firstIf(a.of.Order != "", b.of.Order != ""),
		strings.Compare(a.of.Order, b.of.Order),
		firstIf(a.Name.Match == MatchExact, b.Name.Match == MatchExact),
		cmp.Compare(len(b.Name.Value), len(a.Name.Value)),
		catalog.Older(a.of.Service, b.of.Service),
		cmp.Compare(a.of.Index, b.of.Index),
		strings.Compare(a.Name.Value, b.Name.Value),
		strings.Compare(string(a.Name.Match), string(b.Name.Match)),
	)
}

type streamRule struct {
	StreamRule
	of *Stream
}

// listeners compiles streams whose claims are all different, or of one group.
func listeners(services []Service) []Listener {
	ports := map[int]*Listener{}
	rules := map[int][]streamRule{}
	for _, svc := range services {
		for i := range svc.Streams {
			s := &svc.Streams[i]
			l := ports[s.Port]
			if l == nil {
				l = &Listener{Port: s.Port}
				ports[s.Port] = l
			}
			l.KeepAlive = l.KeepAlive || s.KeepAlive
			l.TimeoutClient = max(l.TimeoutClient, s.TimeoutClient)
			if s.Names == nil {
				l.Default = s.Backend
			}
			for _, n := range s.Names {
				rules[s.Port] = append(rules[s.Port], streamRule{StreamRule{n, s.Backend}, s})
			}
		}
	}
	var out []Listener
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		l := *ports[port]
		slices.SortFunc(rules[port], compareRules)
		for _, r := range rules[port] {
			// Members of a group may have the same rule.
			if !slices.Contains(l.Rules, r.StreamRule) {
				l.Rules = append(l.Rules, r.StreamRule)
			}
		}
		out = append(out, l)
	}
	return out
}

// mergeGroups gives all backends of a group the settings that any of its members
// has, so that it does not matter which of them is written. The values that are
// passed in may be remembered elsewhere and stay as they are.
func mergeGroups(services []Service) {
	merged := map[string]StreamBackend{}
	for i := range services {
		for j := range services[i].Backends {
			b := &services[i].Backends[j]
			if b.Stream == nil || b.Share.Group == "" {
				continue
			}
			m := merged[b.Name]
			m.Spread = mergeSpread(m.Spread, b.Stream.Spread)
			m.TimeoutServer = cmp.Or(m.TimeoutServer, b.Stream.TimeoutServer)
			m.TimeoutTunnel = cmp.Or(m.TimeoutTunnel, b.Stream.TimeoutTunnel)
			merged[b.Name] = m
		}
	}
	if len(merged) == 0 {
		return
	}
	for i, svc := range services {
		for j, b := range svc.Backends {
			m, ok := merged[b.Name]
			if !ok {
				continue
			}
			services[i].Backends = slices.Clone(services[i].Backends)
			services[i].Backends[j].Stream = &m
		}
	}
}
