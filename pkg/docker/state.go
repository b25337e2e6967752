package docker

import (
	"context"
	"time"

	"github.com/docker/docker/api/types/swarm"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Watcher is told of each list that succeeds as a whole, whoever asked for it, so that who
// wants to know the state of the swarm need not ask again. It is called by the one who
// asked, and must be quick.
type Watcher interface {
	// Services is told all services.
	Services(Span, []ServiceState)
	// Nodes is told all nodes.
	Nodes(Span, []NodeState)
	// Tasks is told the tasks that Swarm has not given up, by service ID: those of the services
	// with the IDs of, or of all if of is nil.
	Tasks(s Span, of []string, tasks map[string][]TaskState)
}

// Watched tells a watcher of lists.
func Watched(w Watcher) Option { return func(c *Client) { c.watcher = w } }

// Span is when a call was made, and when it was answered: what it told was so at some time
// between the two.
type Span struct{ Began, Ended time.Time }

func begin() Span { return Span{Began: time.Now()} }

func (s *Span) end() { s.Ended = time.Now() }

// Resources are what a node has, or a task reserves.
type Resources struct{ NanoCPUs, MemoryBytes int64 }

// ServiceState is a service as far as it tells of its state, with what the catalog does not
// tell of it.
type ServiceState struct {
	ID, Name, Stack, Image string
	Mode                   catalog.Mode
	// Replicas is as in the catalog.
	Replicas uint64
	Created  time.Time
	Update   *catalog.Update
	Version  uint64
	// Reserved is what each task reserves.
	Reserved Resources
	// Job is nil for what is none.
	Job *Job
}

// Job is how much is to be done of a job with a number of tasks.
type Job struct {
	// Completions is how many tasks are to complete in each run; 0 if nodes decide.
	Completions uint64
	// Run tells the present run from those before.
	Run uint64
}

// NodeState is a node with what the catalog does not tell of it.
type NodeState struct {
	catalog.Node
	Engine, OS, Arch string
	Capacity         Resources
	// Manager is nil for a worker.
	Manager *Manager
}

// Manager is what managers know of one of them.
type Manager struct{ Leader, Reachable bool }

// TaskState is a task with what the catalog does not tell of it, and without addresses.
type TaskState struct {
	catalog.Task
	Created  time.Time
	Reserved Resources
	// Error is Swarm's text on what went wrong, or on why there is no node for it. Exit is
	// the code with which its container ended.
	Error string
	Exit  int
	// Run is that of a job; 0 if Swarm does not say.
	Run uint64
}

// EndedTasks returns the tasks that Swarm has given up and still remembers, by service ID, of
// some services or, if none are given, of all. That one of them does not exist any more is
// ErrNotFound. The watcher is not told.
func (c *Client) EndedTasks(ctx context.Context, serviceIDs ...string) (map[string][]TaskState, error) {
	desired := []swarm.TaskState{swarm.TaskStateShutdown}
	if len(serviceIDs) == 0 {
		list, err := tasksAs[task](ctx, c, desired, nil)
		return taskStates(list), err
	}
	list, err := c.tasksOfFew(ctx, desired, serviceIDs)
	return taskStates(list), err
}

// KnownTasks returns all tasks of some services that Swarm remembers, by service ID, those that
// are over included. That one of them does not exist any more is ErrNotFound. The watcher is not
// told.
func (c *Client) KnownTasks(ctx context.Context, serviceIDs ...string) (map[string][]TaskState, error) {
	list, err := c.tasksOfFew(ctx, append(wantedStates(), swarm.TaskStateShutdown), serviceIDs)
	return taskStates(list), err
}

// ListState lists services and nodes for the watcher alone, which costs less than List.
func (c *Client) ListState(ctx context.Context) error {
	span := begin()
	services, err := c.services(ctx)
	if err != nil {
		return err
	}
	span.end()
	nodes, told, err := c.nodesTold(ctx)
	if err != nil {
		return err
	}
	c.tellServices(span, services)
	c.tellNodes(told, nodes)
	return nil
}

func (c *Client) tellServices(s Span, services []swarm.Service) {
	if c.watcher == nil {
		return
	}
	out := make([]ServiceState, 0, len(services))
	for _, svc := range services {
		out = append(out, serviceState(svc))
	}
	c.watcher.Services(s, out)
}

func serviceState(s swarm.Service) ServiceState {
	mode, replicas := modeOf(s.Spec.Mode)
	out := ServiceState{
		ID: s.ID, Name: s.Spec.Name, Stack: s.Spec.Labels[stackLabel], Mode: mode, Replicas: replicas, Created: s.CreatedAt,
		Version: s.Version.Index, Update: updateOf(s), Job: jobOf(s),
	}
	if c := s.Spec.TaskTemplate.ContainerSpec; c != nil {
		out.Image = c.Image
	}
	if r := s.Spec.TaskTemplate.Resources; r != nil && r.Reservations != nil {
		out.Reserved = Resources{r.Reservations.NanoCPUs, r.Reservations.MemoryBytes}
	}
	return out
}

func jobOf(svc swarm.Service) *Job {
	mode := svc.Spec.Mode
	if mode.ReplicatedJob == nil && mode.GlobalJob == nil {
		return nil
	}
	job := &Job{}
	if r := mode.ReplicatedJob; r != nil {
		// Without a number of its own it is as many as run at a time.
		job.Completions = or(r.TotalCompletions, or(r.MaxConcurrent, 1))
	}
	if svc.JobStatus != nil {
		job.Run = svc.JobStatus.JobIteration.Index
	}
	return job
}

func (c *Client) tellNodes(s Span, nodes []swarm.Node) {
	if c.watcher == nil {
		return
	}
	out := make([]NodeState, 0, len(nodes))
	for _, n := range nodes {
		d := n.Description
		state := NodeState{
			Node: nodeValue(n), Engine: d.Engine.EngineVersion, OS: d.Platform.OS, Arch: d.Platform.Architecture,
			Capacity: Resources{d.Resources.NanoCPUs, d.Resources.MemoryBytes},
		}
		if m := n.ManagerStatus; m != nil {
			state.Manager = &Manager{Leader: m.Leader, Reachable: m.Reachability == swarm.ReachabilityReachable}
		}
		out = append(out, state)
	}
	c.watcher.Nodes(s, out)
}

func (c *Client) tellTasks(s Span, of []string, tasks []task) {
	if c.watcher != nil {
		c.watcher.Tasks(s, of, taskStates(tasks))
	}
}

func taskStates(list []task) map[string][]TaskState {
	out := map[string][]TaskState{}
	for _, t := range list {
		if t.ServiceID == "" {
			continue
		}
		state := TaskState{
			Task: catalog.Task{
				ID: t.ID, Slot: t.Slot, Node: t.NodeID, State: string(t.Status.State), Desired: string(t.DesiredState),
			},
			Created: t.CreatedAt, Error: t.Status.Err,
			Reserved: Resources{t.Spec.Resources.Reservations.NanoCPUs, t.Spec.Resources.Reservations.MemoryBytes},
		}
		if t.Status.ContainerStatus != nil {
			state.Exit = t.Status.ContainerStatus.ExitCode
		}
		if t.JobIteration != nil {
			state.Run = t.JobIteration.Index
		}
		out[t.ServiceID] = append(out[t.ServiceID], state)
	}
	return out
}
