// Package listener tells the bus what the swarm offers: its services, nodes and
// tasks, and nothing of what is made of them.
package listener

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/listener/internal/api"
	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"golang.org/x/sync/errgroup"
)

// Config is everything an operator sets.
type Config struct {
	// DockerHost is the API of a manager.
	DockerHost string
	// Resync is how often the swarm is listed although nothing was heard.
	Resync time.Duration
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
	// PrintNATSConfig prints the configuration for a NATS of others, and that is all.
	PrintNATSConfig bool
	// The components' secrets. For a bus of others only the listener's own counts.
	KeyListener, KeyProxy, KeyMonitor, KeyScaler app.Secret
	// Instance names this instance on the bus; empty: the host name.
	Instance string
}

// Service declares the flags and returns what runs until the context ends.
func Service(fs *flag.FlagSet) func(context.Context, app.Shell) error {
	var c Config
	fs.StringVar(&c.DockerHost, "docker-host", docker.DefaultHost, "Docker API of a manager")
	fs.DurationVar(&c.Resync, "resync", 30*time.Second, "how often the swarm is listed although nothing was heard")
	fs.StringVar(&c.NATSURL, "nats-url", "", "servers of the bus, separated by commas; empty: the listener runs one itself")
	fs.IntVar(&c.NATSReplicas, "nats-replicas", 1, "how many servers of the bus keep each bucket")
	fs.StringVar(&c.DataDir, "data-dir", "/var/lib/waggle", "folder of the listener's own server, on a volume")
	fs.StringVar(&c.NATSHost, "nats-host", "", "address at which the listener's own server listens; empty: every address")
	fs.IntVar(&c.NATSPort, "nats-port", 4222, "port at which the listener's own server listens")
	fs.BoolVar(&c.NATSOpen, "nats-open", false, "let everybody in who can reach the listener's own server, instead of those with a key")
	fs.StringVar(&c.NATSCA, "nats-ca", "", "certificates (PEM) of those who vouch for servers with tls://, or system for those that the system trusts")
	fs.StringVar(&c.ControlNetwork, "control-network", "waggle_control", "network of Docker on which a name without a dot in nats-url is asked for first")
	fs.BoolVar(&c.PrintNATSConfig, "nats-config", false, "print a configuration for nats-server that admits the components with the given keys, and exit")
	fs.Var(&c.KeyListener, "nats-key-listener", "secret of the listener on the bus; of several, separated by white space, the first, and the listener's own server accepts all")
	fs.Var(&c.KeyProxy, "nats-key-proxy", "secret of the proxy, for the listener's own server")
	fs.Var(&c.KeyMonitor, "nats-key-monitor", "secret of the monitor, for the listener's own server")
	fs.Var(&c.KeyScaler, "nats-key-scaler", "secret of the scaler, for the listener's own server")
	fs.StringVar(&c.Instance, "instance", "", "name of this instance on the bus; empty: the host name")
	return func(ctx context.Context, sh app.Shell) error { return Run(ctx, c, sh) }
}

// Run runs the listener until the context ends. It returns an error at once for a
// wrong Config, a taken port or a store that cannot be used; Docker and a bus of
// others need not be there yet.
func Run(ctx context.Context, c Config, sh app.Shell) error {
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
	table, err := known.Table()
	if err != nil {
		return err
	}
	swarm, err := docker.Connect(c.DockerHost, docker.AllowRead, sh.Log)
	if err != nil {
		return err
	}
	defer swarm.Close()
	b, stop, writable, err := c.connect(sh)
	if err != nil {
		return err
	}
	defer stop()

	var lists, tasks, statuses, events, self *reconcile.Loop
	writer := b.CatalogWriter(func() { lists.Poke() })
	said := b.Statuses(func() { statuses.Poke() })
	everybody := b.Bucket(bus.StatusBucket).Mirror(">", func() {})
	p := publish.New(publish.Options{
		Swarm: swarm, Catalog: writer, Table: table, Now: time.Now, Log: sh.Log, Registry: sh.Registry,
		Changed: func() { tasks.Poke(); statuses.Poke(); events.Poke(); self.Poke() },
	})
	options := func(name string, resync, pause time.Duration) reconcile.Options {
		return reconcile.Options{
			Component: "listener", Name: name, Resync: resync, Pause: pause,
			// A second without the truth is long; neither side minds being asked twice a second.
			RetryMin: 20 * time.Millisecond, RetryMax: 500 * time.Millisecond, Log: sh.Log, Registry: sh.Registry,
		}
	}
	prepared := make(chan struct{})
	isPrepared := sync.OnceFunc(func() { close(prepared) })
	buckets := reconcile.New(options("buckets", time.Minute, 0), func(ctx context.Context) error {
		err := b.Prepare(ctx, c.NATSReplicas)
		if err == nil {
			isPrepared()
		}
		return err
	})
	hints := newHints()
	lists = reconcile.New(options("lists", c.Resync, listPause), func(ctx context.Context) error {
		ids, all := hints.take()
		for _, id := range ids {
			all = p.Hint(ctx, id) && all
		}
		if all {
			// The list that confirms it may wait until others have acted on it.
			hints.add(docker.Event{})
			time.AfterFunc(confirmAfter, lists.Poke)
			return nil
		}
		err := p.ListPass(ctx)
		lists.Applied(p.Applied())
		return err
	})
	tasks = p.TaskLoop(options("tasks", 0, 0))
	statuses = reconcile.New(options("statuses", time.Minute, statusPause), func(ctx context.Context) error {
		all, ok := p.Statuses()
		if !ok {
			return nil // the first list pokes
		}
		return said.Publish(ctx, all)
	})
	events = reconcile.New(options("events", time.Minute, 0), func(ctx context.Context) error { return p.EventPass(ctx, b) })
	self = reconcile.New(options("instance", announceEvery, time.Second), announce(b, p, writer, instance, sh.Version))
	pokes := newPokes(sh.Registry)

	router := app.Router(sh, health(p, b, writable, time.Now))
	(&api.API{
		View: p.View, Statuses: everybody.Values, Connected: b.Connected, Table: table,
		Revision: func() (catalog.Revision, bool) {
			_, revision, ok := writer.State()
			return revision, ok
		},
	}).Routes(router)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return app.Serve(ctx, sh.Admin, router, sh.Log) })
	g.Go(func() error { return buckets.Run(ctx) })
	g.Go(func() error { b.OnConnect(ctx, buckets.Poke); return nil })
	select {
	case <-prepared:
	case <-ctx.Done():
		return g.Wait()
	}
	g.Go(func() error { return writer.Run(ctx) })
	g.Go(func() error { return said.Run(ctx) })
	g.Go(func() error { return everybody.Run(ctx) })
	g.Go(func() error { return lists.Run(ctx) })
	g.Go(func() error { return tasks.Run(ctx) })
	g.Go(func() error { return statuses.Run(ctx) })
	g.Go(func() error { return events.Run(ctx) })
	g.Go(func() error {
		return swarm.Events(ctx, func(e docker.Event) { pokes.Inc(); hints.add(e); lists.Poke() })
	})
	g.Go(func() error { return self.Run(ctx) })
	return g.Wait()
}

