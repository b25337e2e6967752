// Package controller is the pass of the proxy: from the catalog to a HAProxy that
// is equal to it.
package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/certs"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/wish/manual"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// Source is where the catalog comes from. Both answer false while what they
// know is not complete.
type Source struct {
	Catalog  func() (catalog.Snapshot, bool)
	Accepted func() (map[string]catalog.Service, bool)
	// Manual are the services that came over HTTP, by ID, as far as they are known;
	// nil if none are taken.
	Manual func() (map[string]catalog.Service, bool)
}

// Follower knows the addresses of tasks.
type Follower interface {
	Set(map[string]addresses.Target)
	Addresses(key string) (addrs []netip.Addr, known bool)
}

// Options are what a Controller works with.
type Options struct {
	Source   Source
	Follower Follower
	HAProxy  *apply.HAProxy
	Settings render.Settings
	Route    route.Options
	// Static are services beside those of the catalog.
	Static []static.Service
	// Certificates are those that do not come by labels; those whose names fit Preferred
	// come first.
	Certificates func() []certs.Candidate
	Preferred    []string
	// Users returns the content of a secret with users, and whether it is there.
	Users func(name string) (content string, ok bool, err error)
	// StateFile keeps the services last in force, for a start without a bus.
	StateFile string
	// Again asks for another pass after that time.
	Again func(time.Duration)
	// Wrote says that the file has changed and is due for a check.
	Wrote func()
	// Record keeps the label sets in force on the bus. It is called within the pass, so
	// that the next one knows what this one accepted.
	Record func(context.Context, map[string]catalog.Service) error
	// Applied is called when a pass has applied what should be.
	Applied  func()
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Controller holds what the pass knows from one time to the next. Methods that do not
// say so belong to the loop's goroutine.
type Controller struct {
	o        Options
	renderer *render.Renderer
	settler  *route.Settler
	started  time.Time
	adopted  bool
	// desired is what was last settled, of snapshot; fromBus says whether the
	// bus or the disk said so.
	desired route.Desired
	// input is what was last settled, and proven the labels, by service, that are part of
	// a configuration that HAProxy took.
	input    input
	proven   map[string]map[string]string
	snapshot catalog.Snapshot
	settled  bool
	fromBus  bool
	stored   map[string]catalog.Service
	compared time.Time
	drift    prometheus.Gauge
	moved    map[string]motion
	// partial says that what was settled are the static services alone, and told
	// what was logged of them.
	partial bool
	told    map[string]string
	// certificates is what became of each, taken is what HAProxy said of their PEM texts.
	certificates []certs.Entry
	taken        map[string]error
	certTold     map[string]string
	certMetrics  certificateMetrics
	shown        atomic.Pointer[Certificates]
	// users is what was last logged about secrets and their users.
	users, unreadable string

	// view is read by the API and by the publisher while the pass runs.
	view  atomic.Pointer[View]
	watch watch
	// passes counts them, and forget asks the next one to load everything anew; both
	// are the API's too.
	passes atomic.Uint64
	forget atomic.Bool
}

// View is what became of the last pass. It is not changed any more.
type View struct {
	Desired  route.Desired
	Snapshot catalog.Snapshot
	// FromBus says that the catalog came from the bus, not from the disk.
	FromBus bool
	// Partial says that neither bus nor disk has said anything yet.
	Partial bool
	// Hash is that of the configuration in force, which is File.
	Hash string
	File render.File
	// Addresses are those of each service in force, by ID.
	Addresses map[string][]netip.Addr
	// Err is why the last pass failed, nil if it did not.
	Err error
	// Pass is the number of that pass.
	Pass uint64
}

// The times of a start: how long the first addresses are awaited, and how long the
// bus.
const (
	firstAddresses = 500 * time.Millisecond
	busPatience    = 20 * time.Second
	compareEvery   = time.Minute
	tidyAfter      = 150 * time.Millisecond
)

// New checks the settings and returns a Controller.
func New(o Options) (*Controller, error) {
	r, err := render.NewRenderer(o.Settings)
	if err != nil {
		return nil, err
	}
	c := &Controller{
		o: o, renderer: r, settler: route.NewSettler(o.Route), started: time.Now(), moved: map[string]motion{},
		drift: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "drift",
			Help: "1 if HAProxy was found to run something else than what was applied, at the last comparison.",
		}),
	}
	if o.Registry != nil {
		o.Registry.MustRegister(c.drift)
	}
	c.certMetrics = newCertificateMetrics(o.Registry)
	c.warn()
	return c, nil
}

// View returns what became of the last pass, nil before the first. It may be called
// from any goroutine.
func (c *Controller) View() *View { return c.view.Load() }

