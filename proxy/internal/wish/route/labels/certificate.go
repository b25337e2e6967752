package labels

import (
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// CertificateLabel is the label of a service's own certificate, without its prefix.
const CertificateLabel = "serviceCert"

// certificate reads serviceCert, which names no index: a service has one.
func certificate(svc catalog.Service, all label.Group, routes []route.Route) *route.Certificate {
	if !all.Has(CertificateLabel) {
		return nil
	}
	c, err := certs.Parse([]byte(all.Lines(CertificateLabel)))
	if err != nil {
		all.Reject(CertificateLabel, `a certificate, its chain and its key as PEM, whose lines end in \n: `+err.Error())
		return nil
	}
	out := &route.Certificate{Certificate: c, Name: svc.Name}
	for _, r := range routes {
		if len(r.Hosts) > 0 && r.HostMatch == "" {
			out.Name = strings.TrimPrefix(r.Hosts[0], "*.")
			break
		}
	}
	return out
}

// BringsCertificate reports whether a service has a label with a certificate.
func BringsCertificate(svc catalog.Service) bool {
	return strings.TrimSpace(svc.Labels[catalog.Prefix+CertificateLabel]) != ""
}
