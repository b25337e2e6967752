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
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Labels returns the labels that the proxy reads.
func Labels() []label.Spec { return route.Table() }

// Unsupported returns the labels of Docker Flow Proxy that are rejected by name.
func Unsupported() []label.Spec { return route.Unsupported() }

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

	routes, report, verify, agree := reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke()
	worker := runtime.New(settings.StatsSocket)
	quiet := silent.New(silent.Options{
		End: func(ctx context.Context, s silent.Server) error {
			return worker.Do(ctx, runtime.EndSessions(s.Backend, s.Name))
		},
		Log: sh.Log, Registry: sh.Registry,
	})
	haproxy := apply.New(apply.Options{
		Binary: c.HAProxy, Dir: settings.Dir, Worker: worker, Master: runtime.NewMaster(c.masterSocket()),
		Left: quiet.Left, Log: sh.Log, Registry: sh.Registry,
	})
	catalog, accepted := b.CatalogWithSecrets(routes.Now), b.Accepted(routes.Now)
	statuses := b.Statuses(c.instance(), report.Now)
	extra, err := manualServices(c, b, sh, routes.Now)
	if err != nil {
		return err
	}
	follower := addresses.New(addresses.Options{Resolver: c.Resolver, Changed: routes.Now, Log: sh.Log, Registry: sh.Registry})
	store, uploads, look, err := c.newStore(ctx, b, catalog, routes.Now, sh)
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
		Again:     routes.After,
		Wrote:     verify.Now,
		Record:    accepted.Record,
		Applied:   func() { report.Now(); agree.Now() },
		Log:       sh.Log, Registry: sh.Registry,
	})
	if err != nil {
		return err
	}
	passes := reconcile.New(reconcile.Options{Component: "proxy", Name: "routes", Poke: routes, Applied: controller.Applied, Log: sh.Log, Registry: sh.Registry}, controller.Pass)
	// The file follows what runs; that HAProxy would start with it is checked apart,
	// because a check takes longer than a change.
	verifying := reconcile.New(reconcile.Options{Component: "proxy", Name: "verify", Poke: verify, Log: sh.Log, Pause: 5 * time.Second, Resync: time.Hour}, haproxy.CheckFile)
	reporting := reconcile.New(reconcile.Options{Component: "proxy", Name: "report", Poke: report, Log: sh.Log, Pause: 200 * time.Millisecond, Resync: reportEvery},
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
	}, agree.Now)
	agreeing := reconcile.New(reconcile.Options{Component: "proxy", Name: "replicas", Poke: agree, Log: sh.Log, Pause: time.Second, Resync: announce.Every}, group.Pass)

	router := app.Router(sh, controller.Healthy)
	api.Mount(router, controller.View)
	api.MountConfig(router, c.Token, controller.View)
	api.MountInstances(router, group.Replicas)
	api.Certs{
		Token: c.Token, View: controller.Certificates, Put: store.Put, Delete: store.Delete, Check: haproxy.CheckCertificates, OwnList: settings.CertList != "",
	}.Mount(router)
	if c.DockerFlowAPI {
		sh.Registry.MustRegister(exporter.New(sh.Version, worker.ShowStatCSV))
		c.dockerFlow(extra, controller, routes.Now, worker, sh).Mount(router)
	}

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return catalog.Run(ctx) })
	g.Go(func() error { return accepted.Run(ctx) })
	g.Go(func() error { return statuses.Run(ctx) })
	g.Go(func() error { return uploads.Run(ctx) })
	g.Go(func() error { return look.Run(ctx) })
	g.Go(func() error { return follower.Run(ctx) })
	g.Go(func() error { return quiet.Run(ctx) })
	g.Go(func() error { return passes.Run(ctx) })
	g.Go(func() error { return verifying.Run(ctx) })
	g.Go(func() error { return extra.run(ctx) })
	g.Go(func() error { return group.Run(ctx) })
	g.Go(func() error { return agreeing.Run(ctx) })
	g.Go(func() error { return reporting.Run(ctx) })
	g.Go(func() error { return worker.Watch(ctx, 100*time.Millisecond, func(runtime.Info) { routes.Now() }) })
	g.Go(func() error { return app.Serve(ctx, sh.Admin, router, sh.Log) })
	return g.Wait()
}

// reportEvery is how often what was reported is compared with what should be.
const reportEvery = 10 * time.Second
