package render

import (
	"slices"
	"strconv"
	"strings"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Services is the frontend of serviceLines.
const Services = "services"

// serviceLines are the frontend in which requests find their backend; see route.Tables.
func (l *library) serviceLines(s Settings, t route.Tables, uniqueID bool) []file.Line {
	base := &models.FrontendBase{DefaultBackend: file.NoBackend, LogFormat: s.logFormat(), ErrorLogFormat: s.errorLogFormat()}
	if uniqueID {
		base.UniqueIDFormat = "%[uuid]"
	}
	if len(s.TrustedProxies) > 0 {
		base.Forwardfor = &models.Forwardfor{Enabled: pointer(enabled)}
	}
	binds := l.binds(s, t.Listeners)
	// Without a port, as with TLS alone and no certificate yet, HAProxy warns of a frontend
	// that is not disabled; its tables are there all the same.
	base.Disabled = len(binds) == 0
	r := &rules{library: l}
	r.add(l.section(parser.Frontends, base, binds...)...)
	r.headersOfProxies(s)
	r.clients(s)
	r.offerHTTP3(s, secureBinds(s, t.Listeners))
	for _, c := range s.Captures {
		r.onRequest(models.HTTPRequestRule{Type: "capture", CaptureSample: "req.hdr(" + c.Header + ")", CaptureLen: int64(c.Len)}, always)
	}
	r.paths()
	r.set("host", "req.fhdr(host),host_only,rtrim(.),lower", always)
	r.challenges(s)
	r.misdirected(s, t.Listeners)
	if len(t.Redirects) > 0 {
		r.otherHosts(s)
	}
	r.forwarded(s)
	// A request that may have been worked on must not be sent again.
	r.onRequest(models.HTTPRequestRule{Type: "disable-l7-retry"},
		file.Unless(file.Is(file.Always("method"), bare("GET", "HEAD", "OPTIONS")...)))
	r.lookUpHost(s, "path", "backend")
	r.enough(s, t.Chains)
	r.hostOfTarget()
	r.lookUpOthers(s, "path", "backend")
	r.enough(s, t.Chains)
	r.otherReading()
	r.ambiguous(s, t.RawPaths)
	r.ofConnection()
	r.keepsApart(s)
	r.chains(t.Chains)
	r.add(rawLines(s.said(s.ExtraFrontend))...)
	r.measure(s) // last, since it ends the rules for answers
	r.lead(t.Chains, t.RawPaths)
	return r.ordered(frontendOrder())
}

// hostOfTarget refuses requests that say for which host they are in their target alone, as a
// client asks a proxy. A task would take it for their host. Where there is a header Host too,
// HAProxy itself compares them.
func (r *rules) hostOfTarget() {
	r.deny(400, file.If(file.Not(found("host")), file.Not(file.Is(file.OfRequest("url"), bare("-m", "beg", "/")...))))
}

// enough ends the rules for requests of which nothing is left to find out, which most are:
// their backend is known, their path can be read in one way, and none of their headers is one
// that a rule behind is about. Each of these rules has its own condition all the same.
func (r *rules) enough(s Settings, chains []route.Chain) {
	if len(s.ExtraFrontend) > 0 {
		return // the operator's rules stand behind them
	}
	tests := []file.Test{found("backend"), file.Not(found("sent")), file.Not(found("odd"))}
	if len(chains) > 0 {
		tests = append(tests, file.Not(ofChain()))
	}
	r.onRequest(models.HTTPRequestRule{Type: "allow"}, file.If(tests...))
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
			r.set("proto", "str("+proto+")", file.If(append(s.trusted(file.Always("src")), said)...))
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

// headersOfProxies takes headers of the PROXY protocol at the ports for them. Where only
// some may send them, who they are is known by the address of the connection.
func (r *rules) headersOfProxies(s Settings) {
	if !s.choosesProxies() {
		return // the port itself expects them
	}
	var ports []string
	for _, b := range s.Binds {
		if b.AcceptProxy {
			ports = append(ports, strconv.Itoa(b.Port))
		}
	}
	if len(ports) == 0 {
		return
	}
	when := append([]file.Test{file.Is(file.Always("dst_port"), bare(ports...)...)}, s.trusted(file.Always("src"))...)
	r.add(file.New(append(bare("tcp-request", "connection", "expect-proxy", "layer4"), file.If(when...).Words()...)...))
}

// ofChain holds if the look-up has found a chain.
func ofChain() file.Test {
	return file.Is(file.Variable("backend"), bare("-m", "beg", route.ChainMark)...)
}

// chains tells what of a look-up is a chain, and what the backend behind it.
func (r *rules) chains(chains []route.Chain) {
	if len(chains) == 0 {
		return
	}
	r.set("chain", "var(txn.backend),field(1,"+route.ChainEnd+")", file.If(ofChain()))
	r.set("backend", "var(txn.backend),field(2,"+route.ChainEnd+")", file.If(found("chain")))
}

// lead leads to the backend: that of the first step whose conditions hold, else the one
// that the look-up has found. What has no chain, as most have not, goes before all steps,
// none of which is compared with its request.
func (r *rules) lead(chains []route.Chain, rawPaths []string) {
	if len(chains) > 0 {
		r.add(use("%[var(txn.backend)]", file.If(found("backend"), file.Not(found("chain")))))
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
			r.add(use(step.Backend, file.If(tests...)).Brought(longest(step.If)))
		}
	}
	// Without one, the name is empty, and HAProxy goes on to the default backend as it does
	// behind a condition that does not hold.
	r.add(use("%[var(txn.backend)]", always))
}

// binds are the ports on which requests come in.
func (l *library) binds(s Settings, listeners []route.Listener) []data {
	var out []data
	secure, shared := secureBinds(s, listeners), sharedBinds(s, listeners)
	for _, b := range s.Binds {
		if slices.Contains(shared, b) {
			out = append(out, l.bind(s.behind(b)))
		} else if !b.TLS || slices.Contains(secure, b) {
			out = append(out, l.bind(s.bind(b)))
		}
		if slices.Contains(secure, b) && s.offersHTTP3(b) {
			out = append(out, l.bind(s.http3(b)))
		}
	}
	return out
}
