package publish

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/listener/internal/motion"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// mostOfFew is how many services are always looked at alone; more of them are while
// their tasks are fewer than half of all.
const mostOfFew = 20

// TaskPass makes the tasks on the bus equal to what Docker lists, for the services that
// opted in and for Waggle's own, and returns how soon to look again. While a part of the
// services moves it looks at those alone, and at all the others as seldom as when
// nothing moves. It writes nothing but tasks.
func (p *Publisher) TaskPass(ctx context.Context) (time.Duration, error) {
	for range tries {
		next, err := p.taskPass(ctx)
		if !errors.Is(err, bus.ErrConflict) {
			return next, err
		}
	}
	return motion.Fast, nil // others write what belongs to this pass; it is soon seen again
}

func (p *Publisher) taskPass(ctx context.Context) (time.Duration, error) {
	if !p.o.Leads() {
		return motion.Quiet, nil // who becomes the one that writes is poked
	}
	began := p.o.Now()
	l, ok := p.choose()
	if !ok {
		return motion.Quiet, nil // the first list, or the first service to opt in, pokes
	}
	l, listed, err := p.listTasks(ctx, l)
	if err != nil {
		return motion.Fast, err
	}
	plan, err := p.tasksListed(l, listed)
	if err != nil {
		return motion.Fast, err
	}
	if len(plan.Put) > 0 {
		written, err := p.write(ctx, l.seen, plan)
		if errors.Is(err, errNotLeading) {
			return motion.Quiet, nil
		}
		if err != nil {
			return motion.Fast, err
		}
		p.o.Log.Debug("tasks written", "put", len(written.Changes.Put))
	}
	return p.next(l, began), nil
}

// look is what one pass looks at.
type look struct {
	// few are the services to look at alone; nil are all.
	few []string
	// seen is what the bus held of them.
	seen bus.Seen
	// changes is up to which of them this look takes all in.
	changes int
}

// choose decides what to look at. It is false if there is nothing, or if it is not known
// what the bus holds. As long as nothing but tasks has changed, those services alone are
// examined that move.
func (p *Publisher) choose() (look, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes == p.examined {
		if few := p.few(p.touched); few != nil {
			seen, ok := p.o.Catalog.SeenOf(keys(few)...)
			return look{few, seen, p.changes}, ok
		}
	}
	l, ok := p.whole()
	if !ok || len(p.followed) == 0 {
		return l, false
	}
	if l.few = p.few(nil); l.few == nil {
		p.allTasks = p.o.Now()
	}
	return l, true
}

// whole returns a look at all, as far as they are on the bus.
func (p *Publisher) whole() (look, bool) {
	seen, ok := p.o.Catalog.Seen()
	if !ok {
		return look{}, false
	}
	p.followed = make(map[string]catalog.Service, len(p.wanted))
	for id, svc := range p.wanted {
		if _, ok := seen.Entries[catalog.ServiceKey(id)]; ok {
			p.followed[id] = svc
		}
	}
	return look{seen: seen, changes: p.changes}, true
}

// keys are those of the entries of some services.
func keys(ids []string) []string {
	out := make([]string, 0, 2*len(ids))
	for _, id := range ids {
		out = append(out, catalog.ServiceKey(id), catalog.TasksKey(id))
	}
	return out
}

// few returns which of the services move, nil unless it is worth it to look at them
// alone, and all others have been looked at lately. changed is as for motion.Tracker.
func (p *Publisher) few(changed []string) []string {
	if p.o.Now().Sub(p.allTasks) >= motion.Quiet {
		return nil
	}
	ids := p.motion.Moving(p.o.Now(), p.followed, p.tasks, p.encoded, changed)
	if len(ids) <= mostOfFew {
		return ids
	}
	theirs := 0
	for _, id := range ids {
		theirs += max(len(p.tasks[id]), 1)
	}
	if 2*theirs >= p.total {
		return nil
	}
	return ids
}

// listTasks lists the tasks of what is to be looked at, and returns at what it was. If one
// of a few has gone, they cannot be listed, and it is all.
func (p *Publisher) listTasks(ctx context.Context, l look) (look, map[string][]catalog.Task, error) {
	if l.few != nil {
		listed, err := p.o.Swarm.TasksOf(ctx, l.few...)
		if err == nil {
			return l, listed, nil
		}
		p.mu.Lock()
		l, ok := p.whole()
		p.allTasks = p.o.Now()
		p.mu.Unlock()
		if !ok {
			return l, nil, err
		}
	}
	listed, err := p.o.Swarm.Tasks(ctx)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.allTasks = time.Time{}
	}
	return l, listed, err
}

