package claims

import (
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
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
