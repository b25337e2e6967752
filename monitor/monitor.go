// Package monitor makes Prometheus equal to what the labels of the swarm's
// services ask for: scrape targets and alert rules.
package monitor

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	registry "github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/api"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/loop"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/monitor/internal/ready"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/monitor/internal/settings"
	"github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/announce"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// Component is monitor's name on the bus.
const Component = "monitor"

// Config is what monitor can be told. Lists are separated by commas.
type Config struct {
	NATSURL string
	NATSKey app.Secret
	// NATSCA vouches for servers with tls://, see bus.Options.
	NATSCA string
	// Instance names this replica on the bus; empty: the host name.
	Instance string
	// Network lists the networks on which Prometheus reaches tasks.
	Network string
	// DataDir holds the configuration and data of Prometheus.
	DataDir string
	// PrometheusBin is run as a child; empty when Prometheus runs elsewhere.
	PrometheusBin string
	// PrometheusURL is where Prometheus answers: ours shall, another one does.
	PrometheusURL string
	// PrometheusListen offers our Prometheus to others, without the endpoints that change it.
	PrometheusListen string
	// PromtoolBin checks rules; empty leaves that to the reload.
	PromtoolBin     string
	ExternalURL     string
	AlertmanagerURL string
	// AlertmanagerPassword is sent to all of them.
	AlertmanagerPassword app.Secret
	// ControlNetwork is the network on which the names of NATSURL are asked for first, and
	// on which Prometheus reaches Waggle's own components, and the tasks of a service that
	// AlertmanagerURL names by tasks+.
	ControlNetwork string
	OwnStack       string
	// OwnRules loads alerts about these, too.
	OwnRules bool
	// AlertDocs is the page that says for each of them what to do.
	AlertDocs          string
	ScrapeInterval     time.Duration
	ScrapeTimeout      time.Duration
	EvaluationInterval time.Duration
	Retention          time.Duration
	// ScaleAcrossStacks lets alerts scale services of other stacks.
	ScaleAcrossStacks bool
	// ServiceLabels and NodeLabels are those that targets have too.
	ServiceLabels, NodeLabels string
	// Sources are where more can be set, Limits what one service may cost the others.
	Sources    Sources
	Limits     Limits
	DockerFlow DockerFlow
	// PrometheusOutput takes the log of our Prometheus; nil means standard error.
	PrometheusOutput io.Writer
}

