// Package controller is the pass of the proxy: from the catalog to a HAProxy that
// is equal to it.
//
// It is longer than others because each step of a pass (settling, certificates, targets, reporting)
// reads what the one before it has found; each has a file and a test of its own, and the pass is
// in controller.go.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/sleep"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/judge"
)

// HAProxy is what is made equal to the catalog, as each part of a pass sees it.
type HAProxy struct {
	Engine       Engine
	Checker      Checker
	Servers      Servers
	Comparer     Comparer
	Certificates CertificateJudge
}

// Engine is HAProxy as it is changed.
type Engine interface {
	// Adopt reads what runs, Apply changes it, and Tidy does what could wait. Forget makes
	// the next Apply load everything anew.
	Adopt(ctx context.Context) error
	Apply(ctx context.Context, want file.File) (apply.Result, error)
	Tidy(ctx context.Context) (wrote, more bool, err error)
	Forget()
}

// Options are what a Controller works with.
type Options struct {
	Source   Source
	Follower Follower
	// Arrivals keep back tasks of services that have slept until they listen.
	Arrivals *sleep.Arrivals
	HAProxy  HAProxy
	Settings render.Settings
	Rules    judge.Rules
	// Surroundings is where the proxy runs.
	Surroundings Surroundings
	// Certificates are those that do not come by labels.
	Certificates CertificateSource
	// Users returns the content of a secret with users, and whether it is there.
	Users func(name string) (content string, ok bool, err error)
	// StateFile keeps the services last in force, for a start without a bus.
	StateFile string
	Events    Events
	Log       *slog.Logger
	Registry  prometheus.Registerer
}

// Events are what others hear of a pass.
type Events struct {
	// Again asks for another pass after that time.
	Again func(time.Duration)
	// Wrote says that the file has changed and is due for a check.
	Wrote func()
	// Record keeps the label sets in force on the bus. It is called within the pass, so
	// that the next one knows what this one accepted.
	Record func(context.Context, map[string]catalog.Service) error
	// Applied says that a pass has applied what should be.
	Applied func()
	// Reloaded says that HAProxy reloaded for a reason, because of these backends if there
	// are any, with these services in force.
	Reloaded func(reason string, backends []string, services []route.Service)
}

// Controller makes HAProxy equal to the catalog, pass by pass. Methods that do not say so
// belong to the loop's goroutine.
type Controller struct {
	engine   Engine
	checker  Checker
	events   Events
	renderer *render.Renderer
	log      *slog.Logger

	settling     *settling
	certificates *certificates
	targets      *targets
	secrets      *secrets
	reporting    *reporting
	drift        *drift

	adopted bool
	// forget asks the next pass to load everything anew; it is the API's, too.
	forget atomic.Bool
}

// The times of a start, and of what need not be at once.
const (
	// firstAddresses is how long the first addresses are awaited, busPatience how long
	// the bus is.
	firstAddresses = 500 * time.Millisecond
	busPatience    = 20 * time.Second
	// tidyAfter is the quiet moment after a change for which the rest of it waits, and
	// tidyAgain how soon what is still in use then is looked at again.
	tidyAfter = 150 * time.Millisecond
	tidyAgain = time.Second
	// recordTimeout bounds what a slow bus may cost a pass, recordAgain is when it is
	// tried again.
	recordTimeout = 500 * time.Millisecond
	recordAgain   = time.Second
	// lastChange is how long a change that has begun may go on when the end comes.
	lastChange = 2 * time.Second
)

// New checks the settings and returns a Controller.
func New(o Options) (*Controller, error) {
	r, err := render.NewRenderer(o.Settings)
	if err != nil {
		return nil, err
	}
	logUnknownVariables(o.Source.Static, o.Log)
	settling := newSettling(o)
	return &Controller{
		engine: o.HAProxy.Engine, checker: o.HAProxy.Checker, events: o.Events, renderer: r, log: o.Log,
		settling:     settling,
		certificates: newCertificates(o),
		targets: &targets{
			follower: o.Follower, arrivals: o.Arrivals, servers: o.HAProxy.Servers, networks: o.Rules.Options.Networks, wants: settling.settler.Wants,
			neighbours: neighbours{surroundings: o.Surroundings, networks: o.Rules.Options.Networks, outbound: o.Rules.Options.Outbound},
		},
		secrets:   &secrets{read: o.Users, log: o.Log},
		reporting: &reporting{started: time.Now(), log: o.Log},
		drift:     newDrift(o),
	}, nil
}

