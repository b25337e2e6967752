// Package listener tells the bus what the swarm offers: its services, nodes and
// tasks, and nothing of what is made of them.
package listener

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/listener/internal/advice"
	"github.com/wagglehq/waggle/listener/internal/api"
	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/listener/internal/sweep"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// Config is everything an operator sets.
type Config struct {
	// DockerHost is the API of a manager, DockerTimeout how long one call of it may take
	// (0: 5 s), DockerTLS how it is reached by TLS.
	DockerHost    string
	DockerTimeout time.Duration
	DockerTLS     docker.TLS
	// Resync is how often the swarm is listed although nothing was heard.
	Resync time.Duration
	// StateMetrics offers the state of the swarm as metrics.
	StateMetrics bool
	// Stack is the stack of Waggle's own services.
	Stack string
	// NATSURL names the servers of the bus; empty: the listener runs one itself.
	NATSURL string
	// NATSReplicas is how many servers keep each bucket.
	NATSReplicas int
	// DataDir is where the listener's own server keeps its store, NATSHost and
	// NATSPort are where it listens; an empty host is every address.
	DataDir  string
	NATSHost string
	NATSPort int
	// NATSOpen lets everybody in who can reach the port.
	NATSOpen bool
	// NATSCA vouches for servers with tls://, see bus.Options; ControlNetwork is the
	// network on which their names are asked for first.
	NATSCA, ControlNetwork string
	// PrintAlertmanagerWeb prints the file by which Alertmanager asks for a password, and that
	// is all.
	PrintAlertmanagerWeb bool
	// PrintNATSConfig prints the configuration for a NATS of others, and that is all.
	PrintNATSConfig bool
	// The components' secrets. For a bus of others only the listener's own counts. There
	// is a reader only if it has one.
	KeyListener, KeyProxy, KeyMonitor, KeyScaler, KeyReader app.Secret
	// Further ones that are accepted as well, while a component's secret is replaced.
	OtherListener, OtherProxy, OtherMonitor, OtherScaler app.Secret
	// Instance names this instance on the bus; empty: the host name.
	Instance string
	// DockerFlow is what those who come from there are told.
	DockerFlow DockerFlow
}

// Service declares the flags and returns what runs until the context ends.
func Service(fs *flag.FlagSet) func(context.Context, app.Shell) error {
	var c Config
	fs.StringVar(&c.DockerHost, "docker-host", docker.DefaultHost, "Docker API of a manager: unix:///path/of/socket or tcp://address:port")
	fs.DurationVar(&c.DockerTimeout, "docker-timeout", docker.DefaultTimeout, "how long one call of the Docker API may take; after one that took longer up to four times as long")
	c.DockerTLS.Flags(fs)
	fs.StringVar(&c.Stack, "stack", "waggle", "stack of Waggle's own services, whose tasks are published without their opting in")
	fs.DurationVar(&c.Resync, "resync", 30*time.Second, "how often the swarm is listed although nothing was heard")
	fs.BoolVar(&c.StateMetrics, "state-metrics", true, "offer the state of services, tasks and nodes as metrics")
	fs.StringVar(&c.NATSURL, "nats-url", "", "servers of the bus, separated by commas; empty: the listener runs one itself")
	fs.IntVar(&c.NATSReplicas, "nats-replicas", 1, "how many servers of the bus keep each bucket")
	fs.StringVar(&c.DataDir, "data-dir", "/var/lib/waggle", "folder of the listener's own server, on a volume")
	fs.StringVar(&c.NATSHost, "nats-host", "", "address at which the listener's own server listens; empty: every address")
	fs.IntVar(&c.NATSPort, "nats-port", 4222, "port at which the listener's own server listens")
	fs.BoolVar(&c.NATSOpen, "nats-open", false, "let everybody in who can reach the listener's own server, instead of those with a key")
	fs.StringVar(&c.NATSCA, "nats-ca", "", "certificates (PEM) of those who vouch for servers with tls://, or system for those that the system trusts")
	fs.StringVar(&c.ControlNetwork, "control-network", "waggle_control", "network of Docker on which a name without a dot in nats-url is asked for first, and on which services of other stacks are named")
	fs.BoolVar(&c.PrintNATSConfig, "nats-config", false, "print a configuration for nats-server that admits the components with the given keys, and exit")
	fs.BoolVar(&c.PrintAlertmanagerWeb, "alertmanager-web", false, "read a password from the standard input, print the web.config.file by which Alertmanager asks for it, and exit")
	fs.Var(&c.KeyListener, "nats-key-listener", "secret of the listener on the bus; of several, separated by white space, the first, and the listener's own server accepts all")
	fs.Var(&c.KeyProxy, "nats-key-proxy", "secret of the proxy, for the listener's own server")
	fs.Var(&c.KeyMonitor, "nats-key-monitor", "secret of the monitor, for the listener's own server")
	fs.Var(&c.KeyScaler, "nats-key-scaler", "secret of the scaler, for the listener's own server")
	fs.Var(&c.KeyReader, "nats-key-reader", "secret of consumers of yours, which read catalog and statuses, for the listener's own server; empty: there is no such account")
	fs.Var(&c.OtherListener, "nats-key-listener-other", "a further secret of the listener that its own server accepts, while it is replaced")
	fs.Var(&c.OtherProxy, "nats-key-proxy-other", "a further secret of the proxy that the listener's own server accepts, while it is replaced")
	fs.Var(&c.OtherMonitor, "nats-key-monitor-other", "a further secret of the monitor that the listener's own server accepts, while it is replaced")
	fs.Var(&c.OtherScaler, "nats-key-scaler-other", "a further secret of the scaler that the listener's own server accepts, while it is replaced")
	fs.StringVar(&c.Instance, "instance", "", "name of this instance on the bus; empty: the host name")
	c.DockerFlow.flags(fs)
	return func(ctx context.Context, sh app.Shell) error { return Run(ctx, c, sh) }
}

