package state

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/docker"
)

// Reading is what is known of the swarm at one moment.
type Reading struct {
	Services []docker.ServiceState
	Nodes    []docker.NodeState
	// Tasks are those that Swarm has not given up, by service ID.
	Tasks map[string][]docker.TaskState
	// Failures are by service ID.
	Failures map[string]Failures
	// At is when the oldest list of it was asked for.
	At time.Time
}

// Failures counts the tasks of a service that ended badly.
type Failures struct{ Failed, Rejected int }

// Series is one series of a metric.
type Series struct {
	Metric ID
	// Labels are the texts of the metric's labels, in their order.
	Labels []string
	Value  float64
}

// Series returns all series, services and nodes by name. Of two services of one name, of which
// one cannot exist any more, the younger counts.
func (r Reading) Series() []Series {
	services := slices.SortedFunc(slices.Values(r.Services), func(a, b docker.ServiceState) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID))
	})
	services = slices.CompactFunc(services, func(a, b docker.ServiceState) bool { return a.Name == b.Name })
	nodes := slices.SortedFunc(slices.Values(r.Nodes), func(a, b docker.NodeState) int {
		return cmp.Or(strings.Compare(a.Hostname, b.Hostname), strings.Compare(a.ID, b.ID))
	})
	down, loads := downOf(nodes), map[string]load{}
	s := make(list, 0, 20*len(services)+16*len(nodes)+1)
	for _, svc := range services {
		all := r.Tasks[svc.ID]
		tasks := wanted(all, down)
		for _, t := range tasks {
			loads[t.Node] = loads[t.Node].with(t.Reserved)
		}
		s.service(svc, desired(svc, all, down), tasks, r.Failures[svc.ID])
	}
	for _, n := range nodes {
		s.node(n, loads[n.ID])
	}
	s.add(timestamp, seconds(r.At))
	return s
}

// load is what the wanted tasks of a node are and reserve.
type load struct {
	tasks    int
	reserved docker.Resources
}

func (l load) with(r docker.Resources) load {
	l.tasks++
	l.reserved.NanoCPUs += r.NanoCPUs
	l.reserved.MemoryBytes += r.MemoryBytes
	return l
}

type list []Series

func (l *list) add(metric ID, value float64, labels ...string) {
	*l = append(*l, Series{metric, labels, value})
}

// oneOf adds a series for each of a set of states: 1 for that which is, 0 for the others.
func (l *list) oneOf(metric ID, states []string, is string, labels ...string) {
	for _, state := range states {
		l.add(metric, truth(state == is), append(labels[:len(labels):len(labels)], state)...)
	}
}

func (l *list) service(s docker.ServiceState, desired uint64, tasks []docker.TaskState, f Failures) {
	image, _, _ := strings.Cut(s.Image, "@")
	l.add(serviceInfo, 1, s.Name, s.ID, s.Stack, image, string(s.Mode))
	l.add(serviceCreated, seconds(s.Created), s.Name)
	l.add(replicasDesired, float64(desired), s.Name)

	in, newest := map[string]int{}, time.Time{}
	for _, t := range tasks {
		in[phase(t.State)]++
		if t.Created.After(newest) {
			newest = t.Created
		}
	}
	for _, state := range phases() {
		l.add(serviceTasks, float64(in[state]), s.Name, state)
	}
	waiting := unplaced(tasks)
	for _, reason := range reasons() {
		if n := waiting[reason]; n > 0 {
			l.add(tasksUnplaced, float64(n), s.Name, reason)
		}
	}
	if !newest.IsZero() {
		l.add(newestTask, seconds(newest), s.Name)
	}
	l.add(taskFailures, float64(f.Failed), s.Name, "failed")
	l.add(taskFailures, float64(f.Rejected), s.Name, "rejected")
	if u := s.Update; u != nil {
		l.oneOf(updateState, updateStates(), u.State, s.Name)
		if !u.Started.IsZero() {
			l.add(updateStarted, seconds(u.Started), s.Name)
		}
	}
	l.add(serviceReservedCPU, cores(s.Reserved), s.Name)
	l.add(serviceReservedMemory, float64(s.Reserved.MemoryBytes), s.Name)
}

func (l *list) node(n docker.NodeState, load load) {
	l.add(nodeInfo, 1, n.Hostname, n.ID, n.Engine, n.OS, n.Arch, n.Role)
	l.oneOf(nodeState, nodeStates(), n.State, n.Hostname, n.ID)
	l.oneOf(nodeAvailability, availabilities(), n.Availability, n.Hostname, n.ID)
	if m := n.Manager; m != nil {
		l.add(nodeLeader, truth(m.Leader), n.Hostname, n.ID)
		l.add(nodeReachable, truth(m.Reachable), n.Hostname, n.ID)
	}
	l.add(nodeCapacityCPU, cores(n.Capacity), n.Hostname, n.ID)
	l.add(nodeCapacityMemory, float64(n.Capacity.MemoryBytes), n.Hostname, n.ID)
	l.add(nodeReservedCPU, cores(load.reserved), n.Hostname, n.ID)
	l.add(nodeReservedMemory, float64(load.reserved.MemoryBytes), n.Hostname, n.ID)
	l.add(nodeTasks, float64(load.tasks), n.Hostname, n.ID)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func cores(r docker.Resources) float64 { return float64(r.NanoCPUs) / 1e9 }

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
