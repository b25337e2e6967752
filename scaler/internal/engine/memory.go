package engine

import (
	"context"
	"errors"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// memory is what an instance remembers of services, by their IDs. It belongs to the loop.
type memory struct {
	// own are the last steps that it made, or has seen to converge.
	own map[string]signal.Step
	// judged are services to which a deploy's number came, as Docker was seen to have them.
	judged map[string]judged
	// held are the decisions of this pass about numbers that wait to come back.
	held []decide.Decision
	// behind are the revisions of entries of the catalog that are older than what Docker
	// was seen, or made, to have.
	behind map[string]catalog.Revision
	// wanted is what was wanted lately of services that have a window of stabilization.
	wanted map[string][]decide.Wish
	// heard is when the load of a service was known last, or first asked for.
	heard map[string]time.Time
	// concluded are the times of the last claims of which nothing more is to be found out.
	concluded map[string]time.Time
	// open is what proxies said last, and when that was heard.
	open map[string]openSaid
	// catalog is the one of the present pass.
	catalog catalog.Snapshot
}

// openSaid is what one proxy said of connections.
type openSaid struct {
	scaling.Open
	heard time.Time
}

// hear takes in what proxies say. One that says something new is heard of now; what was
// said before this process began counts by the time of the proxy.
func (m *memory) hear(said map[string]scaling.Open, now time.Time) {
	out := make(map[string]openSaid, len(said))
	for key, open := range said {
		old, known := m.open[key]
		one := openSaid{open, old.heard}
		switch {
		case known && !old.At.Equal(open.At):
			one.heard = now
		case !known:
			one.heard = open.At
		}
		out[key] = one
	}
	m.open = out
}

// inUse reports whether connections are open to a service, or may be because no proxy tells.
func (e *Engine) inUse(id string) bool {
	now := e.opts.Now()
	isHeard := false
	for _, said := range e.memory.open {
		if now.Sub(said.heard).Abs() >= scaling.OpenStands {
			continue
		}
		isHeard = true
		if said.Connections[id] > 0 {
			return true
		}
	}
	return !isHeard
}

func newMemory() *memory {
	return &memory{own: map[string]signal.Step{}, judged: map[string]judged{}, behind: map[string]catalog.Revision{}, wanted: map[string][]decide.Wish{}, heard: map[string]time.Time{}, concluded: map[string]time.Time{}}
}

// isBehind reports whether the catalog does not show the last step yet.
func (m *memory) isBehind(id string, snapshot catalog.Snapshot) bool {
	revision, ok := m.behind[id]
	return ok && revision == snapshot.RevisionOf(id)
}

// newer returns the later one of a step that the bus knows and the one that this
// instance remembers, so that a bus that lost its store does not shorten a cooldown, and
// of two words about one step the one that says more.
func (m *memory) newer(id string, known *signal.Step) *signal.Step {
	own, ok := m.own[id]
	switch {
	case !ok:
		return known
	case known == nil || own.Time.After(known.Time):
		return &own
	case own.Time.Equal(known.Time) && (own.Confirmed && !known.Confirmed || !own.Converged.IsZero() && known.Converged.IsZero()):
		return &own
	}
	return known
}

func (m *memory) remember(s signal.Step) {
	s.Before = nil
	for id, old := range m.own {
		if s.Time.Sub(old.Time) > policy.MaxCooldown+time.Hour {
			delete(m.own, id)
		}
	}
	m.own[s.ServiceID] = s
}

// last returns the last change of a service's number as far as it is known here, and its
// revision on the bus, 0 if the bus has not told of it yet.
func (e *Engine) last(id string) (*signal.Step, uint64, error) {
	known, revision, err := e.opts.Store.KnownStep(id)
	if err != nil {
		return nil, 0, err
	}
	if newest := e.memory.newer(id, known); newest != known {
		return newest, 0, nil
	}
	return known, revision, nil
}

// wish notes what is wanted of the services that have a window of stabilization: of
// several numbers the greatest, and the present one where nothing is wanted.
func (e *Engine) wish(outcomes []policy.Outcome, asked store.Asked) {
	now := e.opts.Now()
	wanted := map[string][]decide.Wish{}
	for _, o := range outcomes {
		p := o.Policy
		window := p.Pace.Window()
		if !p.InForce() || window == 0 {
			continue
		}
		number := o.Service.Replicas
		if last, _, err := e.last(o.Service.ID); err == nil && last != nil && last.Confirmed && e.memory.isBehind(o.Service.ID, e.memory.catalog) {
			number = last.To
		}
		number = decide.Greatest(p, e.asks(p, asked), number, now)
		wanted[o.Service.ID] = decide.Noted(e.memory.wanted[o.Service.ID], decide.Wish{At: now, Number: number}, now.Add(-window))
	}
	e.memory.wanted = wanted
}

// shows reports whether a step has done what it was made for, as far as tasks are known.
func shows(s signal.Step, svc catalog.Service, snapshot catalog.Snapshot) bool {
	tasks, listed := snapshot.Tasks[svc.ID]
	if !listed && svc.Replicas > 0 {
		return false
	}
	running, _ := countTasks(tasks)
	return s.Shows(svc.Replicas, running)
}

// converge notes on the bus that a step shows, for whoever decides about the next one.
func (e *Engine) converge(ctx context.Context, s signal.Step, revision uint64) error {
	s.Converged = e.opts.Now()
	if revision == 0 {
		if known, _, _ := e.opts.Store.KnownStep(s.ServiceID); known != nil {
			return nil // the bus is about to tell of it
		}
		e.metrics.converged(s)
		e.memory.remember(s)
		return nil
	}
	_, err := e.opts.Store.Claim(ctx, s, revision)
	switch {
	case err == nil:
		e.metrics.converged(s) // of several instances one does
	case !errors.Is(err, store.ErrConflict):
		return err
	}
	e.memory.remember(s)
	return nil
}

// concludeAfter is how long whoever claimed a step has to tell what became of it, before
// others look.
const concludeAfter = 5 * time.Second

// conclude finds out what became of a step that was claimed and not confirmed, once: of one
// that was not made nobody knows whether it will be.
func (e *Engine) conclude(ctx context.Context, o policy.Outcome, s signal.Step) error {
	now := e.opts.Now()
	if now.Sub(s.Time) < concludeAfter || e.memory.concluded[s.ServiceID].Equal(s.Time) {
		return nil
	}
	if _, why := e.trouble.now(s.ServiceID, now); why != nil {
		return nil
	}
	written, revision, err := e.opts.Store.Step(ctx, s.ServiceID)
	if err != nil || written == nil || written.Confirmed {
		return err
	}
	scale, err := e.look(ctx, s.ServiceID)
	if err != nil {
		e.trouble.failed(s.ServiceID, err, now)
		return nil // it is looked at again
	}
	if now.Sub(s.Time) >= uncertain || written.Version != scale.Version && scale.Replicas == written.To {
		e.memory.concluded[s.ServiceID] = s.Time
	}
	if written.Version == scale.Version {
		return nil
	}
	done, _, err := e.confirm(ctx, o.Policy, *written, scale, revision, now)
	if errors.Is(err, store.ErrConflict) {
		return nil // another instance has done so
	}
	if err == nil && done.Confirmed {
		e.memory.remember(*done)
	}
	return err
}
