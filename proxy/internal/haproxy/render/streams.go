package render

import (
	"slices"
	"strconv"
	"strings"
	"time"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/config-parser/types"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// helloDelay is how long a client may take to say which server name it wants.
const helloDelay = 5 * time.Second

// streamDefaultLines are what all that is not HTTP derives from.
func (l *library) streamDefaultLines(s Settings) []file.Line {
	return l.section(parser.Defaults, &models.DefaultsBase{
		Mode:          "tcp",
		Balance:       &models.Balance{Algorithm: pointer("roundrobin")},
		LogFormat:     s.streamLogFormat(),
		Dontlognull:   enabled,
		DontlogNormal: enabledIf(!s.AccessLog),
		Redispatch:    &models.Redispatch{Enabled: pointer(enabled), Interval: pointer(int64(1))},
		Retries:       pointer(int64(route.DefaultRetries)),
		Srvtcpka:      enabled, SrvtcpkaIdle: wholeSeconds(aliveIdle), SrvtcpkaIntvl: wholeSeconds(aliveInterval), SrvtcpkaCnt: pointer(aliveCount),
		ConnectTimeout: millis(s.Timeouts.Connect),
		QueueTimeout:   millis(s.Timeouts.Queue),
		// The setting for tunnels is what held for silent connections ever since. It is
		// not given as such, because HAProxy would then not look at timeoutClient
		// and timeoutServer any more.
		ClientTimeout: millis(s.Timeouts.Tunnel),
		ServerTimeout: millis(s.Timeouts.Tunnel),
	}, data{"log", types.Log{Global: true}})
}

// listeners are a frontend for each port that is not HTTP, sorted by name.
func (l *library) listeners(s Settings, listeners []route.Listener) []*file.Section {
	var out []*file.Section
	for _, one := range listeners {
		out = append(out, file.NewSection(s.Dir, kindFrontend, file.StreamFrontend+strconv.Itoa(one.Port), file.StreamDefaults, l.listenerLines(s, one, listeners)...))
	}
	slices.SortFunc(out, func(a, b *file.Section) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (l *library) listenerLines(s Settings, one route.Listener, listeners []route.Listener) []file.Line {
	base := &models.FrontendBase{DefaultBackend: one.Default}
	acceptProxy := false
	byName := make([]file.Line, 0, len(one.Rules)+1)
	for _, rule := range one.Rules {
		byName = append(byName, useByName(rule))
	}
	shared := sharedBinds(s, listeners)
	if at := slices.IndexFunc(shared, func(b edge.Bind) bool { return b.Port == one.Port }); at >= 0 {
		b := shared[at]
		acceptProxy, base.DefaultBackend = b.AcceptProxy, terminatedBackend(b.Port)
		// Whole names first, then the hosts that the proxy has, then all below a name.
		own := use(base.DefaultBackend, file.If(hosted(s, file.OfRequest("req.ssl_sni").Through("lower"))))
		whole := func(r route.StreamRule) bool { return r.Name.Match == route.MatchExact }
		byName = byName[:0]
		for _, rule := range one.Rules {
			if whole(rule) {
				byName = append(byName, useByName(rule))
			}
		}
		if len(byName) < len(one.Rules) {
			byName = append(byName, own)
		}
		for _, rule := range one.Rules {
			if !whole(rule) {
				byName = append(byName, useByName(rule))
			}
		}
	}
	if one.TimeoutClient > 0 {
		base.ClientTimeout = millis(one.TimeoutClient)
	}
	if one.KeepAlive {
		base.Clitcpka = enabled
	}
	more := []data{l.bind(models.Bind{
		Port: pointer(int64(one.Port)), BindParams: models.BindParams{Name: "tcp", AcceptProxy: acceptProxy, TCPUserTimeout: millis(clientSilence)},
	})}
	if len(one.Rules) > 0 {
		hello := file.If(file.Is(file.OfRequest("req.ssl_hello_type"), file.W("1")))
		more = append(more, l.tcpRequest(models.TCPRequestRule{Type: "inspect-delay", Timeout: millis(helloDelay)}, always),
			l.tcpRequest(models.TCPRequestRule{Type: "content", Action: "accept"}, hello))
	}
	r := &rules{library: l}
	r.add(l.section(parser.Frontends, base, more...)...)
	r.clients(s)
	r.add(byName...)
	return r.ordered(frontendOrder())
}

// useByName leads the connections to a backend that ask for a server name.
func useByName(rule route.StreamRule) file.Line {
	return use(rule.Backend, file.If(file.OneOf(file.OfRequest("req.ssl_sni"), bare("-i", "-m", string(rule.Name.Match)), rule.Name.Value)))
}

// streamBackend is the model of a backend that is not HTTP.
func streamBackend(s *route.StreamBackend) *models.BackendBase {
	base := &models.BackendBase{}
	spread(base, s.Spread)
	if s.TimeoutServer > 0 {
		base.ServerTimeout = millis(s.TimeoutServer)
	}
	if s.TimeoutTunnel > 0 {
		base.TunnelTimeout = millis(s.TimeoutTunnel)
	}
	return base
}
