package render

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/config-parser/types"
	"github.com/haproxytech/client-native/v6/configuration"
	"github.com/haproxytech/client-native/v6/configuration/options"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// library guards all use of client-native's parser, which writes variables of its
// package, so that two of them at the same time are a race.
var library sync.Mutex //nolint:gochecknoglobals // see above: it guards globals

// scratch is a parser in memory: the library's way to write text.
type scratch struct {
	parser.Parser
	opts *options.ConfigurationOptions
	errs []error
}

func newScratch() (*scratch, error) {
	p, err := parser.New()
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return &scratch{Parser: p, opts: &options.ConfigurationOptions{}}, nil
}

func (s *scratch) check(err error) {
	if err != nil {
		s.errs = append(s.errs, err)
	}
}

func (s *scratch) section(kind parser.Section, name string, model any) {
	s.check(s.SectionsCreate(kind, name))
	if model != nil {
		s.check(configuration.CreateEditSection(model, kind, name, s.Parser, s.opts))
	}
}

func (s *scratch) add(kind parser.Section, name, attribute string, line any) {
	s.check(s.Insert(kind, name, attribute, line, -1))
}

func (s *scratch) rule(kind parser.Section, name string, rule models.HTTPRequestRule) {
	line, err := configuration.SerializeHTTPRequestRule(rule, s.opts)
	if err == nil && line == nil {
		err = fmt.Errorf("config: no serializer for the action %q", rule.Type)
	}
	if err != nil {
		s.check(err)
		return
	}
	s.add(kind, name, "http-request", line)
}

// text returns what was written, beginning with the first section.
func (s *scratch) text() (string, error) {
	if err := errors.Join(s.errs...); err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	return strings.TrimLeft(s.String(), "\n"), nil
}

// pointer returns the address of a copy, as the library's models want it.
func pointer[T any](v T) *T { return &v }

func millis(d time.Duration) *int64 { return pointer(d.Milliseconds()) }

const enabled = "enabled"

func renderFrame(s Settings, t route.Tables) (string, error) {
	library.Lock()
	defer library.Unlock()
	w, err := newScratch()
	if err != nil {
		return "", err
	}
	global := &models.Global{GlobalBase: models.GlobalBase{
		RuntimeAPIs: []*models.RuntimeAPI{{
			Address:    &s.StatsSocket,
			BindParams: models.BindParams{Level: "admin", Mode: "660", ExposeFdListeners: true},
		}},
		PerformanceOptions: &models.PerformanceOptions{Maxconn: int64(s.MaxConn)},
	}}
	if s.HardStopAfter > 0 {
		global.HardStopAfter = millis(s.HardStopAfter)
	}
	if s.MaxReloads > 0 {
		global.MworkerMaxReloads = pointer(int64(s.MaxReloads))
	}
	global.SslOptions = tlsDefaults(s)
	w.check(configuration.SerializeGlobalSection(w.Parser, global, w.opts))
	w.add(parser.Global, parser.GlobalSectionName, "log", types.Log{Address: "stdout", Format: "raw", Facility: "local0", Level: "info"})
	w.section(parser.Defaults, Defaults, &models.DefaultsBase{
		Name: Defaults, Mode: "http",
		Balance:            &models.Balance{Algorithm: pointer("roundrobin")},
		HTTPConnectionMode: s.ConnectionMode, Compression: s.Compression.model(), ErrorFiles: errorFiles(s),
		Dontlognull:   enabled,
		DontlogNormal: map[bool]string{false: enabled}[s.AccessLog],
		// Without it a reload closes every idle client connection, and a request that is
		// on its way meets a closed one.
		IdleCloseOnResponse: enabled,
		HTTPReuse:           cmp.Or(s.HTTPReuse, "safe"),
		Redispatch:          &models.Redispatch{Enabled: pointer(enabled), Interval: pointer(int64(1))},
		Retries:             pointer(int64(route.DefaultRetries)),
		RetryOn:             "conn-failure empty-response",
		Srvtcpka:            enabled, SrvtcpkaIdle: wholeSeconds(aliveIdle), SrvtcpkaIntvl: wholeSeconds(aliveInterval), SrvtcpkaCnt: pointer(aliveCount),
		ConnectTimeout:       millis(s.Timeouts.Connect),
		ClientTimeout:        millis(s.Timeouts.Client),
		ServerTimeout:        millis(s.Timeouts.Server),
		QueueTimeout:         millis(s.Timeouts.Queue),
		TunnelTimeout:        millis(s.Timeouts.Tunnel),
		HTTPRequestTimeout:   millis(s.Timeouts.HTTPRequest),
		HTTPKeepAliveTimeout: millis(s.Timeouts.HTTPKeepAlive),
	})
	w.add(parser.Defaults, Defaults, "log", types.Log{Global: true})
	services(w, s, t)
	streams(w, s, t.Listeners)
	if s.Statistics.Port > 0 {
		statistics(w, s.Statistics)
	}
	w.section(parser.Backends, NoBackend, &models.BackendBase{Name: NoBackend, From: Defaults})
	text, err := w.text()
	return withExtra(withSmallBuffers(withFileLimit(text, s)), s), err
}

