package labels

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// redirectCodes are the statuses of redirects.
func redirectCodes() []string { return []string{"301", "302", "303", "307", "308"} }

// handling reads what the backend of one destination does.
func handling(g label.Group, o Options) route.Handling {
	h := route.Handling{
		HTTPSOnly:           g.Bool("httpsOnly", false) || o.HTTPSOnly,
		RedirectHTTPProto:   g.Bool("redirectWhenHttpProto", false),
		RedirectUnlessHTTPS: g.Bool("redirectUnlessHttpsProto", false),
		DenyHTTP:            g.Bool("denyHttp", false),
		VerifyClient:        g.Bool("verifyClientSsl", false),
		Client:              client(g),
		TimeoutServer:       timeout(g, "timeoutServer"),
		TimeoutTunnel:       timeout(g, "timeoutTunnel"),
		AllowedMethods:      guardingMethods(g, "allowedMethods"),
		DeniedMethods:       guardingMethods(g, "deniedMethods"),
		RawPath:             g.Bool("rawPath", false),
		Rewrites:            rewrites(g),
		Sticky:              g.OneOf("sessionType", "", "sticky-server") != "",
		Cookie:              cookie(g),
		HTTP2:               g.OneOf("proto", "h1", "h1", "h2") == "h2",
		MaxBody:             maxBody(g),
		ServerName:          g.Word("sslServerName", ""),
		CA:                  g.Word("sslCa", ""),
	}
	if code := g.OneOf("httpsRedirectCode", "302", redirectCodes()...); code != "" {
		h.RedirectCode, _ = strconv.Atoi(code)
	}
	if mode := g.OneOf("connectionMode", "", connectionModes()...); mode != "" {
		h.ConnectionMode = mode
	}
	for _, list := range []struct {
		names    []string
		verb     string
		response bool
	}{
		{[]string{"addReqHeader", "addHeader"}, "add", false}, {[]string{"setReqHeader", "setHeader"}, "set", false},
		{[]string{"addResHeader"}, "add", true}, {[]string{"setResHeader"}, "set", true},
		{[]string{"delReqHeader"}, "del", false}, {[]string{"delResHeader"}, "del", true},
	} {
		for _, name := range list.names {
			if g.Has(name) {
				h.Headers = append(h.Headers, headers(g, name, list.verb, list.response)...)
				break // the first name is the newer one
			}
		}
	}
	if h.CompressionAlgo = g.OneOf("compressionAlgo", "", compressionAlgos()...); h.CompressionAlgo != "" {
		h.CompressionTypes = strings.Fields(g.Text("compressionType", ""))
		for _, t := range h.CompressionTypes {
			if !mediaType.MatchString(t) {
				g.RejectText("compressionType", t, "media types such as text/plain, separated by spaces")
			}
		}
		atMost(g, "compressionType", len(h.CompressionTypes), "media types")
	}
	none := g.Bool("sslVerifyNone", false)
	h.TLS = none || h.CA != "" || h.ServerName != ""
	h.Verify = h.TLS && !none
	if h.Verify && h.CA == "" {
		h.CA = route.SystemCA
	}
	if h.CA != "" && h.CA != route.SystemCA && !fileName.MatchString(h.CA) {
		g.Reject("sslCa", "the name of a secret or file with certificates, or "+route.SystemCA)
	}
	if h.CA == route.SystemCA && h.Verify && h.ServerName == "" {
		g.Reject("sslCa", "a com.df.sslServerName beside "+route.SystemCA+": without it the certificate of anybody would do")
	}
	if h.ServerName != "" && !route.ValidHost(strings.ToLower(h.ServerName)) {
		g.Reject("sslServerName", "a host name")
	}
	h.Extra = extra(g, o)
	h.Spread = spread(g)
	return h
}

// extra reads the raw line of a backend.
func extra(g label.Group, o Options) string {
	if g.Has("backendExtra") && !o.AllowRaw {
		g.Reject("backendExtra", "nothing, unless the operator allows raw text by -allow-raw")
	}
	return g.Text("backendExtra", "")
}