// Service declares the flags and returns what runs with them.
func Service(fs *flag.FlagSet) func(context.Context, app.Shell) error {
	var c Config
	fs.StringVar(&c.NATSURL, "nats-url", "tls://waggle_listener:4222", "NATS servers, separated by commas")
	fs.Var(&c.NATSKey, "nats-key", "secret with which monitor proves itself to NATS; of several, separated by white space, the first")
	fs.StringVar(&c.NATSCA, "nats-ca", "", "certificates (PEM) of those who vouch for servers with tls://, or system for those that the system trusts; empty: such a server proves itself by the key of this component, as the listener does")
	fs.StringVar(&c.ControlNetwork, "control-network", "waggle_control", "network of Docker on which a name without a dot in nats-url is asked for first, and on which Prometheus reaches Waggle's own components and the tasks of the service of a tasks+http:// Alertmanager")
	fs.StringVar(&c.Instance, "instance", "", "name of this replica on the bus; empty: the host name")
	fs.StringVar(&c.Network, judge.Network, judge.DefaultNetwork, "networks on which Prometheus reaches tasks, the preferred one first")
	fs.StringVar(&c.DataDir, "data-dir", "/var/lib/waggle", "folder, on a volume, of Prometheus' configuration (prometheus/) and data (tsdb/)")
	fs.StringVar(&c.PrometheusBin, "prometheus-bin", "prometheus", "Prometheus to run; empty if it runs elsewhere and reads DATA-DIR/prometheus")
	fs.StringVar(&c.PrometheusURL, "prometheus-url", "http://127.0.0.1:9091", "where Prometheus answers to monitor")
	fs.StringVar(&c.PrometheusListen, "prometheus-listen", app.Control+":9090", "address at which monitor offers its Prometheus to others, without reload and quit; the host control is loopback and this container's address on the control network, and :9090 all addresses")
	fs.StringVar(&c.PromtoolBin, "promtool-bin", "promtool", "promtool to check rules with; empty to leave that to Prometheus' reload")
	fs.StringVar(&c.ExternalURL, "external-url", "", "URL at which users reach our Prometheus; its path becomes the prefix of all paths")
	fs.StringVar(&c.AlertmanagerURL, "alertmanager-url", "", "Alertmanagers: tasks+http://SERVICE:PORT for the tasks that the catalog gives a service, http://HOST:PORT, or dns+http://NAME:PORT for every address of a name")
	fs.Var(&c.AlertmanagerPassword, "alertmanager-password", "password that Prometheus sends to all of alertmanager-url, for the user waggle; empty: none")
	fs.StringVar(&c.OwnStack, judge.OwnStack, judge.DefaultOwnStack, "stack whose listener, proxy, monitor and scaler are scraped; empty for none")
	fs.BoolVar(&c.OwnRules, "own-rules", true, "load the alerts that are ready on the first day, about services, nodes, proxies, Prometheus, Alertmanager and Waggle itself, if own-stack is not empty")
	fs.StringVar(&c.AlertDocs, "alert-docs", ready.DefaultDocs, "page that says for each of these alerts what to do; their annotation runbook_url leads to it")
	fs.DurationVar(&c.ScrapeInterval, judge.ScrapeInterval, judge.DefaultScrapeInterval, "how often targets are scraped whose labels do not say")
	fs.DurationVar(&c.ScrapeTimeout, judge.ScrapeTimeout, judge.DefaultScrapeTimeout, "how long a scrape may take whose labels do not say; at most the interval")
	fs.DurationVar(&c.EvaluationInterval, judge.Evaluation, judge.DefaultEvaluation, "how often rules are evaluated")
	fs.DurationVar(&c.Retention, "retention", 15*24*time.Hour, "how long our Prometheus keeps data")
	fs.BoolVar(&c.ScaleAcrossStacks, judge.ScaleAcrossStacks, false, "let the alerts of a service scale services of other stacks, which they name by alertLabels")
	c.wideFlags(fs)
	c.DockerFlow.flags(fs)
	return func(ctx context.Context, sh app.Shell) error {
		c.Sources.Environ, c.Sources.Given = app.Environ(), map[string]bool{}
		fs.Visit(func(f *flag.Flag) { c.Sources.Given[f.Name] = true })
		return Run(ctx, c, sh)
	}
}

// gather lets the proxy, for which somebody waits, use the processor first when a
// change concerns both, and makes one pass of the many changes of a deploy.
const gather = 200 * time.Millisecond