// listPause keeps a storm of events cheap; the first event of a storm is acted on at once.
const listPause = 10 * time.Millisecond

// confirmAfter is how long after single services were read the full list follows.
const confirmAfter = 100 * time.Millisecond

// statusPause is the same for statuses, which nobody waits for.
const statusPause = 200 * time.Millisecond

func (c Config) check() error {
	var errs []error
	if c.Resync < time.Second {
		errs = append(errs, fmt.Errorf("resync=%s: want at least 1s", c.Resync))
	}
	if c.NATSReplicas < 1 || c.NATSReplicas > 5 {
		errs = append(errs, fmt.Errorf("nats-replicas=%d: want 1 to 5", c.NATSReplicas))
	}
	if c.NATSURL != "" {
		return errors.Join(errs...)
	}
	var missing []string
	for _, component := range []string{"listener", "proxy", "monitor", "scaler"} {
		if c.keys()[component] == "" {
			missing = append(missing, "nats-key-"+component)
		}
	}
	switch {
	case c.NATSOpen && len(missing) < 4:
		errs = append(errs, errors.New("nats-open and keys do not go together: with a key, only those with a key are let in"))
	case !c.NATSOpen && len(missing) > 0:
		errs = append(errs, fmt.Errorf("%s: not set: the listener's own server needs the keys of all components (or nats-open, where nobody else can reach it)", strings.Join(missing, ", ")))
	}
	if c.NATSReplicas > 1 {
		errs = append(errs, fmt.Errorf("nats-replicas=%d: the listener's own server is one; want 1, or nats-url", c.NATSReplicas))
	}
	return errors.Join(errs...)
}

func (c Config) keys() map[string]string {
	return map[string]string{
		"listener": string(c.KeyListener), "proxy": string(c.KeyProxy), "monitor": string(c.KeyMonitor), "scaler": string(c.KeyScaler),
	}
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

// withoutBus is how long to wait for a bus of others before the listener counts
// as healthy without it: a restart would not bring the bus.
const withoutBus = 20 * time.Second

// health returns nil once the first full list is on the bus. It stays nil then, while
// writable says of the listener's own server that it can write: whether Docker or a bus
// of others is there does not depend on this process.
func health(p *publish.Publisher, b *bus.Bus, writable func() error, now func() time.Time) func() error {
	started := now()
	return func() error {
		if err := writable(); err != nil {
			return err
		}
		view := p.View()
		switch {
		case !view.Listed.IsZero():
			return nil
		case !b.Connected() && now().Sub(started) >= withoutBus:
			return nil
		case !b.Connected():
			return errors.New("the bus is not there yet")
		case view.Failure != "":
			return fmt.Errorf("the swarm has not been listed yet: %s", view.Failure)
		}
		return errors.New("the swarm has not been listed yet")
	}
}

func newPokes(reg prometheus.Registerer) prometheus.Counter {
	pokes := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "waggle", Subsystem: "listener", Name: "docker_events_total",
		Help: "Events of services and nodes heard from Docker, and openings of the stream.",
	})
	reg.MustRegister(pokes)
	return pokes
}

// announceEvery is how often an instance says that it is there.
const announceEvery = 10 * time.Second

// announce says so as soon as the first list is written, and then regularly.
func announce(b *bus.Bus, p *publish.Publisher, w *bus.CatalogWriter, instance, version string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, revision, ok := w.State()
		view := p.View()
		if !ok || view.Listed.IsZero() {
			return nil // the first list pokes
		}
		ctx, cancel := context.WithTimeout(ctx, announceEvery)
		defer cancel()
		return b.Announce(ctx, catalog.Instance{Instance: instance, Revision: revision, Hash: view.Hash, Version: version})
	}
}