// Pass makes HAProxy equal to the catalog.
func (c *Controller) Pass(ctx context.Context) error {
	c.reporting.passes.Add(1)
	if !c.adopted {
		if err := c.engine.Adopt(ctx); err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
		c.adopted = true
	}
	if c.forget.Swap(false) {
		c.engine.Forget()
	}
	now := time.Now()
	if c.settling.admitFreed(now) {
		c.events.Again(portAgain)
	}
	if !c.settling.settle(now, c.certificates.there(now)) {
		// The bus will poke, or has been waited for long enough then; until that HAProxy
		// goes on with what it has.
		c.events.Again(busPatience)
		return nil
	}
	if c.settling.refuseTaken() {
		c.events.Again(portAgain)
	}
	if err := c.certify(ctx); err != nil {
		return err
	}
	c.reporting.logStatic(c.settling.desired)
	c.targets.follow(c.settling.desired, c.settling.snapshot, c.settling.current())
	if c.reporting.first(c.settling.origin) && !c.targets.await(ctx, c.settling.desired.Services) {
		return ctx.Err()
	}
	err := c.apply(ctx)
	var refused *apply.CheckError
	if errors.As(err, &refused) {
		found, errSearch := c.settling.isolate(ctx, refused, c.refuses)
		if errSearch != nil || !found {
			return errors.Join(err, errSearch)
		}
		err = c.again(ctx)
	}
	err = c.withoutUnbound(ctx, err)
	c.certificates.show(c.settling.desired, err == nil)
	if err == nil {
		err = c.compare(ctx)
	}
	return err
}

// certify chooses the certificates and makes them part of what is rendered, without the
// services whose certificates HAProxy refuses.
func (c *Controller) certify(ctx context.Context) error {
	if !c.certificates.chosen() {
		return nil
	}
	c.certificates.choose(ctx, c.settling.desired.Services)
	if c.settling.refuseCertificates(c.certificates.entries) {
		c.certificates.choose(ctx, c.settling.desired.Services)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.renderer.Certify(c.certificates.served())
	return nil
}

// render makes the configuration of what should be in force. addresses are those of a
// backend.
func (c *Controller) render(addresses func(route.Service, route.Backend) []netip.Addr) (file.File, error) {
	d := c.settling.desired
	c.renderer.SetForbidden(c.targets.neighbours.forbidden)
	c.renderer.SetSecrets(c.secrets.of(d.Services))
	c.renderer.SetChallenges(c.certificates.questions())
	return c.renderer.Render(d.Services, d.Tables, addresses)
}

func (c *Controller) apply(ctx context.Context) error {
	view := c.settling.view()
	c.certificates.tell(view)
	file, err := c.render(func(s route.Service, b route.Backend) []netip.Addr {
		// What is told is what is applied; the follower may learn more meanwhile.
		list := c.targets.addresses(s, b)
		if kept := c.targets.keptBack(s, b); len(list) == 0 && len(kept) > 0 {
			view.KeptBack[s.ID] = netip.AddrPortFrom(kept[0], uint16(b.Port))
		}
		if view.Addresses[s.ID] == nil {
			view.Addresses[s.ID] = make([][]netip.Addr, len(s.Backends))
		}
		for i := range s.Backends {
			if s.Backends[i].Name == b.Name {
				view.Addresses[s.ID][i] = list
				view.refuse(s, b, c.targets.refused(s, b))
			}
		}
		return list
	})
	if err != nil {
		return err
	}
	c.secrets.logFaults(file.Faults)
	// A change that has begun is finished, so that HAProxy is not left with half of it.
	ctx, done := outlasting(ctx, lastChange)
	defer done()
	start := time.Now()
	result, err := c.engine.Apply(ctx, file)
	if err != nil {
		c.reporting.failed(view, err)
		return err
	}
	view.Hash, view.File = file.Hash(), file
	c.reporting.show(view)
	c.settling.prove()
	c.record(ctx)
	c.events.Applied()
	if result.Changed {
		c.log.Info("applied", "hash", view.Hash, "services", len(view.Desired.Services), "reload", result.Reload, "because_of", result.Because,
			"plan", shorten(result.Plan), "took", time.Since(start))
		if result.Reload != "" {
			c.events.Reloaded(result.Reload, result.Because, view.Desired.Services)
		}
		// What is slow and need not be at once waits for a quiet moment.
		c.events.Again(tidyAfter)
		return nil
	}
	wrote, more, err := c.engine.Tidy(ctx)
	if wrote {
		c.events.Wrote()
	}
	if more {
		c.events.Again(tidyAgain)
	}
	return errors.Join(err, c.settling.store())
}

// Close does what the last change left for a quiet moment, so that whoever starts next finds
// a file that says what HAProxy runs. No pass may run or come after it.
func (c *Controller) Close(ctx context.Context) error {
	if !c.adopted {
		return nil
	}
	_, _, err := c.engine.Tidy(ctx)
	return err
}

// outlasting returns a context that ends some time after another one does.
func outlasting(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
	return out, func() { stop(); cancel() }
}

// record is tried again soon if it fails; routes do not wait for it.
func (c *Controller) record(ctx context.Context) {
	if c.settling.origin != fromBus {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := c.events.Record(ctx, swarmOnly(c.settling.desired.Accepted)); err != nil {
		c.log.Debug("accepted labels are not recorded yet", "error", err)
		c.events.Again(recordAgain)
	}
}

// compare looks now and then whether HAProxy runs what was applied, and makes it reload
// if it does not.
func (c *Controller) compare(ctx context.Context) error {
	differs, err := c.drift.found(ctx)
	if differs {
		c.engine.Forget()
		c.events.Again(0)
	}
	return err
}

func shorten(plan string) string {
	const most = 400
	if len(plan) > most {
		return plan[:most] + "..."
	}
	return plan
}
