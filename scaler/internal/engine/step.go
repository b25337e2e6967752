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
	// Replicas is the number asked for, Running that of running tasks on ready nodes,
	// Pending that of tasks for which no node has room.
	Replicas, Running, Pending uint64
	UpdateState                string
	// Silent says that tasks are not of the specification although no update is told of.
	Silent bool
	Labels map[string]string
	Mode   catalog.Mode
	// Before is the number of the specification before, Differs says that more than the
	// number differs from that, Rebuilt that tasks do. Without such a specification it is as
	// if it were the same.
	Before           uint64
	Differs, Rebuilt bool
	// Failure is what Swarm does if an update fails.
	Failure string
}

// Swarm reads and sets the number of replicas. Without an answer its errors are ErrAway.
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

// Point is one at which a step may be cut off.
type Point string

// The points of a step, in their order.
const (
	BeforeClaim Point = "before_claim"
	AfterClaim  Point = "after_claim"
	AfterUpdate Point = "after_update"
	BeforeTold  Point = "before_told"
)

// question is what is asked of a service: once, or by all that stands.
type question struct {
	// subject is what is asked once, with a Request, or else what won by the catalog.
	subject decide.Asked
	asked   store.Asked
	// about decides in place of both, if it is there, and on more than a state.
	about func(Scale, policy.Policy, decide.State, time.Time) decide.Decision
	// judge reads the labels in place of policy.Judge, if it is there.
	judge judges
}

// decide answers a question on what is known of the service.
func (e *Engine) decide(q question, scale Scale, p policy.Policy, s decide.State, now time.Time) decide.Decision {
	if q.about != nil {
		return q.about(scale, p, s, now)
	}
	if q.subject.Request != "" {
		q.subject.Rivals = e.asks(p, q.asked)
		return decide.Decide(p, s, q.subject, now)
	}
	won, _ := decide.Follow(p, s, e.asks(p, q.asked), now)
	return won
}

