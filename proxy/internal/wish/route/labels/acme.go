package labels

import (
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// acme reads what a service says of certificates that are obtained for it. The labels of a
// companion of Docker Flow are not the proxy's own: what is wrong with them rejects nothing.
func acme(svc catalog.Service, all label.Group) route.ACME {
	out := route.ACME{Challenge: all.OneOf("acmeChallenge", "", "http", "dns")}
	if all.Has("acme") {
		out.Asks = route.No
		if all.Bool("acme", false) {
			out.Asks = route.Yes
		}
	}
	of := func(name string) string { return strings.TrimSpace(svc.Labels[catalog.Prefix+"letsencrypt."+name]) }
	for host := range strings.FieldsFuncSeq(of("host"), func(r rune) bool { return r == ',' || r == ' ' }) {
		out.Hosts = append(out.Hosts, strings.ToLower(host))
	}
	if email := of("email"); strings.Contains(email, "@") && !strings.ContainsAny(email, " ,;<>\"\n\r") {
		out.Email = email
	}
	out.Testing = strings.EqualFold(of("testing"), "true")
	return out
}
