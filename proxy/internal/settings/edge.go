package settings

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/judge"
)

// Edge are the settings of Docker Flow Proxy that say how clients are met: ports,
// TLS, statistics, logs, and what holds for all services. It has as many fields as there
// are such settings.
type Edge struct {
	DefaultPorts, BindPorts string

	EnableH2                                        bool
	SSLMinVer, SSLBindOptions, SSLCiphers, SSLSuite string
	CAFile, CRLFile                                 string

	StatsPort                               int
	StatsAddress                            string
	StatsURI                                string
	StatsUser, StatsPass                    app.Secret
	StatsUserEnv, StatsPassEnv, StatsURIEnv string

	AccessLog, Debug, DebugErrorsOnly bool
	DebugHTTPFormat, CaptureHeader    string
	ConnectionMode, HTTPReuse         string
	CompressionAlgo, CompressionType  string
	ErrorFilesDir, SecretsDir         string
	AllowRaw                          bool
	ExtraFrontend, ExtraGlobal        string
	HTTPSOnly, FilterInstance         bool
	HTTPSPort                         int
	ServiceDomainAlgo, Instance       string
	DefaultProtocol                   string
	DefaultReqMode, DebugTCPFormat    string
	Users                             users
	TerminateOnReload                 bool
}

// flags declares the flags with their defaults.
func (e *Edge) flags(fs *flag.FlagSet) {
	fs.StringVar(&e.DefaultPorts, "default-ports", judge.DefaultPorts, "ports for requests, separated by commas: 80, 443:ssl (open while there are certificates), 80 accept-proxy")
	fs.StringVar(&e.BindPorts, "bind-ports", "", "further ports, in the same form")
	fs.BoolVar(&e.EnableH2, "enable-h2", true, "offer HTTP/2 on ports with TLS")
	fs.StringVar(&e.SSLMinVer, "ssl-min-ver", edge.DefaultMinVer, "minimum TLS version: TLSv1.0 to TLSv1.3")
	fs.StringVar(&e.SSLBindOptions, "ssl-bind-options", "", "further options of TLS, separated by spaces: no-tls-tickets, prefer-client-ciphers, ssl-max-ver VERSION, no-tlsv12 and the like")
	fs.StringVar(&e.SSLCiphers, "ssl-bind-ciphers", edge.DefaultCiphers, "ciphers up to TLS 1.2, separated by colons")
	fs.StringVar(&e.SSLSuite, "ssl-bind-ciphersuites", edge.DefaultCiphersuites, "ciphers of TLS 1.3, separated by colons")
	fs.StringVar(&e.CRLFile, "ca-crl-file", "", "file with the lists of revoked client certificates, one for each authority of ca-file; read at the start, and at each reload")
	fs.StringVar(&e.CAFile, "ca-file", "", "file with the authorities of client certificates, which com.df.verifyClientSsl asks for")
	fs.IntVar(&e.StatsPort, "stats-port", judge.DefaultStatsPort, "port for HAProxy's statistics and metrics; 0 switches them off")
	fs.StringVar(&e.StatsAddress, "stats-address", app.Control, "where the statistics can be reached: control is loopback and this container's address on the control network, 0.0.0.0 is every address")
	fs.StringVar(&e.StatsURI, "stats-uri", "/", "what the path of the statistics begins with")
	fs.Var(&e.StatsUser, "stats-user", "who may see the statistics; none, with the password none: everybody who reaches the port, which is the default")
	fs.Var(&e.StatsPass, "stats-pass", "password of the statistics")
	fs.StringVar(&e.StatsUserEnv, "stats-user-env", "STATS_USER", "variable, or secret with dfp_ before it, that holds stats-user")
	fs.StringVar(&e.StatsPassEnv, "stats-pass-env", "STATS_PASS", "variable, or secret with dfp_ before it, that holds stats-pass")
	fs.StringVar(&e.StatsURIEnv, "stats-uri-env", "STATS_URI", "variable, or secret with dfp_ before it, that holds stats-uri")
	fs.BoolVar(&e.AccessLog, "access-log", false, "log every request, not only failed ones")
	fs.BoolVar(&e.Debug, "debug", false, "Docker Flow's word for access-log")
	fs.BoolVar(&e.DebugErrorsOnly, "debug-errors-only", false, "log failed requests only, whatever access-log says")
	fs.StringVar(&e.DebugHTTPFormat, "debug-http-format", "", "HAProxy's log-format of requests; empty: JSON")
	fs.StringVar(&e.DebugTCPFormat, "debug-tcp-format", "", "HAProxy's log-format of connections that are not HTTP; empty: JSON")
	fs.StringVar(&e.CaptureHeader, "capture-request-header", "", "headers of requests that the JSON log shows, with their maximum length, separated by commas: User-Agent:64")
	fs.StringVar(&e.ConnectionMode, "connection-mode", "http-keep-alive", "http-keep-alive, http-server-close or httpclose, for services that do not choose")
	fs.StringVar(&e.HTTPReuse, "http-reuse", "", "never, safe, aggressive or always: whose connections to tasks may be used for requests of other clients, for services that do not choose; empty: always, but safe where proto is h2, and with a HAProxy before 3.4; see com.df.httpReuse for the risk")
	fs.StringVar(&e.CompressionAlgo, "compression-algo", "", "gzip, deflate, raw-deflate or identity, for services that do not choose; empty: none")
	fs.StringVar(&e.CompressionType, "compression-type", "", "media types that are compressed, separated by spaces; empty: all")
	fs.StringVar(&e.ErrorFilesDir, "errorfiles-dir", "/errorfiles", "folder with answers of your own to errors: 503.http and the like, read at the start")
	fs.StringVar(&e.SecretsDir, "secrets-dir", "/run/secrets", "folder of secrets: dfp_stats_pass there stands for the variable STATS_PASS, and so for every setting")
	fs.BoolVar(&e.AllowRaw, "allow-raw", false, "admit raw text of HAProxy's language: com.df.backendExtra, extra-frontend, extra-global")
	fs.StringVar(&e.ExtraFrontend, "extra-frontend", "", "raw lines, separated by commas, for requests to all services; needs allow-raw")
	fs.StringVar(&e.ExtraGlobal, "extra-global", "", "raw lines, separated by commas, for HAProxy's global section; needs allow-raw")
	fs.BoolVar(&e.HTTPSOnly, "https-only", false, "redirect requests without TLS to https, for all services")
	fs.IntVar(&e.HTTPSPort, "https-port", 0, "the port that redirects to https name, if 443 is published by another number; 0: none is named")
	fs.StringVar(&e.ServiceDomainAlgo, "service-domain-algo", labels.DefaultDomainAlgo, "com.df.serviceDomainAlgo of services that do not choose")
	fs.BoolVar(&e.FilterInstance, "filter-proxy-instance-name", false, "serve only services whose com.df.proxyInstanceName is proxy-instance-name")
	fs.StringVar(&e.Instance, "proxy-instance-name", labels.DefaultInstance, "name of this proxy, if services choose one")
	fs.StringVar(&e.DefaultReqMode, "default-req-mode", judge.DefaultReqMode, "com.df.reqMode of services that do not choose: http, tcp or sni")
	e.Users.flags(fs)
	fs.BoolVar(&e.TerminateOnReload, "terminate-on-reload", false, "Docker Flow's word for a hard-stop-after of 1 s, whatever that says")
	fs.StringVar(&e.DefaultProtocol, "default-protocol", "http", "reqMode of services from DFP_SERVICE_* variables that do not choose")
}

