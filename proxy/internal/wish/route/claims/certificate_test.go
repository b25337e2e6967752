package claims_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// TestCertificatesForHostsOfOthers: with a file of owners no label brings a certificate for what
// the file lists for another owner, whether somebody is routed by it or not.
func TestCertificatesForHostsOfOthers(t *testing.T) {
	const file = `
stacks:
  shop: {hosts: [shop.acme.com, login.acme.com]}
  edge: {hosts: ["*.edge.example"]}
  blue: {owner: shop}
  thief: {hosts: [thief.example, "*.thief.example"]}
`
	for _, c := range []struct {
		name, service string
		names         []string
		// owner is who is told instead; empty if the service may have the certificate.
		owner, says string
	}{
		{"its own host", "thief_web", []string{"thief.example"}, "", ""},
		{"its own wildcard", "thief_web", []string{"*.thief.example"}, "", ""},
		{"what nobody is listed for", "thief_web", []string{"any.example"}, "", ""},
		{"another's host", "thief_web", []string{"login.acme.com"}, "stack shop", "the host login.acme.com"},
		{"one among its own", "thief_web", []string{"thief.example", "login.acme.com"}, "stack shop", "the host login.acme.com"},
		{"a wildcard over another's host", "thief_web", []string{"*.acme.com"}, "stack shop", "the host login.acme.com, which *.acme.com of the certificate covers,"},
		{"below another's wildcard", "thief_web", []string{"a.edge.example"}, "stack edge", "the host a.edge.example"},
		{"another's wildcard", "thief_web", []string{"*.edge.example"}, "stack edge", "the host *.edge.example"},
		{"a host that no service of the owner is routed by", "shop_certs", []string{"login.acme.com"}, "", ""},
		{"that of the stack it counts as", "blue_web", []string{"shop.acme.com"}, "", ""},
	} {
		for _, mode := range []string{"enforce", "first-come", "off"} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				svc := stacked(c.service, 1, "servicePath", "/", "serviceDomain", map[bool]string{true: "thief.example", false: "shop.acme.com"}[strings.HasPrefix(c.service, "thief")],
					"serviceCert", certtest.Self(t, c.names...).PEM())
				d := owned(t, "mode: "+mode+file).Settle([]catalog.Service{svc}, nil)
				err := d.Verdicts[0].Err
				if c.owner == "" || mode == "off" {
					if err != nil {
						t.Errorf("%v, want no error", err)
					}
					return
				}
				var owner *route.OwnerError
				if !errors.As(err, &owner) || owner.Owner != c.owner || owner.Label != "serviceCert" || !strings.HasPrefix(owner.Claim, c.says) {
					t.Errorf("%v, want a refusal of serviceCert that says %q and %q", err, c.says, c.owner)
				}
			})
		}
	}
}
