package render

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/config-parser/types"
	"github.com/haproxytech/client-native/v6/configuration"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// StreamDefaults is the named defaults section of what is not HTTP.
const StreamDefaults = "waggle_tcp"

// helloDelay is how long a client may take to say which server name it wants.
const helloDelay = 5 * time.Second

// streams writes a frontend for each port that is not HTTP.
func streams(w *scratch, s Settings, listeners []route.Listener) {
	if len(listeners) == 0 {
		return
	}
	w.section(parser.Defaults, StreamDefaults, &models.DefaultsBase{
		Name: StreamDefaults, Mode: "tcp",
		Balance:       &models.Balance{Algorithm: pointer("roundrobin")},
		LogFormat:     s.streamLogFormat(),
		Dontlognull:   enabled,
		DontlogNormal: map[bool]string{false: enabled}[s.AccessLog],
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
	})
	w.add(parser.Defaults, StreamDefaults, "log", types.Log{Global: true})
	for _, l := range listeners {
		listener(w, l)
	}
}

func listener(w *scratch, l route.Listener) {
	name := "tcp_" + strconv.Itoa(l.Port)
	base := &models.FrontendBase{Name: name, From: StreamDefaults, DefaultBackend: l.Default}
	if l.TimeoutClient > 0 {
		base.ClientTimeout = millis(l.TimeoutClient)
	}
	if l.KeepAlive {
		base.Clitcpka = enabled
	}
	w.section(parser.Frontends, name, base)
	w.add(parser.Frontends, name, "bind", configuration.SerializeBind(models.Bind{
		Port: pointer(int64(l.Port)), BindParams: models.BindParams{Name: "tcp", TCPUserTimeout: millis(clientSilence)},
	}, w.opts))
	if len(l.Rules) == 0 {
		return
	}
	for _, r := range []models.TCPRequestRule{
		{Type: "inspect-delay", Timeout: millis(helloDelay)},
		{Type: "content", Action: "accept", Cond: "if", CondTest: "{ req.ssl_hello_type 1 }"},
	} {
		line, err := configuration.SerializeTCPRequestRule(r, w.opts)
		if err != nil {
			w.check(err)
			continue
		}
		w.add(parser.Frontends, name, "tcp-request", line)
	}
	for _, r := range l.Rules {
		test := "{ req.ssl_sni -i -m " + string(r.Name.Match) + " -- " + quote(r.Name.Value) + " }"
		w.add(parser.Frontends, name, "use_backend", types.UseBackend{Name: r.Backend, Cond: "if", CondTest: test})
	}
}

// streamBackend is the section of a backend that is not HTTP.
func streamBackend(name string, s *route.StreamBackend) *models.BackendBase {
	base := &models.BackendBase{Name: name, From: StreamDefaults}
	spread(base, s.Spread)
	if s.TimeoutServer > 0 {
		base.ServerTimeout = millis(s.TimeoutServer)
	}
	if s.TimeoutTunnel > 0 {
		base.TunnelTimeout = millis(s.TimeoutTunnel)
	}
	return base
}

// ServerName is the name of the server of an address within a backend. In one
// that several services share it tells whose it is.
func ServerName(b route.Backend, a netip.Addr) string {
	if b.Share.Group != "" {
		return b.Share.Member + ":" + a.String()
	}
	return a.String()
}

// join makes one backend of neighbours with the same name: those of a group.
func join(backends []Backend) []Backend {
	out := backends[:0]
	for _, b := range backends {
		if n := len(out); n > 0 && out[n-1].Name == b.Name {
			servers := append(out[n-1].Servers, b.Servers...)
			slices.SortFunc(servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
			out[n-1].Servers = servers
			continue
		}
		out = append(out, b)
	}
	return out
}

// checkWord has HAProxy check a server.
const checkWord = "check"

// Checked reports whether HAProxy checks a server's health.
func (s Server) Checked() bool {
	for word := range strings.FieldsSeq(s.Options) {
		if word == checkWord {
			return true
		}
	}
	return false
}
