// Package reading keeps what is known of the swarm's state up to date, and offers it as
// metrics. It learns from the lists that others make, and asks itself for what they do not.
package reading

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/wagglehq/waggle/listener/internal/state"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// Swarm is what is asked; docker.Client is one. It tells the Reader, as its watcher, what it listed.
type Swarm interface {
	ListState(context.Context) error
	Tasks(context.Context) (map[string][]catalog.Task, error)
	TasksOf(ctx context.Context, serviceIDs ...string) (map[string][]catalog.Task, error)
	EndedTasks(ctx context.Context, serviceIDs ...string) (map[string][]docker.TaskState, error)
}

// Reader is the watcher of a client of Docker, and asks for what it is not told.
type Reader struct {
	poke *reconcile.Poke
	now  func() time.Time

	// mu guards the rest, which whoever lists, the loop, and scrapes share. It is not held
	// while Docker is asked.
	mu     sync.Mutex
	memory state.Memory
	// series are those of the last reading; nil if it has changed since.
	series []state.Series
}

// New returns a Reader that knows nothing yet. It pokes when something has to be asked for.
func New(poke *reconcile.Poke, now func() time.Time) *Reader { return &Reader{poke: poke, now: now} }

// change changes what is known.
func (r *Reader) change(f func(m *state.Memory)) {
	r.mu.Lock()
	f(&r.memory)
	r.series = nil
	_, wait := r.due()
	r.mu.Unlock()
	r.poke.After(wait)
}

// due returns what has to be asked for now, and how soon to look again. mu is held.
func (r *Reader) due() (state.Due, time.Duration) {
	due, wait := r.memory.Due(r.now())
	if due.Any() {
		wait = 0
	}
	return due, wait
}

// Services is for docker.Watched.
func (r *Reader) Services(s docker.Span, services []docker.ServiceState) {
	r.change(func(m *state.Memory) { m.Services(s, services) })
}

// Nodes is for docker.Watched.
func (r *Reader) Nodes(s docker.Span, nodes []docker.NodeState) {
	r.change(func(m *state.Memory) { m.Nodes(s, nodes) })
}

// Tasks is for docker.Watched.
func (r *Reader) Tasks(s docker.Span, of []string, tasks map[string][]docker.TaskState) {
	r.change(func(m *state.Memory) { m.Tasks(s, of, tasks) })
}

// Heard takes an event of the swarm.
func (r *Reader) Heard() { r.change(func(m *state.Memory) { m.Heard(r.now()) }) }

// most is how many steps a pass has: lists, tasks, and what has ended follow from each other.
const most = 3

// Pass is for a loop. It asks for what is due.
func (r *Reader) Pass(ctx context.Context, swarm Swarm) error {
	for range most {
		r.mu.Lock()
		due, wait := r.due()
		r.mu.Unlock()
		if !due.Any() {
			r.poke.After(wait)
			return nil
		}
		if err := r.ask(ctx, swarm, due); errors.Is(err, docker.ErrNotFound) {
			r.Heard() // a service has gone, which a list tells
			return nil
		} else if err != nil {
			return err
		}
	}
	r.poke.Now()
	return nil
}

// ask makes one step of what is due. What the calls list the Reader is told as their watcher,
// but for what has ended.
func (r *Reader) ask(ctx context.Context, swarm Swarm, due state.Due) error {
	switch {
	case due.Lists:
		return swarm.ListState(ctx)
	case due.All:
		_, err := swarm.Tasks(ctx)
		return err
	case len(due.Tasks) > 0:
		_, err := swarm.TasksOf(ctx, due.Tasks...)
		return err
	}
	span := docker.Span{Began: r.now()}
	ended, err := swarm.EndedTasks(ctx, due.Ended...)
	if err != nil {
		return err
	}
	span.Ended = r.now()
	r.change(func(m *state.Memory) { m.Ended(span, due.Ended, ended) })
	return nil
}

// present returns the series of what is known now; they must not be changed.
func (r *Reader) present() []state.Series {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.series == nil {
		if reading, ok := r.memory.Reading(); ok {
			r.series = reading.Series()
		}
	}
	return r.series
}
