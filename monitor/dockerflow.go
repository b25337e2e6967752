package monitor

import (
	"context"
	"errors"
	"flag"
	"path/filepath"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/dockerflow"
	"github.com/wagglehq/waggle/monitor/internal/loop"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/manual"
)

// DockerFlow is the HTTP interface of Docker Flow Monitor.
type DockerFlow struct {
	// On offers it, to those who send one of the tokens.
	On                bool
	Token, TokenOther app.Secret
}

func (d *DockerFlow) flags(fs *flag.FlagSet) {
	fs.BoolVar(&d.On, "docker-flow-api", false, "offer Docker Flow Monitor's HTTP interface (/v1/docker-flow-monitor) on the admin port")
	app.TokenVar(fs, &d.Token, "token", "bearer token that whoever changes something over HTTP must send, of 16 bytes or more; without one that is closed; of several, separated by white space, each counts")
	app.TokenVar(fs, &d.TokenOther, "token-other", "a further token that is accepted as well, while one is replaced")
}

// byHand is what comes over HTTP; its stores are nil if nothing does.
type byHand struct {
	services, nodes *manual.Store
	network         string
	poke            func()
}

// newByHand reads what came over HTTP in earlier runs. A file of it that is of no use is told
// and replaced, because the bus has it.
func newByHand(c Config, b *bus.Bus, network string, sh app.Shell, poke func()) (byHand, error) {
	h := byHand{network: network, poke: poke}
	if !c.DockerFlow.On {
		return h, nil
	}
	for _, one := range []struct {
		kind string
		into **manual.Store
	}{{manual.Services, &h.services}, {manual.Nodes, &h.nodes}} {
		store, err := manual.New(b, Component, one.kind, filepath.Join(c.DataDir, "manual-"+one.kind+".json"), poke)
		if store == nil {
			return h, err
		}
		if err != nil {
			sh.Log.Warn("what came over HTTP in an earlier run is of no use", "error", err)
		}
		*one.into = store
	}
	return h, nil
}

// join adds what came over HTTP to the swarm. Without it the swarm is as it is.
func (h byHand) join(s catalog.Snapshot) (catalog.Snapshot, loop.Asked, bool) {
	if h.services == nil {
		return s, loop.Asked{}, true
	}
	services, ok := h.services.Services()
	nodes, okNodes := h.nodes.Services()
	return dockerflow.Join(s, services, nodes, h.network), loop.Asked{Services: services, Nodes: nodes}, ok && okNodes
}

func (h byHand) keep(ctx context.Context) error {
	if h.services == nil {
		return nil
	}
	return errors.Join(h.services.Keep(ctx), h.nodes.Keep(ctx))
}

// runs are what follows the bus.
func (h byHand) runs() []func(context.Context) error {
	if h.services == nil {
		return nil
	}
	return []func(context.Context) error{h.services.Run, h.nodes.Run}
}

// mount offers the interface, if it is wanted.
func (h byHand) mount(r chi.Router, c Config, work *loop.Loop, judging desired.Settings, note func(audit.Entry), sh app.Shell) {
	if h.services == nil {
		return
	}
	api := &dockerflow.API{
		Token: c.DockerFlow.Token.And(c.DockerFlow.TokenOther), Services: pokingStore{h.services, h.poke}, Nodes: pokingStore{h.nodes, h.poke},
		View: work.View, Await: work.Await, Check: func(svc catalog.Service) error { return dockerflow.Check(svc, judging) },
		Patience: dockerflow.Patience, Note: note, Log: sh.Log,
	}
	api.Mount(r)
}

// pokingStore tells the loop of own writes, which the bus's copy has at once.
type pokingStore struct {
	*manual.Store
	poke func()
}

// Put makes a service, or what is said of a node, wanted.
func (s pokingStore) Put(ctx context.Context, svc catalog.Service) error {
	defer s.poke()
	return s.Store.Put(ctx, svc)
}

// Remove makes it no longer wanted.
func (s pokingStore) Remove(ctx context.Context, name string) error {
	defer s.poke()
	return s.Store.Remove(ctx, name)
}