var (
	// escapes are what a replacement may be: HAProxy makes any character of "\x" and two
	// digits, also one that ends a line.
	escapes   = regexp.MustCompile(`^([^\\]|\\[^xX])*$`)
	mediaType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]*/[A-Za-z0-9*][A-Za-z0-9.+*_-]*$`)
	fileName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	methodRE  = regexp.MustCompile(`^[A-Z][A-Z0-9_-]{0,31}$`)
	bodySize  = regexp.MustCompile(`^([1-9][0-9]{0,11})([kmg]?)$`)
)

// cookie reads the attributes of the cookie of sessionType.
func cookie(g label.Group) route.Cookie {
	c := route.Cookie{Secure: g.Bool("sessionSecure", false), Scripts: !g.Bool("sessionHttpOnly", true)}
	switch g.OneOf("sessionSameSite", "", "strict", "lax", "none") {
	case "strict":
		c.SameSite = "Strict"
	case "lax":
		c.SameSite = "Lax"
	case "none":
		c.SameSite = "None"
		if !c.Secure {
			g.Reject("sessionSameSite", "com.df.sessionSecure=true beside none, without which browsers drop the cookie")
		}
	}
	for _, name := range []string{"sessionSecure", "sessionSameSite", "sessionHttpOnly"} {
		if g.Has(name) && !g.Has("sessionType") {
			g.Reject(name, "a com.df.sessionType beside it, without which there is no cookie")
		}
	}
	return c
}

// mostBody is the longest body that can be asked for: more than a terabyte is no limit.
const mostBody = 1 << 40

// maxBody reads how many bytes the body of a request may have.
func maxBody(g label.Group) int64 {
	if !g.Has("maxBody") {
		return 0
	}
	m := bodySize.FindStringSubmatch(strings.ToLower(strings.TrimSpace(g.Text("maxBody", ""))))
	if m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if n <<= map[string]int{"": 0, "k": 10, "m": 20, "g": 30}[m[2]]; err == nil && n > 0 && n <= mostBody {
			return n
		}
	}
	g.Reject("maxBody", "bytes such as 65536, 512k, 10m or 1g, up to 1024g")
	return 0
}

func timeout(g label.Group, name string) time.Duration {
	return g.Seconds(name, 0, time.Millisecond, 24*24*time.Hour)
}

func methods(g label.Group, name string) []string {
	var out []string
	for _, m := range g.List(name) {
		if m = strings.ToUpper(m); !methodRE.MatchString(m) {
			g.RejectText(name, m, "methods such as GET,POST")
			continue
		}
		out = append(out, m)
	}
	atMost(g, name, len(out), "methods")
	return unique(out)
}

// guardingMethods reads a list of methods that decides who gets in. Commas alone, as variables
// that are not set leave them, are a fault, because nobody can tell whether all are meant or none.
func guardingMethods(g label.Group, name string) []string {
	if g.Blank(name) {
		g.Reject(name, "methods such as GET,POST")
	}
	return methods(g, name)
}

// headers reads a list of header actions. A comma within a value divides it, as it
// always did, so that a value with one needs another separator of lists.
func headers(g label.Group, name, verb string, response bool) []route.HeaderAction {
	var out []route.HeaderAction
	for _, text := range g.List(name) {
		a, part, want := route.ParseHeader(verb, response, text)
		if want != "" {
			g.RejectText(name, part, want)
			continue
		}
		if want := unfit(verb, strings.ToLower(a.Name), response); want != "" {
			g.RejectText(name, a.Name, want)
			continue
		}
		out = append(out, a)
	}
	return out
}

// unfit says what would be right instead of an action on a header, empty if it may be. Without
// what says how long a request is, HAProxy would send it on without its body; an answer it sends
// on until the connection ends. A request has one host.
func unfit(verb, name string, response bool) string {
	frames := name == "content-length" || name == "transfer-encoding"
	switch {
	case name == "host" && !response && verb == "add":
		return "another header: a request has one Host, which com.df.setReqHeader changes"
	case name == "host" && !response && verb == "del":
		return "another header: a task refuses a request without a Host, which com.df.setReqHeader changes"
	case verb == "del" && frames && !response:
		return "headers that do not say where the body ends"
	case verb != "del" && name != "host" && reserved(name):
		return "headers that do not belong to the connection"
	}
	return ""
}

// rewrites reads reqPathSearchReplace, "search,replace[,g]" joined by ":", and
// before it the older reqPathSearch and reqPathReplace.
func rewrites(g label.Group) []route.Rewrite {
	var out []route.Rewrite
	add := func(name, replaced string, r route.Rewrite) {
		if !route.ValidRegexp(r.Search) {
			g.RejectText(name, r.Search, "a regular expression of visible ASCII characters")
			return
		}
		if r.Replace != "" && (!route.Visible(r.Replace) || strings.ContainsAny(r.Replace, " ?#") || !escapes.MatchString(r.Replace)) {
			g.RejectText(replaced, r.Replace, `a path, with \1 for what the first group found`)
			return
		}
		out = append(out, r)
	}
	if g.Has("reqPathSearch") {
		add("reqPathSearch", "reqPathReplace", route.Rewrite{Search: g.Text("reqPathSearch", ""), Replace: g.Text("reqPathReplace", "")})
	}
	if g.Has("reqPathSearchReplace") {
		for pair := range strings.SplitSeq(g.Text("reqPathSearchReplace", ""), ":") {
			f := strings.Split(pair, ",")
			if len(f) < 2 || len(f) > 3 || len(f) == 3 && f[2] != "g" {
				g.RejectText("reqPathSearchReplace", pair, "search,replace or search,replace,g, several joined by a colon")
				continue
			}
			add("reqPathSearchReplace", "reqPathSearchReplace", route.Rewrite{Search: f[0], Replace: f[1], All: len(f) == 3})
		}
	}
	return out
}
