// Package scaler scales services within the bounds that their labels name, when
// an alert or a person asks for it.
package scaler

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/announce"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"github.com/wagglehq/waggle/scaler/internal/api"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/notify"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
	"github.com/wagglehq/waggle/scaler/internal/swarm"
	"github.com/wagglehq/waggle/scaler/internal/watch"
	"github.com/wagglehq/waggle/scaler/judge"
	"golang.org/x/sync/errgroup"
)

// Config is everything an operator sets.
type Config struct {
	// NATSURL names the servers of the bus, NATSKey is the scaler's secret there.
	NATSURL string
	NATSKey app.Secret
	// NATSCA vouches for servers with tls://, see bus.Options; ControlNetwork is the
	// network on which their names are asked for first.
	NATSCA, ControlNetwork string
	// DockerHost is the API of a manager, DockerTimeout how long one call of it may take
	// (0: 5 s), DockerTLS how it is reached by TLS.
	DockerHost    string
	DockerTimeout time.Duration
	DockerTLS     docker.TLS
	// Token must be sent by whoever asks for a scaling.
	Token app.Secret
	// TokenOther is accepted as well.
	TokenOther app.Secret
	// SignalTTL is how long an alert stands that is not heard of again: two
	// repeat intervals of Alertmanager.
	SignalTTL time.Duration
	// DefaultMin to Patience hold where a service has no label.
	DefaultMin, DefaultMax       int
	DefaultUpBy, DefaultDownBy   int
	DefaultCooldownUp            time.Duration
	DefaultCooldownDown          time.Duration
	Patience                     time.Duration
	DryRun                       bool
	AlertmanagerURL              string
	AlertmanagerPassword         app.Secret
	PrometheusURL                string
	AlertLifetime                time.Duration
	AlertScaleMin, AlertScaleMax bool
	Instance                     string
	// ServerPrefix is a path under which the interface answers besides.
	ServerPrefix string
	// RequestPatience is how long a request by hand waits for its decision; 0 is 30 s.
	RequestPatience time.Duration
}

// Labels describes the labels that the scaler reads.
func Labels() []label.Spec { return policy.Labels() }

// Service declares the flags and returns what runs until the context ends.
func Service(fs *flag.FlagSet) func(context.Context, app.Shell) error {
	return ServiceUnder(fs, Conditions{})
}

// ServiceUnder is Service under the conditions of a test.
func ServiceUnder(fs *flag.FlagSet, t Conditions) func(context.Context, app.Shell) error {
	var c Config
	declare(fs, &c)
	return func(ctx context.Context, sh app.Shell) error { return RunUnder(ctx, c, sh, t) }
}

func declare(fs *flag.FlagSet, c *Config) {
	d := policy.Standard()
	fs.StringVar(&c.NATSURL, "nats-url", "tls://waggle_listener:4222", "servers of the bus, separated by commas")
	fs.Var(&c.NATSKey, "nats-key", "secret of the scaler on the bus; of several, separated by white space, the first")
	fs.StringVar(&c.NATSCA, "nats-ca", "", "certificates (PEM) of those who vouch for servers with tls://, or system for those that the system trusts; empty: such a server proves itself by the key of this component, as the listener does")
	fs.StringVar(&c.ControlNetwork, "control-network", "waggle_control", "network of Docker on which a name without a dot in nats-url is asked for first")
	fs.StringVar(&c.DockerHost, "docker-host", docker.DefaultHost, "Docker API of a manager: unix:///path/of/socket or tcp://address:port")
	fs.DurationVar(&c.DockerTimeout, "docker-timeout", docker.DefaultTimeout, "how long one call of the Docker API may take; after one that took longer up to four times as long")
	c.DockerTLS.Flags(fs)
	app.TokenVar(fs, &c.Token, "token", "bearer token that whoever asks for a scaling must send, of 16 bytes or more; without one nothing can be asked; of several, separated by white space, each counts")
	app.TokenVar(fs, &c.TokenOther, "token-other", "a further token that is accepted as well, while one is replaced")
	fs.DurationVar(&c.SignalTTL, "signal-ttl", 2*time.Minute, "how long an alert stands that is not heard of again: two repeat intervals of Alertmanager")
	fs.IntVar(&c.DefaultMin, judge.DefaultMin, d.Min, "minimum number of replicas of a service without com.df.scaleMin")
	fs.IntVar(&c.DefaultMax, judge.DefaultMax, d.Max, "maximum number of replicas of a service without com.df.scaleMax")
	fs.IntVar(&c.DefaultUpBy, judge.DefaultUpBy, d.UpBy, "step up of a service without com.df.scaleUpBy")
	fs.IntVar(&c.DefaultDownBy, judge.DefaultDownBy, d.DownBy, "step down of a service without com.df.scaleDownBy")
	fs.DurationVar(&c.DefaultCooldownUp, judge.DefaultCooldownUp, d.CooldownUp, "cooldown before a step up of a service without com.df.scaleCooldownUp")
	fs.DurationVar(&c.DefaultCooldownDown, judge.DefaultCooldownDown, d.CooldownDown, "cooldown before a step down of a service without com.df.scaleCooldownDown")
	fs.DurationVar(&c.Patience, judge.Patience, d.Patience, "how long the tasks of a step may take to run before the next step no longer waits for them")
	fs.BoolVar(&c.DryRun, judge.DryRun, false, "decide and tell, but change nothing")
	fs.StringVar(&c.AlertmanagerURL, "alertmanager-url", "", "Alertmanager that is told of decisions, by alerts named scale_service; empty: none is")
	fs.Var(&c.AlertmanagerPassword, "alertmanager-password", "password that is sent to alertmanager-url, for the user waggle; empty: none")
	fs.StringVar(&c.PrometheusURL, "prometheus-url", "", "Prometheus; while neither it nor Alertmanager has answered for a minute, alerts scale nothing; empty: it is not asked")
	fs.DurationVar(&c.AlertLifetime, "alert-timeout", time.Minute, "how long such an alert lasts; Alertmanager tells nobody of one that has ended before it was looked at")
	fs.BoolVar(&c.AlertScaleMin, "alert-scale-min", false, "tell also of a request down at the minimum number of replicas")
	fs.BoolVar(&c.AlertScaleMax, "alert-scale-max", true, "tell also of a request up at the maximum number of replicas")
	fs.StringVar(&c.ServerPrefix, "server-prefix", "", "path, such as /scaler, under which /v1 answers besides")
	fs.StringVar(&c.Instance, "instance", "", "name of this instance in decisions; empty: the host name")
}

