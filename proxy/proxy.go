// Package proxy makes HAProxy equal to what the labels of services say.
package proxy

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/pkg/announce"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
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
	"github.com/wagglehq/waggle/proxy/internal/reach"
	"github.com/wagglehq/waggle/proxy/internal/replicas"
	"github.com/wagglehq/waggle/proxy/internal/settings"
	"github.com/wagglehq/waggle/proxy/internal/sleep"
	"github.com/wagglehq/waggle/proxy/internal/traffic"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
	"github.com/wagglehq/waggle/proxy/judge"
)

// Config is the operator's part.
type Config = settings.Config

// Labels returns the labels that the proxy reads.
func Labels() []label.Spec { return labels.Table() }

// Unsupported returns the labels of Docker Flow Proxy that are rejected by name.
func Unsupported() []label.Spec { return labels.Unsupported() }

// How often the loops look although nobody poked, and the least time between their passes.
const (
	// watchEvery is how soon another HAProxy is noticed.
	watchEvery = 100 * time.Millisecond
	// verifyPause keeps checks rare while much changes, because each takes longer than a
	// change.
	verifyPause, verifyEvery = 5 * time.Second, time.Hour
	// reportPause keeps a storm of changes cheap for statuses; reportEvery is how often
	// what was reported is compared with what should be.
	reportPause, reportEvery = 200 * time.Millisecond, 10 * time.Second
	agreePause               = time.Second
	// farewell bounds what a slow bus may cost the end.
	farewell = time.Second
)

