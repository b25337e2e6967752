package file

import (
	"path"
	"strings"
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

// The files of certificates, in the folder of the configuration.
const (
	// CertList is the list of what is served, CertDir the folder where that lies.
	CertList = "certs.list"
	CertDir  = "certs"
	// DefaultCert is what clients get whose name no certificate has: a copy, so that
	// another can take its place at run time, which HAProxy refuses for an entry of
	// its list.
	DefaultCert = "=default"
)

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
		name, ok := strings.CutPrefix(f[0], path.Join(dir, CertDir)+"/")
		if !ok {
			continue
		}
		c := Certificate{File: name}
		if len(f) > 1 {
			c.Only = f[1:]
		}
		out = append(out, c)
	}
	return out
}

// maxRuntime is the largest certificate that the runtime API takes, in bytes: a command
// must fit into HAProxy's buffer of 16 kB.
const maxRuntime = 15 << 10

// Large reports whether a certificate can be put in force by a reload alone.
func (c Certificate) Large() bool { return len(c.PEM) > maxRuntime }
