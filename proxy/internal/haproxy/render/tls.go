package render

import (
	"fmt"
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
// that a service got before there were any.
func secureBinds(s Settings, listeners []route.Listener) []edge.Bind {
	if s.CertList == "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Binds), func(b edge.Bind) bool {
		return !b.TLS || slices.ContainsFunc(listeners, func(l route.Listener) bool { return l.Port == b.Port })
	})
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