// Run runs monitor until the context ends or something fails that waiting does not mend.
func Run(ctx context.Context, c Config, sh app.Shell) error {
	checker := &prometheus.Checker{Bin: c.PromtoolBin, Dir: c.DataDir}
	if err := os.MkdirAll(c.DataDir, 0o755); err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	wide, err := c.resolve(ctx, checker, sh.Log)
	if err != nil {
		return wide.asSet(c, err)
	}
	base, err := c.base(wide.prefix)
	if err != nil {
		return wide.asSet(c, err)
	}
	judging, err := c.check()
	if err != nil {
		return wide.asSet(c, err)
	}
	judging.Pack = wide.pack
	judging.Language, checker.Features = alert.LanguageOf(wide.features)
	if c.Instance == "" {
		if c.Instance, err = os.Hostname(); err != nil {
			return fmt.Errorf("instance: %w", err)
		}
	}
	b, err := bus.Connect(bus.Options{URL: c.NATSURL, Component: Component, Key: string(c.NATSKey), CA: c.NATSCA, ControlNetwork: c.ControlNetwork, Log: sh.Log})
	if err != nil {
		return err
	}
	defer b.Close()

	metrics := newMetrics(sh.Registry)
	rules, err := c.ownRules()
	if err != nil {
		return err
	}
	folder := filepath.Join(c.DataDir, "prometheus")
	prom := prometheus.New(prometheus.Options{
		Dir: folder, URL: base.String(), Log: sh.Log,
		Checker:  checker,
		Settings: c.settings(base, nil),
		Foreign:  c.PrometheusBin == "",
		OwnRules: rules, AlertmanagerPassword: string(c.AlertmanagerPassword),
		Reloaded: func(result string) { metrics.reloads.WithLabelValues(result).Inc() },
	})
	config, err := prometheus.Render(c.settings(base, wide.more))
	if err != nil {
		return err
	}
	tasks, err := prometheus.NewTasks(folder, c.ControlNetwork, c.settings(base, nil), sh.Log)
	if err != nil {
		return err
	}
	if err := prom.Prepare(ctx, config); err != nil {
		return wide.blame(ctx, c, checker, err)
	}
	child := &prometheus.Process{
		Bin: c.PrometheusBin, Dir: folder, Storage: cmp.Or(wide.storage, filepath.Join(c.DataDir, "tsdb")), Listen: base.Host,
		ExternalURL: c.ExternalURL, RoutePrefix: wide.prefix, Retention: c.Retention, RetentionSize: c.Limits.Storage, Flags: wide.flags,
		Output: c.output(), Log: sh.Log, Started: metrics.starts.Inc,
	}

	poke, applied := reconcile.NewPoke(), reconcile.NewPoke()
	snapshots, accepted, statuses := b.Catalog(poke.Now), b.Accepted(poke.Now), b.Statuses(c.Instance, poke.Now)
	sh.Registry.MustRegister(catalogAge(snapshots, time.Now()))
	hand, err := newByHand(c, b, judging.Networks[0], sh, poke.Now)
	if err != nil {
		return err
	}
	journal := audit.New(audit.Options{Bus: b, Component: Component, Instance: c.Instance, Log: sh.Log, Now: time.Now})
	work, err := loop.New(loop.Options{
		Join: hand.join, Keep: hand.keep,
		Catalog: snapshots, Accepted: accepted, Statuses: statuses, Prometheus: prom,
		Tasks:        tasks.Apply,
		Settings:     judging,
		Evaluation:   c.EvaluationInterval,
		AcceptedFile: filepath.Join(c.DataDir, "accepted.json"),
		Again:        poke.After,
		Log:          sh.Log,
	})
	if err != nil {
		return err
	}
	passes := reconcile.New(reconcile.Options{
		Component: Component, Name: "prometheus", Poke: poke, Pause: 100 * time.Millisecond, Gather: gather, Applied: work.Applied,
		Log: sh.Log, Registry: sh.Registry,
	}, func(ctx context.Context) error {
		defer applied.Now()
		return work.Pass(ctx)
	})
	says := announce.Loop(Component, applied, announce.New(announce.Options{Bus: b, Own: own(c, wide, sh, work), Count: firing(prom)}), sh.Log)
	router := app.Router(sh, work.Healthy)
	api.Mount(router, work, prom)
	hand.mount(router, c, work, judging, journal.Note, sh)

	g, ctx := errgroup.WithContext(ctx)
	for _, run := range append(hand.runs(), journal.Run) {
		g.Go(func() error { return run(ctx) })
	}
	g.Go(func() error { return snapshots.Run(ctx) })
	g.Go(func() error { return accepted.Run(ctx) })
	g.Go(func() error { return statuses.Run(ctx) })
	g.Go(func() error { return passes.Run(ctx) })
	g.Go(func() error { return says.Run(ctx) })
	g.Go(func() error { return sh.ServeAdmin(ctx, router) })
	if c.PrometheusBin != "" {
		g.Go(func() error { return child.Run(ctx) })
		g.Go(func() error {
			return prometheus.Serve(ctx, c.PrometheusListen, sh.Control, prometheus.Guard(base, sh.Log), sh.Log)
		})
	}
	return g.Wait()
}

