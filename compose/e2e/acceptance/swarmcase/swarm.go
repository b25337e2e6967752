package swarmcase

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance/dockerapi"
)

// Swarm is a swarm that steps change. Serve offers it as the Docker API.
type Swarm struct {
	mu sync.Mutex // the steps and the server's goroutines share all of it

	index, made int
	services    map[string]*service // by name
	members     map[string]*node    // by ID
	// given are the tasks of services that a step told, by name.
	given  map[string][]Task
	faults Faults

	address string
	server  *http.Server
	events  dockerapi.Events
}

type service struct {
	id               string
	version          int
	created, changed time.Time
	name, stack      string
	labels           map[string]string
	containerLabels  map[string]string
	replicas         uint64
	global, job      bool
	networks         []string
	image, endpoint  string
	env              map[string]string
	ports            map[string]uint32
	update           string
}

type node struct {
	id, hostname, address, role, availability, state string
	labels, engineLabels                             map[string]string
	version                                          int
}

// New returns a swarm of one node, a manager.
func New() *Swarm {
	return &Swarm{
		index: 10, services: map[string]*service{}, given: map[string][]Task{},
		members: map[string]*node{"n1": {
			id: "n1", hostname: "h1", address: "192.0.2.1", role: "manager", availability: "active", state: "ready", version: 10,
		}},
	}
}

// epoch is the time before the first service was made.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func (s *Swarm) each(svc Service, do func(Service, string)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return numbered(svc.Count, func(number string) error {
		do(svc, number)
		return nil
	})
}

// service makes a service, or changes it; mu is held.
func (s *Swarm) service(said Service, number string) {
	name := fill(said.Name, number)
	svc, known := s.services[name]
	action := "update"
	if !known {
		s.made++
		svc = &service{
			id: fmt.Sprintf("service%018d", s.made), name: name, created: epoch().Add(time.Duration(s.made) * time.Second),
			replicas: 1, networks: []string{"waggle"}, image: "img:1", endpoint: "vip",
		}
		s.services[name], action = svc, "create"
	}
	s.index++
	svc.version, svc.changed = s.index, time.Now()
	if said.Labels != nil {
		svc.labels = filled(*said.Labels, number)
	}
	if said.ContainerLabels != nil {
		svc.containerLabels = filled(*said.ContainerLabels, number)
	}
	set(&svc.replicas, said.Replicas)
	set(&svc.global, said.Global)
	set(&svc.job, said.Job)
	set(&svc.networks, said.Networks)
	set(&svc.stack, said.Stack)
	set(&svc.image, said.Image)
	set(&svc.env, said.Env)
	set(&svc.endpoint, said.Endpoint)
	set(&svc.ports, said.Ports)
	set(&svc.update, said.Update)
	s.emit("service", action, svc.id, name)
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

// recreate removes a service and makes it anew at once; mu is held.
func (s *Swarm) recreate(said Service, number string) {
	s.drop(fill(said.Name, number))
	s.service(said, number)
}

func (s *Swarm) remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.drop(name) {
		return fmt.Errorf("there is no service %s", name)
	}
	return nil
}

// drop takes a service and its tasks away, and reports whether it was there; mu is held.
func (s *Swarm) drop(name string) bool {
	svc, ok := s.services[name]
	delete(s.given, name)
	if ok {
		delete(s.services, name)
		s.index++
		s.emit("service", "remove", svc.id, name)
	}
	return ok
}

// setTasks says what tasks a service has. Swarm has no events of tasks, so none is told.
func (s *Swarm) setTasks(name string, tasks []Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	s.given[name] = tasks
	return nil
}

func (s *Swarm) nodes(said Node) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return numbered(said.Count, func(number string) error {
		s.node(said, number)
		return nil
	})
}

// node makes a node, or changes it; mu is held.
func (s *Swarm) node(said Node, number string) {
	id := fill(said.ID, number)
	n, known := s.members[id]
	action := "update"
	if !known {
		n = &node{id: id, hostname: id, address: fmt.Sprintf("192.0.2.%d", 2+len(s.members)), role: "worker", availability: "active", state: "ready"}
		s.members[id], action = n, "create"
	}
	s.index++
	n.version = s.index
	for _, text := range []struct {
		to *string
		is *string
	}{
		{&n.hostname, said.Hostname}, {&n.address, said.Address}, {&n.role, said.Role}, {&n.availability, said.Availability}, {&n.state, said.State},
	} {
		if text.is != nil {
			*text.to = fill(*text.is, number)
		}
	}
	if said.Labels != nil {
		n.labels = filled(*said.Labels, number)
	}
	if said.EngineLabels != nil {
		n.engineLabels = filled(*said.EngineLabels, number)
	}
	s.emit("node", action, id, n.hostname)
}

func (s *Swarm) removeNode(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.members[id]
	if !ok {
		return fmt.Errorf("there is no node %s", id)
	}
	delete(s.members, id)
	s.index++
	s.emit("node", "remove", id, n.hostname)
	return nil
}

// fail makes the API fail in this way, and in no other.
func (s *Swarm) fail(f Faults) error {
	s.mu.Lock()
	was := s.faults
	s.faults = f
	s.events.Refuse(f.Events == "cut" || f.Down)
	server := s.server
	s.mu.Unlock()
	switch {
	case s.address == "":
		return nil // it is not served yet
	case f.Down && server != nil:
		s.server = nil
		return server.Close()
	case was.Down && !f.Down:
		return s.listen()
	}
	return nil
}

// Serve offers the Docker API at an address, for as long as the process lives.
func (s *Swarm) Serve(address string) error {
	s.address = address
	if s.faults.Down {
		return nil
	}
	return s.listen()
}

func (s *Swarm) listen() error {
	ln, err := net.Listen("tcp", s.address) //nolint:noctx // it is open or not at once
	if err != nil {
		return err
	}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go func(server *http.Server) { _ = server.Serve(ln) }(s.server) // it ends with the step that says so
	return nil
}

// byAge are the services, the oldest first; mu is held.
func (s *Swarm) byAge() []*service {
	return slices.SortedFunc(maps.Values(s.services), func(a, b *service) int { return strings.Compare(a.id, b.id) })
}

// tasksOf are the tasks of a service: those that a step told, or all that there should be.
func (s *Swarm) tasksOf(svc *service) []Task {
	if tasks, ok := s.given[svc.name]; ok {
		return tasks
	}
	n := svc.replicas
	if svc.global {
		n = 1
	}
	return slices.Repeat([]Task{{State: "running", Desired: "running"}}, int(n))
}
