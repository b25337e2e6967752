package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// Edge are the settings of Docker Flow Proxy that say how clients are met: ports,
// TLS, statistics, logs, and what holds for all services.
type Edge struct {
	DefaultPorts, BindPorts string

	EnableH2                                        bool
	SSLMinVer, SSLBindOptions, SSLCiphers, SSLSuite string
	CAFile                                          string

	StatsPort                               int
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
	ServiceDomainAlgo, Instance       string
	DefaultProtocol                   string
	DefaultReqMode, DebugTCPFormat    string
	Users                             users
	TerminateOnReload                 bool
}

// flags declares the flags with their defaults.
func (e *Edge) flags(fs *flag.FlagSet) {
	fs.StringVar(&e.DefaultPorts, "default-ports", "80,443:ssl", "ports for requests, separated by commas: 80, 443:ssl (open while there are certificates), 80 accept-proxy")
	fs.StringVar(&e.BindPorts, "bind-ports", "", "further ports, in the same form")
	fs.BoolVar(&e.EnableH2, "enable-h2", true, "offer HTTP/2 on ports with TLS")
	fs.StringVar(&e.SSLMinVer, "ssl-min-ver", render.DefaultMinVer, "oldest version of TLS: TLSv1.0 to TLSv1.3")
	fs.StringVar(&e.SSLBindOptions, "ssl-bind-options", "", "further options of TLS, separated by spaces: no-tls-tickets, prefer-client-ciphers, ssl-max-ver VERSION, no-tlsv12 and the like")
	fs.StringVar(&e.SSLCiphers, "ssl-bind-ciphers", render.DefaultCiphers, "ciphers up to TLS 1.2, separated by colons")
	fs.StringVar(&e.SSLSuite, "ssl-bind-ciphersuites", render.DefaultCiphersuites, "ciphers of TLS 1.3, separated by colons")
	fs.StringVar(&e.CAFile, "ca-file", "", "file with the authorities of client certificates, which com.df.verifyClientSsl asks for")
	fs.IntVar(&e.StatsPort, "stats-port", 8404, "port for HAProxy's statistics and metrics; 0 switches them off")
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
	fs.StringVar(&e.CaptureHeader, "capture-request-header", "", "headers of requests that the JSON log shows, with their greatest length, separated by commas: User-Agent:64")
	fs.StringVar(&e.ConnectionMode, "connection-mode", "http-keep-alive", "http-keep-alive, http-server-close or httpclose, for services that do not choose")
	fs.StringVar(&e.HTTPReuse, "http-reuse", "safe", "never, safe, aggressive or always: whose connections to tasks may be used for requests of other clients, for services that do not choose; see com.df.httpReuse for the risk")
	fs.StringVar(&e.CompressionAlgo, "compression-algo", "", "gzip, deflate, raw-deflate or identity, for services that do not choose; empty: none")
	fs.StringVar(&e.CompressionType, "compression-type", "", "media types that are compressed, separated by spaces; empty: all")
	fs.StringVar(&e.ErrorFilesDir, "errorfiles-dir", "/errorfiles", "folder with answers of your own to errors: 503.http and the like, read at the start")
	fs.StringVar(&e.SecretsDir, "secrets-dir", "/run/secrets", "folder of secrets: dfp_stats_pass there stands for the variable STATS_PASS, and so for every setting")
	fs.BoolVar(&e.AllowRaw, "allow-raw", false, "admit raw text of HAProxy's language: com.df.backendExtra, extra-frontend, extra-global")
	fs.StringVar(&e.ExtraFrontend, "extra-frontend", "", "raw lines, separated by commas, for requests to all services; needs allow-raw")
	fs.StringVar(&e.ExtraGlobal, "extra-global", "", "raw lines, separated by commas, for HAProxy's global section; needs allow-raw")
	fs.BoolVar(&e.HTTPSOnly, "https-only", false, "redirect requests without TLS to https, for all services")
	fs.StringVar(&e.ServiceDomainAlgo, "service-domain-algo", labels.DefaultDomainAlgo, "com.df.serviceDomainAlgo of services that do not choose")
	fs.BoolVar(&e.FilterInstance, "filter-proxy-instance-name", false, "serve only services whose com.df.proxyInstanceName is proxy-instance-name")
	fs.StringVar(&e.Instance, "proxy-instance-name", "docker-flow", "name of this proxy, if services choose one")
	fs.StringVar(&e.DefaultReqMode, "default-req-mode", "http", "com.df.reqMode of services that do not choose: http, tcp or sni")
	e.Users.flags(fs)
	fs.BoolVar(&e.TerminateOnReload, "terminate-on-reload", false, "Docker Flow's word for a hard-stop-after of 1 s, whatever that says")
	fs.StringVar(&e.DefaultProtocol, "default-protocol", "http", "reqMode of services from DFP_SERVICE_* variables that do not choose")
}

