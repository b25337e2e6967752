package proxy

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/reconcile"
	"github.com/wagglehq/waggle/proxy/internal/certs/acme"
	prover "github.com/wagglehq/waggle/proxy/internal/certs/acme/dns"
	"github.com/wagglehq/waggle/proxy/internal/certs/vault"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/replicas"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/judge"
)

// What is known of certificates that are obtained.
const (
	// acmePurpose keeps the key of what is known of them apart from other uses of the same secret.
	acmePurpose = "waggle proxy acme"
	// acmePause gathers what changes at once, acmeEvery is how often it is looked at otherwise.
	acmePause, acmeEvery = 20 * time.Millisecond, time.Minute
	// acmeLease is how long another replica waits before it goes on with the orders of one that
	// has gone, acmeSave how often the copy on the disk is written at most.
	acmeLease, acmeSave = 10 * time.Second, time.Second
)

// obtained are the certificates that the proxy obtains; the zero value obtains none.
type obtained struct {
	runner *acme.Runner
	mirror *bus.Mirror
	poke   *reconcile.Poke
	loop   *reconcile.Loop
}

// newObtained returns what obtains certificates, if the operator wants any.
func newObtained(c Config, b *bus.Bus, catalog *bus.Catalog, peers *replicas.Peers, view func() *controller.View, changed func(), sh app.Shell) (obtained, error) {
	metrics := acme.NewMetrics(sh.Registry)
	if !c.ACME.On() {
		return obtained{}, nil
	}
	settings, err := c.ACME.Settings()
	if err != nil {
		return obtained{}, err
	}
	key, err := sealKey(c, acmePurpose)
	if err != nil {
		return obtained{}, err
	}
	provider, err := prover.New(c.ACME.DNS, c.ACME.DNSResolvers)
	if err != nil {
		return obtained{}, err
	}
	o := obtained{poke: reconcile.NewPoke()}
	bucket := b.Bucket(bus.ManualBucket)
	o.mirror = bucket.Mirror(acme.Prefix+">", o.poke.Now)
	o.runner = acme.New(acme.Options{
		Bus: b, Settings: settings, Rules: c.ACME.Rules(), Instance: c.InstanceName(), LeaseTTL: acmeLease,
		Vault: vault.New(vault.Options{
			Prefix: acme.Prefix, Bucket: bucket, Mirror: o.mirror, Copy: filepath.Join(c.DataDir, "acme.json"), SaveEvery: acmeSave, Again: o.poke.After,
			What: "acme", Epoch: epochOf(catalog), Key: key, Log: sh.Log,
		}),
		Peers: func() []string {
			var out []string
			instances, _ := peers.Instances()
			for _, i := range instances {
				if i.Instance != c.InstanceName() && i.Settings[judge.Obtains] == strconv.FormatBool(true) {
					out = append(out, i.Instance)
				}
			}
			return out
		},
		View: func() ([]route.Service, []string, bool) {
			v := view()
			if v == nil || v.Err != nil || !v.FromBus {
				return nil, nil, false
			}
			return v.Desired.Services, slices.Clone(v.Questions), true
		},
		DNS: provider, Changed: changed, Poke: o.poke, Log: sh.Log, Metrics: metrics,
	})
	o.loop = reconcile.New(reconcile.Options{
		Component: "proxy", Name: "acme", Poke: o.poke, Pause: acmePause, Resync: acmeEvery, Log: sh.Log,
	}, o.runner.Pass)
	if err := o.runner.Import(c.ACME.Import); err != nil {
		sh.Log.Warn("not all certificates could be taken over", "folder", c.ACME.Import, "error", err)
	}
	return o, nil
}

// source is what the controller is told.
func (o obtained) source(c Config) controller.Obtained {
	out := controller.Obtained{Rules: c.ACME.Rules()}
	if o.runner != nil {
		out.Known = o.runner.Known
	}
	return out
}

// there says whether there are any, and whether that is known.
func (o obtained) there() (there, known bool) {
	if o.runner == nil {
		return false, true
	}
	k := o.runner.Known()
	return k != nil && len(k.Certificates) > 0, k != nil && o.mirror.Synced()
}

// run obtains until the context ends.
func (o obtained) run(ctx context.Context) error {
	if o.runner == nil {
		<-ctx.Done()
		return nil
	}
	defer o.runner.Close()
	return o.loop.Run(ctx)
}

// follow reads the bus until the context ends.
func (o obtained) follow(ctx context.Context) error {
	if o.runner == nil {
		<-ctx.Done()
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- o.mirror.Run(ctx) }()
	err := o.runner.Follow(ctx)
	return errors.Join(err, <-done)
}

// look makes what lies on the disk known, at the start.
func (o obtained) look(ctx context.Context) {
	if o.runner != nil {
		_ = o.runner.Pass(ctx)
	}
}

// again asks for a look, after a pass of the controller.
func (o obtained) again() {
	if o.poke != nil {
		o.poke.Now()
	}
}
