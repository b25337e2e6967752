package render

import (
	"fmt"
	"strings"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/configuration"
	"github.com/haproxytech/client-native/v6/models"
)

// bind is one port of the frontend. With authorities of clients, a certificate that
// is wrong, or of another authority, is taken all the same: the services that ask for a
// certificate answer 403, and the others do not care.
func (s Settings) bind(b Bind) models.Bind {
	out := models.Bind{Port: pointer(int64(b.Port)), BindParams: models.BindParams{
		Name: fmt.Sprintf("http-%d", b.Port), AcceptProxy: b.AcceptProxy, TCPUserTimeout: millis(clientSilence),
	}}
	if !b.TLS {
		return out
	}
	out.Name, out.Ssl, out.CrtList, out.Alpn = fmt.Sprintf("https-%d", b.Port), true, quote(s.CertList), "http/1.1"
	if s.TLS.H2 {
		out.Alpn = "h2,http/1.1"
	}
	if s.TLS.CAFile != "" {
		out.SslCafile, out.Verify, out.CrtIgnoreErr, out.CaIgnoreErr = quote(s.TLS.CAFile), "optional", "all", "all"
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

// model is nil without compression.
func (c Compression) model() *models.Compression {
	if c.Algo == "" {
		return nil
	}
	return &models.Compression{Algorithms: []string{c.Algo}, Types: c.Types}
}

func errorFiles(s Settings) []*models.Errorfile {
	var out []*models.Errorfile
	for _, f := range s.ErrorFiles {
		out = append(out, &models.Errorfile{Code: int64(f.Status), File: quote(f.Path)})
	}
	return out
}

// The fields of the log, as JSON. The path comes without the query, which may hold
// what is nobody's business, and the time in UTC.
const (
	logTime = `%{+json}o %(time)[date(0,ms),ms_utime("%Y-%m-%dT%H:%M:%S.%3NZ")]`
	logJSON = logTime + ` %(client)ci %(client_port:sint)cp %(frontend)f %(backend)b %(server)s %(method)HM %(host)[var(txn.host)]` +
		` %(path)[var(txn.path)] %(version)HV %(tls)sslv %(status:sint)ST %(bytes:sint)B %(bytes_received:sint)U %(queue_ms:sint)Tw` +
		` %(connect_ms:sint)Tc %(response_ms:sint)Tr %(total_ms:sint)Ta %(retries:sint)rc %(termination)ts`
	logJSONError = logTime + ` %(client)ci %(client_port:sint)cp %(frontend)f %(error)[fc_err_str] %(tls_error)[ssl_fc_err_str]`
)

// logFormat is the line of a request; a captured User-Agent is the field
// "header_user_agent".
func (s Settings) logFormat() string {
	if s.LogFormat != "" {
		return quote(s.LogFormat)
	}
	text := logJSON
	for i, c := range s.Captures {
		text += fmt.Sprintf(" %%(header_%s)[capture.req.hdr(%d)]", strings.ToLower(strings.ReplaceAll(c.Header, "-", "_")), i)
	}
	return quote(text)
}

// logTCP is logJSON for what is not HTTP.
const logTCP = logTime + ` %(client)ci %(client_port:sint)cp %(frontend)f %(backend)b %(server)s %(bytes:sint)B %(bytes_received:sint)U` +
	` %(queue_ms:sint)Tw %(connect_ms:sint)Tc %(total_ms:sint)Tt %(retries:sint)rc %(termination)ts`

// streamLogFormat is the line of a connection that is not HTTP.
func (s Settings) streamLogFormat() string {
	if s.TCPLogFormat != "" {
		return quote(s.TCPLogFormat)
	}
	return quote(logTCP)
}

// errorLogFormat is the line of a connection that failed before there was a request,
// such as a handshake.
func (s Settings) errorLogFormat() string {
	if s.LogFormat != "" {
		return ""
	}
	return quote(logJSONError)
}

// statistics is HAProxy's page and its metrics, on a port of their own.
func statistics(w *scratch, s Statistics) {
	const name = "statistics"
	stats := &models.StatsOptions{StatsEnable: true, StatsURIPrefix: quote(s.URI)}
	if s.User != "" {
		stats.StatsAuths = []*models.StatsAuth{{User: pointer(quote(s.User)), Passwd: pointer(quote(s.Password))}}
	}
	w.section(parser.Frontends, name, &models.FrontendBase{
		Name: name, From: Defaults, DontlogNormal: enabled, Httplog: true, StatsOptions: stats,
	})
	w.add(parser.Frontends, name, "bind", configuration.SerializeBind(models.Bind{
		Port: pointer(int64(s.Port)), BindParams: models.BindParams{Name: "statistics"},
	}, w.opts))
	w.rule(parser.Frontends, name, models.HTTPRequestRule{
		Type: "use-service", ServiceName: "prometheus-exporter", Cond: "if", CondTest: "{ path /metrics }",
	})
}

// withExtra adds the operator's raw lines: to the global section behind ours, to the
// frontend before the choice of a backend, so that a rule of theirs comes first.
func withExtra(text string, s Settings) string {
	for _, extra := range []struct {
		lines  []string
		before string
	}{{s.ExtraGlobal, "\n\ndefaults "}, {s.ExtraFrontend, "\n  use_backend "}} {
		if len(extra.lines) > 0 {
			text = strings.Replace(text, extra.before, "\n  "+strings.Join(extra.lines, "\n  ")+extra.before, 1)
		}
	}
	return text
}