func (c Config) defaults() policy.Defaults {
	return policy.Defaults{
		Min: c.DefaultMin, Max: c.DefaultMax, UpBy: c.DefaultUpBy, DownBy: c.DefaultDownBy,
		CooldownUp: c.DefaultCooldownUp, CooldownDown: c.DefaultCooldownDown, Patience: c.Patience,
	}
}

func (c Config) check() error {
	errs := []error{c.defaults().Check()}
	if c.SignalTTL < store.MinTTL {
		errs = append(errs, fmt.Errorf("signal-ttl=%s: want at least %s", c.SignalTTL, store.MinTTL))
	}
	if c.AlertLifetime <= 0 {
		errs = append(errs, fmt.Errorf("alert-timeout=%s: want more than 0s", c.AlertLifetime))
	}
	if c.DockerTimeout < 0 {
		errs = append(errs, fmt.Errorf("docker-timeout=%s: want a time such as 5s", c.DockerTimeout))
	}
	if c.ServerPrefix != "" && (!strings.HasPrefix(c.ServerPrefix, "/") || strings.HasSuffix(c.ServerPrefix, "/") || strings.ContainsAny(c.ServerPrefix, "{}*? ")) {
		errs = append(errs, fmt.Errorf("server-prefix=%q: want a path such as /scaler", c.ServerPrefix))
	}
	return errors.Join(errs...)
}

// Run runs the scaler until the context ends. It returns an error at once for a
// wrong Config or a taken port; the bus and Docker need not be there yet.
func Run(ctx context.Context, c Config, sh app.Shell) error {
	return RunUnder(ctx, c, sh, Conditions{})
}

// RunUnder is Run under the conditions of a test.
func RunUnder(ctx context.Context, c Config, sh app.Shell, t Conditions) error {
	t = t.whole()
	client, err := docker.Connect(c.DockerHost, docker.AllowScale, sh.Log, docker.Timeout(c.DockerTimeout), docker.WithTLS(c.DockerTLS),
		docker.Clock(t.Clock), docker.Count(docker.Counters{Component: "scaler", Registry: sh.Registry}))
	if err != nil {
		return err
	}
	defer client.Close()
	return run(ctx, c, sh, swarm.New(client), t)
}

