package state

import (
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/docker"
)

// backFor is how long a task must have run on a node that was lost until its end is its own
// again: what has died with a node is told only some time after the node is back.
const backFor = time.Minute

// failures counts tasks that ended badly, each once. Until the tasks that Swarm has given up were
// first read of all services, all that have ended are history, which counts for nothing.
type failures struct {
	count map[string]Failures
	// seen are the tasks that have been counted, or that are history, with the number of the
	// whole reading in which they were last listed: what Swarm has forgotten may be forgotten.
	seen  map[string]int
	whole int
	// lost are the tasks whose node was lost before they ended.
	lost map[string]lostTask
	// due are the services of which what Swarm has given up is to be read.
	due map[string]bool
	// allAt and someAt are when it was last asked for, of all services and of any.
	allAt, someAt time.Time
}

type lostTask struct {
	whole int
	// back is since when it has been seen to run again; zero if it has not.
	back time.Time
}

// lose notes the tasks that have not ended and whose nodes are down.
func (f *failures) lose(tasks []docker.TaskState, down map[string]bool) {
	if len(down) == 0 {
		return
	}
	for _, t := range tasks {
		if down[t.Node] && !ended(t.State) {
			if f.lost == nil {
				f.lost = map[string]lostTask{}
			}
			f.lost[t.ID] = lostTask{whole: f.whole}
		}
	}
}

// listed takes in the present tasks of a service that had others before.
func (f *failures) listed(now time.Time, service string, old, tasks []docker.TaskState, known bool, down map[string]bool) {
	f.note(service, tasks)
	for _, t := range tasks {
		l, ok := f.lost[t.ID]
		switch {
		case !ok || down[t.Node]:
		case t.State != running || givenUp(t):
			l.back = time.Time{}
			f.lost[t.ID] = l
		case l.back.IsZero():
			l.back = now
			f.lost[t.ID] = l
		case now.Sub(l.back) >= backFor:
			delete(f.lost, t.ID)
		}
	}
	if !known || !sameTasks(old, tasks) {
		f.want(service)
	}
}

// want makes what Swarm has given up of a service due.
func (f *failures) want(service string) {
	if f.due == nil {
		f.due = map[string]bool{}
	}
	f.due[service] = true
}

// sameTasks reports whether two lists are of the same tasks, in any order and state. One that
// is missing, or that came, may have followed one that ended unseen.
func sameTasks(a, b []docker.TaskState) bool {
	if len(a) != len(b) {
		return false
	}
	ids := make(map[string]bool, len(a))
	for _, t := range a {
		ids[t.ID] = true
	}
	return !slices.ContainsFunc(b, func(t docker.TaskState) bool { return !ids[t.ID] })
}

// note counts those of a service's tasks that have failed and were not known to have.
func (f *failures) note(service string, tasks []docker.TaskState) {
	for _, t := range tasks {
		if t.State != "failed" && t.State != "rejected" {
			continue
		}
		if f.seen == nil {
			f.seen, f.count = map[string]int{}, map[string]Failures{}
		}
		_, isKnown := f.seen[t.ID]
		f.seen[t.ID] = f.whole
		if _, isLost := f.lost[t.ID]; isKnown || isLost || f.allAt.IsZero() {
			continue
		}
		n := f.count[service]
		if t.State == "failed" {
			n.Failed++
		} else {
			n.Rejected++
		}
		f.count[service] = n
	}
}

// ended takes in the tasks that Swarm has given up, of some services or of all.
func (f *failures) ended(span docker.Span, of []string, tasks map[string][]docker.TaskState, down map[string]bool, isService func(string) bool) {
	f.someAt = span.Began
	if of == nil {
		f.whole++
		clear(f.due)
	}
	for _, id := range of {
		delete(f.due, id)
	}
	for id, list := range tasks {
		if !isService(id) {
			continue
		}
		f.lose(list, down)
		f.note(id, list)
		if slices.ContainsFunc(list, func(t docker.TaskState) bool { return !ended(t.State) && !down[t.Node] }) {
			f.want(id) // it is being stopped, and may yet end otherwise
		}
	}
	if of != nil {
		return
	}
	f.allAt = span.Began
	maps.DeleteFunc(f.seen, func(_ string, whole int) bool { return whole < f.whole-1 })
	maps.DeleteFunc(f.lost, func(_ string, l lostTask) bool { return l.whole < f.whole-1 })
}

// forget forgets services that have gone.
func (f *failures) forget(gone func(id string) bool) {
	maps.DeleteFunc(f.count, func(id string, _ Failures) bool { return gone(id) })
	maps.DeleteFunc(f.due, func(id string, _ bool) bool { return gone(id) })
}
