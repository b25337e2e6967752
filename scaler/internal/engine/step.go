package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// Scale is what the swarm says of one service now.
type Scale struct {
	ID, Name string
	// Version changes with every change of the service.
	Version uint64
	// Replicas is the number asked for, Running that of running tasks on ready nodes.
	Replicas, Running uint64
	UpdateState       string
	Labels            map[string]string
	Mode              catalog.Mode
}

// Swarm reads and sets the number of replicas.
type Swarm interface {
	// Scale returns ErrNotFound for a service that is not there.
	Scale(ctx context.Context, serviceID string) (Scale, error)
	// SetReplicas returns ErrConflict if the service is no longer at version,
	// ErrNotFound if it is not there.
	SetReplicas(ctx context.Context, serviceID string, version, replicas uint64) error
}

// Errors of a Swarm.
var (
	ErrConflict = errors.New("the service was changed meanwhile")
	ErrNotFound = errors.New("the service is no longer there")
)

// attempts is how often a step is decided anew because somebody else changed the
// service or claimed a step at the same time.
const attempts = 5

// target is the service that a step is about.
type target struct{ id, name string }

// step decides what is asked of one service and does it.
//
// Any number of instances may do this at once, and each may die between any two
// lines: the claim, written against its own revision, says which step is about
// to be done to which version of the service, and only one change of that
// version can succeed. A claim whose version is still that of the service was not
// followed by its change and does not count.
func (e *Engine) step(ctx context.Context, t target, asked decide.Asked) (decide.Decision, error) {
	// failed is the revision of an own claim whose change was refused; it counts
	// all the same if the service is as it wanted it, for the refusal may be
	// that of a repetition, after a first answer was lost.
	var failed uint64
	for range attempts {
		now := e.opts.Now()
		scale, err := e.opts.Swarm.Scale(ctx, t.id)
		if errors.Is(err, ErrNotFound) {
			return decide.Refuse(t.id, t.name, asked, "is no longer there", now), nil
		}
		if err != nil {
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
		p, err := e.policyOf(scale)
		if !p.InForce() {
			return decide.Refuse(t.id, t.name, asked, policy.Why(err), now), nil
		}
		written, revision, err := e.opts.Store.Step(ctx, t.id)
		if err != nil {
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
		done := written.Done(scale.Version)
		if written != nil && revision == failed && scale.Replicas != written.To {
			done = written.Before
		}
		done = e.newer(t.id, done)
		if asked.Request != "" && done != nil && done.Request == asked.Request {
			return e.repeat(p, done, asked), nil
		}
		d := decide.Decide(p, decide.State{Replicas: scale.Replicas, Running: scale.Running, UpdateState: scale.UpdateState, Last: done}, asked, now)
		d.DryRun = e.opts.DryRun
		if d.Action != decide.Scaled || e.opts.DryRun {
			return d, nil
		}
		claim := signal.Step{
			ServiceID: t.id, Service: scale.Name, Direction: d.Direction, From: d.From, To: d.To, Version: scale.Version,
			Time: now, Request: asked.Request, Instance: e.opts.Instance, Before: done.Alone(),
		}
		mine, err := e.opts.Store.Claim(ctx, claim, revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
		if open, err := e.stillAsked(ctx, asked); err != nil || !open {
			return decide.Refuse(t.id, t.name, asked, "is not scaled: the request was withdrawn", now), err
		}
		err = e.opts.Swarm.SetReplicas(ctx, t.id, scale.Version, d.To)
		switch {
		case err == nil:
			e.remember(claim)
			return d, nil
		case errors.Is(err, ErrConflict):
			// Whoever wrote a claim on the same version that ours replaced may
			// have been the one who changed the service: ours then stands for it.
			if written == nil || written.Version != scale.Version || revision == failed {
				failed = mine
			}
		case errors.Is(err, ErrNotFound):
			return decide.Refuse(t.id, t.name, asked, "is no longer there", now), nil
		default:
			// Whether the change took place is seen from the version, in the next pass.
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return decide.Decision{}, fmt.Errorf("%s: %w, %d times in a row", t.name, ErrConflict, attempts)
}

// stillAsked reports whether a request by hand was not withdrawn. It is asked
// after the claim, and whoever withdraws looks for a claim afterwards; so no
// request is called expired and granted nevertheless.
func (e *Engine) stillAsked(ctx context.Context, asked decide.Asked) (bool, error) {
	if asked.Request == "" {
		return true, nil
	}
	return e.opts.Store.Pending(ctx, asked.Request)
}

// repeat is the decision about a request that was granted already, perhaps by
// another instance, or by this one before it was restarted.
func (e *Engine) repeat(p policy.Policy, s *signal.Step, asked decide.Asked) decide.Decision {
	asked.By = s.To - s.From
	if s.Direction == signal.Down {
		asked.By = s.From - s.To
	}
	// The bounds may have changed since; what was done is told as it was done.
	p.Min, p.Max = min(p.Min, s.From, s.To), max(p.Max, s.From, s.To)
	d := decide.Decide(p, decide.State{Replicas: s.From, Running: s.From}, asked, s.Time)
	d.Instance = s.Instance
	return d
}

// newer returns the later one of a step that the bus knows and the one that this
// instance remembers, so that a bus that lost its store does not shorten a cooldown.
func (e *Engine) newer(id string, known *signal.Step) *signal.Step {
	if own, ok := e.own[id]; ok && (known == nil || own.Time.After(known.Time)) {
		return &own
	}
	return known
}

func (e *Engine) remember(s signal.Step) {
	s.Before = nil
	now := s.Time
	for id, old := range e.own {
		if now.Sub(old.Time) > policy.MaxCooldown+time.Hour {
			delete(e.own, id)
		}
	}
	e.own[s.ServiceID] = s
}