func run(ctx context.Context, c Config, sh app.Shell, sw engine.Swarm, t Conditions) error {
	t = t.whole()
	if err := c.check(); err != nil {
		return err
	}
	if c.Instance == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("instance: %w", err)
		}
		c.Instance = name
	}
	b, err := bus.Connect(bus.Options{URL: c.NATSURL, Component: "scaler", Key: string(c.NATSKey), CA: c.NATSCA, ControlNetwork: c.ControlNetwork, Log: sh.Log})
	if err != nil {
		return err
	}
	defer b.Close()
	notifier, err := notify.New(notify.Options{
		URL: c.AlertmanagerURL, Password: string(c.AlertmanagerPassword), Lifetime: c.AlertLifetime, AtMin: c.AlertScaleMin, AtMax: c.AlertScaleMax,
		Clock: t.Clock, Log: sh.Log, Registry: sh.Registry,
	})
	if err != nil {
		return err
	}

	poke, decided := reconcile.NewPokeOn(t.Clock), reconcile.NewPoke()
	eyes, err := watch.New(watch.Options{
		Prometheus: c.PrometheusURL, Alertmanager: c.AlertmanagerURL, Poke: poke.Now, Clock: t.Clock, Log: sh.Log, Registry: sh.Registry,
	})
	if err != nil {
		return err
	}
	services := b.Catalog(poke.Now)
	statuses, accepted := b.Statuses(c.Instance, poke.Now), b.Accepted(poke.Now)
	signals := store.New(b, c.SignalTTL, poke.Now)
	e := engine.New(engine.Options{
		Bus: b, Catalog: services, Statuses: statuses, Accepted: accepted, Store: signals, Swarm: sw, Notify: notifier.Tell, Poke: poke.Now,
		Defaults: c.defaults(), DryRun: c.DryRun, Blind: eyes.Blind, Wanted: eyes.Wanted, Instance: c.Instance,
		Now: t.Clock.Now, Reached: t.Reached, Log: sh.Log, Registry: sh.Registry,
	})
	says := announce.Loop("scaler", decided, announce.New(announce.Options{Bus: b, Own: own(c.Instance, sh, e)}), sh.Log)
	// A pass that failed costs Docker nothing, so who asks by hand need not wait long for
	// the next one.
	loop := reconcile.New(reconcile.Options{
		Component: "scaler", Name: "decisions", Poke: poke, Clock: t.Clock, Pause: t.pause, RetryMax: time.Second, Applied: e.Policies, Log: sh.Log, Registry: sh.Registry,
	}, func(ctx context.Context) error {
		next, err := e.Pass(ctx)
		decided.Now()
		if !next.IsZero() {
			poke.After(max(next.Sub(t.Clock.Now()), 0))
		}
		return err
	})

	journal := audit.New(audit.Options{Bus: b, Component: "scaler", Instance: c.Instance, Log: sh.Log, Now: t.Clock.Now})
	started := t.Clock.Now()
	router := app.Router(sh, func() error {
		if !e.Passed() && t.Clock.Now().Sub(started) < 20*time.Second {
			return errors.New("the catalog has not been read yet")
		}
		return nil
	})
	(&api.API{
		Token: c.Token.And(c.TokenOther), Snapshot: services.Snapshot, Store: signals, Engine: e, Note: journal.Note, Now: t.Clock.Now, Log: sh.Log,
		TooLarge: api.NewTooLarge(sh.Registry), Clock: t.Clock, Prefix: c.ServerPrefix,
		Patience: cmp.Or(c.RequestPatience, signal.Patience),
	}).Routes(router)
	t.Probe(func(catalog, asked, wakes uint64) bool {
		// In this order: what one has passed on is seen where the next one is asked.
		return b.Connected() && services.Reached(catalog) && signals.Reached(asked, wakes) && eyes.Begun() && loop.Idle() && notifier.Idle() && e.Passed()
	})

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return services.Run(ctx) })
	g.Go(func() error { return statuses.Run(ctx) })
	g.Go(func() error { return accepted.Run(ctx) })
	g.Go(func() error { return signals.Run(ctx) })
	g.Go(func() error { return notifier.Run(ctx) })
	g.Go(func() error {
		return notifier.CatchUp(ctx, func(ctx context.Context) ([]decide.Decision, error) { return e.Decisions(ctx, "", notify.Recent) })
	})
	g.Go(func() error { return eyes.Run(ctx) })
	g.Go(func() error { return loop.Run(ctx) })
	g.Go(func() error { return says.Run(ctx) })
	g.Go(func() error { return journal.Run(ctx) })
	g.Go(func() error { return sh.ServeAdmin(ctx, router) })
	return g.Wait()
}

// own is what this instance says of itself.
func own(instance string, sh app.Shell, e *engine.Engine) func() (catalog.Instance, bool) {
	settings := sh.Chosen(judge.Names())
	return func() (catalog.Instance, bool) {
		if !e.Passed() {
			return catalog.Instance{}, false
		}
		hash, _, _ := e.Policies()
		return catalog.Instance{Instance: instance, Revision: e.Revision(), Hash: hash, Version: sh.Version, Settings: settings}, true
	}
}
