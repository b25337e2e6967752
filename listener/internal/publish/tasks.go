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
	seen, ok := p.o.Catalog.Seen()
	if !ok || !p.o.Leads() {
		return motion.Quiet, nil // the first list pokes
	}
	p.mu.Lock()
	wanted := p.present(seen)
	few := p.few(wanted)
	p.mu.Unlock()
	if len(wanted) == 0 {
		return motion.Quiet, nil // the first list, or the first service to opt in, pokes
	}
	listed, few, err := p.listTasks(ctx, few)
	if err != nil {
		return motion.Fast, err
	}
	plan, err := p.tasksListed(seen, wanted, few, listed)
	if err != nil {
		return motion.Fast, err
	}
	if len(plan.Put) > 0 {
		written, err := p.write(ctx, seen, plan)
		if errors.Is(err, errNotLeading) {
			return motion.Quiet, nil
		}
		if err != nil {
			return motion.Fast, err
		}
		p.o.Log.Debug("tasks written", "put", len(written.Changes.Put))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.motion.Next(p.o.Now(), wanted, p.tasks, p.encoded), nil
}

// present returns the services whose tasks are published, as far as they are on the bus.
func (p *Publisher) present(seen bus.Seen) map[string]catalog.Service {
	wanted := p.wanted(p.snapshot)
	maps.DeleteFunc(wanted, func(id string, _ catalog.Service) bool {
		_, ok := seen.Entries[catalog.ServiceKey(id)]
		return !ok
	})
	return wanted
}

// tasksListed takes in what was listed of the services in few, of all if it is nil, and
// returns what is to be written. wanted are those that were wanted when it was asked:
// of a service that opted in since, nothing is known.
func (p *Publisher) tasksListed(seen bus.Seen, wanted map[string]catalog.Service, few []string, listed map[string][]catalog.Task) (bus.Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if few == nil {
		p.allTasks, p.total = p.o.Now(), 0
		for _, tasks := range listed {
			p.total += len(tasks)
		}
		few = slices.Sorted(maps.Keys(wanted))
	}
	gone := func(id string) bool { _, ok := wanted[id]; return !ok }
	still := p.wanted(p.snapshot)
	maps.DeleteFunc(wanted, func(id string, _ catalog.Service) bool { _, ok := still[id]; return !ok })
	tasks, entries, cut := maps.Clone(p.tasks), maps.Clone(p.taskEntries), maps.Clone(p.cut)
	if tasks == nil {
		tasks, entries, cut = map[string][]catalog.Task{}, catalog.Entries{}, map[string]*catalog.TooLargeError{}
	}
	var plan bus.Plan
	for _, id := range few {
		if gone(id) {
			continue
		}
		all, large, err := catalog.EncodeAll(catalog.Snapshot{Tasks: map[string][]catalog.Task{id: listed[id]}})
		if err != nil {
			return plan, err
		}
		key := catalog.TasksKey(id)
		tasks[id], entries[key] = listed[id], all[key]
		delete(cut, id)
		if len(large) > 0 {
			large[0].Service = wanted[id].Name
			cut[id] = large[0]
		}
		if old, ok := seen.Entries[key]; !ok || !bytes.Equal(old, all[key]) {
			plan.Put = append(plan.Put, catalog.Entry{Key: key, Value: all[key]})
		}
	}
	for id := range tasks {
		if gone(id) {
			delete(tasks, id)
			delete(entries, catalog.TasksKey(id))
			delete(cut, id)
		}
	}
	if !maps.EqualFunc(cut, p.cut, func(a, b *catalog.TooLargeError) bool { return *a == *b }) {
		defer p.o.Changed() // its status tells
	}
	p.tasks, p.taskEntries, p.cut = tasks, entries, cut
	return plan, nil
}

// encoded returns the present state of a service and its tasks.
func (p *Publisher) encoded(id string) (service, tasks []byte) {
	return p.entries[catalog.ServiceKey(id)], p.taskEntries[catalog.TasksKey(id)]
}

// few returns which of the services move, nil unless it is worth it to look at them
// alone, and all others have been looked at lately.
func (p *Publisher) few(wanted map[string]catalog.Service) []string {
	if p.o.Now().Sub(p.allTasks) >= motion.Quiet {
		return nil
	}
	ids := p.motion.Moving(p.o.Now(), wanted, p.tasks, p.encoded)
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

// listTasks lists the tasks of a few services, or of all, and returns of which: nil are
// all. If one of the few has gone, they cannot be listed, and it is all.
func (p *Publisher) listTasks(ctx context.Context, few []string) (map[string][]catalog.Task, []string, error) {
	if len(few) > 0 {
		if listed, err := p.o.Swarm.TasksOf(ctx, few...); err == nil {
			return listed, few, nil
		}
	}
	listed, err := p.o.Swarm.Tasks(ctx)
	return listed, nil, err
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
