package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// answer decides what is asked once, oldest first, each on what Docker says at that
// moment. It returns when it wants to be called again, zero if it does not.
func (e *Engine) answer(ctx context.Context, asked store.Asked) (next time.Time, err error) {
	var errs []error
	for _, r := range asked.Requests {
		a := decide.Asked{Direction: r.Direction, By: r.By, To: r.To, Request: r.ID, Force: r.Force, Alerts: r.Alerts, Settle: r.Settle}
		if len(r.Alerts) > 0 {
			a.Want = decide.WantAlert
		}
		d, known, err := e.grant(ctx, target{r.ServiceID, r.Service}, question{subject: a, asked: asked})
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
		if d.Action != decide.Scaled || d.DryRun {
			e.queue(d, "")
		}
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

// grant decides what is asked once. It is not known yet what became of a request that was
// claimed and whose change Docker did not confirm; the next look at the service tells.
func (e *Engine) grant(ctx context.Context, t target, q question) (d decide.Decision, known bool, err error) {
	until, why := e.trouble.now("", e.opts.Now())
	if why == nil {
		d, err = e.step(ctx, t, q)
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
	if last != nil && last.Request == q.subject.Request {
		return d, false, nil
	}
	return decide.Unreachable(t.id, t.name, q.subject, why, until, e.opts.Now()), true, nil
}

// asks are the wants that stand for a service.
func (e *Engine) asks(p policy.Policy, asked store.Asked) []decide.Asked {
	var out []decide.Asked
	for _, s := range asked.Of(p.ServiceID) {
		out = append(out, decide.Asked{Want: decide.WantAlert, Direction: s.Direction, By: s.By, Since: s.Began(), Settle: s.Settle, Alerts: s.Fingerprints()})
	}
	if p.Load.Set() {
		out = append(out, e.load(p.ServiceID))
	}
	if len(p.Times) > 0 {
		out = append(out, decide.Asked{Want: decide.WantSchedule})
	}
	if _, ok := asked.Wakes[p.ServiceID]; ok {
		out = append(out, decide.Asked{Want: decide.WantWake})
	}
	return out
}

// patience is how long a load may be missing until its fallback counts.
const patience = time.Minute

// load is what the load of a service wants.
func (e *Engine) load(id string) decide.Asked {
	now := e.opts.Now()
	a := decide.Asked{Want: decide.WantTarget}
	if e.opts.Wanted != nil {
		value, ok := e.opts.Wanted()[id]
		a.Load, a.Missing = value, !ok
	}
	since, known := e.memory.heard[id]
	if !a.Missing || !known {
		e.memory.heard[id] = now
		since = now
	}
	a.Late = a.Missing && now.Sub(since) >= patience
	return a
}

// follow decides what stands: alerts, loads, schedules and requests that wait.
func (e *Engine) follow(ctx context.Context, snapshot catalog.Snapshot, outcomes []policy.Outcome, asked store.Asked) (next time.Time, err error) {
	var errs []error
	stands := map[string]map[string]bool{}
	hear := func(all ...decide.Decision) {
		for _, d := range all {
			if d.Action == "" {
				continue
			}
			if stands[d.ServiceID] == nil {
				stands[d.ServiceID] = map[string]bool{}
			}
			stands[d.ServiceID][aspect(d)] = true
			d.Instance = cmp.Or(d.Instance, e.opts.Instance)
			isRoutine := d.Want == decide.WantRebalance && d.Code == decide.CodeConverging
			if (d.Action != decide.Scaled || d.DryRun) && !isRoutine {
				e.news(d)
			}
			next = sooner(next, due(d))
		}
	}
	next = asked.Next
	hear(e.memory.held...)
	inForce := map[string]bool{}
	for _, o := range outcomes {
		if !o.Policy.InForce() {
			continue
		}
		inForce[o.Service.ID] = true
		p := o.Policy
		p.DryRun = p.DryRun || e.opts.DryRun
		next = sooner(next, p.Next(e.opts.Now()))
		asks := e.asks(p, asked)
		if len(asks) == 0 {
			continue
		}
		if at, ok := e.memory.heard[p.ServiceID]; ok && p.Fallback != nil && e.opts.Now().Sub(at) < patience {
			next = sooner(next, at.Add(patience))
		}
		all, err := e.consider(ctx, snapshot, o.Service, p, asks, asked)
		hear(all...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, s := range asked.Signals {
		svc, ok := snapshot.Services[s.ServiceID]
		if !ok || inForce[s.ServiceID] {
			continue // what was removed takes its alerts with it
		}
		p, err := e.judge(svc)
		if !p.InForce() {
			hear(decide.Refuse(svc.ID, svc.Name, decide.Asked{Direction: s.Direction}, decide.Code(policy.Code(err)), policy.Why(err), e.opts.Now()))
		}
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
	return d.Time.Add(lookLater)
}

// sooner returns the earlier of two times of which a zero one is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// consider decides what is wanted of a service, on what the catalog says. Docker is
// asked only if that leads to a step, or is not enough to tell.
func (e *Engine) consider(ctx context.Context, snapshot catalog.Snapshot, svc catalog.Service, p policy.Policy, asks []decide.Asked, asked store.Asked) ([]decide.Decision, error) {
	now := e.opts.Now()
	q := question{subject: decide.Asked{Direction: signal.Up}, asked: asked}
	var others []decide.Decision
	if state, enough := e.stateOf(svc, snapshot, asked); enough {
		var won decide.Decision
		won, others = decide.Follow(p, state, asks, now)
		if won.Action != decide.Scaled || won.DryRun {
			return append(others, won), nil
		}
		q.subject = decide.Asked{Want: won.Want, Direction: won.Direction, Alerts: won.Alerts}
	}
	until, why := e.trouble.now(svc.ID, now)
	if why == nil {
		d, err := e.step(ctx, target{svc.ID, svc.Name}, q)
		var refused *failure
		if !errors.As(err, &refused) {
			e.trouble.mended(svc.ID)
			return append(others, d), err
		}
		why, until = err, e.trouble.failed(svc.ID, err, e.opts.Now())
	}
	d := decide.Unreachable(svc.ID, svc.Name, q.subject, why, until, now)
	d.From, d.To, d.Min, d.Max = svc.Replicas, svc.Replicas, p.Min, p.Max
	return append(others, d), nil
}

// surroundings are what is known beside the service itself.
func (e *Engine) surroundings(id string, asked store.Asked) decide.State {
	s := decide.State{Wanted: e.memory.wanted[id], Blind: e.isBlind(), InUse: e.inUse(id)}
	if asked.Stop != nil {
		s.Stopped = cmp.Or(asked.Stop.Reason, "without a reason")
	}
	return s
}

// stateOf is the state of a service by the catalog, and whether that is enough to decide:
// it is not while tasks are not known, or whether the last step took place.
func (e *Engine) stateOf(svc catalog.Service, snapshot catalog.Snapshot, asked store.Asked) (decide.State, bool) {
	last, _, err := e.last(svc.ID)
	if err != nil || last != nil && !last.Confirmed {
		return decide.State{}, false
	}
	return e.stateAfter(svc, snapshot, asked, last)
}

// stateAfter is stateOf if this was the last step.
func (e *Engine) stateAfter(svc catalog.Service, snapshot catalog.Snapshot, asked store.Asked, last *signal.Step) (decide.State, bool) {
	tasks, listed := snapshot.Tasks[svc.ID]
	if !listed && svc.Replicas > 0 || snapshot.TaskCount(svc.ID) > len(tasks) {
		return decide.State{}, false
	}
	s := e.surroundings(svc.ID, asked)
	s.Replicas, s.UpdateState, s.Last = svc.Replicas, svc.UpdateState, last
	s.Running, s.Pending = countTasks(tasks)
	if last != nil && e.memory.isBehind(svc.ID, snapshot) {
		s.Replicas, s.Running = last.To, min(s.Running, last.To)
	}
	return s, true
}

// countTasks returns how many tasks run, and how many wait for a node with room.
func countTasks(tasks []catalog.Task) (running, pending uint64) {
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