// Run runs the listener until the context ends. It returns an error at once for a
// wrong Config, a taken port or a store that cannot be used; Docker and a bus of
// others need not be there yet.
func Run(ctx context.Context, c Config, sh app.Shell) error {
	if c.PrintAlertmanagerWeb {
		return printAlertmanagerWeb(os.Stdin, os.Stdout)
	}
	if c.PrintNATSConfig {
		return c.printNATSConfig(os.Stdout)
	}
	if err := c.check(); err != nil {
		return err
	}
	instance, err := c.instance()
	if err != nil {
		return err
	}
	key, err := markKey(string(c.KeyListener))
	if err != nil {
		return err
	}
	table, err := known.Table()
	if err != nil {
		return err
	}
	edge, err := newEdge(c.DockerFlow, sh)
	if err != nil {
		return err
	}
	states := c.stateMetrics(sh)
	swarm, err := docker.Connect(cmp.Or(c.DockerFlow.DockerHost, c.DockerHost), docker.AllowRead, sh.Log, docker.WithTLS(c.DockerTLS), docker.Timeout(c.DockerTimeout),
		docker.Key(key), docker.Count(docker.Counters{Component: "listener", Registry: sh.Registry}), states.watch())
	if err != nil {
		return err
	}
	defer swarm.Close()
	b, stop, writable, err := c.connect(sh)
	if err != nil {
		return err
	}
	defer stop()

	lists, tasks, statuses, events, self := reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke()
	writer := b.CatalogWriter(lists.Now)
	var isAnnounced atomic.Bool
	turns := api.NewTurns()
	reader := b.Catalog(func() {
		turns.Next()
		if !isAnnounced.Load() {
			self.Now()
		}
	})
	said := b.Statuses(instance, statuses.Now)
	everybody := b.Bucket(bus.StatusBucket).Mirror(">", turns.Next)
	accepted := b.Bucket(bus.AcceptedBucket).Mirror(">", turns.Next)
	ages := &instances.Ages{}
	var lease *bus.Lease
	p := publish.New(publish.Options{
		Swarm: swarm, Catalog: writer, Table: table, IsSecret: known.Secrets(table), Mark: marker(key), Instance: instance,
		Control: advice.Control{Network: c.ControlNetwork, Stack: c.Stack},
		Follows: edge.follows,
		Leads:   func() bool { return lease.Held() }, Reopen: swarm.ReopenEvents,
		Changed: func() {
			tasks.Now()
			statuses.Now()
			events.Now()
			self.Now()
			edge.poke.Now()
			turns.Next()
		},
		Now: time.Now, Log: sh.Log, Registry: sh.Registry,
	})
	edge.connect(b, p, reader, writer, func() bool {
		_, isHeld := lease.Holder()
		return isHeld
	}, sh)
	options := func(name string, poke *reconcile.Poke, resync, pause time.Duration) reconcile.Options {
		return reconcile.Options{
			Component: "listener", Name: name, Poke: poke, Resync: resync, Pause: pause,
			// A second without the truth is long; neither side minds being asked twice a second.
			RetryMin: 20 * time.Millisecond, RetryMax: 500 * time.Millisecond, Log: sh.Log, Registry: sh.Registry,
		}
	}
	leads := newLeads(sh.Registry)
	lease = b.Lease(bus.LeaseOptions{
		Key: "listener", Holder: c.holder(instance), TTL: c.leaseTTL(), Willing: p.Willing,
		Changed: func(held bool) {
			leads(held)
			lists.Now()
			tasks.Now()
			statuses.Now()
			self.Now()
			edge.poke.Now()
		},
	})
	prepared := make(chan struct{})
	isPrepared := sync.OnceFunc(func() { close(prepared) })
	buckets := reconcile.NewPoke()
	prepare := reconcile.New(options("buckets", buckets, time.Minute, 0), func(ctx context.Context) error {
		err := b.Prepare(ctx, c.NATSReplicas)
		if err == nil {
			isPrepared()
		}
		return err
	})
	publishing := reconcile.New(options("statuses", statuses, time.Minute, statusPause), func(ctx context.Context) error {
		all, ok := p.Statuses()
		if !ok {
			return nil // the first list pokes
		}
		if err := said.Publish(ctx, all); !errors.Is(err, bus.ErrNotSynced) {
			return err
		}
		return nil // whoever reads them pokes
	})
	sweeper := sweep.New(sweep.Options{
		Bucket: b.Bucket(bus.StatusBucket), Values: everybody.Values, Leads: lease.Held, Now: time.Now, Log: sh.Log,
	})
	sweeping := reconcile.New(options("sweep", nil, 10*time.Second, time.Second), sweeper.Pass)
	telling := reconcile.New(options("events", events, time.Minute, 0), func(ctx context.Context) error { return p.EventPass(ctx, b) })
	announcing := reconcile.New(options("instance", self, announceEvery, time.Second), announce(b, p, reader, catalog.Instance{Instance: instance, Version: sh.Version}, func() { isAnnounced.Store(true) }, ages))
	pokes := newPokes(sh.Registry)

	router := app.Router(sh, health(p, reader, b, writable, time.Now))
	door := &api.API{
		Catalog: reader.Snapshot, List: reader.List, State: p.State, Hash: p.Hash, Holder: lease.Holder,
		Statuses: everybody.Values, Instances: sweeper.Instances, Connected: b.Connected, Table: table, Now: time.Now,
	}
	door.Routes(router)
	companions, err := edge.companions(sh)
	switch {
	case err != nil:
		return err
	case companions == nil:
		edge.api().Routes(router)
		companions = func(context.Context) error { return nil }
	}
	api.Pictures{API: door, Stack: c.Stack, Accepted: accepted.Values, Tasks: swarm.KnownTasks, Ages: ages, Decisions: func(ctx context.Context, n int) ([]bus.Message, error) {
		return b.Last(ctx, bus.DecisionsStream, n)
	}, Turns: turns, Ended: ctx.Done()}.Routes(router)
	happenings := &api.Events{Bus: b, Statuses: everybody.Values, Ended: ctx.Done()}
	happenings.Routes(router)
	api.Audit{Last: func(ctx context.Context, component string, n int) ([]bus.Message, error) {
		if component == "" {
			return b.Last(ctx, bus.AuditStream, n)
		}
		return b.LastOf(ctx, bus.AuditStream, component, n)
	}}.Routes(router)

	listing, movements := p.ListLoop(options("lists", lists, c.Resync, 0)), p.TaskLoop(options("tasks", tasks, 0, 0))
	stating := states.loop(swarm, options("state", nil, 10*time.Second, statePause))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sh.ServeAdmin(ctx, router) })
	g.Go(func() error { return companions(ctx) })
	g.Go(func() error { return stating(ctx) }) // which needs no bus
	g.Go(func() error { return prepare.Run(ctx) })
	g.Go(func() error { b.OnConnect(ctx, buckets.Now); return nil })
	g.Go(func() error { b.OnMissing(ctx, buckets.Now); return nil })
	select {
	case <-prepared:
	case <-ctx.Done():
		return g.Wait()
	}
	for _, run := range []func(context.Context) error{
		writer.Run, reader.Run, said.Run, everybody.Run, accepted.Run, publishing.Run, telling.Run, sweeping.Run, announcing.Run,
		listing.Run, movements.Run,
	} {
		g.Go(func() error { return run(ctx) })
	}
	g.Go(func() error { return edge.run(ctx, options("notifications", edge.poke, time.Minute, notifyPause)) })
	g.Go(func() error {
		return swarm.Events(ctx, func(e docker.Event) { pokes.Inc(); p.Heard(e); lists.Now(); states.heard(); edge.heard(e) })
	})
	select {
	case <-p.Asked(): // who does not know yet whether Docker answers wants no lease
	case <-ctx.Done():
		return g.Wait()
	}
	g.Go(func() error { return lease.Run(ctx) })
	return g.Wait()
}

