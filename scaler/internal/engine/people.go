package engine

import (
	"context"
	"errors"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// judged is a service to which a deploy's number came, as Docker was seen to have it while
// its entry of the catalog had this revision.
type judged struct {
	revision catalog.Revision
	at       time.Time
	scale    Scale
}

// observe takes over what happened to the numbers of services since the last pass: a
// number by somebody else is a deploy's, and the former one comes back, or a person's, and
// adopted; and a step whose tasks run has converged.
func (e *Engine) observe(ctx context.Context, snapshot catalog.Snapshot, outcomes []policy.Outcome, asked store.Asked) error {
	var errs []error
	e.memory.held = nil
	wait, inForce := map[string]judged{}, map[string]bool{}
	for _, o := range outcomes {
		svc := o.Service
		if !o.Policy.InForce() {
			continue
		}
		inForce[svc.ID] = true
		last, revision, err := e.last(svc.ID)
		if err != nil || e.memory.isBehind(svc.ID, snapshot) {
			continue // a step that cannot be read is made good when it is needed
		}
		delete(e.memory.behind, svc.ID)
		claim := last
		if last != nil && !last.Confirmed {
			// Whoever claimed it may be about to do it. What was not done for a while is as if
			// it were not there.
			if err := e.conclude(ctx, o, *last); err != nil {
				errs = append(errs, err)
			}
			if decide.Want(last.Want) != decide.WantDeploy && e.opts.Now().Sub(last.Time) < concludeAfter {
				continue
			}
			last = last.Before
		}
		known, isOther, err := e.count(ctx, svc, last)
		switch {
		case err != nil:
		case isOther:
			err = e.changed(ctx, snapshot, o, known, asked)
			if j, ok := e.memory.judged[svc.ID]; ok {
				wait[svc.ID] = j
			}
		case last != nil && last == claim && last.Converged.IsZero() && shows(*last, svc, snapshot):
			err = e.converge(ctx, *last, revision)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	e.memory.judged = wait
	// Of one that is not scaled any more, too: when it is again, it is seen for the first time.
	errs = append(errs, e.opts.Store.ForgetNumbers(ctx, func(id string) bool { return inForce[id] }))
	return errors.Join(errs...)
}

// count returns what is known of the number of a service of the catalog, whose last step is
// last, and whether it has another one. What is new it keeps on the bus.
func (e *Engine) count(ctx context.Context, svc catalog.Service, last *signal.Step) (known signal.Number, isOther bool, err error) {
	kept, revision, isKept := e.opts.Store.Number(svc.ID)
	known = kept.After(last)
	if !isKept {
		// Whatever a step of former times led to, it is seen for the first time.
		known = signal.Number{ServiceID: svc.ID, Base: svc.Replicas, Own: svc.Replicas, Step: last.Mark()}
	}
	if svc.Replicas != known.Own {
		return known, true, nil
	}
	if isKept && known == kept {
		return known, false, nil
	}
	return known, false, e.keep(ctx, known, revision)
}

// keep writes what is known of a number. If another instance was faster its word is heard soon.
func (e *Engine) keep(ctx context.Context, n signal.Number, revision uint64) error {
	if err := e.opts.Store.SetNumber(ctx, n, revision); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}

// changed decides about a number that is not the known one, if Docker says so too and no
// instance is at work.
func (e *Engine) changed(ctx context.Context, snapshot catalog.Snapshot, o policy.Outcome, known signal.Number, asked store.Asked) error {
	svc, now := o.Service, e.opts.Now()
	_, revision, _ := e.opts.Store.Number(svc.ID)
	// While the catalog says the same of a deploy that is waited for, so does Docker; but
	// that its tasks are not of it yet ends without a word there.
	j, ok := e.memory.judged[svc.ID]
	if !ok || j.revision != snapshot.RevisionOf(svc.ID) || j.scale.Silent && now.Sub(j.at) >= lookLater {
		delete(e.memory.judged, svc.ID)
		if _, why := e.trouble.now(svc.ID, now); why != nil {
			return nil
		}
		// In this order: what is not the number of the last step when it is looked at after
		// that step was read was changed since, and if another instance did it the step on the
		// bus is another one, too.
		last, lastRevision, err := e.opts.Store.Step(ctx, svc.ID)
		if err != nil {
			return err
		}
		scale, err := e.look(ctx, svc.ID)
		if err != nil {
			e.trouble.failed(svc.ID, err, now)
			return nil // the service is gone, or is looked at again
		}
		done := last.Done(scale.Version)
		if done != nil && !done.Confirmed {
			return nil
		}
		known = known.After(done)
		switch {
		case scale.Replicas == known.Own:
			e.memory.behind[svc.ID] = snapshot.RevisionOf(svc.ID)
			return nil
		case !decide.IsDeploy(known.Base, scale.Replicas, scale.Differs):
			return e.adopt(ctx, o, scale, known, revision, done, lastRevision)
		}
		if done != nil && decide.Want(done.Want) == decide.WantRebalance && done.Direction == signal.Up {
			known.Own = done.From // one of its tasks was only on its way
		}
		j = judged{snapshot.RevisionOf(svc.ID), now, scale}
	}
	return e.restore(ctx, o, j, known, revision, asked)
}

// restore brings the number back that a service had before a deploy, or tells why it waits.
func (e *Engine) restore(ctx context.Context, o policy.Outcome, j judged, known signal.Number, revision uint64, asked store.Asked) error {
	id, now := o.Service.ID, e.opts.Now()
	p := o.Policy
	p.DryRun = p.DryRun || e.opts.DryRun
	state := e.surroundings(id, asked)
	state.Replicas, state.UpdateState, state.Silent = j.scale.Replicas, j.scale.UpdateState, j.scale.Silent
	d, comesBack := decide.Restore(p, state, deployOf(j.scale, known), now)
	if !comesBack {
		return e.keep(ctx, signal.Number{ServiceID: id, Base: j.scale.Replicas, Own: j.scale.Replicas, Step: known.Step}, revision)
	}
	if known.Base != j.scale.Replicas {
		known.Base = j.scale.Replicas
		if err := e.keep(ctx, known, revision); err != nil {
			return err
		}
	}
	if d.Action != decide.Scaled || d.DryRun {
		e.memory.judged[id] = j
		e.memory.held = append(e.memory.held, d)
		return nil
	}
	until, why := e.trouble.now(id, now)
	if why == nil {
		var err error
		d, err = e.step(ctx, target{id, o.Service.Name}, question{
			subject: decide.Asked{Want: decide.WantDeploy, Direction: signal.Up}, asked: asked,
			about: func(scale Scale, p policy.Policy, s decide.State, now time.Time) decide.Decision {
				if !decide.IsDeploy(known.Base, scale.Replicas, scale.Differs) {
					return decide.Decision{} // a person was faster, which the next pass sees
				}
				d, _ := decide.Restore(p, s, deployOf(scale, known), now)
				return d
			},
		})
		var refused *failure
		if !errors.As(err, &refused) {
			e.trouble.mended(id)
			if d.Action != decide.Scaled {
				e.memory.held = append(e.memory.held, d)
			}
			return err
		}
		why, until = err, e.trouble.failed(id, err, e.opts.Now())
	}
	d = decide.Unreachable(id, o.Service.Name, decide.Asked{Want: decide.WantDeploy, Direction: signal.Up}, why, until, now)
	d.From, d.To, d.Min, d.Max = j.scale.Replicas, j.scale.Replicas, p.Min, p.Max
	e.memory.held = append(e.memory.held, d)
	return nil
}

func deployOf(s Scale, known signal.Number) decide.Deploy {
	return decide.Deploy{Own: known.Own, Rebuilt: s.Rebuilt, Failure: s.Failure}
}

// adopt takes over a person's number: it counts as a step, and is told.
func (e *Engine) adopt(ctx context.Context, o policy.Outcome, scale Scale, known signal.Number, revision uint64, last *signal.Step, lastRevision uint64) error {
	now := e.opts.Now()
	s := signal.Step{
		ServiceID: scale.ID, Service: scale.Name, Direction: signal.Up, From: scale.Before, To: scale.Replicas, Version: scale.Version,
		Time: now, Instance: e.opts.Instance, Confirmed: true,
	}
	if scale.Before == scale.Replicas {
		s.From = known.Own // it was changed more than once
	}
	if last != nil {
		s.Recent, s.Granted = last.Recent, last.AllGranted(now)
	}
	if s.To < s.From {
		s.Direction = signal.Down
	}
	if _, err := e.opts.Store.Claim(ctx, s, lastRevision); errors.Is(err, store.ErrConflict) {
		return nil // another instance has seen it too
	} else if err != nil {
		return err
	}
	e.memory.remember(s)
	e.queue(decide.Adopt(o.Policy, s), "")
	known.Own, known.Step = s.To, s.Mark()
	return e.keep(ctx, known, revision)
}

// others is by whom a number was set that is not the known one.
type others int

const (
	byNobody others = iota
	byPerson
	byDeploy
)

// overtaken looks, before a step, whether somebody else has just set the number that it is to
// start from, and the catalog has not told of it yet: the step would count for that number, and
// what was there before it would neither come back nor be told. A person's is taken over; after
// a deploy the number comes back in place of the step, as decided. A person who asks is not kept
// waiting for that.
func (e *Engine) overtaken(ctx context.Context, q question, p policy.Policy, scale Scale, state decide.State, lastRevision uint64) (decide.Decision, others, error) {
	kept, revision, isKept := e.opts.Store.Number(scale.ID)
	done := state.Last
	if !isKept || q.about != nil || done != nil && !done.Confirmed {
		return decide.Decision{}, byNobody, nil
	}
	known := kept.After(done)
	switch {
	case scale.Replicas == known.Own:
		return decide.Decision{}, byNobody, nil
	case !decide.IsDeploy(known.Base, scale.Replicas, scale.Differs):
		return decide.Decision{}, byPerson, e.adopt(ctx, policy.Outcome{Policy: p}, scale, known, revision, done, lastRevision)
	case q.subject.Request != "":
		return decide.Decision{}, byNobody, nil
	}
	back, _ := decide.Restore(p, state, deployOf(scale, known), e.opts.Now())
	if back.Action == decide.Scaled && known.Base != scale.Replicas {
		known.Base = scale.Replicas
		return back, byDeploy, e.keep(ctx, known, revision)
	}
	return back, byDeploy, nil
}
