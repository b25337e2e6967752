package state

import (
	"maps"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/docker"
)

// How often what is asked for.
const (
	// every is the age that no list may reach.
	every = 10 * time.Second
	// grace is how long others, who list for reasons of their own, may take to list what an
	// event spoke of, or what has changed.
	grace = 500 * time.Millisecond
	// endedEvery is how often the tasks that Swarm has given up are read of all services,
	// and endedPause how often at most of those whose tasks have changed.
	endedEvery = 5 * time.Minute
	endedPause = 5 * time.Second
	// mostAlone is of how many services tasks are asked for alone.
	mostAlone = 100
)

// Memory gathers lists that come at different times, and makes readings of them in which each
// service agrees with its tasks, and the nodes with all tasks: of a service that has changed
// the former state counts until its tasks have been listed since, and so of nodes that have
// gone down or come back. A list older than what is known already changes nothing. The zero
// value is ready. It belongs to one goroutine.
type Memory struct {
	services map[string]docker.ServiceState
	tasks    map[string]tasksAt
	nodes    []docker.NodeState
	// changed are the services, and nodes the nodes, that wait for their tasks; nodes is nil
	// if none do.
	changed map[string]changedService
	waiting *changedNodes
	failures

	// servicesAt, nodesAt and allAt are when what was listed last of services, nodes and the
	// tasks of all services was asked for.
	servicesAt, nodesAt, allAt time.Time
	// heard are the first and the last event that no list of services has followed.
	heard struct{ first, last time.Time }
}

type tasksAt struct {
	tasks []docker.TaskState
	at    time.Time
}

type changedService struct {
	service docker.ServiceState
	since   time.Time
}

type changedNodes struct {
	nodes []docker.NodeState
	since time.Time
}

// Heard notes that a service or node may have changed.
func (m *Memory) Heard(now time.Time) {
	if m.heard.first.IsZero() {
		m.heard.first = now
	}
	m.heard.last = now
}

// Services takes in a list of all services.
func (m *Memory) Services(span docker.Span, services []docker.ServiceState) {
	if span.Began.Before(m.servicesAt) {
		return
	}
	m.servicesAt = span.Began
	if m.heard.last.Before(span.Began) {
		m.heard.first, m.heard.last = time.Time{}, time.Time{}
	} else {
		m.heard.first = m.heard.last
	}
	if m.services == nil {
		m.services, m.tasks, m.changed = map[string]docker.ServiceState{}, map[string]tasksAt{}, map[string]changedService{}
	}
	listed := make(map[string]bool, len(services))
	for _, s := range services {
		listed[s.ID] = true
		was, known := m.services[s.ID]
		waits, isWaiting := m.changed[s.ID]
		switch {
		case known && was.Version == s.Version:
			delete(m.changed, s.ID)
		case !isWaiting || waits.service.Version != s.Version:
			m.changed[s.ID] = changedService{s, span.Ended}
			m.settle(s.ID)
		}
	}
	gone := func(id string) bool { return !listed[id] }
	maps.DeleteFunc(m.services, func(id string, _ docker.ServiceState) bool { return gone(id) })
	maps.DeleteFunc(m.changed, func(id string, _ changedService) bool { return gone(id) })
	maps.DeleteFunc(m.tasks, func(id string, _ tasksAt) bool { return gone(id) })
	m.failures.forget(gone)
}

// settle lets the new state of a service count, if its tasks have been listed since.
func (m *Memory) settle(id string) {
	c, ok := m.changed[id]
	if t, listed := m.tasks[id]; ok && listed && !t.at.Before(c.since) {
		m.services[id] = c.service
		delete(m.changed, id)
	}
}

// Nodes takes in a list of all nodes.
func (m *Memory) Nodes(span docker.Span, nodes []docker.NodeState) {
	if span.Began.Before(m.nodesAt) {
		return
	}
	m.nodesAt = span.Began
	for _, t := range m.tasks {
		m.failures.lose(t.tasks, downOf(nodes))
	}
	switch {
	case m.nodes == nil || maps.Equal(downOf(m.nodes), downOf(nodes)):
		m.nodes, m.waiting = nodes, nil
	case m.waiting != nil && maps.Equal(downOf(m.waiting.nodes), downOf(nodes)):
		m.waiting.nodes = nodes
	default:
		m.waiting = &changedNodes{nodes, span.Ended}
	}
}