// terminated is how long an old worker lives that is to end at once.
const terminated = time.Second

// settings checks the settings and adds them to those of HAProxy.
func (e *Edge) settings(s *render.Settings, environ []string) error {
	// fail names the setting in front of what is wrong with it.
	fail := func(name string, err error) error { return fmt.Errorf("%s: %w", name, err) }
	var err error
	if s.Binds, err = render.ParseBinds(e.DefaultPorts + "," + e.BindPorts); err != nil {
		return fail("default-ports and bind-ports", err)
	}
	if e.StatsPort != 0 && slices.ContainsFunc(s.Binds, func(b render.Bind) bool { return b.Port == e.StatsPort }) {
		return fmt.Errorf("stats-port: %d is a port for requests, where statistics would be public: want another one", e.StatsPort)
	}
	if s.TLS, err = render.ParseTLS(e.SSLMinVer, e.SSLBindOptions, e.SSLCiphers, e.SSLSuite); err != nil {
		return err
	}
	for name, path := range map[string]string{"ca-file": e.CAFile, "errorfiles-dir": e.ErrorFilesDir, "secrets-dir": e.SecretsDir} {
		if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("%s: %q: want a path without spaces and control characters", name, path)
		}
	}
	s.TLS.H2, s.TLS.CAFile = e.EnableH2, e.CAFile
	if e.CAFile != "" {
		if _, err := os.ReadFile(e.CAFile); err != nil {
			return fail("ca-file", err)
		}
	}
	if s.Statistics, err = e.statistics(environ); err != nil {
		return err
	}
	s.AccessLog = (e.AccessLog || e.Debug) && !e.DebugErrorsOnly
	for name, text := range map[string]string{"debug-http-format": e.DebugHTTPFormat, "debug-tcp-format": e.DebugTCPFormat} {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%s: want text on one line, without control characters", name)
		}
	}
	s.LogFormat, s.TCPLogFormat = e.DebugHTTPFormat, e.DebugTCPFormat
	if s.Captures, err = render.ParseCaptures(e.CaptureHeader); err != nil {
		return fail("capture-request-header", err)
	}
	if !labels.ConnectionMode(e.ConnectionMode) {
		return fmt.Errorf("connection-mode: %q: want http-keep-alive, http-server-close or httpclose", e.ConnectionMode)
	}
	s.ConnectionMode = e.ConnectionMode
	if !labels.HTTPReuse(e.HTTPReuse) {
		return fmt.Errorf("http-reuse: %q: want never, safe, aggressive or always", e.HTTPReuse)
	}
	s.HTTPReuse = e.HTTPReuse
	s.Compression = render.Compression{Algo: e.CompressionAlgo, Types: strings.Fields(strings.ReplaceAll(e.CompressionType, ",", " "))}
	if e.CompressionAlgo != "" && !labels.CompressionAlgo(e.CompressionAlgo) {
		return fmt.Errorf("compression-algo: %q: want gzip, deflate, raw-deflate or identity", e.CompressionAlgo)
	}
	for _, t := range s.Compression.Types {
		if !labels.MediaType(t) {
			return fmt.Errorf("compression-type: %q: want media types such as text/plain, separated by spaces", t)
		}
	}
	if s.ErrorFiles, err = errorFiles(e.ErrorFilesDir); err != nil {
		return fail("errorfiles-dir", err)
	}
	s.SecretsDir = e.SecretsDir
	if e.TerminateOnReload {
		s.HardStopAfter = terminated
	}
	s.ExtraFrontend, s.ExtraGlobal = render.RawLines(e.ExtraFrontend), render.RawLines(e.ExtraGlobal)
	if len(s.ExtraFrontend)+len(s.ExtraGlobal) > 0 && !e.AllowRaw {
		return errors.New("extra-frontend and extra-global: raw text needs allow-raw")
	}
	if !labels.ReqMode(e.DefaultReqMode) {
		return fmt.Errorf("default-req-mode: %q: want http, tcp or sni", e.DefaultReqMode)
	}
	if !labels.DomainAlgo(e.ServiceDomainAlgo) {
		return fmt.Errorf("service-domain-algo: %q: want one such as hdr(host), hdr_beg(host), hdr_dom(host) or hdr_end(host)", e.ServiceDomainAlgo)
	}
	return nil
}

