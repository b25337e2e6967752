// Package motion says when the tasks of the swarm are worth another look: Swarm
// has no events of them. It is pure; the caller brings the time.
package motion

import (
	"bytes"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// How soon to look again.
const (
	// Fast holds while something changes, or is about to.
	Fast = 250 * time.Millisecond
	// Waiting holds while a service has for long not been what it should be.
	Waiting = time.Second
	// Quiet holds otherwise. It is a little less than the 10 s that no metric of the swarm's
	// state may be old, so that these need no lists of their own.
	Quiet = 9 * time.Second
)

const (
	// settledAfter is how long a service must be what it should be before it counts as calm.
	settledAfter = 5 * time.Second
	// patience is for how long it is looked at often until then.
	patience = time.Minute
)

// Tracker remembers when each service last changed. Its zero value is ready. It
// belongs to one goroutine. What it costs to ask it does not grow with the number of
// services that are calm, as long as the caller says which may have changed.
type Tracker struct {
	seen map[string]seen
	// restless are those of seen that are not calm: time alone changes what is said of them.
	restless map[string]struct{}
}

type seen struct {
	service, tasks []byte
	// at is when either last changed.
	at time.Time
	// restless is since when it has not been calm, from its last new labels or
	// number of replicas on.
	restless time.Time
	calm     bool
}

// Value returns the encoded state of a service and of its tasks.
type Value func(id string) (service, tasks []byte)

// Next takes in what is so now, and returns how soon to look again. services are those whose
// tasks matter. changed are the IDs of those that may differ in any way, having come or
// gone included, from when Next was last called; nil are all.
func (t *Tracker) Next(now time.Time, services map[string]catalog.Service, tasks map[string][]catalog.Task, value Value, changed []string) time.Duration {
	if t.seen == nil {
		t.seen, t.restless = make(map[string]seen, len(services)), map[string]struct{}{}
	}
	wait := Quiet
	for id := range t.due(services, changed) {
		svc, ok := services[id]
		if !ok {
			delete(t.seen, id)
			delete(t.restless, id)
			continue
		}
		s := t.look(now, id, svc, tasks[id], value)
		t.seen[id] = s
		if s.calm {
			delete(t.restless, id)
		} else {
			t.restless[id] = struct{}{}
		}
		wait = min(wait, s.soon(now, svc, tasks[id]))
	}
	return wait
}

// look returns what is to be remembered of a service.
func (t *Tracker) look(now time.Time, id string, svc catalog.Service, tasks []catalog.Task, value Value) seen {
	s := seen{at: now, restless: now}
	s.service, s.tasks = value(id)
	if old, ok := t.seen[id]; ok && bytes.Equal(old.service, s.service) {
		same := bytes.Equal(old.tasks, s.tasks)
		if same {
			s.at = old.at
		}
		if !old.calm || same {
			s.restless = old.restless
		}
	}
	s.calm = s.isCalm(now, svc, tasks)
	return s
}

// Moving returns the services that are worth a look before the others, sorted by ID:
// those for which Next would not wait, and those that have changed since. changed is as
// for Next.
func (t *Tracker) Moving(now time.Time, services map[string]catalog.Service, tasks map[string][]catalog.Task, value Value, changed []string) []string {
	var out []string
	for id := range t.due(services, changed) {
		svc, ok := services[id]
		if !ok {
			continue
		}
		s, ok := t.seen[id]
		service, own := value(id)
		if !ok || s.soon(now, svc, tasks[id]) < Quiet || !bytes.Equal(s.service, service) || !bytes.Equal(s.tasks, own) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// due returns the IDs of the services of which something else may be to be said than at
// the last call of Next: of one that was calm and has not changed the same is so for ever.
func (t *Tracker) due(services map[string]catalog.Service, changed []string) map[string]struct{} {
	out := make(map[string]struct{}, len(changed)+len(t.restless))
	for _, id := range changed {
		out[id] = struct{}{}
	}
	for id := range t.restless {
		out[id] = struct{}{}
	}
	if changed != nil {
		return out
	}
	for id := range services {
		out[id] = struct{}{}
	}
	for id := range t.seen {
		out[id] = struct{}{}
	}
	return out
}

func (s seen) isCalm(now time.Time, svc catalog.Service, tasks []catalog.Task) bool {
	return now.Sub(s.at) >= settledAfter && Settled(svc, tasks)
}

// soon is how soon to look again. Nobody waits for the next task of a service that
// has been starting and dying for long, unlike for those of an update.
func (s seen) soon(now time.Time, svc catalog.Service, tasks []catalog.Task) time.Duration {
	since := now.Sub(s.restless)
	if updating(svc) {
		since = now.Sub(s.at)
	}
	switch {
	case s.isCalm(now, svc, tasks):
		return Quiet
	case since < patience:
		return Fast
	}
	return Waiting
}

func updating(svc catalog.Service) bool {
	return svc.UpdateState == "updating" || svc.UpdateState == "rollback_started"
}

// Settled reports whether the tasks of a service are what it asks for and no
// update is under way. A paused update has come to rest.
func Settled(svc catalog.Service, tasks []catalog.Task) bool {
	switch {
	case updating(svc):
		return false
	case svc.Mode == catalog.ReplicatedJob || svc.Mode == catalog.GlobalJob:
		return true // nobody is led to a job
	}
	var running uint64
	for _, t := range tasks {
		if !t.Running() {
			return false
		}
		running++
	}
	return svc.Mode != catalog.Replicated || running == svc.Replicas
}