// Applied returns what was last applied: its hash, how many services are in force and
// how many rejected. It may be called from any goroutine.
func (c *Controller) Applied() (hash string, desired, rejectedServices int) {
	v := c.view.Load()
	if v == nil || v.Err != nil {
		return "", 0, 0
	}
	return v.Hash, len(v.Desired.Services), rejected(v.Desired)
}

// Healthy returns nil once a complete catalog has been applied, or 20 s have passed
// without a bus to learn one from. What the disk remembers is not enough before that:
// a proxy that is put into service with it would answer by routes of yesterday. It may
// be called from any goroutine.
func (c *Controller) Healthy() error {
	if v := c.view.Load(); v != nil && v.Hash != "" && v.FromBus {
		return nil
	}
	if time.Since(c.started) > busPatience {
		return nil
	}
	return errors.New("no complete catalog has been applied yet")
}

// Pass makes HAProxy equal to the catalog.
func (c *Controller) Pass(ctx context.Context) error {
	c.passes.Add(1)
	if !c.adopted {
		if err := c.o.HAProxy.Adopt(ctx); err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
		c.adopted = true
	}
	if c.forget.Swap(false) {
		c.o.HAProxy.Forget()
	}
	c.judgeBy(time.Now())
	c.settle()
	if !c.settled {
		return nil // the bus will poke; until then HAProxy goes on with what it has
	}
	if err := c.certify(ctx); err != nil {
		return err
	}
	c.tell()
	c.follow()
	if !c.await(ctx) {
		return ctx.Err()
	}
	err := c.apply(ctx)
	var refused *apply.CheckError
	if errors.As(err, &refused) {
		found, errSearch := c.isolate(ctx, refused)
		if errSearch != nil || !found {
			return errors.Join(err, errSearch)
		}
		if err := c.certify(ctx); err != nil {
			return err
		}
		c.follow()
		err = c.apply(ctx)
	}
	c.showCertificates(err == nil)
	if err == nil {
		err = c.compare(ctx)
	}
	return err
}

// input is what the pure part is given.
type input struct {
	snapshot catalog.Snapshot
	accepted map[string]catalog.Service
	// manual are the services that came over HTTP, by ID.
	manual map[string]catalog.Service
}

// settle takes the catalog from the bus, or before there is one from the disk.
func (c *Controller) settle() {
	snapshot, ok := c.o.Source.Catalog()
	accepted, okAccepted := c.o.Source.Accepted()
	extra, okManual := c.manual()
	if ok && okAccepted && okManual {
		c.input = input{snapshot, c.remember(accepted, snapshot, extra), extra}
		c.desired, c.snapshot = c.settleWith(c.input)
		c.settled, c.fromBus, c.partial = true, true, false
		return
	}
	if c.settled {
		return
	}
	services, err := c.load()
	if err != nil {
		c.o.Log.Warn("the state of an earlier run is of no use", "error", err)
	}
	if len(services) == 0 && (err != nil || len(c.o.Static)+len(extra) == 0) {
		return
	}
	last, swarm := map[string]catalog.Service{}, map[string]catalog.Service{}
	for _, s := range services {
		last[s.ID] = s
		if !manual.Is(s.ID) {
			swarm[s.ID] = s
		}
	}
	c.input = input{catalog.Snapshot{Services: swarm}, last, extra}
	c.desired, c.snapshot = c.settleWith(c.input)
	c.settled, c.partial = true, len(services) == 0
	c.o.Log.Info("without a bus: the services of the last run", "services", len(services))
}

// remember adds to what the bus says was accepted what it has lost with its store:
// labels that are in force here, of services that are still there.
func (c *Controller) remember(accepted map[string]catalog.Service, present catalog.Snapshot, extra map[string]catalog.Service) map[string]catalog.Service {
	out := maps.Clone(accepted)
	for id, svc := range c.desired.Accepted {
		_, known := out[id]
		_, ok := present.Services[id]
		_, okExtra := extra[id]
		if (ok || okExtra) && !known {
			out[id] = svc
		}
	}
	return out
}

// await gives the first addresses a moment to arrive, so that the first
// configuration does not answer 503 where tasks run.
func (c *Controller) await(ctx context.Context) bool {
	if v := c.view.Load(); v != nil && (!v.Partial || c.partial) {
		return true
	}
	deadline := time.NewTimer(firstAddresses)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := slices.ContainsFunc(c.desired.Services, func(s route.Service) bool {
			return slices.ContainsFunc(s.Backends, func(b route.Backend) bool {
				_, known := c.lookup(b)
				return !known
			})
		})
		if !missing {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-deadline.C:
			return true
		case <-tick.C:
		}
	}
}

