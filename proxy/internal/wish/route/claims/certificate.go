package claims

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
)

// At tells the time by which certificates are judged that are new. One that was accepted
// stays in force when it expires.
func (m *Settler) At(now time.Time) { m.now = now }

// expired returns what is wrong with a certificate that is new, nil if nothing is.
func (s *settler) expired(svc catalog.Service) error {
	wants, err := s.read(svc)
	if err != nil || wants.Certificate == nil || s.now.IsZero() {
		return nil //nolint:nilerr // whoever admits it says what else is wrong.
	}
	if err := wants.Certificate.Expired(s.now); err != nil {
		return label.Faults{{Label: catalog.Prefix + labels.CertificateLabel, Text: label.Show("", true), Want: "a certificate that is still valid: " + err.Error()}}
	}
	return nil
}

// certificate checks for whom a certificate is. Names that somebody is routed by are kept from
// others where certificates are chosen; those that the file lists are their owner's also while
// nobody is.
func (a *asking) certificate(wants *route.Service) error {
	if wants.Certificate == nil || a.owner == owners.Operator {
		return nil
	}
	listed := a.file.Hosts()
	for _, name := range wants.Certificate.Names {
		owner, found := a.file.Host(name)
		if found && owner == a.owner {
			continue // a wildcard is its owner's, although names below it may be listed for others
		}
		claim := "the host " + name + ", for which the certificate is,"
		if found {
			return a.refuse(labels.CertificateLabel, claim, named(owner), fmt.Sprintf("hosts: [%q]", name))
		}
		for _, host := range slices.Sorted(maps.Keys(listed)) {
			if strings.HasPrefix(name, "*") && listed[host] != a.owner && certs.Covers(name, host) {
				return a.refuse(labels.CertificateLabel, "the host "+host+", which "+name+" of the certificate covers,", named(listed[host]), fmt.Sprintf("hosts: [%q]", host))
			}
		}
	}
	return nil
}
