// Package engine is what the scaler's loop does: it looks at what is asked for,
// decides, scales, and tells what it decided.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

const (
	// lookAgain is how soon a held request is looked at again when no time is known.
	lookAgain = 2 * time.Second
	// maxUntold bounds the decisions that wait for the bus.
	maxUntold = 1000
	// maxTold bounds the refusals that are remembered so as not to repeat them.
	maxTold = 1000
)

// Options are what an Engine works with.
type Options struct {
	Bus      *bus.Bus
	Catalog  *bus.Catalog
	Statuses *bus.Statuses
	// Accepted keeps the labels that are in force.
	Accepted *bus.Accepted
	Store    *store.Store
	Swarm    Swarm
	// Notify is told every decision that is published; it must not block.
	Notify func(decide.Decision)
	// Poke asks for a pass.
	Poke     func()
	Defaults policy.Defaults
	// DryRun decides and tells, but changes nothing.
	DryRun   bool
	Instance string
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Engine belongs to the loop that calls Pass; what others may call says so.
type Engine struct {
	opts    Options
	metrics *metrics
	// own are the last steps of this instance, by service ID.
	own map[string]signal.Step

	// mu guards the rest, which HTTP handlers share with the loop.
	mu       sync.Mutex
	passed   bool
	latest   map[string]map[signal.Direction]decide.Decision
	refusals map[string]bool
	untold   []untold
	revision catalog.Revision
	hash     string
	rejected int
	desired  int
	// accepted are the services with the labels in force, and oversize those whose labels
	// were left out of the catalog, by ID, as of the last pass.
	accepted map[string]catalog.Service
	oversize map[string]int
}

// untold is a decision that the bus has not taken yet.
type untold struct {
	decision decide.Decision
	id       string
}

// New returns an Engine.
func New(o Options) *Engine {
	return &Engine{
		opts: o, metrics: newMetrics(o.Registry), own: map[string]signal.Step{},
		latest: map[string]map[signal.Direction]decide.Decision{}, refusals: map[string]bool{},
	}
}

// Pass does all that can be done now. It returns when the next pass is due
// although nobody pokes, zero if none is. Without a complete catalog, or before
// the signals have been read, it does nothing.
func (e *Engine) Pass(ctx context.Context) (time.Time, error) {
	snapshot, ok := e.opts.Catalog.Snapshot()
	if !ok {
		return time.Time{}, nil
	}
	asked, ok := e.opts.Store.Asked(e.opts.Now())
	if !ok {
		return time.Time{}, nil
	}
	accepted, ok := e.opts.Accepted.Services()
	if !ok {
		return time.Time{}, nil
	}
	e.metrics.asked(asked)
	outcomes := policy.All(snapshot, e.believe(accepted, snapshot), e.opts.Defaults)
	e.hold(outcomes)
	var errs []error
	errs = append(errs, e.answer(ctx, asked))
	next, err := e.follow(ctx, snapshot, asked)
	errs = append(errs, err, e.tell(ctx), e.report(ctx, snapshot, outcomes), e.record(ctx))
	e.note(snapshot.Revision, outcomes)
	return next, errors.Join(errs...)
}

// answer decides the requests by hand, oldest first.
func (e *Engine) answer(ctx context.Context, asked store.Asked) error {
	var errs []error
	for _, r := range asked.Requests {
		d, err := e.step(ctx, target{r.ServiceID, r.Service}, decide.Asked{
			Direction: r.Direction, By: r.By, Request: r.ID,
			UpStands: slices.ContainsFunc(asked.Signals, func(s signal.Signal) bool {
				return s.ServiceID == r.ServiceID && s.Direction == signal.Up
			}),
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if d.Instance == "" {
			d.Instance = e.opts.Instance
		}
		e.queue(d, "")
		value, err := catalog.Encode(d)
		if err == nil {
			err = e.opts.Store.Answer(ctx, r.ID, value)
		}
		if err != nil && !errors.Is(err, bus.ErrNotFound) {
			errs = append(errs, fmt.Errorf("answer to %s: %w", r.ID, err))
		}
	}
	return errors.Join(errs...)
}

// follow decides what the alerts that stand ask for: for each service up, then down.
func (e *Engine) follow(ctx context.Context, snapshot catalog.Snapshot, asked store.Asked) (next time.Time, err error) {
	var errs []error
	stands := map[string]map[signal.Direction]bool{}
	up := map[string]bool{}
	for _, s := range asked.Signals {
		if s.Direction == signal.Up {
			up[s.ServiceID] = true
		}
	}
	for _, s := range slices.Backward(asked.Signals) {
		if _, ok := snapshot.Services[s.ServiceID]; !ok {
			continue // it was removed; its alerts end with it
		}
		if stands[s.ServiceID] == nil {
			stands[s.ServiceID] = map[signal.Direction]bool{}
		}
		stands[s.ServiceID][s.Direction] = true
		d, err := e.step(ctx, target{s.ServiceID, s.Service}, decide.Asked{
			Direction: s.Direction, By: s.By, Alerts: s.Fingerprints(), UpStands: up[s.ServiceID],
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.Instance = e.opts.Instance
		e.news(d)
		var due time.Time
		switch {
		case d.Action == decide.Refused:
		case !d.Until.IsZero():
			due = d.Until
		default:
			due = d.Time.Add(lookAgain)
		}
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	e.forget(stands)
	return next, errors.Join(errs...)
}

// Refuse records that a request was refused before it became one, unless the
// same was recorded before. It may be called by any goroutine.
func (e *Engine) Refuse(d decide.Decision) {
	d.Instance = e.opts.Instance
	id := identity(d, "")
	e.mu.Lock()
	known := e.refusals[id]
	if len(e.refusals) >= maxTold {
		clear(e.refusals)
	}
	e.refusals[id] = true
	e.mu.Unlock()
	if !known {
		e.queue(d, "")
		e.opts.Poke()
	}
}

// news remembers a decision about alerts and queues it, unless it says what the
// last one said. A scaling is always news.
func (e *Engine) news(d decide.Decision) {
	e.mu.Lock()
	byDirection := e.latest[d.ServiceID]
	if byDirection == nil {
		byDirection = map[signal.Direction]decide.Decision{}
		e.latest[d.ServiceID] = byDirection
	}
	last, known := byDirection[d.Direction]
	known = known && last.Same(d) && (d.Action != decide.Scaled || d.DryRun)
	if !known {
		byDirection[d.Direction] = d
	}
	e.mu.Unlock()
	if !known {
		e.queue(d, last.Reason)
	}
}

// forget drops the decisions about alerts that stand no longer: the next one is news again.
func (e *Engine) forget(stands map[string]map[signal.Direction]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, byDirection := range e.latest {
		for direction := range byDirection {
			if !stands[id][direction] {
				delete(byDirection, direction)
			}
		}
		if len(byDirection) == 0 {
			delete(e.latest, id)
		}
	}
}

// queue tells of a decision and keeps it for the bus. before is the reason of the
// decision before about the same, if there was one.
func (e *Engine) queue(d decide.Decision, before string) {
	level := slog.LevelInfo
	if d.Action == decide.Refused && !d.AtBound {
		level = slog.LevelWarn
	}
	e.opts.Log.Log(context.Background(), level, string(d.Action), "swarm_service", d.Service, "direction", d.Direction,
		"from", d.From, "to", d.To, "reason", d.Reason, "dry_run", d.DryRun)
	e.metrics.decided(d)
	e.opts.Notify(d)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.untold) >= maxUntold {
		e.untold = e.untold[1:]
	}
	e.untold = append(e.untold, untold{d, identity(d, before)})
}

// tell publishes the decisions that wait, in order. What the bus does not take
// now waits for the next pass.
func (e *Engine) tell(ctx context.Context) error {
	e.mu.Lock()
	waiting := e.untold
	e.untold = nil
	e.mu.Unlock()
	var err error
	for len(waiting) > 0 && err == nil {
		if err = e.publish(ctx, waiting[0]); err == nil {
			waiting = waiting[1:]
		}
	}
	if err != nil {
		e.mu.Lock()
		e.untold = append(waiting, e.untold...)
		e.mu.Unlock()
	}
	return err
}

func (e *Engine) publish(ctx context.Context, u untold) error {
	value, err := catalog.Encode(u.decision)
	if err != nil {
		return err
	}
	return e.opts.Bus.Publish(ctx, bus.DecisionsStream, bus.Token(u.decision.Service), value, bus.WithID(u.id))
}

// identity is the same for a decision of several instances about one situation,
// so that the stream keeps one of them. The reason of the decision before goes in,
// so that a situation that comes back is news.
func identity(d decide.Decision, before string) string {
	when := ""
	if d.Action == decide.Scaled && !d.DryRun {
		when = d.Time.UTC().Format(time.RFC3339Nano)
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%q %q %q %q %d %d %q %q %v %s %q",
		d.ServiceID, d.Service, d.Direction, d.Action, d.From, d.To, d.Reason, d.Request, d.DryRun, when, before)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// report publishes what became of each service.
func (e *Engine) report(ctx context.Context, snapshot catalog.Snapshot, outcomes []policy.Outcome) error {
	statuses := make([]catalog.Status, 0, len(outcomes))
	for _, o := range outcomes {
		statuses = append(statuses, catalog.Status{
			ServiceID: o.Service.ID, Service: o.Service.Name, State: catalog.State(o.State), Reason: o.Reason, Label: o.Label, Hint: o.Hint,
			Revision: snapshot.RevisionOf(o.Service.ID),
		})
	}
	err := e.opts.Statuses.Publish(ctx, statuses)
	if errors.Is(err, bus.ErrNotSynced) {
		return nil // whoever reads them pokes when it has
	}
	return err
}

func (e *Engine) note(revision catalog.Revision, outcomes []policy.Outcome) {
	h := sha256.New()
	desired, rejected := 0, 0
	for _, o := range outcomes {
		if o.State == policy.Rejected {
			rejected++
		}
		if o.Policy.InForce() {
			desired++
			_, _ = fmt.Fprintf(h, "%+v\n", o.Policy)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.passed, e.revision = true, revision
	e.hash, e.desired, e.rejected = hex.EncodeToString(h.Sum(nil)[:8]), desired, rejected
}

// Policies returns a hash of all policies in force, how many these are, and how
// many services are rejected. It may be called by any goroutine.
func (e *Engine) Policies() (hash string, desired, rejected int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hash, e.desired, e.rejected
}

// Revision returns that of the catalog of the last pass. It may be called by any goroutine.
func (e *Engine) Revision() catalog.Revision {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.revision
}

// Passed reports whether a pass has seen a complete catalog. It may be called by any goroutine.
func (e *Engine) Passed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.passed
}

// Decisions returns what the stream holds, latest first, at most limit, of one
// service if its name is not empty. It may be called by any goroutine.
func (e *Engine) Decisions(ctx context.Context, service string, limit int) ([]decide.Decision, error) {
	read := limit
	if service != "" {
		read = max(limit, 1000)
	}
	messages, err := e.opts.Bus.Last(ctx, bus.DecisionsStream, read)
	if err != nil {
		return nil, err
	}
	out := []decide.Decision{}
	for _, m := range slices.Backward(messages) {
		var d decide.Decision
		if json.Unmarshal(m.Value, &d) != nil || (service != "" && d.Service != service && d.ServiceID != service) {
			continue
		}
		if out = append(out, d); len(out) == limit {
			break
		}
	}
	return out, nil
}

// View is what is known of one service: why it is, or is not, scaled.
type View struct {
	Service  string         `json:"service"`
	ID       string         `json:"id"`
	State    policy.State   `json:"state"`
	Reason   string         `json:"reason,omitempty"`
	Label    string         `json:"label,omitempty"`
	Hint     string         `json:"hint,omitempty"`
	Replicas uint64         `json:"replicas"`
	Policy   *policyView    `json:"policy,omitempty"`
	LastStep *signal.Step   `json:"lastStep,omitempty"`
	Signals  []signalView   `json:"signals,omitempty"`
	Latest   []decisionView `json:"decisions,omitempty"`
}

type policyView struct {
	Min          uint64 `json:"min"`
	Max          uint64 `json:"max"`
	UpBy         uint64 `json:"upBy"`
	DownBy       uint64 `json:"downBy"`
	CooldownUp   string `json:"cooldownUp"`
	CooldownDown string `json:"cooldownDown"`
}

type signalView struct {
	Direction  signal.Direction `json:"direction"`
	Alerts     []signal.Alert   `json:"alerts"`
	ReceivedAt time.Time        `json:"receivedAt"`
}

type decisionView struct {
	Direction signal.Direction `json:"direction"`
	Action    decide.Action    `json:"action"`
	Message   string           `json:"message"`
	Since     time.Time        `json:"since"`
	Until     time.Time        `json:"until,omitzero"`
}

// ErrNotReady says that the catalog or the signals have not been read yet.
var ErrNotReady = errors.New("the catalog has not been read yet; is the bus there?")

// Views returns every service that has labels of the scaler, by name. It may be
// called by any goroutine.
func (e *Engine) Views() ([]View, error) {
	snapshot, ok := e.opts.Catalog.Snapshot()
	asked, read := e.opts.Store.Asked(e.opts.Now())
	if !ok || !read {
		return nil, ErrNotReady
	}
	out := []View{}
	for _, o := range policy.All(snapshot, e.acceptedNow(), e.opts.Defaults) {
		out = append(out, e.view(o, asked))
	}
	slices.SortFunc(out, func(a, b View) int { return strings.Compare(a.Service, b.Service) })
	return out, nil
}

// ViewOf returns one service, with or without labels of the scaler. The errors are
// ErrNotReady and those of policy.Find. It may be called by any goroutine.
func (e *Engine) ViewOf(name string) (View, error) {
	snapshot, ok := e.opts.Catalog.Snapshot()
	asked, read := e.opts.Store.Asked(e.opts.Now())
	if !ok || !read {
		return View{}, ErrNotReady
	}
	svc, err := policy.Find(snapshot, name)
	if err != nil {
		return View{}, err
	}
	return e.view(policy.Explain(svc, snapshot.Tasks[svc.ID], e.acceptedNow()[svc.ID].Labels, e.opts.Defaults), asked), nil
}

func (e *Engine) view(o policy.Outcome, asked store.Asked) View {
	v := View{
		Service: o.Service.Name, ID: o.Service.ID, State: o.State, Reason: o.Reason, Label: o.Label, Hint: o.Hint,
		Replicas: o.Service.Replicas, LastStep: e.opts.Store.KnownStep(o.Service.ID).Alone(),
	}
	if p := o.Policy; p.InForce() {
		v.Policy = &policyView{p.Min, p.Max, p.UpBy, p.DownBy, p.CooldownUp.String(), p.CooldownDown.String()}
	}
	for _, s := range asked.Signals {
		if s.ServiceID == o.Service.ID {
			v.Signals = append(v.Signals, signalView{s.Direction, s.Alerts, s.ReceivedAt})
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, direction := range []signal.Direction{signal.Up, signal.Down} {
		if d, ok := e.latest[o.Service.ID][direction]; ok {
			v.Latest = append(v.Latest, decisionView{direction, d.Action, d.Message, d.Time, d.Until})
		}
	}
	return v
}