// terminated is how long an old worker lives that is to end at once.
const terminated = time.Second

// settings checks the settings and adds them to those of HAProxy.
func (e *Edge) settings(s *render.Settings, environ []string) error {
	for _, add := range []func(*render.Settings) error{
		e.paths, e.ports, e.tls, e.logs, e.defaults, e.raw,
		func(s *render.Settings) (err error) { s.Statistics, err = e.statistics(environ); return err },
	} {
		if err := add(s); err != nil {
			return err
		}
	}
	if e.TerminateOnReload {
		s.HardStopAfter = terminated
	}
	return nil
}

// named puts the name of a setting in front of what is wrong with it.
func named(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// path is a setting that names a file or a folder.
type path struct{ name, text string }

// oneWord returns the fault of the first path that would not be one word of HAProxy's file.
func oneWord(paths ...path) error {
	for _, p := range paths {
		if strings.ContainsFunc(p.text, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%s: %q: want a path without spaces and control characters", p.name, p.text)
		}
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

func (e *Edge) paths(s *render.Settings) (err error) {
	if err := oneWord(path{"ca-file", e.CAFile}, path{"ca-crl-file", e.CRLFile}, path{"errorfiles-dir", e.ErrorFilesDir}, path{"secrets-dir", e.SecretsDir}); err != nil {
		return err
	}
	s.SecretsDir = e.SecretsDir
	s.ErrorFiles, err = errorFiles(e.ErrorFilesDir)
	return named("errorfiles-dir", err)
}

func (e *Edge) ports(s *render.Settings) (err error) {
	if s.HTTPSPort = e.HTTPSPort; e.HTTPSPort < 0 || e.HTTPSPort > 65535 {
		return fmt.Errorf("https-port: %d: want a port number", e.HTTPSPort)
	}
	if s.Binds, err = edge.ParseBinds(e.DefaultPorts + "," + e.BindPorts); err != nil {
		return named("default-ports and bind-ports", err)
	}
	if e.StatsPort != 0 && slices.ContainsFunc(s.Binds, func(b edge.Bind) bool { return b.Port == e.StatsPort }) {
		return fmt.Errorf("stats-port: %d is a port for requests, where statistics would be public: want another one", e.StatsPort)
	}
	return nil
}

func (e *Edge) tls(s *render.Settings) (err error) {
	if s.TLS, err = edge.ParseTLS(e.SSLMinVer, e.SSLBindOptions, e.SSLCiphers, e.SSLSuite); err != nil {
		return err
	}
	s.TLS.H2, s.TLS.CAFile, s.TLS.CRLFile = e.EnableH2, e.CAFile, e.CRLFile
	if e.CRLFile != "" && e.CAFile == "" {
		return errors.New("ca-crl-file: want a ca-file beside it, whose authorities have revoked these certificates")
	}
	return errors.Join(readable("ca-file", e.CAFile), readable("ca-crl-file", e.CRLFile))
}

func (e *Edge) logs(s *render.Settings) (err error) {
	s.AccessLog = (e.AccessLog || e.Debug) && !e.DebugErrorsOnly
	for _, format := range []struct{ name, text string }{{"debug-http-format", e.DebugHTTPFormat}, {"debug-tcp-format", e.DebugTCPFormat}} {
		if strings.ContainsFunc(format.text, control) {
			return fmt.Errorf("%s: want text on one line, without control characters", format.name)
		}
	}
	s.LogFormat, s.TCPLogFormat = e.DebugHTTPFormat, e.DebugTCPFormat
	s.Captures, err = edge.ParseCaptures(e.CaptureHeader)
	return named("capture-request-header", err)
}

// defaults are for services that do not choose.
func (e *Edge) defaults(s *render.Settings) error {
	for _, c := range []struct {
		name, text string
		right      bool
		want       string
	}{
		{"connection-mode", e.ConnectionMode, labels.ConnectionMode(e.ConnectionMode), "http-keep-alive, http-server-close or httpclose"},
		{"http-reuse", e.HTTPReuse, e.HTTPReuse == "" || labels.HTTPReuse(e.HTTPReuse), "never, safe, aggressive or always"},
		{"compression-algo", e.CompressionAlgo, e.CompressionAlgo == "" || labels.CompressionAlgo(e.CompressionAlgo), "gzip, deflate, raw-deflate or identity"},
		{"default-req-mode", e.DefaultReqMode, labels.ReqMode(e.DefaultReqMode), "http, tcp or sni"},
		{"service-domain-algo", e.ServiceDomainAlgo, labels.DomainAlgo(e.ServiceDomainAlgo), "one such as hdr(host), hdr_beg(host), hdr_dom(host) or hdr_end(host)"},
	} {
		if !c.right {
			return fmt.Errorf("%s: %q: want %s", c.name, c.text, c.want)
		}
	}
	s.ConnectionMode, s.HTTPReuse = e.ConnectionMode, e.HTTPReuse
	s.Compression = render.Compression{Algo: e.CompressionAlgo, Types: strings.FieldsFunc(e.CompressionType, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })}
	for _, t := range s.Compression.Types {
		if !labels.MediaType(t) {
			return fmt.Errorf("compression-type: %q: want media types such as text/plain, separated by spaces", t)
		}
	}
	return nil
}

func (e *Edge) raw(s *render.Settings) error {
	s.ExtraFrontend, s.ExtraGlobal = edge.RawLines(e.ExtraFrontend), edge.RawLines(e.ExtraGlobal)
	if len(s.ExtraFrontend)+len(s.ExtraGlobal) > 0 && !e.AllowRaw {
		return errors.New("extra-frontend and extra-global: raw text needs allow-raw")
	}
	return nil
}

// statistics reads who may see them, and where. The values may stand in variables or
// secrets of other names.
func (e *Edge) statistics(environ []string) (render.Statistics, error) {
	address, err := e.statsAddress()
	if err != nil {
		return render.Statistics{}, err
	}
	s := render.Statistics{Address: address, Port: e.StatsPort, URI: e.StatsURI, User: string(e.StatsUser), Password: string(e.StatsPass)}
	for _, v := range []struct {
		setting, name, usual string
		text                 *string
	}{
		{"stats-user-env", e.StatsUserEnv, "STATS_USER", &s.User},
		{"stats-pass-env", e.StatsPassEnv, "STATS_PASS", &s.Password},
		{"stats-uri-env", e.StatsURIEnv, "STATS_URI", &s.URI},
	} {
		if v.name == "" || v.name == v.usual {
			continue
		}
		text, err := e.variable(v.name, environ)
		if err != nil {
			return s, fmt.Errorf("%s: %w", v.setting, err)
		}
		*v.text = text
	}
	switch {
	case !strings.HasPrefix(s.URI, "/") || strings.ContainsFunc(s.URI, control) || strings.Contains(s.URI, " "):
		return s, fmt.Errorf("stats-uri: %q: want a path such as /admin?stats", s.URI)
	case (s.User == "") != (s.Password == ""):
		return s, errors.New("stats-user and stats-pass: want both or neither")
	case strings.ContainsFunc(s.User+s.Password, control) || strings.Contains(s.User, ":"):
		return s, errors.New("stats-user and stats-pass: want text without control characters, and a name without a colon")
	case s.User == "none" && s.Password == "none":
		s.User, s.Password = "", ""
	}
	return s, nil
}

// statsAddress is where HAProxy itself offers them. On the control network the controller does:
// a new container begins with the last good configuration, and yesterday's address in it would
// keep HAProxy from starting.
func (e *Edge) statsAddress() (string, error) {
	if e.StatsAddress == app.Control {
		return "127.0.0.1", nil
	}
	if _, err := netip.ParseAddr(e.StatsAddress); err != nil {
		return "", fmt.Errorf("stats-address: %q: want control, or an address such as 0.0.0.0", e.StatsAddress)
	}
	return e.StatsAddress, nil
}