// lookup returns what the follower knows of a backend; an address stands for itself.
func (c *Controller) lookup(b route.Backend) ([]netip.Addr, bool) {
	if a, err := netip.ParseAddr(b.Lookup); err == nil {
		return []netip.Addr{a}, true
	}
	return c.o.Follower.Addresses(b.Lookup)
}

// addresses of a backend; while the follower knows nothing yet, those that it has.
func (c *Controller) addresses(_ route.Service, b route.Backend) []netip.Addr {
	if list, known := c.lookup(b); known {
		return list
	}
	return c.o.HAProxy.Addresses(b)
}

func (c *Controller) apply(ctx context.Context) error {
	view := &View{Desired: c.desired, Snapshot: c.snapshot, FromBus: c.fromBus, Partial: c.partial, Addresses: map[string][]netip.Addr{}}
	c.readUsers()
	file, err := c.renderer.Render(c.desired.Services, c.desired.Tables, func(s route.Service, b route.Backend) []netip.Addr {
		// What is told is what is applied; the follower may learn more meanwhile.
		list := c.addresses(s, b)
		if b.Name == s.Backends[0].Name {
			view.Addresses[s.ID] = list
		}
		return list
	})
	if err != nil {
		return err
	}
	c.tellUsers(file.Faults)
	start := time.Now()
	result, err := c.o.HAProxy.Apply(ctx, file)
	view.Err = err
	if err != nil {
		if last := c.view.Load(); last != nil {
			view.Hash, view.File = last.Hash, last.File
		}
		c.show(view)
		return err
	}
	view.Hash, view.File = file.Hash(), file
	c.show(view)
	c.prove()
	c.record(ctx)
	c.o.Applied()
	if result.Changed {
		c.o.Log.Info("applied", "hash", view.Hash, "services", len(c.desired.Services), "reload", result.Reload, "because_of", result.Because,
			"plan", shorten(result.Plan), "took", time.Since(start))
		// What is slow and need not be at once waits for a quiet moment.
		c.o.Again(tidyAfter)
		return nil
	}
	wrote, more, err := c.o.HAProxy.Tidy(ctx)
	if wrote {
		c.o.Wrote()
	}
	if more {
		c.o.Again(time.Second)
	}
	return errors.Join(err, c.store())
}

// recordTimeout bounds what a slow bus may cost a pass.
const recordTimeout = 500 * time.Millisecond

// record is tried again soon if it fails; routes do not wait for it.
func (c *Controller) record(ctx context.Context) {
	if !c.fromBus {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := c.o.Record(ctx, swarmOnly(c.desired.Accepted)); err != nil {
		c.o.Log.Debug("accepted labels are not recorded yet", "error", err)
		c.o.Again(time.Second)
	}
}

func shorten(plan string) string {
	const most = 400
	if len(plan) > most {
		return plan[:most] + "..."
	}
	return plan
}

func rejected(d route.Desired) int {
	n := 0
	for _, v := range d.Verdicts {
		if v.Err != nil && !errors.Is(v.Err, route.ErrNoRoute) {
			n++
		}
	}
	return n
}

// compare looks now and then whether HAProxy runs what was applied.
func (c *Controller) compare(ctx context.Context) error {
	if time.Since(c.compared) < compareEvery {
		return nil
	}
	c.compared = time.Now()
	drift, err := c.o.HAProxy.Compare(ctx)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	c.drift.Set(0)
	if drift != "" {
		c.drift.Set(1)
		c.o.Log.Error("HAProxy runs something else than what was applied, so it reloads", "drift", shorten(drift))
		c.o.HAProxy.Forget()
		c.o.Again(0)
	}
	return nil
}

// state is the form of the state file.
type state struct {
	Services []catalog.Service `json:"services"`
}

func (c *Controller) load() ([]catalog.Service, error) {
	content, err := os.ReadFile(c.o.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(c.o.StateFile), err)
	}
	return s.Services, nil
}

// store keeps the services in force for a start without a bus.
func (c *Controller) store() error {
	if !c.fromBus {
		return nil
	}
	services := swarmOnly(c.desired.Accepted)
	for id, svc := range services {
		svc.Replicas = c.snapshot.Services[id].Replicas
		services[id] = svc
	}
	if maps.EqualFunc(services, c.stored, catalog.Service.Equal) {
		return nil
	}
	content, err := catalog.Encode(state{slices.SortedFunc(maps.Values(services), catalog.Older)})
	if err != nil {
		return err
	}
	// Labels may hold keys and passwords.
	if _, err := atomicfile.Write(c.o.StateFile, content, 0o600); err != nil {
		return err
	}
	c.stored = services
	return nil
}
