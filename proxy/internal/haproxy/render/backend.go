package render

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// backendSection is the section of a backend without servers. The order of its
// rules is part of what labels mean: redirects come before refusals, those
// before what changes the request.
func (l *library) backendSection(s Settings, b route.Backend) (*file.Section, error) {
	from := file.Defaults
	if b.Stream != nil {
		from = file.StreamDefaults
	}
	section := func(lines ...file.Line) *file.Section {
		return file.NewSection(s.Dir, file.KindBackend, b.Name, from, lines...)
	}
	h := b.Handling
	if h.Plain() && b.Stream == nil && !b.Sleeps {
		return section(), nil // most are
	}
	base := handlingModel(s, b)
	if b.Stream != nil {
		base, h.Extra = streamBackend(b.Stream), b.Stream.Extra
	}
	out := &rules{library: l}
	if more := tables(h.Access.Limit); len(more) > 0 || !reflect.ValueOf(*base).IsZero() {
		out.add(l.section(parser.Backends, base, more...)...)
	}
	out.handle(s, b.Name, h, b.Sleeps)
	out.checkBy(h.Spread.Check)
	out.answers(h.Access)
	if h.Extra != "" {
		out.add(file.Raw(h.Extra))
	}
	return section(out.ordered(backendOrder())...), l.failed()
}

// handlingModel is the model of a backend for HTTP.
func handlingModel(s Settings, b route.Backend) *models.BackendBase {
	h, base := b.Handling, &models.BackendBase{}
	if h.TimeoutServer > 0 {
		base.ServerTimeout = millis(h.TimeoutServer)
	}
	if h.TimeoutTunnel > 0 {
		base.TunnelTimeout = millis(h.TimeoutTunnel)
	}
	base.HTTPConnectionMode = h.ConnectionMode
	if h.CompressionAlgo != "" {
		base.Compression = &models.Compression{Algorithms: []string{h.CompressionAlgo}, Types: h.CompressionTypes}
	}
	if h.Sticky {
		base.Cookie = &models.Cookie{
			Name: pointer(cmp.Or(b.Share.Group, b.Service)), Type: "insert", Indirect: true, Nocache: true,
			Httponly: !h.Cookie.Scripts, Secure: h.Cookie.Secure,
		}
		if h.Cookie.SameSite != "" {
			base.Cookie.Attrs = []*models.Attr{{Value: "SameSite=" + h.Cookie.SameSite}}
		}
	}
	spread(base, h.Spread)
	base.HTTPReuse = s.reuseOf(h)
	return base
}

// handle writes the rules of a backend. Nobody is held, and so wakes a service, who does not
// get in.
func (r *rules) handle(s Settings, backend string, h route.Handling, sleeps bool) {
	r.redirects(s, h)
	if h.Access.AsksForClient() {
		r.client(s)
	}
	r.addresses(s, backend, h.Access)
	r.proven(h)
	if len(h.AllowedMethods) > 0 {
		r.deny(403, file.If(file.Not(methods(h.AllowedMethods))))
	}
	if len(h.DeniedMethods) > 0 {
		r.deny(403, file.If(methods(h.DeniedMethods)))
	}
	if h.DenyHTTP {
		r.deny(403, file.If(withoutTLS()))
	}
	r.maxBody(h.MaxBody)
	r.admission(s, h.Access)
	if sleeps {
		r.hold(s)
	}
	for _, a := range h.Headers {
		r.header(a)
	}
	r.rewrite(h)
}

// proven lets in who proves by a certificate to be one of those that are meant. A name with
// control characters would be more than one header.
func (r *rules) proven(h route.Handling) {
	if !h.VerifyClient {
		return
	}
	name := file.Always("ssl_c_s_dn(CN)")
	r.deny(403, file.IfAny(file.Not(file.Is(file.Always("ssl_c_used"))), file.Not(file.Is(file.Always("ssl_c_verify"), file.W("0")))))
	if len(h.Client.Names) > 0 {
		r.deny(403, file.If(file.Not(file.OneOf(name, bare("-m", "str"), h.Client.Names...))))
	}
	if h.Client.Header != "" {
		r.delAlike(h.Client.Header)
		r.deny(403, file.If(file.OneOf(name, bare("-m", "reg"), "[[:cntrl:]]")))
		r.onRequest(models.HTTPRequestRule{Type: "set-header", HdrName: h.Client.Header, HdrFormat: "%[ssl_c_s_dn(CN)]"}, always)
	}
}

func methods(list []string) file.Test {
	return file.OneOf(file.Always("method"), nil, list...)
}

