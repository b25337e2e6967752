package labels

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// forwardAuth reads whom to ask, nil if nobody.
func forwardAuth(svc catalog.Service, g label.Group, o Options) *route.ForwardAuth {
	if !g.Has("forwardAuth") {
		if g.Has("forwardAuthHeaders") {
			g.Reject("forwardAuthHeaders", "a com.df.forwardAuth beside it, without which it means nothing")
		}
		return nil
	}
	f := &route.ForwardAuth{URL: g.Word("forwardAuth", "")}
	u, err := url.Parse(f.URL)
	switch {
	case err == nil && u.User != nil:
		// Its password must not be shown.
		g.RejectText("forwardAuth", u.Redacted(), "a URL without a user, whom the service would not be told")
	case err != nil, !route.Visible(f.URL), u.Scheme != "http", u.Fragment != "", !authHost(u):
		g.Reject("forwardAuth", "a URL such as http://auth:4181/verify, whose host is a service or an address")
	default:
		if why := o.mayAsk(svc, u.Hostname()); why != "" {
			g.Reject("forwardAuth", outsideOnly+why)
		}
		f.Host, f.Port, f.Anywhere = strings.ToLower(u.Hostname()), 80, o.isOperators(svc)
		if port := u.Port(); port != "" {
			f.Port, _ = strconv.Atoi(port) // authHost has seen that it is a number
		}
		if !f.Anywhere && !OfSwarm(f.Host) {
			f.Only = networks(o.Outbound.Only(f.Host))
		}
		if u.Path == "" {
			u.Path = "/"
			f.URL = u.String()
		}
	}
	var list []string
	for _, name := range g.List("forwardAuthHeaders") {
		name = strings.ToLower(name)
		if !route.Token(name) || reserved(name) {
			g.RejectText("forwardAuthHeaders", name, "names of headers such as X-User, which do not belong to the connection")
			continue
		}
		list = append(list, name)
	}
	atMost(g, "forwardAuthHeaders", len(list), "headers")
	f.Headers = strings.Join(unique(list), " ")
	if g.Bool("ignoreAuthorization", false) {
		return nil
	}
	return f
}

// mayAsk returns why a service may not ask a host, empty if it may. A name without a dot is
// that of a service, which the operator's list does not concern.
func (o Options) mayAsk(svc catalog.Service, host string) string {
	if OfSwarm(host) {
		return ""
	}
	addr, _ := netip.ParseAddr(host)
	return o.mayName(svc, host, addr)
}

// OfSwarm reports whether a host is the name of a service.
func OfSwarm(host string) bool {
	return !strings.ContainsAny(host, ".:") && !strings.EqualFold(host, "localhost")
}

// networks writes them as words.
func networks(all []netip.Prefix) string {
	words := make([]string, len(all))
	for i, p := range all {
		words[i] = p.String()
	}
	return strings.Join(words, " ")
}

// authHost checks host and port of a URL.
func authHost(u *url.URL) bool {
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 1<<16-1 {
			return false
		}
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return a.Zone() == ""
	}
	return route.ValidHost(strings.ToLower(u.Hostname()))
}

// reserved headers frame a message or lead it; they are not for a label, or an auth service,
// to set.
func reserved(name string) bool {
	switch name {
	case "host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive", "proxy-connection":
		return true
	}
	return false
}