// services is the frontend in which requests find their backend; see route.Tables.
func services(w *scratch, s Settings, t route.Tables) {
	const name = "services"
	chains := t.Chains
	base := &models.FrontendBase{
		Name: name, From: Defaults, DefaultBackend: NoBackend, LogFormat: s.logFormat(), ErrorLogFormat: s.errorLogFormat(),
	}
	if len(s.TrustedProxies) > 0 {
		base.Forwardfor = &models.Forwardfor{Enabled: pointer(enabled)}
	}
	w.section(parser.Frontends, name, base)
	secure := secureBinds(s, t.Listeners)
	for _, b := range s.Binds {
		if !b.TLS || slices.Contains(secure, b) {
			w.add(parser.Frontends, name, "bind", configuration.SerializeBind(s.bind(b), w.opts))
		}
		if slices.Contains(secure, b) && s.offersHTTP3(b) {
			w.add(parser.Frontends, name, "bind", configuration.SerializeBind(s.http3(b), w.opts))
		}
	}
	alternative(w, name, s, secure)
	rule := func(r models.HTTPRequestRule) { w.rule(parser.Frontends, name, r) }
	for _, c := range s.Captures {
		rule(models.HTTPRequestRule{Type: "capture", CaptureSample: "req.hdr(" + c.Header + ")", CaptureLen: int64(c.Len)})
	}
	variable := func(name, expression, cond, test string) {
		rule(models.HTTPRequestRule{Type: "set-var", VarScope: "txn", VarName: name, VarExpr: expression, Cond: cond, CondTest: test})
	}
	variable("path", "path", "", "")
	variable("host", "req.hdr(host),host_only,rtrim(.),lower", "", "")
	if len(t.Redirects) > 0 {
		variable("to", "var(txn.host),map_str("+s.MapPath(RedirectsMap)+")", "", "")
		rule(models.HTTPRequestRule{
			Type: "redirect", RedirType: "prefix", RedirValue: "%[ssl_fc,iif(https,http)]://%[var(txn.to)]", RedirCode: pointer(int64(301)),
			Cond: "if", CondTest: "{ var(txn.to) -m found }",
		})
	}
	// Each expression that finds nothing leaves the variable as it is. A host of its own
	// has in its class what the wildcards that cover it have.
	const still = "{ var(txn.backend) -m found }"
	find := ",concat(,txn.path),map_beg(" + s.MapPath(PathsMap) + ")"
	variable("backend", "var(txn.host),map_str("+s.MapPath(HostsMap)+")"+find, "", "")
	variable("backend", "var(txn.host),map_end("+s.MapPath(WildcardsMap)+")"+find, "unless", still)
	variable("backend", "var(txn.path),map_beg("+s.MapPath(PathsMap)+")", "unless", still)
	unless := untrusted(s.TrustedProxies)
	if unless.cond == "" {
		rule(models.HTTPRequestRule{Type: "set-header", HdrName: "x-forwarded-for", HdrFormat: "%[src]"})
	} else {
		// What HAProxy adds comes behind what they say.
		rule(models.HTTPRequestRule{Type: "del-header", HdrName: "x-forwarded-for", Cond: unless.cond, CondTest: unless.test})
	}
	rule(models.HTTPRequestRule{Type: "set-header", HdrName: "x-forwarded-proto", HdrFormat: "%[ssl_fc,iif(https,http)]", Cond: unless.cond, CondTest: unless.test})
	// A request that may have been worked on must not be sent again.
	rule(models.HTTPRequestRule{Type: "disable-l7-retry", Cond: "unless", CondTest: "{ method GET HEAD OPTIONS }"})
	use := func(backend, test string) {
		w.add(parser.Frontends, name, "use_backend", types.UseBackend{Name: backend, Cond: "if", CondTest: test})
	}
	if len(chains) > 0 {
		chain := "{ var(txn.chain) -m found }"
		variable("chain", "var(txn.backend),field(1,"+route.ChainEnd+")", "if", "{ var(txn.backend) -m beg "+route.ChainMark+" }")
		variable("backend", "var(txn.backend),field(2,"+route.ChainEnd+")", "if", chain)
	}
	for _, c := range chains {
		for _, step := range c.Steps {
			tests := []string{"{ var(txn.chain) -m str " + c.Name + " }"}
			for _, cond := range step.If {
				tests = append(tests, test(cond))
			}
			use(step.Backend, strings.Join(tests, " "))
		}
	}
	use("%[var(txn.backend)]", "{ var(txn.backend) -m found }")
}

