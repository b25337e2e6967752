package recorder

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// judge goes through the messages of one store in their order.
type judge struct {
	lives   map[string]life
	counter Counter
	known   map[string]entry
	tasks   map[string]task
}

// entry is the newest that a key has told, deletions apart.
type entry struct {
	version uint64
	counter uint64
}

// task is how far a task has come.
type task struct{ state, desired int }

// take returns what is wrong about the next message.
func (j *judge) take(m Message) []string {
	kind, id, _ := strings.Cut(m.Key, ".")
	if m.Deleted {
		return j.deleted(kind, id, m)
	}
	var faults []string
	now := j.known[m.Key]
	if m.Version > 0 && m.Version < now.version {
		faults = append(faults, fmt.Sprintf("%s has Swarm's version %d after %d", j.called(m.Key), m.Version, now.version))
	}
	now.version = max(now.version, m.Version)
	switch kind {
	case "service":
		var s catalog.Service
		if err := json.Unmarshal(m.Value, &s); err != nil {
			return append(faults, fmt.Sprintf("%s: %v", j.called(m.Key), err))
		}
		if n, ok := j.counter(s.Labels); ok {
			if n < now.counter {
				faults = append(faults, fmt.Sprintf("%s has the labels of change %d after those of %d", j.called(m.Key), n, now.counter))
			}
			now.counter = max(now.counter, n)
		}
	case "tasks":
		faults = append(faults, j.listed(m)...)
	}
	j.known[m.Key] = now
	return faults
}

// deleted judges a deletion. Nodes stay in the swarm for as long as a recorder looks.
func (j *judge) deleted(kind, id string, m Message) []string {
	l, told := j.lives[id]
	exists := told && l.from.Before(m.Time) && (l.until.IsZero() || m.Time.Before(l.until))
	switch {
	case kind == "service" && exists:
		return []string{fmt.Sprintf("%s was deleted and exists", j.called(m.Key))}
	case kind == "tasks" && exists:
		return []string{fmt.Sprintf("the tasks of %s were deleted and it exists", j.called(m.Key))}
	case kind == "node", m.Key == catalog.ListKey:
		return []string{fmt.Sprintf("%s was deleted", m.Key)}
	}
	return nil
}

// states are Swarm's words for what becomes of a task, in the order in which it
// passes through them.
func states() []string {
	return []string{
		"new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running",
		"complete", "shutdown", "failed", "rejected", "remove", "orphaned",
	}
}

// listed judges a list of tasks: none goes back to a state that it has left.
func (j *judge) listed(m Message) []string {
	tasks, err := decodeTasks(m.Value)
	if err != nil {
		return []string{fmt.Sprintf("%s: %v", j.called(m.Key), err)}
	}
	order := states()
	var faults []string
	for _, t := range tasks {
		was, told := j.tasks[t.ID]
		now := task{slices.Index(order, t.State), slices.Index(order, t.Desired)}
		if told && (now.state < was.state || now.desired < was.desired) {
			faults = append(faults, fmt.Sprintf("task %s of %s is %s and to be %s after it was %s and to be %s",
				t.ID, j.called(m.Key), t.State, t.Desired, order[was.state], order[was.desired]))
			continue
		}
		if now.state < 0 || now.desired < 0 {
			faults = append(faults, fmt.Sprintf("task %s of %s is in no state that Swarm has: %s, %s", t.ID, j.called(m.Key), t.State, t.Desired))
			continue
		}
		j.tasks[t.ID] = now
	}
	return faults
}

// decodeTasks reads a list of tasks, alone or with their total beside it.
func decodeTasks(value []byte) ([]catalog.Task, error) {
	var list []catalog.Task
	if err := json.Unmarshal(value, &list); err == nil {
		return list, nil
	}
	var counted struct{ Tasks []catalog.Task }
	err := json.Unmarshal(value, &counted)
	return counted.Tasks, err
}

// called names what a key is about.
func (j *judge) called(key string) string {
	_, id, _ := strings.Cut(key, ".")
	if l, told := j.lives[id]; told {
		return l.name
	}
	return key
}
