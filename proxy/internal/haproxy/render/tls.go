package render

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// bind is one port of the frontend. With authorities of clients, a certificate that
// is wrong, or of another authority, is taken all the same: the services that ask for a
// certificate answer 403, and the others do not care.
func (s Settings) bind(b edge.Bind) models.Bind {
	out := models.Bind{Port: pointer(int64(b.Port)), BindParams: models.BindParams{
		Name: fmt.Sprintf("http-%d", b.Port), AcceptProxy: b.AcceptProxy && !s.choosesProxies(), TCPUserTimeout: millis(clientSilence),
	}}
	if !b.TLS {
		return out
	}
	out.Name, out.Ssl, out.CrtList, out.Alpn = fmt.Sprintf("https-%d", b.Port), true, file.Q(s.CertList).String(), "http/1.1"
	if s.TLS.H2 {
		out.Alpn = "h2,http/1.1"
	}
	if s.TLS.CAFile != "" {
		out.SslCafile, out.Verify, out.CrtIgnoreErr, out.CaIgnoreErr = file.Q(s.TLS.CAFile).String(), "optional", "all", "all"
		if s.TLS.CRLFile != "" {
			out.CrlFile = file.Q(s.TLS.CRLFile).String()
		}
	}
	return out
}

// tlsDefaults are what every port with TLS speaks.
func tlsDefaults(s Settings) *models.SslOptions {
	if s.CertList == "" {
		return nil
	}
	words := append([]string{"ssl-min-ver", s.TLS.MinVer}, s.TLS.Options...)
	if s.TLS.MaxVer != "" {
		words = append(words, "ssl-max-ver", s.TLS.MaxVer)
	}
	return &models.SslOptions{
		DefaultBindOptions: strings.Join(words, " "), DefaultBindCiphers: s.TLS.Ciphers, DefaultBindCiphersuites: s.TLS.Ciphersuites,
	}
}

// secureBinds are the ports with TLS that are open: none without certificates, and none
// that a service got before there were any, for itself alone.
func secureBinds(s Settings, listeners []route.Listener) []edge.Bind {
	if s.CertList == "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Binds), func(b edge.Bind) bool {
		return !b.TLS || slices.ContainsFunc(listeners, func(l route.Listener) bool { return l.Port == b.Port && !shares(l) })
	})
}

// shares reports whether a port may be the proxy's as well: whoever has it wants only some
// server names.
func shares(l route.Listener) bool { return l.Default == "" && len(l.Rules) > 0 }

// sharedBinds are those of the ports with TLS that are open on which TLS of some names is
// passed through.
func sharedBinds(s Settings, listeners []route.Listener) []edge.Bind {
	return slices.DeleteFunc(secureBinds(s, listeners), func(b edge.Bind) bool {
		return !slices.ContainsFunc(listeners, func(l route.Listener) bool { return l.Port == b.Port })
	})
}

// behind is the bind of a port that is shared: connections come from the frontend that looks
// at their server names, by a socket, with the client's address.
func (s Settings) behind(b edge.Bind) models.Bind {
	out := s.bind(b)
	out.Port, out.Address, out.AcceptProxy, out.TCPUserTimeout, out.Mode = nil, s.socketOf(b.Port), true, nil, "600"
	return out
}

// socketOf is the address of that socket. It lies beside that of the runtime API, where
// nobody else can reach it.
func (s Settings) socketOf(port int) string {
	return file.Socket + path.Join(path.Dir(s.StatsSocket), fmt.Sprintf("tls-%d.sock", port))
}

// terminatedBackend is the name of the backend that leads there.
func terminatedBackend(port int) string { return fmt.Sprintf("waggle_tls_%d", port) }

// terminated are those backends.
func (l *library) terminated(s Settings, listeners []route.Listener) []*file.Section {
	var out []*file.Section
	for _, b := range sharedBinds(s, listeners) {
		server := file.New(file.W("server"), file.W("tls"), file.Q(s.socketOf(b.Port)), file.W("send-proxy-v2"))
		out = append(out, file.NewSection(s.Dir, file.KindBackend, terminatedBackend(b.Port), file.StreamDefaults, server))
	}
	return out
}

// misdirected answers 421 to requests for hosts whose TLS is passed through on the port by
// which they came, so that the client opens a connection of its own for them: browsers use
// one that they have if its certificate fits.
func (r *rules) misdirected(s Settings, listeners []route.Listener) {
	for _, b := range sharedBinds(s, listeners) {
		at := slices.IndexFunc(listeners, func(l route.Listener) bool { return l.Port == b.Port })
		for rules := range slices.Chunk(listeners[at].Rules, namesPerLine) {
			for _, match := range []route.Match{route.MatchExact, route.MatchSuffix} {
				var names []string
				for _, rule := range rules {
					if rule.Name.Match == match {
						names = append(names, rule.Name.Value)
					}
				}
				if len(names) == 0 {
					continue
				}
				tests := []file.Test{
					file.Is(file.Always("so_name"), bare("-m", "str", s.bind(b).Name)...),
					file.OneOf(file.Variable("host"), bare("-m", string(match)), names...),
				}
				if match == route.MatchSuffix {
					tests = append(tests, file.Not(hosted(s, file.Variable("host"))))
				}
				r.deny(421, file.If(tests...))
			}
		}
	}
}

// namesPerLine keeps a line within HAProxy's 64 words.
const namesPerLine = 30

// hosted holds if what a fetch finds is a whole host that the proxy has routes for.
func hosted(s Settings, f file.Fetch) file.Test {
	return file.Found(f.Through("map_str(" + s.MapPath(file.HostsMap) + ")"))
}

// http3 is the port of a bind by QUIC. It has the name of that by TCP with the protocol
// behind it.
func (s Settings) http3(b edge.Bind) models.Bind {
	out := s.bind(b)
	out.Address, out.Name, out.Alpn = "quic4@", out.Name+"-h3", "h3"
	out.TCPUserTimeout = nil
	return out
}

// offersHTTP3 says whether a bind has a sibling by QUIC. QUIC knows no header of the
// PROXY protocol, and no TLS before 1.3.
func (s Settings) offersHTTP3(b edge.Bind) bool {
	return s.TLS.H3 && !b.AcceptProxy && (s.TLS.MaxVer == "" || s.TLS.MaxVer == "TLSv1.3")
}

// offerHTTP3 tells clients that came by TLS of HTTP/3, on the port that they see.
func (r *rules) offerHTTP3(s Settings, binds []edge.Bind) {
	var names []string
	for _, b := range binds {
		if s.offersHTTP3(b) {
			names = append(names, s.bind(b).Name, s.http3(b).Name)
		}
	}
	if len(names) == 0 {
		return
	}
	port := "%[dst_port]"
	if s.TLS.H3Port > 0 {
		port = fmt.Sprint(s.TLS.H3Port)
	}
	r.answerHeader("set", "alt-svc", file.Q(`h3=":`+port+`"; ma=3600`), file.If(file.OneOf(file.Always("so_name"), bare("-m", "str"), names...)))
}
