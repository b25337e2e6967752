package plan

import (
	"slices"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

// diffCertificates plans additions and replacements before removals, so that no name is
// without one meanwhile. Frames that are equal have certificates both, or neither.
func (p *Plan) diffCertificates(have, want []file.Certificate) {
	old := make(map[string]file.Certificate, len(have))
	for _, c := range have {
		old[c.File] = c
	}
	change := func(verb string, c file.Certificate) {
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
