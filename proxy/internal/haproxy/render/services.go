package render

import (
	"net/netip"
	"slices"
	"strings"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// serviceLines are the frontend in which requests find their backend; see route.Tables.
func (l *library) serviceLines(s Settings, t route.Tables) []file.Line {
	base := &models.FrontendBase{DefaultBackend: file.NoBackend, LogFormat: s.logFormat(), ErrorLogFormat: s.errorLogFormat(), UniqueIDFormat: "%[uuid]"}
	if len(s.TrustedProxies) > 0 {
		base.Forwardfor = &models.Forwardfor{Enabled: pointer(enabled)}
	}
	binds := l.binds(s, t.Listeners)
	// Without a port, as with TLS alone and no certificate yet, HAProxy warns of a frontend
	// that is not disabled; its tables are there all the same.
	base.Disabled = len(binds) == 0
	r := &rules{library: l}
	r.add(l.section(parser.Frontends, base, binds...)...)
	r.offerHTTP3(s, secureBinds(s, t.Listeners))
	for _, c := range s.Captures {
		r.onRequest(models.HTTPRequestRule{Type: "capture", CaptureSample: "req.hdr(" + c.Header + ")", CaptureLen: int64(c.Len)}, always)
	}
	r.paths()
	r.set("host", "req.fhdr(host),host_only,rtrim(.),lower", always)
	if len(t.Redirects) > 0 {
		r.otherHosts(s)
	}
	r.lookUp(s, "path", "backend")
	r.ambiguous(s, t.RawPaths)
	r.forwarded(s)
	// A request that may have been worked on must not be sent again.
	r.onRequest(models.HTTPRequestRule{Type: "disable-l7-retry"},
		file.Unless(file.Is(file.Always("method"), bare("GET", "HEAD", "OPTIONS")...)))
	r.chains(t.Chains)
	r.add(rawLines(s.ExtraFrontend)...)
	r.lead(t.Chains, t.RawPaths)
	return r.ordered(frontendOrder())
}

// otherHosts sends requests on from one host to another, by the scheme and to the port by
// which they came. Behind a trusted proxy it knows the scheme.
func (r *rules) otherHosts(s Settings) {
	r.set("to", "var(txn.host),map_str("+s.MapPath(file.RedirectsMap)+")", always)
	r.set("port", "req.fhdr(host),port_only", always)
	r.set("proto", "ssl_fc,iif(https,http)", always)
	for _, proto := range []string{"http", "https"} {
		if len(s.TrustedProxies) > 0 {
			said := file.Is(file.OfRequest("req.hdr(x-forwarded-proto)"), bare("-m", "str", "-i", proto)...)
			r.set("proto", "str("+proto+")", file.If(trusted(s.TrustedProxies), said))
		}
	}
	named := file.Is(file.Variable("port"), bare("-m", "int", "gt", "0")...)
	for _, c := range []struct {
		to   string
		when file.When
	}{
		{"%[var(txn.proto)]://%[var(txn.to)]:%[var(txn.port)]", file.If(found("to"), named)},
		{"%[var(txn.proto)]://%[var(txn.to)]", file.If(found("to"))},
	} {
		r.onRequest(models.HTTPRequestRule{Type: "redirect", RedirType: "prefix", RedirValue: c.to, RedirCode: pointer(int64(301))}, c.when)
	}
}

// lookUp finds the backend of the path in one variable, and writes it into another. Each expression that finds nothing leaves the variable as it is.
// A host of its own has in its class what the wildcards that cover it have.
func (r *rules) lookUp(s Settings, path, into string, tests ...file.Test) {
	find := ",concat(,txn." + path + "),map_beg(" + s.MapPath(file.PathsMap) + ")"
	missing := file.If(append(tests, file.Not(found(into)))...)
	when := always
	if len(tests) > 0 {
		when = file.If(tests...)
	} else {
		missing = file.Unless(found(into))
	}
	r.set(into, "var(txn.host),map_str("+s.MapPath(file.HostsMap)+")"+find, when)
	r.set(into, "var(txn.host),map_end("+s.MapPath(file.WildcardsMap)+")"+find, missing)
	r.set(into, "var(txn."+path+"),map_beg("+s.MapPath(file.PathsMap)+")", missing)
}

// forwarded tells tasks who asked, and how.
func (r *rules) forwarded(s Settings) {
	strangers := always
	if len(s.TrustedProxies) == 0 {
		r.onRequest(models.HTTPRequestRule{Type: "set-header", HdrName: "x-forwarded-for", HdrFormat: "%[src]"}, always)
	} else {
		strangers = file.Unless(trusted(s.TrustedProxies))
		// What HAProxy adds comes behind what they say.
		r.del("x-forwarded-for", strangers)
	}
	r.onRequest(models.HTTPRequestRule{Type: "set-header", HdrName: "x-forwarded-proto", HdrFormat: "%[ssl_fc,iif(https,http)]"}, strangers)
}

// trusted holds for clients that are among the trusted proxies.
func trusted(list []netip.Prefix) file.Test { return file.Is(file.Always("src"), prefixes(list)...) }

// chains tells what of a look-up is a chain, and what the backend behind it.
func (r *rules) chains(chains []route.Chain) {
	if len(chains) == 0 {
		return
	}
	is := file.Is(file.Variable("backend"), bare("-m", "beg", route.ChainMark)...)
	r.set("chain", "var(txn.backend),field(1,"+route.ChainEnd+")", file.If(is))
	r.set("backend", "var(txn.backend),field(2,"+route.ChainEnd+")", file.If(found("chain")))
}

// lead leads to the backend: that of the first step whose conditions hold, else the one
// that the look-up has found. What has no chain, as most have not, goes before all steps,
// none of which is compared with its request.
func (r *rules) lead(chains []route.Chain, rawPaths []string) {
	if len(chains) > 0 {
		r.add(r.use("%[var(txn.backend)]", file.If(found("backend"), file.Not(found("chain")))))
	}
	for _, c := range chains {
		is := file.Is(file.Variable("chain"), bare("-m", "str", c.Name)...)
		if !slices.ContainsFunc(rawPaths, func(value string) bool { return strings.HasPrefix(value, c.Name+route.ChainEnd) }) {
			r.ambiguousSteps(is, c)
		}
		for _, step := range c.Steps {
			tests := []file.Test{is}
			for _, cond := range step.If {
				tests = append(tests, test(cond, "path"))
			}
			r.add(r.use(step.Backend, file.If(tests...)).Brought(longest(step.If)))
		}
	}
	r.add(r.use("%[var(txn.backend)]", file.If(found("backend"))))
}

// test is a condition of a route; path is the variable with the request's path.
func test(c route.Condition, path string) file.Test {
	how := bare("-m", string(c.Match))
	if c.IgnoreCase {
		how = append(how, file.W("-i"))
	}
	t := file.OneOf(fetch(c, path), how, c.Values...)
	if c.Not {
		return file.Not(t)
	}
	return t
}

func fetch(c route.Condition, path string) file.Fetch {
	switch c.Fetch {
	case route.FetchPath:
		return file.Variable(path)
	case route.FetchHost:
		return file.Variable("host")
	case route.FetchPort:
		return file.Always("dst_port")
	}
	return file.OfRequest("req.fhdr(" + c.Header + ")")
}

// longest is the label that brought most of a step's words.
func longest(conditions []route.Condition) string {
	most, name := 0, ""
	for _, c := range conditions {
		if len(c.Values) <= most {
			continue
		}
		most = len(c.Values)
		switch {
		case c.Fetch == route.FetchPath && c.Not:
			name = "servicePathExclude"
		case c.Fetch == route.FetchPath:
			name = "servicePath"
		case c.Fetch == route.FetchHost:
			name = "serviceDomain"
		case c.Fetch == route.FetchPort:
			name = "srcPort"
		case c.Match == route.MatchPart:
			name = "userAgent"
		default:
			name = "serviceHeader"
		}
	}
	if name == "" {
		return ""
	}
	return catalog.Prefix + name
}

// binds are the ports on which requests come in.
func (l *library) binds(s Settings, listeners []route.Listener) []data {
	var out []data
	secure := secureBinds(s, listeners)
	for _, b := range s.Binds {
		if !b.TLS || slices.Contains(secure, b) {
			out = append(out, l.bind(s.bind(b)))
		}
		if slices.Contains(secure, b) && s.offersHTTP3(b) {
			out = append(out, l.bind(s.http3(b)))
		}
	}
	return out
}