// tasksListed takes in what was listed, and returns what is to be written. Of a service
// that opted in since it was asked nothing is known.
func (p *Publisher) tasksListed(l look, listed map[string][]catalog.Task) (bus.Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := l.few
	if ids == nil {
		p.total = 0
		for _, tasks := range listed {
			p.total += len(tasks)
		}
		ids = slices.Sorted(maps.Keys(p.followed))
	}
	if p.tasks == nil {
		p.tasks, p.taskEntries, p.cut = map[string][]catalog.Task{}, catalog.Entries{}, map[string]*catalog.TooLargeError{}
	}
	p.forgetTasks()
	var plan bus.Plan
	for _, id := range ids {
		key := catalog.TasksKey(id)
		if _, ok := l.seen.Entries[catalog.ServiceKey(id)]; !ok || !p.isFollowed(id) {
			continue
		}
		if err := p.take(id, listed[id]); err != nil {
			return bus.Plan{}, err
		}
		value := p.taskEntries[key]
		if old, ok := l.seen.Entries[key]; !ok || !bytes.Equal(old, value) {
			plan.Put = append(plan.Put, catalog.Entry{Key: key, Value: value})
		}
	}
	return plan, nil
}

// isFollowed reports whether a service's tasks were wanted when they were asked for, and
// still are.
func (p *Publisher) isFollowed(id string) bool {
	_, was := p.followed[id]
	_, is := p.wanted[id]
	return was && is
}

// forgetTasks forgets those of services that are not followed any more.
func (p *Publisher) forgetTasks() {
	if p.changes == p.examined {
		return
	}
	for id := range p.tasks {
		if !p.isFollowed(id) {
			delete(p.tasks, id)
			delete(p.taskEntries, catalog.TasksKey(id))
			p.setCut(id, nil)
		}
	}
}

// take takes in the tasks of one service.
func (p *Publisher) take(id string, tasks []catalog.Task) error {
	key := catalog.TasksKey(id)
	if old, ok := p.tasks[id]; ok && slices.EqualFunc(old, tasks, catalog.Task.Equal) {
		return nil
	}
	entries, large, err := catalog.EncodeAll(catalog.Snapshot{Tasks: map[string][]catalog.Task{id: tasks}})
	if err != nil {
		return err
	}
	p.tasks[id], p.taskEntries[key] = tasks, entries[key]
	p.touched = append(p.touched, id)
	if len(large) == 0 {
		p.setCut(id, nil)
		return nil
	}
	large[0].Service = p.followed[id].Name
	p.setCut(id, large[0])
	return nil
}

// setCut notes what of a service's tasks is not told, which its status says.
func (p *Publisher) setCut(id string, cut *catalog.TooLargeError) {
	old := p.cut[id]
	if old == cut || old != nil && cut != nil && *old == *cut {
		return
	}
	p.o.Changed()
	if cut == nil {
		delete(p.cut, id)
	} else {
		p.cut[id] = cut
	}
}

// next takes in that a look has ended, and returns how soon to look again.
func (p *Publisher) next(l look, began time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked = began
	changed := p.touched
	if l.changes != p.examined {
		changed = nil
	}
	wait := p.motion.Next(p.o.Now(), p.followed, p.tasks, p.encoded, changed)
	p.examined, p.touched = l.changes, []string{}
	if p.changes != l.changes {
		return motion.Fast // what has changed meanwhile has not been examined
	}
	return wait
}

// encoded returns the present state of a service and its tasks.
func (p *Publisher) encoded(id string) (service, tasks []byte) {
	return p.entries[catalog.ServiceKey(id)], p.taskEntries[catalog.TasksKey(id)]
}

// TaskLoop returns the loop of TaskPass, which decides itself how soon it looks again.
func (p *Publisher) TaskLoop(o reconcile.Options) *reconcile.Loop {
	o.Resync, o.Pause = 3*motion.Quiet, motion.Fast
	return reconcile.New(o, func(ctx context.Context) error {
		next, err := p.TaskPass(ctx)
		o.Poke.After(next)
		return err
	})
}
