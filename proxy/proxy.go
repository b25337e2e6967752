// Package proxy makes HAProxy equal to what the labels of services say.
package proxy

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"github.com/wagglehq/waggle/proxy/internal/api"
	"github.com/wagglehq/waggle/proxy/internal/apply"
	"github.com/wagglehq/waggle/proxy/internal/control"
	"github.com/wagglehq/waggle/proxy/internal/follow"
	"github.com/wagglehq/waggle/proxy/internal/route"
	"github.com/wagglehq/waggle/proxy/internal/runtime"
)

// Labels returns the labels that the proxy reads.
func Labels() []label.Spec { return route.Table() }

// Unsupported returns the labels of Docker Flow Proxy that are rejected by name.
func Unsupported() []label.Spec { return route.Unsupported() }

// announceEvery is how often the instance tells its state.
const announceEvery = 10 * time.Second

// Run keeps HAProxy equal to the catalog until the context ends. HAProxy itself is
// not its child: see Supervise.
func Run(ctx context.Context, c Config, sh app.Shell) error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	b, err := bus.Connect(bus.Options{URL: c.NATSURL, Component: "proxy", Key: string(c.NATSKey), Log: sh.Log})
	if err != nil {
		return err
	}
	defer b.Close()

	var routes, report, verify *reconcile.Loop
	pokeRoutes := func() { routes.Poke() }
	worker := runtime.New(settings.StatsSocket)
	haproxy := apply.New(apply.Options{
		Binary: c.HAProxy, Dir: settings.Dir, Worker: worker, Master: runtime.NewMaster(c.masterSocket()),
		Log: sh.Log, Registry: sh.Registry,
	})
	catalog, accepted := b.Catalog(pokeRoutes), b.Accepted(pokeRoutes)
	statuses := b.Statuses(func() { report.Poke() })
	follower := follow.New(follow.Options{Resolver: c.Resolver, Changed: pokeRoutes, Log: sh.Log, Registry: sh.Registry})
	controller, err := control.New(control.Options{
		Source:   control.Source{Catalog: catalog.Snapshot, Accepted: accepted.Services},
		Follower: follower, HAProxy: haproxy, Settings: settings,
		Route: c.routeOptions(settings, sh.Admin), Static: c.static(),
		StateFile: filepath.Join(c.DataDir, "services.json"),
		Again:     func(d time.Duration) { time.AfterFunc(d, pokeRoutes) },
		Wrote:     func() { verify.Poke() },
		Record:    accepted.Record,
		Applied:   func(hash string, desired, rejected int) { routes.Applied(hash, desired, rejected); report.Poke() },
		Log:       sh.Log, Registry: sh.Registry,
	})
	if err != nil {
		return err
	}
	routes = reconcile.New(reconcile.Options{Component: "proxy", Name: "routes", Log: sh.Log, Registry: sh.Registry}, controller.Pass)
	// The file follows what runs; that HAProxy would start with it is checked apart,
	// because a check takes longer than a change.
	verify = reconcile.New(reconcile.Options{Component: "proxy", Name: "verify", Log: sh.Log, Pause: 5 * time.Second, Resync: time.Hour}, haproxy.CheckFile)
	instance := instanceName()
	report = reconcile.New(reconcile.Options{Component: "proxy", Name: "report", Log: sh.Log, Pause: 50 * time.Millisecond, Resync: announceEvery},
		func(ctx context.Context) error {
			v := controller.View()
			if v == nil || !b.Connected() {
				return nil // the catalog comes the same way; its arrival pokes
			}
			if v.FromBus {
				if err := statuses.Publish(ctx, v.Published()); err != nil {
					return err
				}
			}
			return b.Announce(ctx, bus.Instance{Instance: instance, Revision: v.Snapshot.Revision, Hash: v.Hash, Version: sh.Version})
		})

	router := app.Router(sh, controller.Healthy)
	api.Mount(router, controller.View)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return catalog.Run(ctx) })
	group.Go(func() error { return accepted.Run(ctx) })
	group.Go(func() error { return statuses.Run(ctx) })
	group.Go(func() error { return follower.Run(ctx) })
	group.Go(func() error { return routes.Run(ctx) })
	group.Go(func() error { return verify.Run(ctx) })
	group.Go(func() error { return report.Run(ctx) })
	group.Go(func() error { return worker.Watch(ctx, 100*time.Millisecond, func(runtime.Info) { routes.Poke() }) })
	group.Go(func() error { return app.Serve(ctx, sh.Admin, router, sh.Log) })
	return group.Wait()
}

// instanceName is the container's, which is its host name.
func instanceName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
