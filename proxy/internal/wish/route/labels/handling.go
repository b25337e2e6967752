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
		TimeoutServer:       timeout(g, "timeoutServer"),
		TimeoutTunnel:       timeout(g, "timeoutTunnel"),
		AllowedMethods:      methods(g, "allowedMethods"),
		DeniedMethods:       methods(g, "deniedMethods"),
		Rewrites:            rewrites(g),
		Sticky:              g.OneOf("sessionType", "", "sticky-server") != "",
		ServerName:          g.Word("sslServerName", ""),
		CA:                  g.Word("sslCa", ""),
	}
	if code := g.OneOf("httpsRedirectCode", "302", redirectCodes()...); code != "" {
		h.RedirectCode, _ = strconv.Atoi(code)
	}
	if mode := g.OneOf("connectionMode", "", "http-keep-alive", "http-server-close", "httpclose"); mode != "" {
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
	if h.CompressionAlgo = g.OneOf("compressionAlgo", "", "gzip", "deflate", "raw-deflate", "identity"); h.CompressionAlgo != "" {
		h.CompressionTypes = strings.Fields(g.Text("compressionType", ""))
		for _, t := range h.CompressionTypes {
			if !mediaType.MatchString(t) {
				g.RejectText("compressionType", t, "media types such as text/plain, separated by spaces")
			}
		}
		if len(h.CompressionTypes) > mostValues {
			g.Reject("compressionType", "at most 40 media types")
		}
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
	if h.ServerName != "" && !validHost(strings.ToLower(h.ServerName)) {
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
	mediaType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]*/[A-Za-z0-9*][A-Za-z0-9.+*_-]*$`)
	fileName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	methodRE  = regexp.MustCompile(`^[A-Z]{1,32}$`)
	fetchRE   = regexp.MustCompile(`^(dst_port|src|src_port|ssl_fc_sni|unique-id|req\.hdr\([A-Za-z0-9_-]+\))$`)
)

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
	if len(out) > mostValues {
		g.Reject(name, "at most 40 methods")
	}
	return unique(out)
}

// headers reads a list of header actions. A comma within a value divides it, as it
// always did, so that a value with one needs another separator of lists.
func headers(g label.Group, name, verb string, response bool) []route.HeaderAction {
	var out []route.HeaderAction
	for _, text := range g.List(name) {
		want := `headers such as "X-Name value", with conditions such as "if { ssl_fc }"`
		a := route.HeaderAction{Verb: verb, Response: response}
		text, cond, ok := cutCondition(text)
		if !ok {
			g.RejectText(name, cond, "one of: if|unless { ssl_fc }, { method NAME }, { path_beg TEXT }")
			continue
		}
		a.If = parseCondition(cond)
		header, value, _ := strings.Cut(strings.TrimSpace(text), " ")
		value = strings.TrimSpace(value)
		if !route.Token(header) || (verb == "del") != (value == "") {
			g.RejectText(name, text, want)
			continue
		}
		a.Name = header
		if verb != "del" {
			if a.Value, ok = format(unquote(value)); !ok {
				g.RejectText(name, value, "text with %[dst_port] %[src] %[src_port] %[req.hdr(Name)] %[ssl_fc_sni] %[unique-id]")
				continue
			}
		}
		out = append(out, a)
	}
	return out
}

// unquote takes off the quotes that a value of several words needed in HAProxy's own language.
func unquote(text string) string {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1]
	}
	return text
}

var conditionRE = regexp.MustCompile(`^(.*?)\s+((if|unless)\s+\{\s*(ssl_fc|method\s+[A-Z]{1,32}|path_beg\s+/[!-|~]*)\s*\})$`)

// cutCondition takes the condition off a header action. It is not ok if there is
// one that is not understood, which is then the second result.
func cutCondition(text string) (rest, cond string, ok bool) {
	text = strings.TrimSpace(text)
	if m := conditionRE.FindStringSubmatch(text); m != nil {
		return m[1], m[2], true
	}
	for _, word := range []string{" if ", " unless "} {
		if i := strings.LastIndex(text, word); i >= 0 && strings.ContainsAny(text[i:], "{}") {
			return text[:i], strings.TrimSpace(text[i:]), false
		}
	}
	return text, "", true
}

func parseCondition(text string) *route.HeaderCondition {
	if text == "" {
		return nil
	}
	f := strings.Fields(strings.NewReplacer("{", " ", "}", " ").Replace(text))
	c := &route.HeaderCondition{Unless: f[0] == "unless", Kind: f[1]}
	if len(f) > 2 {
		c.Value = f[2]
	}
	return c
}

// format reads a value with the expressions that are allowed in it.
func format(text string) ([]route.Part, bool) {
	if !route.Visible(text) {
		return nil, false
	}
	var out []route.Part
	for text != "" {
		i := strings.Index(text, "%[")
		if i < 0 {
			return append(out, route.Part{Text: text}), true
		}
		if i > 0 {
			out = append(out, route.Part{Text: text[:i]})
		}
		end := strings.IndexByte(text[i:], ']')
		if end < 0 || !fetchRE.MatchString(text[i+2:i+end]) {
			return nil, false
		}
		out = append(out, route.Part{Fetch: text[i+2 : i+end]})
		text = text[i+end+1:]
	}
	return out, true
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
		if r.Replace != "" && (!route.Visible(r.Replace) || strings.ContainsAny(r.Replace, " ?#")) {
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
