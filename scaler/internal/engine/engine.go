// Package engine is what the scaler's loop does: it looks at what is asked for,
// decides, scales, and tells what it decided.
//
// It is longer than others because all that changes a number goes through one claim and one journal,
// whoever asks for it: alerts, loads, people, schedules. What is to be done is decided in decide,
// without this.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
	"github.com/wagglehq/waggle/scaler/judge"
)

const (
	// lookAgain is how soon a held request is looked at again when no time is known.
	lookAgain = 2 * time.Second
	// lookLater is that of what stands, of which changes are heard anyway.
	lookLater = 10 * time.Second
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
	DryRun bool
	// Blind reports whether nobody is heard of who would renew or end alerts; nil: never.
	Blind func(now time.Time) bool
	// Wanted returns how many replicas the loads of services want, by their IDs, as far as
	// that is known; nil: nothing is.
	Wanted func() map[string]float64
	// Reached is called at each point of each step; nil: nobody is told.
	Reached  func(Point)
	Instance string
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Engine belongs to the loop that calls Pass; what others may call says so.
type Engine struct {
	opts    Options
	metrics *metrics
	memory  *memory
	told    journal
	trouble *trouble
	judged  *policy.Memo

	// mu guards the rest, which HTTP handlers share with the loop.
	mu       sync.Mutex
	passed   bool
	revision catalog.Revision
	hash     string
	rejected int
	desired  int
	// accepted are the services with the labels in force, and oversize those whose labels
	// were left out of the catalog, by ID, as of the last pass.
	accepted map[string]catalog.Service
	oversize map[string]int
	stopped  *signal.Stop
}

// stop notes the operator's stop, for whoever asks why nothing happens.
func (e *Engine) stop(s *signal.Stop) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = s
}

// explain adds to what becomes of a service why it is not scaled now.
func (e *Engine) explain(o policy.Outcome) policy.Outcome {
	o = e.trouble.explain(o)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped != nil && o.Policy.InForce() {
		text := "the operator has stopped all scaling: " + e.stopped.Reason
		if o.Reason != "" {
			text = o.Reason + "; " + text
		}
		o.Reason = text
		if o.Hint == "" {
			o.Hint = "DELETE /v1/stop at the scaler ends that"
		}
	}
	return o
}

// New returns an Engine.
func New(o Options) *Engine {
	return &Engine{
		opts: o, metrics: newMetrics(o.Registry), memory: newMemory(), trouble: newTrouble(), judged: policy.NewMemo(o.Defaults),
		told: journal{latest: map[string]map[string]decide.Decision{}, refusals: map[string]time.Time{}},
	}
}

// Pass does all that can be done now. It returns when the next pass is due
// although nobody pokes, zero if none is. Without a complete catalog, or before
// the signals have been read, it does nothing. The error is that of the bus, or that Docker
// does not answer; what Docker refuses of one service is that service's.
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
	e.stop(asked.Stop)
	outcomes := e.judged.All(snapshot, e.believe(accepted, snapshot))
	e.hold(outcomes)
	e.memory.catalog = snapshot
	errs := []error{e.observe(ctx, snapshot, outcomes, asked)}
	errs = append(errs, e.spread(ctx, snapshot, asked))
	e.memory.hear(asked.Open, e.opts.Now())
	e.wish(outcomes, asked)
	soon, err := e.answer(ctx, asked)
	errs = append(errs, err)
	next, err := e.follow(ctx, snapshot, outcomes, asked)
	errs = append(errs, err, e.tell(ctx), e.report(ctx, snapshot, outcomes), e.record(ctx))
	e.note(snapshot.Revision, outcomes)
	return sooner(next, soon), errors.Join(errs...)
}

// report publishes what became of each service.
func (e *Engine) report(ctx context.Context, snapshot catalog.Snapshot, outcomes []policy.Outcome) error {
	statuses := make([]catalog.Status, 0, len(outcomes))
	for _, o := range outcomes {
		statuses = append(statuses, judge.Status(e.explain(o), snapshot.RevisionOf(o.Service.ID)))
	}
	err := e.opts.Statuses.Publish(ctx, statuses)
	if errors.Is(err, bus.ErrNotSynced) {
		return nil // whoever reads them pokes when it has
	}
	return err
}

func (e *Engine) note(revision catalog.Revision, outcomes []policy.Outcome) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%+v\n", e.opts.Defaults)
	desired, rejected := 0, 0
	for _, o := range outcomes {
		if o.State == policy.Rejected {
			rejected++
		}
		if o.Policy.InForce() {
			desired++
			_, _ = h.Write(o.Sum[:])
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
