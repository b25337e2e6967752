package docker

import (
	"context"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/swarm"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// TaskListing is what a list of tasks told.
type TaskListing struct {
	// Tasks are by service ID, each service's sorted by ID.
	Tasks map[string][]catalog.Task
	// Versions are the highest version of Swarm's that a task of each service had, by
	// the service's ID, those that are over included. They are indexes of the
	// same log as the versions of services and nodes. A version falls when the task
	// that had it is forgotten, so a lower one alone does not say that a list is older.
	Versions map[string]uint64
}

// Tasks returns the tasks that are meant to run, by service ID, each service's sorted by ID:
// running, on their way there, or not yet given up. A task that is being
// stopped is not among them, for Swarm has taken it out of DNS already; nor is
// one on a node that is down, which Swarm counts as running until it is replaced.
// Of a job they are those of its present run, with those that are complete.
func (c *Client) Tasks(ctx context.Context) (map[string][]catalog.Task, error) {
	listing, err := c.ListTasks(ctx)
	return listing.Tasks, err
}

// TasksOf is Tasks of some services alone, none if there are none. It costs the engine
// something for each of them and nothing for all the others; however many they are,
// calls are few. That one of them does not exist any more is ErrNotFound.
func (c *Client) TasksOf(ctx context.Context, serviceIDs ...string) (map[string][]catalog.Task, error) {
	if len(serviceIDs) == 0 {
		return map[string][]catalog.Task{}, nil
	}
	listing, err := c.ListTasks(ctx, serviceIDs...)
	return listing.Tasks, err
}

// mostServices is of how many services one call asks: some 41 bytes for each of them
// stand in its address, for which proxies before a socket have 8 kB.
const mostServices = 100

// ListTasks is Tasks, or TasksOf if services are given, with versions.
func (c *Client) ListTasks(ctx context.Context, serviceIDs ...string) (TaskListing, error) {
	var list []swarm.Task
	if len(serviceIDs) == 0 {
		all, err := c.tasks(ctx, nil)
		if err != nil {
			return TaskListing{}, err
		}
		list = all
	}
	for few := range slices.Chunk(serviceIDs, mostServices) {
		some, err := c.tasks(ctx, few)
		if err != nil {
			return TaskListing{}, err
		}
		list = append(list, some...)
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return TaskListing{}, err
	}
	return taskListing(list, nodes), nil
}

// tasks lists the tasks of some services, of all if there are none.
func (c *Client) tasks(ctx context.Context, serviceIDs []string) ([]swarm.Task, error) {
	wanted := filters.NewArgs(
		filters.Arg("desired-state", string(swarm.TaskStateRunning)),
		filters.Arg("desired-state", string(swarm.TaskStateAccepted)),
		// An update prepares the next task in this state before it stops the last.
		filters.Arg("desired-state", string(swarm.TaskStateReady)),
		// Of jobs.
		filters.Arg("desired-state", string(swarm.TaskStateComplete)),
	)
	for _, id := range serviceIDs {
		wanted.Add("service", id)
	}
	return call(ctx, c, kindTasks, "list tasks", func(ctx context.Context, s *session) ([]swarm.Task, error) {
		return s.sdk.TaskList(ctx, swarm.TaskListOptions{Filters: wanted})
	})
}

func taskListing(list []swarm.Task, nodes []swarm.Node) TaskListing {
	down := map[string]bool{}
	for _, n := range nodes {
		down[n.ID] = n.Status.State == swarm.NodeStateDown
	}
	out := TaskListing{Tasks: map[string][]catalog.Task{}, Versions: map[string]uint64{}}
	for _, t := range list {
		if t.ServiceID == "" {
			continue
		}
		out.Versions[t.ServiceID] = max(out.Versions[t.ServiceID], t.Version.Index)
		done := t.Status.State == swarm.TaskStateComplete && t.DesiredState == swarm.TaskStateComplete
		if !done && (down[t.NodeID] || over(t.Status.State)) {
			continue
		}
		out.Tasks[t.ServiceID] = append(out.Tasks[t.ServiceID], taskValue(t))
	}
	for _, tasks := range out.Tasks {
		slices.SortFunc(tasks, func(a, b catalog.Task) int { return strings.Compare(a.ID, b.ID) })
	}
	return out
}

// over reports whether a task in this state will never run again.
func over(state swarm.TaskState) bool {
	switch state {
	case swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed,
		swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned:
		return true
	}
	return false
}

func taskValue(t swarm.Task) catalog.Task {
	out := catalog.Task{
		ID: t.ID, Slot: t.Slot, Node: t.NodeID,
		State: string(t.Status.State), Desired: string(t.DesiredState),
	}
	for _, a := range t.NetworksAttachments {
		for _, address := range a.Addresses {
			ip, _, _ := strings.Cut(address, "/")
			if strings.Contains(ip, ":") || ip == "" {
				continue
			}
			if out.Addresses == nil {
				out.Addresses = map[string][]string{}
			}
			name := a.Network.Spec.Name
			out.Addresses[name] = append(out.Addresses[name], ip)
		}
	}
	for _, ips := range out.Addresses {
		slices.Sort(ips)
	}
	return out
}

// running counts the tasks that run and are meant to.
func running(tasks []catalog.Task) uint64 {
	var n uint64
	for _, t := range tasks {
		if t.Running() {
			n++
		}
	}
	return n
}
