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
	// Quiet holds otherwise.
	Quiet = 10 * time.Second
)

// How long a service counts as moving after it last changed.
const (
	settledAfter = 5 * time.Second
	patience     = time.Minute
)

// Tracker remembers when each service last changed. Its zero value is ready. It
// belongs to one goroutine.
type Tracker struct {
	seen map[string]seen
}

type seen struct {
	value []byte
	at    time.Time
}

// Next returns how soon to look again. services are those whose tasks matter,
// value returns the encoded state of a service and its tasks.
func (t *Tracker) Next(now time.Time, services map[string]catalog.Service, tasks map[string][]catalog.Task, value func(id string) []byte) time.Duration {
	next := make(map[string]seen, len(services))
	wait := Quiet
	for id, svc := range services {
		s := seen{value: value(id), at: now}
		if old, ok := t.seen[id]; ok && bytes.Equal(old.value, s.value) {
			s.at = old.at
		}
		next[id] = s
		wait = min(wait, soon(now.Sub(s.at), Settled(svc, tasks[id])))
	}
	t.seen = next
	return wait
}

// Moving returns the services that are worth a look before the others, sorted by ID:
// those for which Next would not wait, and those that have changed since.
func (t *Tracker) Moving(now time.Time, services map[string]catalog.Service, tasks map[string][]catalog.Task, value func(id string) []byte) []string {
	var out []string
	for id, svc := range services {
		s, ok := t.seen[id]
		if !ok || soon(now.Sub(s.at), Settled(svc, tasks[id])) < Quiet || !bytes.Equal(s.value, value(id)) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// soon is how soon to look again at one service that changed so long ago.
func soon(since time.Duration, settled bool) time.Duration {
	switch {
	case since < settledAfter, !settled && since < patience:
		return Fast
	case !settled:
		return Waiting
	}
	return Quiet
}

// Settled reports whether the tasks of a service are what it asks for and no
// update is under way. A paused update has come to rest.
func Settled(svc catalog.Service, tasks []catalog.Task) bool {
	switch {
	case svc.UpdateState == "updating" || svc.UpdateState == "rollback_started":
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
