// Package swarmtest is a swarm in memory for the scaler's tests: services with
// versions, and a listener that publishes them.
package swarmtest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/engine"
)

// Swarm is an engine.Swarm. Its functions may be called by any goroutine.
type Swarm struct {
	// mu guards the rest, which the test and several scalers share.
	mu       sync.Mutex
	services map[string]engine.Scale
	looks    int
	version  uint64
	changes  map[string][]uint64
	before   func(id string) error
	after    func(id string) error
	down     error
	// changed is told of each change.
	changed chan struct{}
}

// New returns a swarm without services.
func New() *Swarm {
	return &Swarm{services: map[string]engine.Scale{}, version: 100, changes: map[string][]uint64{}, changed: make(chan struct{}, 1)}
}

// Labels reads a text such as "scaleMin=2 scaleMax=5"; notify=true is added.
func Labels(text string) map[string]string {
	out := map[string]string{catalog.Notify: "true"}
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		out[catalog.Prefix+name] = value
	}
	return out
}

// ID is that of a service of this name.
func ID(name string) string { return "id-" + name }

// Create makes a service whose tasks run, or replaces it.
func (s *Swarm) Create(name string, replicas uint64, labels string) {
	s.Set(name, func(svc *engine.Scale) {
		svc.Replicas, svc.Running, svc.Labels, svc.Mode = replicas, replicas, Labels(labels), catalog.Replicated
	})
}

// Set changes a service by other hands than the scaler's.
func (s *Swarm) Set(name string, change func(*engine.Scale)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc, there := s.services[ID(name)]
	before := svc
	svc.ID, svc.Name = ID(name), name
	svc.Labels = maps.Clone(svc.Labels)
	svc.Differs, svc.Rebuilt = false, false
	change(&svc)
	svc.Before = svc.Replicas
	switch {
	case there && svc.UpdateState != before.UpdateState && svc.Replicas == before.Replicas:
		// Swarm's word about an update changes no specification.
		svc.Before, svc.Differs, svc.Rebuilt = before.Before, before.Differs, before.Rebuilt
	case there:
		svc.Before, svc.Differs = before.Replicas, svc.Differs || svc.Rebuilt || !maps.Equal(svc.Labels, before.Labels)
	}
	s.version++
	svc.Version = s.version
	s.services[svc.ID] = svc
	s.tell()
}

func (s *Swarm) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Remove removes a service.
func (s *Swarm) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.services, ID(name))
	s.tell()
}

// Fail lets every call fail until it is called with nil.
func (s *Swarm) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// Before runs hook before each change; if it fails, nothing is changed.
func (s *Swarm) Before(hook func(id string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = hook
}

// After runs hook after each change; its error is the answer although the change took place.
func (s *Swarm) After(hook func(id string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = hook
}

// Replicas returns how many replicas a service asks for.
func (s *Swarm) Replicas(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[ID(name)].Replicas
}

// Changes returns the numbers that scalers have set, in order.
func (s *Swarm) Changes(name string) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]uint64{}, s.changes[ID(name)]...)
}

// Looks returns how often a scaler has read a service.
func (s *Swarm) Looks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// Scale is that of engine.Swarm.
func (s *Swarm) Scale(_ context.Context, id string) (engine.Scale, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	if s.down != nil {
		return engine.Scale{}, s.down
	}
	svc, ok := s.services[id]
	if !ok {
		return engine.Scale{}, fmt.Errorf("%s: %w", id, engine.ErrNotFound)
	}
	return svc, nil
}

// SetReplicas is that of engine.Swarm. The tasks run at once.
func (s *Swarm) SetReplicas(_ context.Context, id string, version, replicas uint64) error {
	s.mu.Lock()
	before, after := s.before, s.after
	s.mu.Unlock()
	if before != nil {
		if err := before(id); err != nil {
			return err
		}
	}
	if err := s.set(id, version, replicas); err != nil {
		return err
	}
	if after != nil {
		return after(id)
	}
	return nil
}

func (s *Swarm) set(id string, version, replicas uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc, ok := s.services[id]
	switch {
	case s.down != nil:
		return s.down
	case !ok:
		return fmt.Errorf("%s: %w", id, engine.ErrNotFound)
	case svc.Version != version:
		return fmt.Errorf("%s at %d, not %d: %w", id, svc.Version, version, engine.ErrConflict)
	}
	s.version++
	svc.Before, svc.Differs, svc.Rebuilt = svc.Replicas, false, false
	svc.Version, svc.Replicas, svc.Running = s.version, replicas, replicas
	s.services[id] = svc
	s.changes[id] = append(s.changes[id], replicas)
	s.tell()
	return nil
}

// Snapshot is what a listener would list.
func (s *Swarm) Snapshot() catalog.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := catalog.Snapshot{
		Services: map[string]catalog.Service{}, Tasks: map[string][]catalog.Task{},
		Nodes: map[string]catalog.Node{"n": {ID: "n", Hostname: "one", Role: "manager"}},
	}
	for id, svc := range s.services {
		out.Services[id] = catalog.Service{
			ID: id, Name: svc.Name, Labels: svc.Labels, Mode: svc.Mode, Replicas: svc.Replicas, UpdateState: svc.UpdateState,
		}
		out.Tasks[id] = []catalog.Task{}
		for i := range svc.Running {
			out.Tasks[id] = append(out.Tasks[id], catalog.Task{ID: fmt.Sprintf("%s-%d", id, i), State: "running", Desired: "running"})
		}
		for i := range svc.Pending {
			out.Tasks[id] = append(out.Tasks[id], catalog.Task{ID: fmt.Sprintf("%s-p%d", id, i), State: "pending", Desired: "running"})
		}
	}
	return out
}

// Listener publishes the swarm on a bus.
type Listener struct {
	t      testing.TB
	writer *bus.CatalogWriter
	// mu is held while something is published.
	mu   sync.Mutex
	list func() catalog.Snapshot
}

// Follow publishes each change of the swarm from now on.
func (l *Listener) Follow(s *Swarm) {
	bustest.Run(l.t, func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-s.changed:
			}
			_ = l.publish(ctx) // what was not taken is published by the next change or by the test
		}
	})
}

// Listen returns a listener that has published the swarm as it is.
func (s *Swarm) Listen(t testing.TB, b *bus.Bus) *Listener {
	t.Helper()
	l := &Listener{t: t, list: s.Snapshot, writer: b.CatalogWriter(func() {})}
	bustest.Run(t, l.writer.Run)
	l.Publish()
	return l
}

// Publish publishes the swarm as it is now.
func (l *Listener) Publish() {
	l.t.Helper()
	tooltest.Eventually(l.t, "the catalog is written", func() error { return l.publish(l.t.Context()) })
}

func (l *Listener) publish(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	entries, _, err := catalog.EncodeAll(l.list())
	if err != nil {
		return err
	}
	seen, ok := l.writer.Seen()
	if !ok {
		return bus.ErrNotSynced
	}
	_, err = l.writer.Write(ctx, seen, seen.Plan(entries))
	return err
}

// PublishFrom publishes what another list says, from now on.
func (l *Listener) PublishFrom(list func() catalog.Snapshot) {
	l.t.Helper()
	l.mu.Lock()
	l.list = list
	l.mu.Unlock()
	l.Publish()
}
