package proxy

import (
	"context"
	"path/filepath"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/manual"
	"github.com/wagglehq/waggle/proxy/internal/api"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/dockerflow"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// extra are the services that come over HTTP; its store is nil if none are taken.
type extra struct{ store *manual.Store }

// manualServices returns the services that come over HTTP. A file of them that is of
// no use is told and replaced, because the bus has them.
func manualServices(c Config, b *bus.Bus, sh app.Shell, poke func()) (extra, error) {
	if !c.DockerFlowAPI {
		return extra{}, nil
	}
	store, err := manual.New(b, "proxy", manual.Services, filepath.Join(c.DataDir, "manual.json"), poke)
	if store == nil {
		return extra{}, err
	}
	if err != nil {
		sh.Log.Warn("the services of an earlier run that came over HTTP are of no use", "error", err)
	}
	return extra{store}, nil
}

func (e extra) services() func() (map[string]catalog.Service, bool) {
	if e.store == nil {
		return nil
	}
	return e.store.Services
}

func (e extra) run(ctx context.Context) error {
	if e.store == nil {
		return nil
	}
	return e.store.Run(ctx)
}

func (e extra) keep(ctx context.Context) error {
	if e.store == nil {
		return nil
	}
	return e.store.Keep(ctx)
}

// dockerFlow is the interface of Docker Flow Proxy.
func dockerFlow(c Config, e extra, controller *controller.Controller, poke func(), worker *runtime.Client, certs api.Certs, note func(audit.Entry), sh app.Shell) *dockerflow.API {
	from, _ := c.DockerFlowTrusted() // checked with the other settings
	return &dockerflow.API{
		Token: c.Tokens(), From: from, Store: pokingStore{e.store, poke}, View: controller.View, Await: controller.Await,
		Reload: func(forget bool) uint64 {
			defer poke()
			return controller.Order(forget)
		},
		Check: controller.CheckLabels, Certs: certs,
		Stat: worker.ShowStatCSV, Patience: dockerflow.Patience, Note: note, Log: sh.Log,
	}
}

// pokingStore tells the loop of own writes, which the bus's copy has at once.
type pokingStore struct {
	*manual.Store
	poke func()
}

// Put makes a service wanted.
func (s pokingStore) Put(ctx context.Context, svc catalog.Service) error {
	defer s.poke()
	return s.Store.Put(ctx, svc)
}

// Remove makes a service no longer wanted.
func (s pokingStore) Remove(ctx context.Context, name string) error {
	defer s.poke()
	return s.Store.Remove(ctx, name)
}