// statistics reads who may see them, and where. The values may stand in variables or
// secrets of other names.
func (e *Edge) statistics(environ []string) (render.Statistics, error) {
	s := render.Statistics{Port: e.StatsPort, URI: e.StatsURI, User: string(e.StatsUser), Password: string(e.StatsPass)}
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
		text, err := e.named(v.name, environ)
		if err != nil {
			return s, fmt.Errorf("%s: %w", v.setting, err)
		}
		*v.text = text
	}
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
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

// named returns the text of a variable, or of the secret of its name.
func (e *Edge) named(variable string, environ []string) (string, error) {
	text, ok, err := app.ReadSecret(e.SecretsDir, "dfp_"+strings.ToLower(filepath.Base(variable)))
	if err != nil || ok {
		return text, err
	}
	for _, entry := range environ {
		if text, ok := strings.CutPrefix(entry, variable+"="); ok {
			return text, nil
		}
	}
	return "", fmt.Errorf("there is neither a variable %s nor a secret dfp_%s", variable, strings.ToLower(variable))
}

// maxErrorFile is well below the buffer in which HAProxy keeps an answer, in bytes.
const maxErrorFile = 14 << 10

// errorFiles are the answers in a folder. One that HAProxy would refuse is an error at
// the start, because afterwards it would hold up every change.
func errorFiles(dir string) ([]render.ErrorFile, error) {
	var out []render.ErrorFile
	for _, status := range render.ErrorStatuses() {
		path := filepath.Join(dir, strconv.Itoa(status)+".http")
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(content)), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		if err == nil && len(content) > maxErrorFile {
			err = fmt.Errorf("it has %d bytes, and %d are the most", len(content), maxErrorFile)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: want an answer of HTTP, status line and headers first: %w", path, err)
		}
		out = append(out, render.ErrorFile{Status: status, Path: path})
	}
	return out, nil
}

// routeOptions are what labels are read with.
func (c *Config) routeOptions(s render.Settings, admin string) labels.Options {
	o := labels.Options{
		Ports:     c.ports(s, admin),
		Separator: c.Separator, Networks: c.networks(), DomainAlgo: c.Edge.ServiceDomainAlgo,
		HTTPSOnly: c.Edge.HTTPSOnly, AllowRaw: c.Edge.AllowRaw, ReqMode: c.Edge.DefaultReqMode, OperatorUsers: len(s.Users) > 0,
	}
	for _, b := range s.Binds {
		o.EntryPorts = append(o.EntryPorts, b.Port)
	}
	if c.Edge.FilterInstance {
		o.Instance = c.Edge.Instance
	}
	return o
}

// static are the services of DFP_SERVICE_* variables.
func (c *Config) static() []static.Service {
	return static.Services(c.Environ, static.Options{Separator: c.Separator, Networks: c.networks(), Protocol: c.Edge.DefaultProtocol})
}