// statusPause keeps a storm of changes cheap for statuses, which nobody waits for.
const statusPause = 200 * time.Millisecond

// notifyPause keeps a storm of changes cheap for Docker Flow's receivers.
const notifyPause = 100 * time.Millisecond

func (c Config) check() error {
	errs := []error{c.DockerFlow.check()}
	if c.Resync < time.Second {
		errs = append(errs, fmt.Errorf("resync=%s: want at least 1s", c.Resync))
	}
	if c.DockerTimeout < 0 {
		errs = append(errs, fmt.Errorf("docker-timeout=%s: want a time such as 5s", c.DockerTimeout))
	}
	if c.NATSReplicas < 1 || c.NATSReplicas > 5 {
		errs = append(errs, fmt.Errorf("nats-replicas=%d: want 1 to 5", c.NATSReplicas))
	}
	if c.NATSURL != "" {
		return errors.Join(errs...)
	}
	var missing []string
	for _, k := range c.secrets() {
		if k.key == "" && k.component != bus.Reader {
			missing = append(missing, "nats-key-"+k.component)
		}
	}
	switch {
	case c.NATSOpen && (len(missing) < 4 || c.KeyReader != ""):
		errs = append(errs, errors.New("nats-open and keys do not go together: with a key, only those with a key are let in"))
	case !c.NATSOpen && len(missing) > 0:
		errs = append(errs, fmt.Errorf("%s: not set: the listener's own server needs the keys of all components (or nats-open, where nobody else can reach it)", strings.Join(missing, ", ")))
	}
	if c.NATSReplicas > 1 {
		errs = append(errs, fmt.Errorf("nats-replicas=%d: the listener's own server is one; want 1, or nats-url", c.NATSReplicas))
	}
	return errors.Join(errs...)
}

