package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// answer decides the requests by hand, oldest first, each on what Docker says at that
// moment. It returns when it wants to be called again, zero if it does not.
func (e *Engine) answer(ctx context.Context, asked store.Asked) (next time.Time, err error) {
	var errs []error
	for _, r := range asked.Requests {
		a := decide.Asked{
			Direction: r.Direction, By: r.By, Request: r.ID, Force: r.Force,
			UpStands: slices.ContainsFunc(asked.Signals, func(s signal.Signal) bool {
				return s.ServiceID == r.ServiceID && s.Direction == signal.Up
			}),
		}
		d, known, err := e.grant(ctx, target{r.ServiceID, r.Service}, a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !known {
			next = e.opts.Now().Add(lookAgain)
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
	return next, errors.Join(errs...)
}

// grant decides a request by hand. It is not known yet what became of one that was
// claimed and whose change Docker did not confirm; the next look at the service tells.
func (e *Engine) grant(ctx context.Context, t target, a decide.Asked) (d decide.Decision, known bool, err error) {
	until, why := e.trouble.now("", e.opts.Now())
	if why == nil {
		d, err = e.step(ctx, t, a)
		var refused *failure
		if !errors.As(err, &refused) {
			return d, err == nil, err
		}
		why, until = err, e.trouble.failed(t.id, err, e.opts.Now())
	}
	last, _, err := e.opts.Store.Step(ctx, t.id)
	if err != nil && !errors.Is(err, store.ErrUnreadable) {
		return d, false, err
	}
	if last != nil && last.Request == a.Request {
		return d, false, nil
	}
	return decide.Unreachable(t.id, t.name, a, why, until, e.opts.Now()), true, nil
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
		svc, ok := snapshot.Services[s.ServiceID]
		if !ok {
			continue // it was removed; its alerts end with it
		}
		if stands[s.ServiceID] == nil {
			stands[s.ServiceID] = map[signal.Direction]bool{}
		}
		stands[s.ServiceID][s.Direction] = true
		d, err := e.consider(ctx, snapshot, svc, decide.Asked{
			Direction: s.Direction, By: s.By, Settle: s.Settle, Alerts: s.Fingerprints(), UpStands: up[s.ServiceID],
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.Instance = e.opts.Instance
		e.news(d)
		next = sooner(next, due(d))
	}
	e.forget(stands)
	e.trouble.keep(func(id string) bool { return len(stands[id]) > 0 })
	if len(stands) > 0 {
		errs = append(errs, e.trouble.lasting())
	}
	return next, errors.Join(errs...)
}

// due is when a decision is to be looked at again although nobody pokes, zero for never.
func due(d decide.Decision) time.Time {
	switch {
	case d.Action == decide.Refused:
		return time.Time{}
	case !d.Until.IsZero():
		return d.Until
	}
	return d.Time.Add(lookAgain)
}

// sooner returns the earlier of two times of which a zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// consider decides what alerts ask of a service, on what the catalog says. Docker is
// asked only if that leads to a step, or is not enough to tell.
func (e *Engine) consider(ctx context.Context, snapshot catalog.Snapshot, svc catalog.Service, a decide.Asked) (decide.Decision, error) {
	now := e.opts.Now()
	p, err := e.judge(svc)
	if !p.InForce() {
		return decide.Refuse(svc.ID, svc.Name, a, decide.Code(policy.Code(err)), policy.Why(err), now), nil
	}
	if state, enough := e.stateOf(svc, snapshot); enough {
		if d := decide.Decide(p, state, a, now); d.Action != decide.Scaled || d.DryRun {
			return d, nil
		}
	}
	until, why := e.trouble.now(svc.ID, now)
	if why == nil {
		d, err := e.step(ctx, target{svc.ID, svc.Name}, a)
		var refused *failure
		if !errors.As(err, &refused) {
			e.trouble.mended(svc.ID)
			return d, err
		}
		why, until = err, e.trouble.failed(svc.ID, err, e.opts.Now())
	}
	d := decide.Unreachable(svc.ID, svc.Name, a, why, until, now)
	d.From, d.To, d.Min, d.Max = svc.Replicas, svc.Replicas, p.Min, p.Max
	return d, nil
}

// stateOf is the state of a service by the catalog, and whether that is enough to decide:
// it is not while tasks are not known, or whether the last step took place.
func (e *Engine) stateOf(svc catalog.Service, snapshot catalog.Snapshot) (decide.State, bool) {
	tasks, listed := snapshot.Tasks[svc.ID]
	last, _, err := e.last(svc.ID)
	if err != nil || last != nil && !last.Confirmed || !listed && svc.Replicas > 0 || snapshot.TaskCount(svc.ID) > len(tasks) {
		return decide.State{}, false
	}
	s := decide.State{Replicas: svc.Replicas, UpdateState: svc.UpdateState, Last: last, Wanted: e.memory.wanted[svc.ID], Blind: e.isBlind()}
	s.Running, s.Pending = count(tasks)
	if last != nil && e.memory.isBehind(svc.ID, snapshot) {
		s.Replicas, s.Running = last.To, min(s.Running, last.To)
	}
	return s, true
}

// count returns how many tasks run, and how many wait for a node with room.
func count(tasks []catalog.Task) (running, pending uint64) {
	for _, t := range tasks {
		switch {
		case t.Running():
			running++
		case t.Unplaced():
			pending++
		}
	}
	return running, pending
}

func (e *Engine) isBlind() bool { return e.opts.Blind != nil && e.opts.Blind(e.opts.Now()) }