// newest are the nodes as they were listed last, whether they count already or not.
func (m *Memory) newest() []docker.NodeState {
	if m.waiting != nil {
		return m.waiting.nodes
	}
	return m.nodes
}

// Tasks takes in the tasks that Swarm has not given up, by service ID, of the services with the
// IDs of, or of all if of is nil.
func (m *Memory) Tasks(span docker.Span, of []string, tasks map[string][]docker.TaskState) {
	isAll := of == nil
	if isAll {
		of = slices.Concat(slices.Collect(maps.Keys(m.services)), slices.Collect(maps.Keys(m.changed)))
	}
	down := downOf(m.newest())
	for _, id := range of {
		old, known := m.tasks[id]
		if _, isService := m.services[id]; !isService && m.changed[id].service.ID == "" || span.Began.Before(old.at) {
			continue
		}
		m.tasks[id] = tasksAt{tasks[id], span.Began}
		m.failures.lose(tasks[id], down)
		m.failures.listed(span.Began, id, old.tasks, tasks[id], known, down)
		m.settle(id)
	}
	if !isAll || span.Began.Before(m.allAt) {
		return
	}
	m.allAt = span.Began
	if w := m.waiting; w != nil && !span.Began.Before(w.since) {
		m.nodes, m.waiting = w.nodes, nil
	}
}

// Ended takes in the tasks that Swarm has given up, as Tasks does those that it has not.
func (m *Memory) Ended(span docker.Span, of []string, tasks map[string][]docker.TaskState) {
	isService := func(id string) bool {
		_, known := m.services[id]
		return known || m.changed[id].service.ID != ""
	}
	m.failures.ended(span, of, tasks, downOf(m.newest()), isService)
}

// Reading returns what is known; false until there has been a list of everything.
func (m *Memory) Reading() (Reading, bool) {
	at := m.servicesAt
	for _, other := range []time.Time{m.nodesAt, m.allAt} {
		if other.Before(at) {
			at = other
		}
	}
	if at.IsZero() || m.failures.allAt.IsZero() {
		return Reading{}, false
	}
	out := Reading{
		Services: slices.Collect(maps.Values(m.services)), Nodes: m.nodes,
		Tasks: make(map[string][]docker.TaskState, len(m.tasks)), Failures: maps.Clone(m.failures.count), At: at,
	}
	for id, t := range m.tasks {
		out.Tasks[id] = t.tasks
	}
	return out, true
}

// Due is what has to be asked for.
type Due struct {
	// Lists are services and nodes.
	Lists bool
	// All are the tasks of all services, Tasks are those of these services.
	All   bool
	Tasks []string
	// EndedAll are the tasks that Swarm has given up of all services, Ended are those of these.
	EndedAll bool
	Ended    []string
}

// Due returns what has to be asked for now, and how soon something else may have to be.
func (m *Memory) Due(now time.Time) (due Due, wait time.Duration) {
	wait = every
	// is reports whether a time has come.
	is := func(at time.Time) bool {
		if left := at.Sub(now); left > 0 {
			wait = min(wait, left)
			return false
		}
		return true
	}
	due.Lists = is(m.servicesAt.Add(every)) || !m.heard.last.IsZero() && is(m.heard.first.Add(grace))
	due.All = is(m.allAt.Add(every)) || m.waiting != nil && is(m.waiting.since.Add(grace))
	for id, c := range m.changed {
		if is(c.since.Add(grace)) {
			due.Tasks = append(due.Tasks, id)
		}
	}
	if due.All = due.All || len(due.Tasks) > mostAlone; due.All {
		due.Tasks = nil
	}
	slices.Sort(due.Tasks)
	if m.services == nil {
		return due, wait // nothing can be said of tasks
	}
	due.EndedAll = is(m.failures.allAt.Add(endedEvery))
	if !due.EndedAll && len(m.failures.due) > 0 && is(m.failures.someAt.Add(endedPause)) {
		due.Ended = slices.Sorted(maps.Keys(m.failures.due))
	}
	return due, wait
}

// Any reports whether anything is due.
func (d Due) Any() bool {
	return d.Lists || d.All || len(d.Tasks) > 0 || d.EndedAll || len(d.Ended) > 0
}