// secret is what one component may prove itself with.
type secret struct {
	component  string
	key, other app.Secret
}

func (c Config) secrets() []secret {
	return []secret{
		{bus.Listener, c.KeyListener, c.OtherListener}, {"proxy", c.KeyProxy, c.OtherProxy},
		{"monitor", c.KeyMonitor, c.OtherMonitor}, {"scaler", c.KeyScaler, c.OtherScaler}, {component: bus.Reader, key: c.KeyReader},
	}
}

// keys are all that are accepted of each component, the one to use first.
func (c Config) keys() map[string]string {
	out := map[string]string{}
	for _, s := range c.secrets() {
		switch {
		case s.key != "":
			out[s.component] = string(s.key + "\n" + s.other)
		case s.component != bus.Reader:
			out[s.component] = "" // which is an error, where keys are asked for
		}
	}
	return out
}

func (c Config) instance() (string, error) {
	if c.Instance != "" {
		return c.Instance, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("instance: %w", err)
	}
	return name, nil
}

// holder is the name under which the lease is asked for. Beside its own server a listener
// is the only one, so that one that starts again need not wait for its own lease to end.
func (c Config) holder(instance string) string {
	if c.NATSURL == "" {
		return "own"
	}
	return instance
}

// leaseTTL is how long the lease lasts, 0 for the usual time, within which another listener is to
// take over. Beside its own server there is none who could: that one ends with the listener.
func (c Config) leaseTTL() time.Duration {
	if c.NATSURL == "" {
		return 30 * time.Second
	}
	return 0
}
