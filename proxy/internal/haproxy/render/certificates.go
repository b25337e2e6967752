package render

import (
	"fmt"
	"path"
	"slices"
	"strings"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/configuration"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Certificate is one that HAProxy has by a name of its own.
type Certificate struct {
	// File is the name of its file in the folder of certificates.
	File string
	// PEM is the certificate, its chain and its key.
	PEM string
	// Only are the hosts that it is served for; nil means all that stand in it.
	Only []string
}

// The files of certificates, in Settings.Dir.
const (
	// CertList is the list of what is served, CertDir the folder where that lies.
	CertList = "certs.list"
	CertDir  = "certs"
	// DefaultCert is what clients get whose name no certificate has: a copy, so that
	// another can take its place at run time, which HAProxy refuses for an entry of
	// its list.
	DefaultCert = "=default"
)

// noName is the filter of an entry that fits no name.
const noName = "!*"

// List is the text of the list of certificates, whose files lie below dir.
func List(certificates []Certificate, dir string) string {
	var b strings.Builder
	for _, c := range certificates {
		b.WriteString(c.Line(dir) + "\n")
	}
	return b.String()
}

// Line is the entry of a certificate in the list.
func (c Certificate) Line(dir string) string {
	return strings.Join(append([]string{c.Path(dir)}, c.Only...), " ")
}

// Path is the path of a certificate, by which the runtime API knows it.
func (c Certificate) Path(dir string) string { return path.Join(dir, CertDir, c.File) }

// ParseList reads what List wrote, without the certificates themselves.
func ParseList(text, dir string) []Certificate {
	var out []Certificate
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		file, ok := strings.CutPrefix(f[0], path.Join(dir, CertDir)+"/")
		if !ok {
			continue
		}
		c := Certificate{File: file}
		if len(f) > 1 {
			c.Only = f[1:]
		}
		out = append(out, c)
	}
	return out
}

// Certify makes the certificates part of what is rendered; the first is the default. With
// the first one the ports with TLS open, after the last one they close.
func (r *Renderer) Certify(certificates []Certificate) {
	list := ""
	if len(certificates) > 0 {
		list = path.Join(r.settings.Dir, CertList)
		certificates = slices.Concat([]Certificate{{File: DefaultCert, PEM: certificates[0].PEM, Only: []string{noName}}}, certificates)
	}
	if list != r.settings.CertList {
		r.settings.CertList, r.dirty = list, true
	}
	r.certificates = certificates
}

// CertificateChange is what is done with one certificate: add, set or del, or list if
// only its hosts change.
type CertificateChange struct {
	Verb string
	Certificate
}

// maxRuntime is the largest certificate that the runtime API takes, in bytes: a command
// must fit into HAProxy's buffer of 16 kB.
const maxRuntime = 15 << 10

// Large reports whether a certificate can be put in force by a reload alone.
func (c Certificate) Large() bool { return len(c.PEM) > maxRuntime }

// diffCertificates plans additions and replacements before removals, so that no name is
// without one meanwhile. Frames that are equal have certificates both, or neither.
func (p *Plan) diffCertificates(have, want []Certificate) {
	old := make(map[string]Certificate, len(have))
	for _, c := range have {
		old[c.File] = c
	}
	change := func(verb string, c Certificate) {
		if c.Large() && verb != "del" && verb != "list" {
			p.Reload = "certificate"
		}
		p.Certificates = append(p.Certificates, CertificateChange{verb, c})
	}
	for _, c := range want {
		before, ok := old[c.File]
		delete(old, c.File)
		switch {
		case !ok:
			change("add", c)
			continue
		case before.PEM != c.PEM:
			change("set", c)
		}
		if !slices.Equal(before.Only, c.Only) {
			change("list", c)
		}
	}
	for _, c := range have {
		if _, ok := old[c.File]; ok {
			change("del", c)
		}
	}
	if p.Reload != "" {
		*p = Plan{Reload: p.Reload}
	}
}

// secureBinds are the ports with TLS that are open: none without certificates, and none
// that a service got before there were any.
func secureBinds(s Settings, listeners []route.Listener) []Bind {
	if s.CertList == "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Binds), func(b Bind) bool {
		return !b.TLS || slices.ContainsFunc(listeners, func(l route.Listener) bool { return l.Port == b.Port })
	})
}

// SecurePorts are the ports on which the proxy itself speaks TLS while there are
// certificates.
func (s Settings) SecurePorts() []int {
	var out []int
	for _, b := range s.Binds {
		if b.TLS {
			out = append(out, b.Port)
		}
	}
	return out
}

// http3 is the port of a bind by QUIC. It has the name of that by TCP with the protocol
// behind it.
func (s Settings) http3(b Bind) models.Bind {
	out := s.bind(b)
	out.Address, out.Name, out.Alpn = "quic4@", out.Name+"-h3", "h3"
	out.TCPUserTimeout = nil
	return out
}

// offersHTTP3 says whether a bind has a sibling by QUIC. QUIC knows no header of the
// PROXY protocol, and no TLS before 1.3.
func (s Settings) offersHTTP3(b Bind) bool {
	return s.TLS.H3 && !b.AcceptProxy && (s.TLS.MaxVer == "" || s.TLS.MaxVer == "TLSv1.3")
}

// alternative tells clients that came by TLS of HTTP/3, on the port that they see.
func alternative(w *scratch, frontend string, s Settings, binds []Bind) {
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
	line, err := configuration.SerializeHTTPAfterRule(models.HTTPAfterResponseRule{
		Type: "set-header", HdrName: "alt-svc", HdrFormat: quote(`h3=":` + port + `"; ma=3600`),
		Cond: "if", CondTest: "{ so_name -m str -- " + strings.Join(names, " ") + " }",
	})
	if err != nil {
		w.check(err)
		return
	}
	w.add(parser.Frontends, frontend, "http-after-response", line)
}
