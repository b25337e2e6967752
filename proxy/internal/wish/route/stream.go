package route

import (
	"cmp"
	"fmt"
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
	// settings must be alike for all who share what they are about.
	settings []setting
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
	s.setting(portScope(s.Port), "timeoutClient", s.TimeoutClient)
	if s.Group != "" {
		// No service can have a colon in its name.
		b.Name = "group:" + s.Group
		b.Share = share(svc, g, does.Spread)
		scope := "group " + s.Group
		s.setting(scope, "timeoutServer", does.TimeoutServer)
		s.setting(scope, "timeoutTunnel", does.TimeoutTunnel)
		s.spreadSettings(scope, does.Spread)
		if does.Extra != "" {
			g.Reject("backendExtra", "no com.df.serviceGroup beside it")
		}
	}
	s.Backend = b.Name
	return Service{Backends: []Backend{b}, Streams: []Stream{s}}
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

// setting is a value that services share with what it is about, such as a port.
type setting struct{ scope, label, value string }

func (s *Stream) setting(scope, label string, d time.Duration) {
	if d > 0 {
		s.settings = append(s.settings, setting{scope, label, d.String()})
	}
}

func portScope(port int) string { return "TCP port " + strconv.Itoa(port) }

// streamClaim is what only one service, or one group, can have.
type streamClaim struct {
	port int
	// name is zero for the connections that fit no name.
	name ServerName
}

func (c streamClaim) String() string {
	if c.name.Match == "" {
		return portScope(c.port)
	}
	return fmt.Sprintf("%s for the server name %s (%s)", portScope(c.port), c.name.Value, c.name.Match)
}

func (s Stream) claims() []streamClaim {
	if s.Names == nil {
		return []streamClaim{{port: s.Port}}
	}
	out := make([]streamClaim, len(s.Names))
	for i, n := range s.Names {
		out[i] = streamClaim{s.Port, n}
	}
	return out
}

// ledger knows who has which claims, and which settings hold for what is shared.
type ledger struct {
	claims   map[streamClaim]holder
	settings map[setting]holder
}

type holder struct{ name, group, value string }

func newLedger() ledger {
	return ledger{claims: map[streamClaim]holder{}, settings: map[setting]holder{}}
}

// conflict returns why streams cannot be had as well, nil if they can.
func (l ledger) conflict(name string, streams []Stream) *ConflictError {
	for _, s := range streams {
		for _, c := range s.claims() {
			if h, ok := l.claims[c]; ok && (s.Group == "" || h.group != s.Group) {
				return &ConflictError{Service: name, Claim: c.String(), Winner: h.name, Label: "srcPort"}
			}
		}
		for _, set := range s.settings {
			if h, ok := l.settings[setting{scope: set.scope, label: set.label}]; ok && h.value != set.value {
				return &ConflictError{Service: name, Claim: set.scope, Winner: h.name, Label: set.label, Has: h.value}
			}
		}
	}
	return nil
}

// take enters streams that are not in conflict.
func (l ledger) take(name string, streams []Stream) {
	for _, s := range streams {
		for _, c := range s.claims() {
			if _, shared := l.claims[c]; !shared {
				l.claims[c] = holder{name: name, group: s.Group}
			}
		}
		for _, set := range s.settings {
			key := setting{scope: set.scope, label: set.label}
			if _, shared := l.settings[key]; !shared {
				l.settings[key] = holder{name: name, value: set.value}
			}
		}
	}
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
