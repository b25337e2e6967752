package route

import (
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/certs"
)

// Certificate is what a service brings by its label.
type Certificate struct {
	certs.Certificate
	// Name is the first domain of the service, or its own name without one.
	Name string
}

const certificateLabel = "serviceCert"

// certificate reads serviceCert, which names no index: a service has one.
func certificate(svc catalog.Service, all label.Group, routes []Route) *Certificate {
	if !all.Has(certificateLabel) {
		return nil
	}
	c, err := certs.Parse([]byte(all.Lines(certificateLabel)))
	if err != nil {
		all.Reject(certificateLabel, `a certificate, its chain and its key as PEM, whose lines end in \n: `+err.Error())
		return nil
	}
	out := &Certificate{Certificate: c, Name: svc.Name}
	for _, r := range routes {
		if len(r.Hosts) > 0 && r.HostMatch == "" {
			out.Name = strings.TrimPrefix(r.Hosts[0], "*.")
			break
		}
	}
	return out
}

// At tells the time by which certificates are judged that are new. One that was accepted
// stays in force when it expires.
func (m *Settler) At(now time.Time) { m.now = now }

// expired returns what is wrong with a certificate that is new, nil if nothing is.
func (s *settler) expired(svc catalog.Service) error {
	wants, err := s.read(svc)
	if err != nil || wants.Certificate == nil || s.now.IsZero() {
		return nil //nolint:nilerr // what else is wrong is told by whoever admits it.
	}
	if err := wants.Certificate.Expired(s.now); err != nil {
		return label.Faults{{Label: catalog.Prefix + certificateLabel, Text: label.Show("", true), Want: "a certificate that is still valid: " + err.Error()}}
	}
	return nil
}

// BringsCertificate reports whether a service has a label with a certificate.
func BringsCertificate(svc catalog.Service) bool {
	return strings.TrimSpace(svc.Labels[catalog.Prefix+certificateLabel]) != ""
}
