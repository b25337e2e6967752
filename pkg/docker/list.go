package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// stackLabel is how docker stack deploy marks what belongs to a stack.
const stackLabel = "com.docker.stack.namespace"

// List returns all services and nodes of the swarm, opted in or not.
func (c *Client) List(ctx context.Context) (catalog.Listing, error) {
	services, err := call(ctx, c, "list services", func(ctx context.Context, s *session) ([]swarm.Service, error) {
		return s.sdk.ServiceList(ctx, swarm.ServiceListOptions{})
	})
	if err != nil {
		return catalog.Listing{}, err
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return catalog.Listing{}, err
	}
	names, err := c.networks.names(networksOf(services), func() (map[string]string, error) { return c.listNetworks(ctx) })
	if err != nil {
		return catalog.Listing{}, err
	}
	out := catalog.Snapshot{
		Services: make(map[string]catalog.Service, len(services)),
		Nodes:    make(map[string]catalog.Node, len(nodes)),
	}
	versions := make(map[string]uint64, len(services)+len(nodes))
	for _, s := range services {
		out.Services[s.ID] = serviceValue(s, names)
		versions[catalog.ServiceKey(s.ID)] = s.Version.Index
	}
	for _, n := range nodes {
		out.Nodes[n.ID] = nodeValue(n)
		versions[catalog.NodeKey(n.ID)] = n.Version.Index
	}
	return catalog.Listing{Snapshot: out, Versions: versions}, nil
}

// nodes lists the nodes. Whoever answers is a node itself, so an empty list is an error.
func (c *Client) nodes(ctx context.Context) ([]swarm.Node, error) {
	return call(ctx, c, "list nodes", func(ctx context.Context, s *session) ([]swarm.Node, error) {
		nodes, err := s.sdk.NodeList(ctx, swarm.NodeListOptions{})
		if err == nil && len(nodes) == 0 {
			err = errors.New("the list is empty, which cannot be")
		}
		return nodes, err
	})
}

// listNetworks returns the names of the swarm's networks by ID.
func (c *Client) listNetworks(ctx context.Context) (map[string]string, error) {
	list, err := call(ctx, c, "list networks", func(ctx context.Context, s *session) ([]network.Summary, error) {
		return s.sdk.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("scope", "swarm"))})
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(list))
	for _, n := range list {
		out[n.ID] = n.Name
	}
	return out, nil
}

// missedFor is how long a network that is not on the list is not asked for again.
const missedFor = 10 * time.Second

// networks remembers the names of networks, which never change for an ID.
type networks struct {
	// mu guards the rest and is held while listing, so that several callers
	// list once; the call has a deadline.
	mu     sync.Mutex
	byID   map[string]string
	missed map[string]time.Time
}

// names returns the names by ID. It lists again if an ID is wanted that it does not know.
func (n *networks) names(wanted map[string]bool, list func() (map[string]string, error)) (map[string]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	unknown := func(id string) bool { return n.byID[id] == "" && time.Since(n.missed[id]) >= missedFor }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(wanted)), unknown) {
		return n.byID, nil
	}
	byID, err := list()
	if err != nil {
		return nil, err
	}
	n.byID, n.missed = byID, map[string]time.Time{}
	for id := range wanted {
		if byID[id] == "" {
			n.missed[id] = time.Now()
		}
	}
	return byID, nil
}

// attachments returns the networks of a service's specification.
func attachments(spec swarm.ServiceSpec) []swarm.NetworkAttachmentConfig {
	if len(spec.TaskTemplate.Networks) > 0 {
		return spec.TaskTemplate.Networks
	}
	return spec.Networks //nolint:staticcheck // services that were made by old clients have theirs here
}

func networksOf(services []swarm.Service) map[string]bool {
	out := map[string]bool{}
	for _, s := range services {
		for _, n := range attachments(s.Spec) {
			out[n.Target] = true
		}
	}
	return out
}

// serviceValue is the catalog's view of a service; networkNames are by ID. A
// network that has no name is left out: nothing can be on it.
func serviceValue(s swarm.Service, networkNames map[string]string) catalog.Service {
	mode, replicas := modeOf(s.Spec.Mode)
	out := catalog.Service{
		ID: s.ID, Name: s.Spec.Name, Stack: s.Spec.Labels[stackLabel],
		Labels: ours(s.Spec.Labels), Mode: mode, Replicas: replicas,
		EndpointMode: string(swarm.ResolutionModeVIP), CreatedAt: s.CreatedAt.UTC(), UpdateState: updateState(s),
	}
	if c := s.Spec.TaskTemplate.ContainerSpec; c != nil {
		out.ContainerLabels = ours(c.Labels)
	}
	if e := s.Spec.EndpointSpec; e != nil && e.Mode != "" {
		out.EndpointMode = string(e.Mode)
	}
	for _, n := range attachments(s.Spec) {
		if name := networkNames[n.Target]; name != "" {
			out.Networks = append(out.Networks, name)
		}
	}
	slices.Sort(out.Networks)
	out.Networks = slices.Compact(out.Networks)
	return out
}