// judgedBy are the settings by which monitor judges labels, as package judge reads them.
func (c Config) judgedBy() map[string]string {
	return map[string]string{
		judge.Network: c.Network, judge.ScrapeInterval: c.ScrapeInterval.String(), judge.ScrapeTimeout: c.ScrapeTimeout.String(),
		judge.ScaleAcrossStacks: strconv.FormatBool(c.ScaleAcrossStacks), judge.OwnStack: c.OwnStack, judge.MinInterval: c.Limits.Interval.String(),
		judge.ServiceLabels: c.ServiceLabels, judge.NodeLabels: c.NodeLabels, judge.Shortcuts: c.Sources.Shortcuts, judge.AlertLimit: strconv.Itoa(c.Limits.Alerts),
		judge.Evaluation:  c.EvaluationInterval.String(),
		judge.SampleLimit: strconv.Itoa(c.Limits.Samples), judge.BodyLimit: c.Limits.Body,
		judge.MaxSamples: strconv.Itoa(c.Limits.MaxSamples), judge.MaxBody: c.Limits.MaxBody, judge.MaxAlerts: strconv.Itoa(c.Limits.MaxAlerts),
	}
}

// own is what this replica says of itself.
func own(c Config, w wide, sh app.Shell, work *loop.Loop) func() (catalog.Instance, bool) {
	settings := c.judgedBy()
	for name, text := range map[string]string{judge.OwnShortcuts: w.own, judge.Features: w.features} {
		if text != "" {
			settings[name] = text
		}
	}
	return func() (catalog.Instance, bool) {
		v := work.View()
		if v == nil {
			return catalog.Instance{}, false
		}
		return catalog.Instance{Instance: c.Instance, Version: sh.Version, Revision: v.Revision, Hash: v.State.Hash, Settings: settings}, true
	}
}

// mostFiring and mostUnscraped are how many alerts and targets are told, and firingPatience is how
// long Prometheus may take.
const (
	mostFiring     = 500
	mostUnscraped  = 200
	firingPatience = 2 * time.Second
)

// firing adds the alerts that fire and the targets that are not reached, for people who ask why a
// service is not scaled.
func firing(prom *prometheus.Server) func(context.Context, *catalog.Instance) {
	return func(ctx context.Context, i *catalog.Instance) {
		ctx, cancel := context.WithTimeout(ctx, firingPatience)
		defer cancel()
		i.Seen = &catalog.Seen{}
		if alerts, err := prom.Firing(ctx); err == nil && len(alerts) <= mostFiring {
			i.Seen.Alerts = alerts
		}
		if targets, err := prom.Targets(ctx); err == nil {
			i.Seen.Unscraped = unscraped(targets)
		}
	}
}

// unscraped are the targets that are not reached, nil if they are too many to be told.
func unscraped(targets []prometheus.ShownTarget) map[string]string {
	out := map[string]string{}
	for _, t := range targets {
		if t.Health != prometheus.Up {
			out[t.Labels["instance"]] = t.LastError
		}
	}
	if len(out) > mostUnscraped {
		return nil
	}
	return out
}

// base is the root of Prometheus' URLs as monitor sees it. Ours takes the path of the external
// URL, unless there is another prefix.
func (c Config) base(prefix string) (*url.URL, error) {
	u, err := url.Parse(c.PrometheusURL)
	if err != nil || u.Host == "" {
		return nil, judge.Wrong("prometheus-url", " %q: want http://HOST:PORT", c.PrometheusURL)
	}
	if c.PrometheusBin == "" || c.ExternalURL == "" && prefix == "" {
		return u, nil
	}
	external, err := url.Parse(c.ExternalURL)
	if err != nil || external.Host == "" && c.ExternalURL != "" {
		return nil, judge.Wrong("external-url", " %q: want http://HOST/PATH", c.ExternalURL)
	}
	u.Path = strings.TrimSuffix(cmp.Or(prefix, external.Path), "/")
	return u, nil
}