type condition struct{ cond, test string }

// untrusted holds for clients that are not among the trusted proxies.
func untrusted(trusted []netip.Prefix) condition {
	if len(trusted) == 0 {
		return condition{}
	}
	words := make([]string, len(trusted))
	for i, p := range trusted {
		words[i] = p.String()
	}
	return condition{"unless", "{ src " + strings.Join(words, " ") + " }"}
}

// renderBackend returns the section of a backend without servers. The order of its
// rules is part of what labels mean: redirects come before refusals, those
// before what changes the request.
func renderBackend(s Settings, b route.Backend) (string, error) {
	if b.Handling.Plain() && b.Stream == nil {
		// Most are, and the library takes its time.
		return "backend " + b.Name + " from " + Defaults + "\n", nil
	}
	library.Lock()
	defer library.Unlock()
	w, err := newScratch()
	if err != nil {
		return "", err
	}
	w.section(parser.Defaults, Defaults, nil)
	w.section(parser.Defaults, StreamDefaults, nil)
	h := b.Handling
	base := &models.BackendBase{Name: b.Name, From: Defaults}
	if h.TimeoutServer > 0 {
		base.ServerTimeout = millis(h.TimeoutServer)
	}
	if h.TimeoutTunnel > 0 {
		base.TunnelTimeout = millis(h.TimeoutTunnel)
	}
	if h.ConnectionMode != "" {
		base.HTTPConnectionMode = h.ConnectionMode
	}
	if h.CompressionAlgo != "" {
		base.Compression = &models.Compression{Algorithms: []string{h.CompressionAlgo}, Types: h.CompressionTypes}
	}
	if h.Sticky {
		base.Cookie = &models.Cookie{Name: pointer(cmp.Or(b.Share.Group, b.Service)), Type: "insert", Indirect: true, Nocache: true, Httponly: true}
	}
	spread(base, h.Spread)
	if b.Stream != nil {
		base, h.Extra = streamBackend(b.Name, b.Stream), b.Stream.Extra
	}
	w.section(parser.Backends, b.Name, base)
	handle(w, s, b.Name, h)
	httpCheck(w, b.Name, h.Spread.Check)
	text, err := w.text()
	if err != nil {
		return "", err
	}
	_, section, ok := strings.Cut(text, "\nbackend ")
	if !ok {
		return "", fmt.Errorf("config: no section of backend %s in %q", b.Name, text)
	}
	text = "backend " + strings.TrimRight(section, "\n") + "\n"
	for _, line := range answerLines(h.Access) {
		text += "  " + line + "\n"
	}
	if h.Extra != "" {
		text += "  " + h.Extra + "\n"
	}
	return text, nil
}