// Run keeps HAProxy equal to the catalog until the context ends. HAProxy itself is
// not its child: see Supervise.
func Run(ctx context.Context, c Config, sh app.Shell) error {
	around, err := surroundings(&c, sh)
	if err != nil {
		return err
	}
	options, err := haproxySettings(ctx, c, sh)
	if err != nil {
		return err
	}
	public := c.Published(sh.Admin)
	rules, err := judge.ParseRules(public)
	if err != nil {
		return err
	}
	b, err := bus.Connect(bus.Options{
		URL: c.NATSURL, Component: "proxy", Key: string(c.NATSKey), CA: c.NATSCA, ControlNetwork: c.ControlNetwork, Log: sh.Log,
	})
	if err != nil {
		return err
	}
	defer b.Close()

	routes, report, verify, agree, note := reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke(), reconcile.NewPoke()
	release := reconcile.NewPoke()
	worker, master := runtime.New(options.StatsSocket), runtime.NewMaster(c.MasterSocket())
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
		Binary: c.HAProxy, Dir: options.Dir, Worker: worker, Master: master,
		Left: quiet.Left, Log: sh.Log, Registry: sh.Registry,
	})
	catalog, accepted := b.CatalogWithSecrets(routes.Now), b.Accepted(routes.Now)
	heard := hearing{connected: b.Connected, list: catalog.List, now: time.Now}
	statuses := b.Statuses(c.InstanceName(), report.Now)
	extra, err := manualServices(c, b, sh, routes.Now)
	if err != nil {
		return err
	}
	follower := addresses.New(addresses.Options{Resolver: c.Resolver, Changed: routes.Now, Log: sh.Log, Registry: sh.Registry})
	arrivals := sleep.NewArrivals(routes.Now)
	store, err := newStore(ctx, c, b, catalog, routes.Now, sh)
	if err != nil {
		return err
	}
	peers := replicas.NewPeers(b, "proxy", func() { agree.Now(); routes.Now() })
	told := newReloads(b, c.InstanceName(), sh.Log)
	var control *controller.Controller
	store.obtained, err = newObtained(c, b, catalog, peers, func() *controller.View { return control.View() }, routes.Now, sh)
	if err != nil {
		return err
	}
	control, err = controller.New(controller.Options{
		Source: controller.Source{
			Catalog: catalog.Snapshot, Current: heard.current, Accepted: accepted.Services, Manual: extra.services(), Static: c.Static(),
			Certificates: published(peers, c.InstanceName(), store.uploads, store.obtained),
		},
		Follower: follower, Arrivals: arrivals, Settings: options, Rules: rules, Surroundings: around, Certificates: store.source(c),
		Users: c.Edge.SecretUsers, StateFile: filepath.Join(c.DataDir, "services.json"),
		Events: controller.Events{
			Again: routes.After, Wrote: verify.Now, Record: accepted.Record, Applied: func() { release.Now(); report.Now(); agree.Now(); note.Now(); store.obtained.again() },
			Reloaded: told.note,
		},
		HAProxy: controller.HAProxy{Engine: haproxy, Checker: haproxy, Servers: haproxy, Comparer: haproxy, Certificates: haproxy},
		Log:     sh.Log, Registry: sh.Registry,
	})
	if err != nil {
		return err
	}
	store.obtained.look(ctx)
	journal := audit.New(audit.Options{Bus: b, Component: "proxy", Instance: c.InstanceName(), Log: sh.Log, Now: time.Now})
	trail := controller.NewTrail(rules.Owners)
	tell := reporter(b, control.View, statuses, extra)
	tasks := &reach.Watch{Targets: tasksToTry(control.View), Show: worker.ShowTraffic}
	group := replicas.New(replicas.Options{
		Bus: b, Peers: peers, Own: own(c, sh.Version, public, control.View), Count: look(worker, control.Certificates, c.Edge.UsersSecrets, tasks), Registry: sh.Registry,
	})
	meter := traffic.New(traffic.Options{
		Show: worker.ShowTraffic, Owners: owners(control.View), Socket: options.MeasuredSocket, Log: sh.Log, Registry: sh.Registry,
	})
	sleepers := newSleepWatch(c, b, control.View, worker, master, options.WakeSocket, sh)
	loop := func(name string, poke *reconcile.Poke, pause, resync time.Duration) reconcile.Options {
		return reconcile.Options{Component: "proxy", Name: name, Poke: poke, Pause: pause, Resync: resync, Log: sh.Log}
	}
	passes := reconcile.New(reconcile.Options{
		Component: "proxy", Name: "routes", Poke: routes, Applied: control.Applied, Log: sh.Log, Registry: sh.Registry,
	}, control.Pass)

	router := app.Router(sh, control.Healthy)
	api.Mount(router, control.View)
	api.MountConfig(router, c.Tokens(), control.View)
	api.MountInstances(router, group.Replicas)
	certs := api.Certs{
		Token: c.Tokens(), View: control.Certificates, Put: store.Put, Delete: store.Delete, Check: haproxy.CheckCertificates, OwnList: options.CertList != "", Note: journal.Note,
	}
	certs.Mount(router)
	// Where companions stand on another network, they find nothing else there.
	companions, open := chi.Router(router), c.DockerFlowAPI && c.DockerFlowAddress != ""
	if open {
		companions = chi.NewRouter()
	}
	if c.DockerFlowAPI {
		sh.Registry.MustRegister(exporter.New(sh.Version, worker.ShowStatCSV))
		dockerFlow(c, extra, control, routes.Now, worker, certs, journal.Note, sh).Mount(companions)
	}

	// What others are told of the end comes before those who follow the bus stop, and
	// before the bus closes.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	f, following := errgroup.WithContext(following)
	for _, run := range []func(context.Context) error{catalog.Run, accepted.Run, statuses.Run, store.uploads.Run, store.obtained.follow, extra.run, peers.Run, journal.Run, told.run} {
		f.Go(func() error { return run(following) })
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{
		follower.Run, quiet.Run, store.look.Run, store.obtained.run, passes.Run, meter.Listen,
		func(ctx context.Context) error {
			if c.ServiceMetrics {
				return meter.Run(ctx)
			}
			<-ctx.Done()
			return nil
		},
		// The file follows what runs; that HAProxy would start with it is checked apart.
		reconcile.New(loop("verify", verify, verifyPause, verifyEvery), haproxy.CheckFile).Run,
		sleepers.Listen, sleepers.Run, arrivals.Run,
		reconcile.New(loop("release", release, 0, reportEvery), sleepers.Release).Run,
		reconcile.New(loop("reach", nil, 0, reportEvery), tasks.Pass).Run,
		reconcile.New(loop("report", report, reportPause, reportEvery), tell).Run,
		reconcile.New(loop("audit", note, reportPause, reportEvery), func(context.Context) error {
			for _, e := range trail.Entries(control.View()) {
				journal.Note(e)
			}
			return nil
		}).Run,
		reconcile.New(loop("replicas", agree, agreePause, announce.Every), group.Pass).Run,
		func(ctx context.Context) error {
			return worker.Watch(ctx, watchEvery, func(runtime.Info) { routes.Now() })
		},
		func(ctx context.Context) error { return sh.ServeAdmin(ctx, router) },
		func(ctx context.Context) error { return offerStatistics(ctx, c, sh) },
		func(ctx context.Context) error {
			if !open {
				<-ctx.Done()
				return nil
			}
			if err := sh.ServeOnNetwork(ctx, c.DockerFlowAddress, companions); err != nil {
				return fmt.Errorf("docker-flow-address: %w", err)
			}
			return nil
		},
		func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return nil
			case <-following.Done():
				return f.Wait()
			}
		},
	} {
		g.Go(func() error { return run(ctx) })
	}
	err = g.Wait()
	last, done := context.WithTimeout(following, farewell)
	defer done()
	if err := control.Close(last); err != nil {
		sh.Log.Debug("what the last change left is not done", "error", err)
	}
	if err := tell(last); err != nil {
		sh.Log.Debug("the last statuses are not told", "error", err)
	}
	stop()
	return cmp.Or(err, f.Wait())
}
