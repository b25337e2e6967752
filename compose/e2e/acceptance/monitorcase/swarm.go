package monitorcase

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Service is what a case says of a service.
type Service struct {
	// Name is the full name, Mode replicated if empty.
	Name  string `json:"name"`
	Stack string `json:"stack"`
	Mode  string `json:"mode"`
	// Replicas is 1 if absent, and 0 for a global service.
	Replicas *uint64 `json:"replicas"`
	// Labels are without prefix; notify=true is added unless it is given.
	Labels map[string]string `json:"labels"`
	// Networks are the name of one alone, waggle, if absent.
	Networks []string `json:"networks"`
	// Tasks are as many as Replicas, running on n1 without addresses, if absent.
	Tasks  *[]Task `json:"tasks"`
	Update *Update `json:"update"`
	// Image and Reserve are those of each task.
	Image   string   `json:"image"`
	Reserve *Reserve `json:"reserve"`
}

// Task is what a case says of a task.
type Task struct {
	ID   string  `json:"id"`
	Slot int     `json:"slot"`
	Node *string `json:"node"`
	// State and Desired are Swarm's words, running if absent.
	State     string            `json:"state"`
	Desired   string            `json:"desired"`
	Addresses map[string]string `json:"addresses"`
	Error     string            `json:"error"`
	Exit      int               `json:"exit"`
}

// Update is a rolling update that began so many seconds ago.
type Update struct {
	State   string  `json:"state"`
	Started float64 `json:"started"`
}

// Reserve is what each task reserves: CPUs and bytes.
type Reserve struct {
	CPUs   float64 `json:"cpus"`
	Memory float64 `json:"memory"`
}

// Node is what a case says of a node. Labels and Engine are without prefix.
type Node struct {
	ID           string            `json:"id"`
	Hostname     string            `json:"hostname"`
	Role         string            `json:"role"`
	State        string            `json:"state"`
	Availability string            `json:"availability"`
	Address      string            `json:"address"`
	Labels       map[string]string `json:"labels"`
	Engine       map[string]string `json:"engine"`
	CPUs         float64           `json:"cpus"`
	Memory       float64           `json:"memory"`
}

// Swarm's words, by what they are about.
func words(about string) []string {
	switch about {
	case "mode":
		return []string{"replicated", "global", "replicated-job", "global-job"}
	case "update":
		return []string{"updating", "paused", "completed", "rollback_started", "rollback_paused", "rollback_completed"}
	default:
		return []string{
			"new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running", "complete", "shutdown", "failed",
			"rejected", "remove", "orphaned",
		}
	}
}

func oneOf(what, word string, words []string) error {
	if slices.Contains(words, word) {
		return nil
	}
	return fmt.Errorf("%s %q: want one of %s", what, word, strings.Join(words, ", "))
}

// check names what no swarm could have, and fills in what is left out.
func (s *Service) check() error {
	if s.Name == "" {
		return errors.New("a service without a name")
	}
	s.Mode = cmp.Or(s.Mode, "replicated")
	err := oneOf("mode", s.Mode, words("mode"))
	for name := range s.Labels {
		if strings.HasPrefix(name, catalog.Prefix) {
			err = errors.Join(err, fmt.Errorf("label %s: want it without its prefix", name))
		}
	}
	if s.Networks == nil {
		s.Networks = []string{"waggle"}
	}
	if s.Replicas == nil {
		one := uint64(1)
		if strings.HasPrefix(s.Mode, "global") {
			one = 0
		}
		s.Replicas = &one
	}
	if s.Tasks == nil {
		var tasks []Task
		if !strings.HasPrefix(s.Mode, "global") {
			for i := range *s.Replicas {
				tasks = append(tasks, Task{Slot: int(i) + 1, State: "running"})
			}
		}
		s.Tasks = &tasks
	}
	for i := range *s.Tasks {
		err = errors.Join(err, (*s.Tasks)[i].check(s.Networks))
	}
	if s.Update != nil {
		err = errors.Join(err, oneOf("update", s.Update.State, words("update")))
	}
	return err
}

func (t *Task) check(networks []string) error {
	first := "n1"
	if t.Node == nil {
		t.Node = &first
	}
	t.State, t.Desired = cmp.Or(t.State, "running"), cmp.Or(t.Desired, "running")
	err := errors.Join(oneOf("state", t.State, words("state")), oneOf("desired state", t.Desired, words("state")))
	for network := range t.Addresses {
		err = errors.Join(err, oneOf("address on the network", network, networks))
	}
	return err
}

