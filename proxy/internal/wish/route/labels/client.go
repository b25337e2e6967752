package labels

import (
	"strings"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// longestName is how long a common name may be (RFC 5280, ub-common-name).
const longestName = 64

// client reads whose certificates are meant.
func client(g label.Group) route.Client {
	c := route.Client{Names: g.List("clientNames"), Header: strings.ToLower(g.Word("clientHeader", ""))}
	if len(c.Names) == 0 && g.Blank("clientNames") {
		g.Reject("clientNames", "names such as shop,billing")
	}
	atMost(g, "clientNames", len(c.Names), "names")
	for _, name := range c.Names {
		if len(name) > longestName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '{' || r == '}' }) {
			g.RejectText("clientNames", name, "the common name of a certificate's subject, of at most 64 bytes, without braces, by which HAProxy ends a condition")
		}
	}
	if g.Has("clientHeader") && (!route.Token(c.Header) || reserved(c.Header) || c.Header == "authorization") {
		g.Reject("clientHeader", "the name of a header such as X-Client-Name, which does not belong to the connection")
	}
	for _, name := range []string{"clientNames", "clientHeader"} {
		if g.Has(name) && !g.Bool("verifyClientSsl", false) {
			g.Reject(name, "com.df.verifyClientSsl=true beside it, without which nobody proves a name")
		}
	}
	return c
}