// check names the first setting that cannot be meant, and returns those by which labels are judged.
func (c Config) check() (desired.Settings, error) {
	judging, err := judge.ParseSettings(c.judgedBy())
	if err != nil {
		return judging, err
	}
	for _, setting := range []struct {
		name string
		time.Duration
	}{{"retention", c.Retention}} {
		if setting.Duration < time.Millisecond {
			return judging, judge.Wrong(setting.name, " %s: want a time such as 10s", setting.Duration)
		}
	}
	for _, limit := range []struct {
		name        string
		usual, most uint64
	}{
		{judge.SampleLimit, uint64(c.Limits.Samples), uint64(judging.MaxSamples)}, {judge.AlertLimit, uint64(judging.AlertLimit), uint64(judging.MaxAlerts)},
		{judge.BodyLimit, bytes(c.Limits.Body), bytes(judging.MaxBody)},
	} {
		if limit.most > 0 && (limit.usual == 0 || limit.usual > limit.most) {
			return judging, judge.Wrong(limit.name+"-max", ": want at least %s", limit.name)
		}
	}
	if _, ok := scrape.Bytes(c.Limits.Storage); c.Limits.Storage != "" && !ok {
		return judging, judge.Wrong("retention-size", " %q: want a size such as 50MB", c.Limits.Storage)
	}
	return judging, nil
}

// bytes are those of a size; 0 if there is none.
func bytes(size string) uint64 {
	n, _ := scrape.Bytes(size)
	return n
}

func (c Config) settings(base *url.URL, more settings.Tree) prometheus.Settings {
	s := prometheus.Settings{
		SampleLimit: c.Limits.Samples, BodyLimit: c.Limits.Body, SecretsDir: c.Sources.ScrapeSecretsDir, More: more,
		ScrapeInterval: c.ScrapeInterval, ScrapeTimeout: min(c.ScrapeTimeout, c.ScrapeInterval), EvaluationInterval: c.EvaluationInterval,
		Alertmanagers: list(c.AlertmanagerURL), OwnStack: c.OwnStack, OwnRules: c.OwnRules && c.OwnStack != "",
		AlertmanagerPassword: c.AlertmanagerPassword != "",
	}
	if c.PrometheusBin != "" {
		s.Self, s.SelfPath = base.Host, base.Path
		if host, port, err := net.SplitHostPort(base.Host); err == nil && host == "" {
			s.Self = net.JoinHostPort("127.0.0.1", port)
		}
	}
	return s
}

// ownRules is the file of the alerts about Waggle itself, empty if none are wanted.
func (c Config) ownRules() ([]byte, error) {
	if !c.OwnRules || c.OwnStack == "" {
		return nil, nil
	}
	return alert.Render(ready.Rules(c.OwnStack, c.AlertDocs))
}

func (c Config) output() io.Writer {
	if c.PrometheusOutput != nil {
		return c.PrometheusOutput
	}
	return os.Stderr
}

// list takes "a, b" apart.
func list(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

type metrics struct {
	reloads *registry.CounterVec
	starts  registry.Counter
}

func newMetrics(reg registry.Registerer) metrics {
	m := metrics{
		reloads: registry.NewCounterVec(registry.CounterOpts{
			Namespace: "waggle", Subsystem: Component, Name: "reloads_total",
			Help: "Reloads of Prometheus by result (ok, refused, failed, and away while it is not there or still starts).",
		}, []string{"result"}),
		starts: registry.NewCounter(registry.CounterOpts{
			Namespace: "waggle", Subsystem: Component, Name: "prometheus_starts_total",
			Help: "Starts of our own Prometheus.",
		}),
	}
	// A counter that appears as 1 has not increased.
	for _, result := range prometheus.Results() {
		m.reloads.WithLabelValues(result)
	}
	reg.MustRegister(m.reloads, m.starts)
	return m
}

// catalogAge tells since when nothing has been heard of the listener, which says every
// 25 s that its list is complete.
func catalogAge(c *bus.Catalog, started time.Time) registry.Collector {
	return registry.NewGaugeFunc(registry.GaugeOpts{
		Namespace: "waggle", Subsystem: Component, Name: "catalog_age_seconds",
		Help: "Seconds since the listener last said that its list of the swarm is complete; since the start while it has not been heard.",
	}, func() float64 {
		at := started
		if list, ok := c.List(); ok {
			at = list.Time
		}
		return max(time.Since(at), 0).Seconds()
	})
}
