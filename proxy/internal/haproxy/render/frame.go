package render

import (
	"reflect"
	"slices"
	"strconv"

	parser "github.com/haproxytech/client-native/v6/config-parser"
	"github.com/haproxytech/client-native/v6/config-parser/types"
	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// frame is what all services share, but for what depends on their users and the like.
type frame struct {
	// tables are those of which it was made, as far as it shows them; nil before.
	tables *route.Tables
	// uniqueID says that requests have one.
	uniqueID bool
	global   []file.Line
	// fixed are the sections that depend on the settings alone.
	defaults, statistics *file.Section
	streamDefaults       *file.Section
	// sections are all between the global one and what services need.
	sections []*file.Section
}

// of is the frame with tables, and with ids of requests where somebody asks for them: itself
// if they show nothing else in it.
func (f frame) of(s Settings, l *library, t route.Tables, n needs) (frame, error) {
	uniqueID := n.uniqueID || s.mayAskForID()
	shown := route.Tables{Chains: t.Chains, Listeners: t.Listeners, Redirects: t.Redirects, RawPaths: t.RawPaths}
	if f.tables != nil && f.uniqueID == uniqueID && reflect.DeepEqual(shown, *f.tables) {
		return f, nil
	}
	out := f
	if out.tables == nil {
		out.global = l.globalLines(s)
		out.defaults = file.NewSection(s.Dir, file.KindDefaults, file.Defaults, "", l.defaultLines(s)...)
		out.streamDefaults = file.NewSection(s.Dir, file.KindDefaults, file.StreamDefaults, "", l.streamDefaultLines(s)...)
		if s.Statistics.Port != 0 {
			out.statistics = file.NewSection(s.Dir, kindFrontend, "statistics", file.Defaults, l.statisticsLines(s.Statistics)...)
		}
	}
	out.tables, out.uniqueID = &shown, uniqueID
	out.sections = []*file.Section{out.defaults}
	if len(t.Listeners) > 0 {
		out.sections = append(out.sections, out.streamDefaults)
	}
	out.sections = append(out.sections, file.NewSection(s.Dir, kindFrontend, Services, file.Defaults, l.serviceLines(s, t, uniqueID)...))
	if slices.ContainsFunc(t.Chains, comparesPaths) {
		out.sections = append(out.sections, file.NewSection(s.Dir, file.KindBackend, file.Ambiguous, file.Defaults, l.ambiguousLines()...))
	}
	if out.statistics != nil {
		out.sections = append(out.sections, out.statistics)
	}
	out.sections = append(out.sections, l.listeners(s, t.Listeners)...)
	out.sections = append(out.sections, l.terminated(s, t.Listeners)...)
	return out, l.failed()
}

// with adds what the services need.
func (f frame) with(s Settings, n needs, lists userLists) []*file.Section {
	global, peers := peersOf(s.StatsSocket)
	lines, sections := append(slices.Clone(f.global), global), []*file.Section{peers}
	lines = append(lines, scriptLines(s, n.scripts(lists))...)
	if n.askElsewhere {
		lines, sections = append(lines, forwardLines()...), append(sections, forwardSection(s))
	}
	lines, sections = append(lines, lists.versions()...), append(sections, lists.tables(s)...)
	if table := clientsSection(s); table != nil {
		sections = append(sections, table)
	}
	out := []*file.Section{file.NewSection(s.Dir, "global", "", "", lines...)}
	out = append(append(out, measuredProfiles(s)...), f.sections...)
	out = append(append(out, sections...), lists.sections...)
	return append(out, file.NewSection(s.Dir, file.KindBackend, file.NoBackend, file.Defaults))
}

// mostFiles bounds the open files that HAProxy counts on where the limit is higher, or
// where there is none: it keeps a table of as many, and makes half of them the number
// of connections. Who wants more says a number of connections.
const mostFiles = "200000"

// bufferSize is that of HAProxy's buffers, in bytes. The headers of a request must fit into
// one, less a kilobyte for what rules add: twice of what HAProxy has by default, since
// cookies of 20 kB are met in practice. A buffer is held while a request or an answer is on
// its way, and by no idle connection.
const bufferSize = 32 << 10

// copySize is that of the buffers in which HAProxy 3.4 keeps copies of requests, in bytes. With
// the kilobyte that they have by default, the requests of most browsers do not fit.
const copySize = 8 << 10

// hotSize is how much freed memory each of HAProxy's threads keeps to itself, in bytes: some
// sixty buffers. With less, as by default, a thread with twenty requests on their way asks the
// system for memory with each further one.
const hotSize = 2 << 20

func (l *library) globalLines(s Settings) []file.Line {
	global := &models.Global{GlobalBase: models.GlobalBase{
		RuntimeAPIs: []*models.RuntimeAPI{{
			Address:    &s.StatsSocket,
			BindParams: models.BindParams{Level: "admin", Mode: "660", ExposeFdListeners: true},
		}},
		PerformanceOptions: &models.PerformanceOptions{Maxconn: int64(s.MaxConn)},
		SslOptions:         tlsDefaults(s),
	}}
	if s.HardStopAfter > 0 {
		global.HardStopAfter = millis(s.HardStopAfter)
	}
	if s.MaxReloads > 0 {
		global.MworkerMaxReloads = pointer(int64(s.MaxReloads))
	}
	out := l.global(global, data{"log", output()})
	out = append(out, lineOf("tune.bufsize", strconv.Itoa(bufferSize)), lineOf("tune.memory.hot-size", strconv.Itoa(hotSize)))
	out = append(out, lineOf(".if", "version_atleast(3.4)"), lineOf("tune.bufsize.small", strconv.Itoa(copySize)), lineOf(".endif"))
	if s.MaxConn == 0 {
		out = append(out, lineOf("fd-hard-limit", mostFiles))
	}
	return append(out, rawLines(s.ExtraGlobal)...)
}

func (l *library) defaultLines(s Settings) []file.Line {
	out := []file.Line{
		// HAProxy 3.4 keeps the copy of a request that may have to be sent again in a buffer
		// of copySize. The copy of a whole buffer, which older ones make, and it too of what
		// does not fit, is a fifth of what a request costs.
		lineOf(".if", "version_atleast(3.4)"), lineOf("option", "use-small-buffers", "l7-retries"), lineOf(".endif"),
	}
	return append(out, l.section(parser.Defaults, &models.DefaultsBase{
		Mode:               "http",
		Balance:            &models.Balance{Algorithm: pointer("roundrobin")},
		HTTPConnectionMode: s.ConnectionMode, Compression: s.Compression.model(), ErrorFiles: errorFiles(s),
		Dontlognull:   enabled,
		DontlogNormal: enabledIf(!s.AccessLog),
		// Without it a reload closes every idle client connection, and a request that is
		// on its way meets a closed one.
		IdleCloseOnResponse: enabled,
		HTTPReuse:           s.reuse(),
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
	}, data{"log", types.Log{Global: true}})...)
}

// model is nil without compression.
func (c Compression) model() *models.Compression {
	if c.Algo == "" {
		return nil
	}
	return &models.Compression{Algorithms: []string{c.Algo}, Types: c.Types}
}

func errorFiles(s Settings) []*models.Errorfile {
	var out []*models.Errorfile
	for _, f := range s.ErrorFiles {
		out = append(out, &models.Errorfile{Code: int64(f.Status), File: file.Q(f.Path).String()})
	}
	return out
}

// statisticsLines are HAProxy's page and its metrics, on a port of their own.
func (l *library) statisticsLines(s Statistics) []file.Line {
	stats := &models.StatsOptions{StatsEnable: true, StatsURIPrefix: file.Q(s.URI).String()}
	if s.User != "" {
		stats.StatsAuths = []*models.StatsAuth{{User: pointer(file.Q(s.User).String()), Passwd: pointer(file.Q(s.Password).String())}}
	}
	r := &rules{library: l}
	r.add(l.section(parser.Frontends, &models.FrontendBase{DontlogNormal: enabled, Httplog: true, StatsOptions: stats},
		l.bind(models.Bind{Address: s.Address, Port: pointer(int64(s.Port)), BindParams: models.BindParams{Name: "statistics"}}))...)
	r.onRequest(models.HTTPRequestRule{Type: "use-service", ServiceName: "prometheus-exporter"},
		file.If(file.Is(file.OfRequest("path"), file.W("/metrics"))))
	return r.ordered(frontendOrder())
}