// check names what no node could have, and fills in what is left out.
func (n *Node) check() error {
	if n.ID == "" {
		return errors.New("a node without an ID")
	}
	n.Hostname, n.Role = cmp.Or(n.Hostname, n.ID), cmp.Or(n.Role, "worker")
	n.State, n.Availability = cmp.Or(n.State, "ready"), cmp.Or(n.Availability, "active")
	return errors.Join(
		oneOf("role", n.Role, []string{"worker", "manager"}), oneOf("state", n.State, []string{"ready", "down", "unknown", "disconnected"}),
		oneOf("availability", n.Availability, []string{"active", "pause", "drain"}),
	)
}

// swarm is what there is at one moment.
type swarm struct {
	services map[string]*made
	nodes    map[string]Node
	created  int
}

// made is a service with what is its own from its first appearance on.
type made struct {
	Service
	id      string
	created time.Time
	// since is when it took its present form.
	since time.Time
}

func newSwarm() *swarm {
	return &swarm{services: map[string]*made{}, nodes: map[string]Node{
		"n1": {ID: "n1", Hostname: "one", Role: "manager", State: "ready", Availability: "active"},
	}}
}

func (s *swarm) service(svc Service) {
	one, ok := s.services[svc.Name]
	if !ok {
		s.created++
		one = &made{id: fmt.Sprintf("service%04d", s.created), created: time.Date(2026, 1, 1, 0, 0, s.created, 0, time.UTC)}
		s.services[svc.Name] = one
	}
	one.Service, one.since = svc, time.Now()
}

func (s *swarm) remove(name string) { delete(s.services, name) }

func (s *swarm) node(n Node) { s.nodes[n.ID] = n }

// sorted are the services in the order of their creation.
func (s *swarm) sorted() []*made {
	return slices.SortedFunc(maps.Values(s.services), func(a, b *made) int { return cmp.Compare(a.id, b.id) })
}

// taskID is the ID of the i-th task of a service.
func (m *made) taskID(i int) string {
	return cmp.Or((*m.Tasks)[i].ID, fmt.Sprintf("%s-task%d", m.id, i+1))
}

// prefixed gives labels their prefix.
func prefixed(labels map[string]string) map[string]string {
	out := map[string]string{}
	for name, text := range labels {
		out[catalog.Prefix+name] = text
	}
	return out
}

// labels are those of a service with their prefix; it opts in unless it says otherwise.
func (m *made) labels() map[string]string {
	out := map[string]string{catalog.Notify: "true"}
	maps.Copy(out, prefixed(m.Labels))
	return out
}

// snapshot is the swarm as the listener publishes it.
func (s *swarm) snapshot() catalog.Snapshot {
	out := catalog.Snapshot{Services: map[string]catalog.Service{}, Tasks: map[string][]catalog.Task{}, Nodes: map[string]catalog.Node{}}
	for id, n := range s.nodes {
		labels := prefixed(n.Engine)
		maps.Copy(labels, prefixed(n.Labels))
		out.Nodes[id] = catalog.Node{
			ID: id, Hostname: n.Hostname, Address: n.Address, Role: n.Role, Availability: n.Availability, State: n.State, Labels: labels,
		}
	}
	for _, m := range s.services {
		svc := catalog.Service{
			ID: m.id, Name: m.Name, Stack: m.Stack, Labels: m.labels(), Mode: catalog.Mode(m.Mode), Replicas: *m.Replicas,
			Networks: slices.Sorted(slices.Values(m.Networks)), EndpointMode: "vip", CreatedAt: m.created, Image: m.Image,
		}
		if m.Update != nil {
			svc.Update = &catalog.Update{State: m.Update.State, Started: m.since.Add(-m.Update.ago()).UTC()}
			if m.Update.State != "completed" {
				svc.UpdateState = m.Update.State
			}
		}
		out.Services[m.id] = svc
		tasks := []catalog.Task{}
		for i, t := range *m.Tasks {
			addresses := map[string][]string{}
			for network, address := range t.Addresses {
				addresses[network] = []string{address}
			}
			tasks = append(tasks, catalog.Task{ID: m.taskID(i), Slot: t.Slot, Node: *t.Node, State: t.State, Desired: t.Desired, Addresses: addresses})
		}
		out.Tasks[m.id] = tasks
	}
	return out
}

func (u *Update) ago() time.Duration { return time.Duration(u.Started * float64(time.Second)) }
