package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
	span := begin()
	if len(serviceIDs) == 0 {
		all, err := c.tasks(ctx, nil)
		if err != nil {
			return TaskListing{}, err
		}
		span.end()
		nodes, told, err := c.nodesTold(ctx)
		if err != nil {
			return TaskListing{}, err
		}
		c.tellTasks(span, nil, all)
		c.tellNodes(told, nodes)
		return taskListing(all, downOf(nodes)), nil
	}
	list, err := c.tasksOfFew(ctx, wantedStates(), serviceIDs)
	if err != nil {
		return TaskListing{}, err
	}
	span.end()
	down, err := c.isDown(ctx)
	if err != nil {
		return TaskListing{}, err
	}
	c.tellTasks(span, serviceIDs, list)
	return taskListing(list, down), nil
}

// tasksOfFew lists the tasks of some services, in as many calls as it takes.
func (c *Client) tasksOfFew(ctx context.Context, desired []swarm.TaskState, serviceIDs []string) ([]task, error) {
	var list []task
	for few := range slices.Chunk(serviceIDs, mostServices) {
		some, err := tasksAs[task](ctx, c, desired, few)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}

// task is what is read of a task, which is little of what the engine tells of it.
type task struct {
	ID, ServiceID, NodeID string
	Version               swarm.Version
	Slot                  int
	CreatedAt             time.Time
	Spec                  struct {
		Resources struct{ Reservations swarm.Resources }
	}
	Status struct {
		State           swarm.TaskState
		Err             string
		ContainerStatus *struct{ ExitCode int }
	}
	DesiredState        swarm.TaskState
	JobIteration        *swarm.Version
	NetworksAttachments []struct {
		Network   struct{ Spec struct{ Name string } }
		Addresses []string
	}
}

// tasks lists the tasks of some services, of all if there are none. Those of a thousand
// services are megabytes, of which the SDK would keep all, as text and as values: they are
// read one by one instead.
func (c *Client) tasks(ctx context.Context, serviceIDs []string) ([]task, error) {
	return tasksAs[task](ctx, c, wantedStates(), serviceIDs)
}

// wantedStates are the desired states of tasks that Swarm has not given up.
func wantedStates() []swarm.TaskState {
	return []swarm.TaskState{
		swarm.TaskStateRunning, swarm.TaskStateAccepted,
		swarm.TaskStateReady,    // An update prepares the next task in this state before it stops the last.
		swarm.TaskStateComplete, // Of jobs.
	}
}

func tasksAs[T any](ctx context.Context, c *Client, desired []swarm.TaskState, serviceIDs []string) ([]T, error) {
	wanted := filters.NewArgs()
	for _, state := range desired {
		wanted.Add("desired-state", string(state))
	}
	for _, id := range serviceIDs {
		wanted.Add("service", id)
	}
	text, err := filters.ToJSON(wanted)
	if err != nil {
		return nil, fmt.Errorf("docker: list tasks: %w", err)
	}
	return call(ctx, c, kindTasks, "list tasks", func(ctx context.Context, s *session) ([]T, error) {
		res, err := c.send(ctx, s, http.MethodGet, "/tasks", url.Values{"filters": {text}}, nil)
		if err != nil {
			return nil, err
		}
		defer func() {
			// A body that has not been read to its end takes its connection with it.
			_, _ = io.CopyN(io.Discard, res.Body, 512)
			_ = res.Body.Close()
		}()
		return decodeTasks[T](res.Body)
	})
}

// decodeTasks reads an array of tasks to its end.
func decodeTasks[T any](r io.Reader) ([]T, error) {
	decoder := json.NewDecoder(r)
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('[') {
		return nil, cmp.Or(err, fmt.Errorf("want a list, got %v", begin))
	}
	var out []T
	for decoder.More() {
		var t T
		if err := decoder.Decode(&t); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	_, err := decoder.Token() // the end of the list, or that there is none
	return out, err
}

func taskListing(list []task, down map[string]bool) TaskListing {
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

func taskValue(t task) catalog.Task {
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