// redirects sends requests on to the same place by TLS.
func (r *rules) redirects(s Settings, h route.Handling) {
	to := "https://%[var(txn.host)]"
	if s.HTTPSPort != 0 && s.HTTPSPort != 443 {
		to += ":" + strconv.Itoa(s.HTTPSPort)
	}
	proto := file.OfRequest("req.hdr(x-forwarded-proto)")
	for _, c := range []struct {
		on   bool
		test file.Test
	}{
		{h.HTTPSOnly, withoutTLS()},
		{h.RedirectHTTPProto, file.Is(proto, bare("-m", "str", "http")...)},
		{h.RedirectUnlessHTTPS, file.Not(file.Is(proto, bare("-m", "str", "https")...))},
	} {
		if c.on {
			// Without a host there is no place to send it to.
			r.deny(400, file.If(c.test, file.Not(file.Is(file.Variable("host"), bare("-m", "len", "gt", "0")...))))
			r.onRequest(models.HTTPRequestRule{
				Type: "redirect", RedirType: "prefix", RedirValue: to, RedirCode: pointer(int64(h.RedirectCode)),
			}, file.If(c.test))
		}
	}
}

// header carries out an action of a label.
func (r *rules) header(a route.HeaderAction) {
	value, when := format(a.Value), headerTest(a.If)
	if a.Verb == "del" {
		value = file.Format{}
	}
	if a.Response {
		rule := models.HTTPResponseRule{Type: a.Verb + "-header", HdrName: a.Name, HdrFormat: value.String()}
		r.add(r.response(rule, when, value).Brought(catalog.Prefix + a.Verb + "ResHeader"))
		return
	}
	r.onRequest(models.HTTPRequestRule{Type: a.Verb + "-header", HdrName: a.Name, HdrFormat: value.String()}, when, value)
}

// format makes one word of a header's value: text, and expressions from a closed set.
func format(parts []route.Part) file.Format {
	var f file.Formatter
	for _, p := range parts {
		if p.Fetch != "" {
			f.Fetch(file.Labelled(p.Fetch))
			continue
		}
		f.Text(p.Text)
	}
	return f.Format()
}

// headerTest is the condition of a header action. The path is that of which the frontend has
// kept the canonical form.
func headerTest(c *route.HeaderCondition) file.When {
	if c == nil {
		return always
	}
	test := withTLS()
	switch c.Kind {
	case "method":
		test = file.OneOf(file.Always("method"), nil, c.Value)
	case "path_beg":
		test = file.OneOf(file.Variable("path"), bare("-m", "beg"), c.Value)
	}
	if c.Unless {
		return file.Unless(test)
	}
	return file.If(test)
}

// rewrite changes the path: its canonical form, unless the service takes paths as they come.
// One that is changed by no rewrite goes on as it came, and what a rewrite leaves begins with
// a slash. The expression stands in two languages: quotes within the arguments of
// converters, and a word around it.
func (r *rules) rewrite(h route.Handling) {
	if len(h.Rewrites) == 0 {
		return
	}
	path := "path"
	if h.RawPath {
		path = "sent"
		r.set(path, "path", always)
	}
	expression := "var(txn." + path + ")"
	for _, w := range h.Rewrites {
		expression += ",regsub(" + file.Argument(w.Search) + "," + file.Argument(w.Replace)
		if w.All {
			expression += ",g"
		}
		expression += ")"
	}
	r.set("rewritten", file.Q(expression+",regsub(^/?,/)").String(), always)
	same := file.Is(file.Always("var(txn.rewritten),strcmp(txn."+path+")"), bare("eq", "0")...)
	r.onRequest(models.HTTPRequestRule{Type: "set-path", PathFmt: "%[var(txn.rewritten)]"}, file.If(found("rewritten"), file.Not(same)))
}

// serverOptions are the words behind the address of each server of a backend, but for what
// HAProxy can change while it runs.
func serverOptions(s Settings, b route.Backend) []file.Word {
	h := b.Handling
	out := spreadOptions(spreadOf(b), h.ServerName)
	if b.Stream == nil {
		out = append(out, s.poolOptions()...)
	}
	switch h.Access.SendProxy {
	case 1:
		out = append(out, file.W("send-proxy"))
	case 2:
		out = append(out, file.W("send-proxy-v2"))
	}
	if h.HTTP2 {
		out = append(out, bare("proto", "h2")...)
		if h.Spread.Check != nil {
			out = append(out, bare("check-proto", "h2")...)
		}
	}
	if h.TLS {
		out = append(out, file.W("ssl"))
		if h.HTTP2 {
			out = append(out, bare("alpn", "h2")...)
			if h.Spread.Check != nil {
				out = append(out, bare("check-alpn", "h2")...)
			}
		}
		if !h.Verify {
			out = append(out, bare("verify", "none")...)
		} else {
			ca := h.CA
			if ca != route.SystemCA {
				ca = s.SecretsDir + "/" + ca
			}
			out = append(out, bare("verify", "required", "ca-file", ca)...)
			if h.ServerName != "" {
				out = append(out, bare("verifyhost", h.ServerName)...)
			}
		}
		if h.ServerName != "" {
			out = append(out, bare("sni", "str("+h.ServerName+")")...)
		}
	}
	return slices.Clip(out)
}