// handle writes the rules of a backend.
func handle(w *scratch, s Settings, name string, h route.Handling) {
	rule := func(r models.HTTPRequestRule) { w.rule(parser.Backends, name, r) }
	toHTTPS := func(test string) {
		rule(models.HTTPRequestRule{
			Type: "redirect", RedirType: "prefix", RedirValue: "https://%[var(txn.host)]", RedirCode: pointer(int64(h.RedirectCode)), Cond: "if", CondTest: test,
		})
	}
	if h.HTTPSOnly {
		toHTTPS("!{ ssl_fc }")
	}
	if h.RedirectHTTPProto {
		toHTTPS("{ req.hdr(x-forwarded-proto) -m str http }")
	}
	if h.RedirectUnlessHTTPS {
		toHTTPS("!{ req.hdr(x-forwarded-proto) -m str https }")
	}
	deny := func(test string) {
		rule(models.HTTPRequestRule{Type: "deny", DenyStatus: pointer(int64(403)), Cond: "if", CondTest: test})
	}
	if h.Access.AsksForClient() {
		client(rule, s.TrustedProxies)
	}
	addressRules(w, s, name, h.Access)
	if h.VerifyClient {
		deny("!{ ssl_c_used } || !{ ssl_c_verify 0 }")
	}
	if len(h.AllowedMethods) > 0 {
		deny("!{ method -m str -- " + strings.Join(h.AllowedMethods, " ") + " }")
	}
	if len(h.DeniedMethods) > 0 {
		deny("{ method -m str -- " + strings.Join(h.DeniedMethods, " ") + " }")
	}
	if h.DenyHTTP {
		deny("!{ ssl_fc }")
	}
	admission(w, name, h.Access)
	for _, a := range h.Headers {
		cond, test := headerTest(a.If)
		if a.Response {
			r := models.HTTPResponseRule{Type: a.Verb + "-header", HdrName: a.Name, Cond: cond, CondTest: test}
			if a.Verb != "del" {
				r.HdrFormat = format(a.Value)
			}
			line, err := configuration.SerializeHTTPResponseRule(r, w.opts)
			if err != nil {
				w.check(err)
				continue
			}
			w.add(parser.Backends, name, "http-response", line)
			continue
		}
		r := models.HTTPRequestRule{Type: a.Verb + "-header", HdrName: a.Name, Cond: cond, CondTest: test}
		if a.Verb != "del" {
			r.HdrFormat = format(a.Value)
		}
		rule(r)
	}
	for _, r := range h.Rewrites {
		flags := ""
		if r.All {
			flags = ",g"
		}
		// The expression stands in two languages: quotes within the converter's
		// argument, and a word around it.
		rule(models.HTTPRequestRule{Type: "set-path", PathFmt: quote("%[path,regsub(" + argument(r.Search) + "," + argument(r.Replace) + flags + ")]")})
	}
}

// argument quotes the argument of a converter, which may hold commas and
// parentheses between quotes.
func argument(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// serverOptions are the words behind the address of each server of a backend.
func serverOptions(b route.Backend, caDir string) []string {
	h := b.Handling
	if b.Stream != nil {
		h.Spread = b.Stream.Spread
	}
	out := append(spreadOptions(h.Spread, h.ServerName), accessOptions(h.Access)...)
	if h.TLS {
		out = append(out, "ssl")
		if !h.Verify {
			out = append(out, "verify", "none")
		} else {
			ca := h.CA
			if ca != route.SystemCA {
				ca = caDir + "/" + ca
			}
			out = append(out, "verify", "required", "ca-file", ca)
			if h.ServerName != "" {
				out = append(out, "verifyhost", h.ServerName)
			}
		}
		if h.ServerName != "" {
			out = append(out, "sni", "str("+h.ServerName+")")
		}
	}
	return out
}