// modeOf returns the mode and the number of tasks asked for: replicas, or how
// many run of a job at a time; 0 where nodes decide.
func modeOf(m swarm.ServiceMode) (catalog.Mode, uint64) {
	switch {
	case m.Global != nil:
		return catalog.Global, 0
	case m.GlobalJob != nil:
		return catalog.GlobalJob, 0
	case m.ReplicatedJob != nil:
		return catalog.ReplicatedJob, or(m.ReplicatedJob.MaxConcurrent, 1)
	case m.Replicated != nil:
		return catalog.Replicated, or(m.Replicated.Replicas, 1)
	}
	return catalog.Replicated, 1 // what Swarm does with a specification that names no mode
}

func or(n *uint64, def uint64) uint64 {
	if n == nil {
		return def
	}
	return *n
}

// updateState leaves out the state that says that nothing is under way.
func updateState(s swarm.Service) string {
	if s.UpdateStatus == nil || s.UpdateStatus.State == swarm.UpdateStateCompleted {
		return ""
	}
	return string(s.UpdateStatus.State)
}

// ours returns the labels under the prefix, nil if there are none.
func ours(labels map[string]string) map[string]string {
	var out map[string]string
	for name, text := range labels {
		if strings.HasPrefix(name, catalog.Prefix) {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = text
		}
	}
	return out
}

func nodeValue(n swarm.Node) catalog.Node {
	labels := ours(n.Description.Engine.Labels)
	if own := ours(n.Spec.Labels); labels == nil {
		labels = own
	} else {
		maps.Copy(labels, own)
	}
	return catalog.Node{
		ID: n.ID, Hostname: n.Description.Hostname, Address: n.Status.Addr, Role: string(n.Spec.Role),
		Availability: string(n.Spec.Availability), State: string(n.Status.State), Labels: labels,
	}
}

// Tasks returns the tasks that are meant to run, by service ID, each service's sorted by ID:
// running, on their way there, or not yet given up. A task that is being
// stopped is not among them, for Swarm has taken it out of DNS already; nor is
// one on a node that is down, which Swarm counts as running until it is replaced.
func (c *Client) Tasks(ctx context.Context) (map[string][]catalog.Task, error) {
	return c.tasks(ctx)
}

// TasksOf is Tasks of some services alone. It costs the engine something for each of them
// and nothing for all the others. That one of them does not exist any more is an error.
func (c *Client) TasksOf(ctx context.Context, serviceIDs ...string) (map[string][]catalog.Task, error) {
	only := make([]filters.KeyValuePair, len(serviceIDs))
	for i, id := range serviceIDs {
		only[i] = filters.Arg("service", id)
	}
	return c.tasks(ctx, only...)
}

func (c *Client) tasks(ctx context.Context, only ...filters.KeyValuePair) (map[string][]catalog.Task, error) {
	wanted := append([]filters.KeyValuePair{
		filters.Arg("desired-state", string(swarm.TaskStateRunning)),
		filters.Arg("desired-state", string(swarm.TaskStateAccepted)),
		// An update prepares the next task in this state before it stops the last.
		filters.Arg("desired-state", string(swarm.TaskStateReady)),
	}, only...)
	list, err := call(ctx, c, "list tasks", func(ctx context.Context, s *session) ([]swarm.Task, error) {
		return s.sdk.TaskList(ctx, swarm.TaskListOptions{Filters: filters.NewArgs(wanted...)})
	})
	if err != nil {
		return nil, err
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nil, err
	}
	down := map[string]bool{}
	for _, n := range nodes {
		down[n.ID] = n.Status.State == swarm.NodeStateDown
	}
	out := map[string][]catalog.Task{}
	for _, t := range list {
		if t.ServiceID == "" || down[t.NodeID] || over(t.Status.State) {
			continue
		}
		out[t.ServiceID] = append(out[t.ServiceID], taskValue(t))
	}
	for _, tasks := range out {
		slices.SortFunc(tasks, func(a, b catalog.Task) int { return strings.Compare(a.ID, b.ID) })
	}
	return out, nil
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

// Service returns one service as List does, and its version. The error is
// ErrNotFound if there is none.
func (c *Client) Service(ctx context.Context, id string) (catalog.Service, uint64, error) {
	s, err := c.inspect(ctx, id)
	if err != nil {
		return catalog.Service{}, 0, err
	}
	names, err := c.networks.names(networksOf([]swarm.Service{s}), func() (map[string]string, error) { return c.listNetworks(ctx) })
	if err != nil {
		return catalog.Service{}, 0, err
	}
	return serviceValue(s, names), s.Version.Index, nil
}

// inspect reads one service.
func (c *Client) inspect(ctx context.Context, id string) (swarm.Service, error) {
	return call(ctx, c, fmt.Sprintf("service %s", id), func(ctx context.Context, s *session) (swarm.Service, error) {
		svc, _, err := s.sdk.ServiceInspectWithRaw(ctx, id, swarm.ServiceInspectOptions{})
		return svc, err
	})
}
