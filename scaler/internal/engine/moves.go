package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// AdmitsMoves returns nil if the tasks of a service may be spread anew, and otherwise why
// not: an error of policy.ForMoves. It may be called by any goroutine.
func (e *Engine) AdmitsMoves(svc catalog.Service) error {
	_, err := policy.ForMoves(svc, e.acceptedNow()[svc.ID].Labels, e.opts.Defaults)
	return err
}

// canTake returns the IDs of the nodes that can take tasks, sorted.
func canTake(snapshot catalog.Snapshot) []string {
	var out []string
	for id, n := range snapshot.Nodes {
		if n.State == "ready" && n.Availability == "active" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// spread has the tasks of services spread anew that ask for it: by hand, or by their label
// when a node has joined. What it tells is among what the pass holds.
func (e *Engine) spread(ctx context.Context, snapshot catalog.Snapshot, asked store.Asked) error {
	nodes := canTake(snapshot)
	errs := []error{e.welcome(ctx, snapshot, nodes)}
	for _, m := range asked.Moves {
		errs = append(errs, e.move(ctx, snapshot, nodes, m, asked))
	}
	return errors.Join(errs...)
}

// welcome asks for the services that want it when a node can take tasks that could not
// before. What could is on the bus, so that one that joins while no scaler runs counts.
func (e *Engine) welcome(ctx context.Context, snapshot catalog.Snapshot, nodes []string) error {
	known, revision, isKnown := e.opts.Store.Nodes()
	if len(nodes) == 0 || isKnown && slices.Equal(known, nodes) {
		return nil
	}
	isNew := func(id string) bool { return !slices.Contains(known, id) }
	if isKnown && slices.ContainsFunc(nodes, isNew) {
		for _, svc := range snapshot.Sorted() {
			if e.AdmitsMoves(svc) != nil {
				continue
			}
			if err := e.opts.Store.AskMove(ctx, signal.Move{ServiceID: svc.ID, Service: svc.Name, Since: e.opts.Now().UTC()}); err != nil {
				return err
			}
		}
	}
	if err := e.opts.Store.SetNodes(ctx, nodes, revision); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}

// move does the next step of one service.
func (e *Engine) move(ctx context.Context, snapshot catalog.Snapshot, nodes []string, m signal.Move, asked store.Asked) error {
	svc, isThere := snapshot.Services[m.ServiceID]
	p, err := policy.ForMoves(svc, e.acceptedNow()[m.ServiceID].Labels, e.opts.Defaults)
	if !isThere || err != nil {
		return e.opts.Store.EndMove(ctx, m)
	}
	p.DryRun = p.DryRun || e.opts.DryRun
	now := e.opts.Now()
	tasks := tasksOn(snapshot.Tasks[svc.ID], nodes)
	state, enough := e.stateOf(svc, snapshot, asked)
	if enough {
		d, isOver := decide.Rebalance(p, state, tasks, m.Since, now)
		if isOver || d.Action != decide.Scaled {
			e.tellMove(d)
			if isOver {
				return e.opts.Store.EndMove(ctx, m)
			}
			return nil
		}
	}
	if last, _, err := e.last(svc.ID); err == nil && last != nil && !last.Confirmed {
		// Whoever claimed it may have ended before it was made. If Docker says so, tasks are
		// where they were after the step before, and nobody else would go on.
		state, enough = e.stateAfter(svc, snapshot, asked, last.Before)
	}
	subject := decide.Asked{Want: decide.WantRebalance, Direction: signal.Up}
	until, why := e.trouble.now(svc.ID, now)
	if why == nil {
		d, err := e.step(ctx, target{svc.ID, svc.Name}, question{
			subject: subject, asked: asked, judge: policy.ForMoves,
			about: func(_ Scale, p policy.Policy, s decide.State, now time.Time) decide.Decision {
				d, _ := decide.Rebalance(p, s, tasks, m.Since, now)
				// One more is decided on where tasks are, which the catalog alone tells.
				if d.Direction == signal.Up && (!enough || s.Last.Mark() != state.Last.Mark()) {
					return decide.Decision{}
				}
				return d
			},
		})
		var refused *failure
		if !errors.As(err, &refused) {
			e.trouble.mended(svc.ID)
			e.tellMove(d)
			return err
		}
		why, until = err, e.trouble.failed(svc.ID, err, e.opts.Now())
	}
	d := decide.Unreachable(svc.ID, svc.Name, subject, why, until, now)
	d.From, d.To, d.Min, d.Max = svc.Replicas, svc.Replicas, p.Min, p.Max
	e.tellMove(d)
	return nil
}

// tellMove has the pass tell of a step.
func (e *Engine) tellMove(d decide.Decision) { e.memory.held = append(e.memory.held, d) }

// tasksOn is how many tasks run on each of the nodes.
func tasksOn(tasks []catalog.Task, nodes []string) decide.Spread {
	out := make(decide.Spread, len(nodes))
	for _, t := range tasks {
		if i := slices.Index(nodes, t.Node); i >= 0 && t.Running() {
			out[i]++
		}
	}
	return out
}