// step decides what is asked of one service and does it. What it scaled it has told.
//
// Any number of instances may do this at once, and each may die between any two
// lines: the claim, written against its own revision, says which step is about
// to be done to which version of the service, and only one change of that
// version can succeed. A claim whose version is still that of the service was not
// followed by its change and does not count. Of several claims of one version, the one that is
// confirmed first has the change; a request by hand whose claim does not gets one of its own.
func (e *Engine) step(ctx context.Context, t target, q question) (decide.Decision, error) {
	asked := q.subject
	// failed is the revision of an own claim whose change was refused; it counts
	// all the same if the service is as it wanted it, for the refusal may be
	// that of a repetition, after a first answer was lost.
	var failed uint64
	for try := range attempts {
		now := e.opts.Now()
		scale, err := e.look(ctx, t.id)
		if errors.Is(err, ErrNotFound) {
			return decide.Refuse(t.id, t.name, asked, decide.Code(policy.Code(policy.ErrUnknown)), "is no longer there", now), nil
		}
		if err != nil {
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
		p, err := e.policyOf(scale, q.judge)
		if !p.InForce() {
			return decide.Refuse(t.id, t.name, asked, decide.Code(policy.Code(err)), policy.Why(err), now), nil
		}
		written, revision, err := e.readable(ctx, scale, now, try == 0 && asked.Request == "")
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
		done := written.Done(scale.Version)
		if written != nil && revision == failed && scale.Replicas != written.To {
			done = written.Before
		}
		if done != nil && done == written && !done.Confirmed {
			if asked.Request != "" && asked.Request == done.Request && scale.Replicas != done.To {
				// The service was changed by others, and nobody knows whether this
				// was done before. It is done now, once.
				done = done.Before
			} else if done, revision, err = e.confirm(ctx, p, *done, scale, revision, now); errors.Is(err, store.ErrConflict) {
				continue
			} else if err != nil {
				return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
			}
		}
		// What is remembered here may be older than what the bus knows, where clocks differ.
		granted := done
		if done = e.memory.newer(t.id, done); granted == nil {
			granted = done
		}
		if made := granted.Grants(asked.Request); made != nil {
			return decide.Done(p, *made, asked), nil
		}
		state := e.surroundings(t.id, q.asked)
		state.Replicas, state.Running, state.Pending = scale.Replicas, scale.Running, scale.Pending
		state.UpdateState, state.Silent, state.Last = scale.UpdateState, scale.Silent, done
		d := e.decide(q, scale, p, state, now)
		if d.Action != decide.Scaled || d.DryRun {
			return d, nil
		}
		switch back, how, err := e.overtaken(ctx, q, p, scale, state, revision); {
		case err != nil:
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		case how == byPerson:
			continue
		case how == byDeploy && back.Action == decide.Scaled:
			d = back
		case how == byDeploy && back.Action != "":
			return decide.Decision{}, nil // the next pass tells of it
		}
		d.Time = decidedAt(written, d, scale.Version, now)
		claim := signal.Step{
			ServiceID: t.id, Service: scale.Name, Direction: d.Direction, From: d.From, To: d.To, Version: scale.Version,
			Time: d.Time, Request: asked.Request, Instance: e.opts.Instance, Want: string(d.Want), Reason: d.Reason, Uneven: d.Uneven, Before: done.Alone(),
		}
		if done == nil || d.Since.After(done.Time) {
			claim.Began = d.Since
		}
		if d.Want == decide.WantDeploy {
			claim.Earlier = done.CoolsUp()
		}
		claim.Recent = done.Recorded(signal.Change{Time: d.Time, From: d.From, To: d.To}, p.Pace.Longest())
		claim.Granted = granted.AllGranted(now)
		e.reached(BeforeClaim)
		mine, err := e.opts.Store.Claim(ctx, claim, revision)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
		if open, err := e.stillAsked(ctx, asked); err != nil || !open {
			return decide.Refuse(t.id, t.name, asked, decide.CodeUnchanged, "is not scaled: the request was withdrawn", now), err
		}
		e.reached(AfterClaim)
		err = e.set(ctx, t.id, scale.Version, d.To)
		switch {
		case err == nil:
			e.reached(AfterUpdate)
			d.Instance, d.Version = e.opts.Instance, scale.Version
			if err := e.scaled(ctx, d); err != nil {
				e.memory.remember(claim)
				return d, fmt.Errorf("%s: %w", t.name, err)
			}
			switch isMine, err := e.done(ctx, claim, mine); {
			case asked.Request == "" || err == nil && isMine:
				return d, nil
			case err != nil:
				return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err) // the next pass sees whose it is
			}
		case errors.Is(err, ErrConflict):
			// Whoever wrote a claim on the same version that ours replaced may
			// have been the one who changed the service: ours then stands for it.
			if written == nil || written.Version != scale.Version || revision == failed {
				failed = mine
			}
		case errors.Is(err, ErrNotFound):
			return decide.Refuse(t.id, t.name, asked, decide.Code(policy.Code(policy.ErrUnknown)), "is no longer there", now), nil
		default:
			// Whether the change took place is seen from the version, in the next pass.
			return decide.Decision{}, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return decide.Decision{}, fmt.Errorf("%s: %w, %d times in a row", t.name, &failure{ErrConflict}, attempts)
}

// decidedAt is when a step was decided. If another instance has just claimed the same one,
// and may be about to do it, it is when that one did: whichever of them does it, and tells of
// it, tells of one step.
func decidedAt(written *signal.Step, d decide.Decision, version uint64, now time.Time) time.Time {
	if written != nil && !written.Confirmed && written.Version == version && written.From == d.From && written.To == d.To && now.Sub(written.Time).Abs() < concludeAfter {
		return written.Time
	}
	return now
}

// failure is what Docker did not do, unlike what the bus did not.
type failure struct{ err error }

// Error is Docker's text.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns Docker's error.
func (f *failure) Unwrap() error { return f.err }

// look reads a service from Docker.
func (e *Engine) look(ctx context.Context, id string) (Scale, error) {
	e.trouble.begin()
	scale, err := e.opts.Swarm.Scale(ctx, id)
	e.trouble.end(err, e.opts.Now())
	if err != nil {
		return scale, &failure{err}
	}
	return scale, nil
}

func (e *Engine) set(ctx context.Context, id string, version, replicas uint64) error {
	e.trouble.begin()
	err := e.opts.Swarm.SetReplicas(ctx, id, version, replicas)
	e.trouble.end(err, e.opts.Now())
	if err != nil {
		return &failure{err}
	}
	return nil
}

// readable reads the last step from the bus, or what is known of it here, if that is enough:
// who claims a step by it learns if it is behind, but who answers a person by it would not. One that cannot be read is made one of now,
// so that its service waits for its cooldown, once, and no other is harmed.
func (e *Engine) readable(ctx context.Context, scale Scale, now time.Time, isKnownEnough bool) (*signal.Step, uint64, error) {
	last, revision, err := e.opts.Store.KnownStep(scale.ID)
	if !isKnownEnough {
		last, revision, err = e.opts.Store.Step(ctx, scale.ID)
	}
	if !errors.Is(err, store.ErrUnreadable) {
		return last, revision, err
	}
	e.opts.Log.Warn("last step taken for one of now", "swarm_service", scale.Name, "error", err)
	s := signal.Step{
		ServiceID: scale.ID, Service: scale.Name, From: scale.Replicas, To: scale.Replicas, Version: scale.Version, Time: now,
		Instance: e.opts.Instance, Confirmed: true, Converged: now,
	}
	revision, err = e.opts.Store.Claim(ctx, s, revision)
	return &s, revision, err
}

// uncertain is how long whoever claimed a step may still be about to do it.
const uncertain = time.Minute

// confirm notes that a claimed step took place, as the service shows. One that the service
// went on from without having its number may have; it counts, for caution, and is left
// alone as long as whoever claimed it may be at work. After a deploy nobody is, because the
// version has gone, and the number that the service had before it tells: it comes back.
func (e *Engine) confirm(ctx context.Context, p policy.Policy, s signal.Step, scale Scale, revision uint64, now time.Time) (*signal.Step, uint64, error) {
	own := scale.Replicas
	switch {
	case scale.Replicas == s.To:
	case scale.Differs && scale.Before == s.To:
		own = s.To
	case scale.Differs && scale.Before == s.From && s.Before != nil:
		// It was not made, and cannot be any more: the step before is the last one.
		last := *s.Before
		revision, err := e.opts.Store.Claim(ctx, last, revision)
		return &last, revision, err
	case scale.Differs:
		own = s.From
	case now.Sub(s.Time) < uncertain:
		return &s, revision, nil
	}
	if own != s.To {
		s.Request = "" // it did not get what it asked for
	} else {
		// Whoever made it may have ended before it was told; told twice it is kept once.
		if err := e.scaled(ctx, decide.Done(p, s, decide.Asked{Request: s.Request})); err != nil {
			return &s, revision, err
		}
	}
	s.To, s.Confirmed, s.Before = own, true, nil
	revision, err := e.opts.Store.Claim(ctx, s, revision)
	return &s, revision, err
}

// done remembers a step that was made, and confirms it. It reports whether the change is its
// own: another instance may have claimed the same version for something else after it, and
// have taken the change for its own, because it sees the number that it wants. That the bus
// learns of what nobody asked by hand only saves the next look at Docker, so it does not
// matter if it does not.
func (e *Engine) done(ctx context.Context, s signal.Step, revision uint64) (bool, error) {
	s.Confirmed, s.Before = true, nil
	e.memory.behind[s.ServiceID] = e.memory.catalog.RevisionOf(s.ServiceID)
	isMine, err := e.own(ctx, s, revision)
	if err != nil {
		e.opts.Log.Debug("a step is not confirmed on the bus", "swarm_service", s.Service, "error", err)
	}
	if s.Request == "" || err == nil && isMine {
		e.memory.remember(s)
	}
	return isMine, err
}

// own writes a step that was made as the one of its version. If the bus knows another one by
// now, it is written as one before that, unless a request by hand was granted by the change.
func (e *Engine) own(ctx context.Context, s signal.Step, revision uint64) (bool, error) {
	value := s
	for range attempts {
		_, err := e.opts.Store.Claim(ctx, value, revision)
		if !errors.Is(err, store.ErrConflict) {
			return err == nil, err
		}
		var written *signal.Step
		written, revision, err = e.opts.Store.Step(ctx, s.ServiceID)
		switch {
		case err != nil && !errors.Is(err, store.ErrUnreadable):
			return false, err
		case written == nil || written.Version == s.Version && !written.Confirmed:
			value = s
		case s.Request == "" || written.Grants(s.Request) != nil:
			return true, nil
		case written.HasGrantedAt(s.Version):
			return false, nil
		default:
			value = written.With(s)
		}
	}
	return false, store.ErrConflict
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

// scaled tells of a step that was made. It is told before the step is confirmed, so that
// whoever comes after one who ended in between tells of it.
func (e *Engine) scaled(ctx context.Context, d decide.Decision) error {
	e.news(d)
	e.reached(BeforeTold)
	return e.tell(ctx)
}

func (e *Engine) reached(p Point) {
	if e.opts.Reached != nil {
		e.opts.Reached(p)
	}
}
