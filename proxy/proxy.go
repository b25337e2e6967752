// Package proxy makes HAProxy equal to what the labels of services say.
package proxy

import (
	"context"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/pkg/announce"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/api"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/dockerflow/exporter"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/silent"
	"github.com/wagglehq/waggle/proxy/internal/replicas"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// Labels returns the labels that the proxy reads.
func Labels() []label.Spec { return labels.Table() }

// Unsupported returns the labels of Docker Flow Proxy that are rejected by name.
func Unsupported() []label.Spec { return labels.Unsupported() }

// Run keeps HAProxy equal to the catalog until the context ends. HAProxy itself is
// not its child: see Supervise.
func Run(ctx context.Context, c Config, sh app.Shell) error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	c.Certs.detectHTTP3(ctx, c.HAProxy, &settings, sh)
	files, err := openFiles()
	if err != nil {
		return err
	}
	var warning string
	if settings.MaxConn, warning = connections(settings.MaxConn, files); warning != "" {
		sh.Log.Warn("fewer connections than were asked for", "reason", warning)
	}
	b, err := bus.Connect(bus.Options{URL: c.NATSURL, Component: "proxy", Key: string(c.NATSKey), CA: c.NATSCA, ControlNetwork: c.ControlNetwork, Log: sh.Log})
	if err != nil {
		return err
	}
	defer b.Close()

	var routes, report, verify, agree *reconcile.Loop
	pokeRoutes := func() {
		if routes != nil { // the first look at certificates comes before the loops
			routes.Poke()
		}
	}
	worker := runtime.New(settings.StatsSocket)
	quiet := silent.New(silent.Options{
		Unrepeatable: func(ctx context.Context, s silent.Server) error {
			return worker.EndUnrepeatable(ctx, s.Backend, s.Name)
		},
		All: func(ctx context.Context, s silent.Server) error {
			return worker.Do(ctx, runtime.EndSessions(s.Backend, s.Name))
		},
		Log: sh.Log, Registry: sh.Registry,
	})
	haproxy := apply.New(apply.Options{
		Binary: c.HAProxy, Dir: settings.Dir, Worker: worker, Master: runtime.NewMaster(c.masterSocket()),
		Left: quiet.Left, Log: sh.Log, Registry: sh.Registry,
	})
	catalog, accepted := b.CatalogWithSecrets(pokeRoutes), b.Accepted(pokeRoutes)
	statuses := b.Statuses(c.instance(), func() { report.Poke() })
	extra, err := manualServices(c, b, sh, pokeRoutes)
	if err != nil {
		return err
	}
	follower := addresses.New(addresses.Options{Resolver: c.Resolver, Changed: pokeRoutes, Log: sh.Log, Registry: sh.Registry})
	store, uploads, look, err := c.newStore(ctx, b, catalog, pokeRoutes, sh)
	if err != nil {
		return err
	}
	controller, err := controller.New(controller.Options{
		Source:   controller.Source{Catalog: catalog.Snapshot, Accepted: accepted.Services, Manual: extra.services()},
		Follower: follower, HAProxy: haproxy, Settings: settings,
		Route: c.routeOptions(settings, sh.Admin), Static: c.static(),
		Certificates: store.Candidates, Preferred: c.Certs.preferred(),
		Users:     c.Edge.secretUsers,
		StateFile: filepath.Join(c.DataDir, "services.json"),
		Again:     func(d time.Duration) { time.AfterFunc(d, pokeRoutes) },
		Wrote:     func() { verify.Poke() },
		Record:    accepted.Record,
		Applied: func(hash string, desired, rejected int) {
			routes.Applied(hash, desired, rejected)
			report.Poke()
			agree.Poke()
		},
		Log: sh.Log, Registry: sh.Registry,
	})
	if err != nil {
		return err
	}
	routes = reconcile.New(reconcile.Options{Component: "proxy", Name: "routes", Log: sh.Log, Registry: sh.Registry}, controller.Pass)
	// The file follows what runs; that HAProxy would start with it is checked apart,
	// because a check takes longer than a change.
	verify = reconcile.New(reconcile.Options{Component: "proxy", Name: "verify", Log: sh.Log, Pause: 5 * time.Second, Resync: time.Hour}, haproxy.CheckFile)
	report = reconcile.New(reconcile.Options{Component: "proxy", Name: "report", Log: sh.Log, Pause: 200 * time.Millisecond, Resync: reportEvery},
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
			return extra.keep(ctx)
		})
	group := replicas.New(replicas.Options{
		Bus: b, Component: "proxy", Own: own(c.instance(), sh, controller.View), Count: countConnections(worker), Registry: sh.Registry,
	}, func() { agree.Poke() })
	agree = reconcile.New(reconcile.Options{Component: "proxy", Name: "replicas", Log: sh.Log, Pause: time.Second, Resync: announce.Every}, group.Pass)

	router := app.Router(sh, controller.Healthy)
	api.Mount(router, controller.View)
	api.MountConfig(router, c.Token, controller.View)
	api.MountInstances(router, group.Replicas)
	api.Certs{
		Token: c.Token, View: controller.Certificates, Put: store.Put, Delete: store.Delete, Check: haproxy.CheckCertificates, OwnList: settings.CertList != "",
	}.Mount(router)
	if c.DockerFlowAPI {
		sh.Registry.MustRegister(exporter.New(sh.Version, worker.ShowStatCSV))
		c.dockerFlow(extra, controller, pokeRoutes, worker, sh).Mount(router)
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return catalog.Run(ctx) })
	g.Go(func() error { return accepted.Run(ctx) })
	g.Go(func() error { return statuses.Run(ctx) })
	g.Go(func() error { return uploads.Run(ctx) })
	g.Go(func() error { return look.Run(ctx) })
	g.Go(func() error { return follower.Run(ctx) })
	g.Go(func() error { return quiet.Run(ctx) })
	g.Go(func() error { return routes.Run(ctx) })
	g.Go(func() error { return verify.Run(ctx) })
	g.Go(func() error { return extra.run(ctx) })
	g.Go(func() error { return group.Run(ctx) })
	g.Go(func() error { return agree.Run(ctx) })
	g.Go(func() error { return report.Run(ctx) })
	g.Go(func() error { return worker.Watch(ctx, 100*time.Millisecond, func(runtime.Info) { routes.Poke() }) })
	g.Go(func() error { return app.Serve(ctx, sh.Admin, router, sh.Log) })
	return g.Wait()
}

// reportEvery is how often what was reported is compared with what should be.
const reportEvery = 10 * time.Second
