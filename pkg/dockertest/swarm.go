// Package dockertest gives tests a small swarm in memory behind the Docker API on
// HTTP. Its answers have the shape of those that a real engine gave (see the
// recordings in pkg/docker/testdata), as far as pkg/docker asks for them.
package dockertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Service is what a test says of a service.
type Service struct {
	// Name is the full name ("shop_web"), Stack the stack it belongs to, if any.
	Name, Stack string
	// Labels are those of the service, ContainerLabels those of its containers.
	Labels, ContainerLabels map[string]string
	// Global makes it a global service; otherwise it has Replicas.
	Global   bool
	Replicas uint64
	// Networks are names; networks that do not exist are made.
	Networks []string
	// EndpointMode is "dnsrr" if empty.
	EndpointMode string
	// Pending makes new tasks stay in state "starting" until SetTasks or Settle.
	Pending bool
	// Addresses are those of the tasks by slot, the same on every network; they are
	// made up where there are none.
	Addresses []string
}

// Task is what a test says of a task.
type Task struct {
	Slot int
	// Node is a hostname; the first node if empty.
	Node string
	// State and Desired are Swarm's words; "running" if empty.
	State, Desired string
	// Addresses are IPv4 addresses by network name; some are made up if nil.
	Addresses map[string]string
	// ID is made up if empty. Error is what went wrong, or why there is no node for it, which
	// NoNode says there is not.
	ID, Error string
	NoNode    bool
}

// Swarm is a swarm in memory. Its methods may be called at any time; those of a
// Manager are about its first one, m1.
type Swarm struct {
	*Manager
	t testing.TB

	// mu guards the rest and all managers, which the test and the servers' goroutines share.
	mu       sync.Mutex
	ids      int
	prefix   string
	world    *world
	managers []*Manager
	updates  []json.RawMessage
}

type service struct {
	id             string
	version        uint64
	created        time.Time
	updated        time.Time
	spec, previous map[string]any
	updateState    string
	pending        bool
	given          bool
	addresses      []string
	tasks          []task
	// crashing says that its tasks die again and again, stage how far they are.
	crashing bool
	stage    int
}

type task struct {
	Task
	id, nodeID string
	version    uint64
	created    time.Time
	// encoded is the task in an answer, of specification encodedOf.
	encoded   json.RawMessage
	encodedOf uint64
}

type node struct {
	id, hostname, role, state, availability string
	labels, engineLabels                    map[string]string
	version                                 uint64
}

// New starts a swarm of one manager, m1, that is stopped when the test ends.
func New(t testing.TB) *Swarm {
	t.Helper()
	s := &Swarm{t: t, world: newWorld()}
	s.Manager = s.listen("m1")
	_, port, _ := strings.Cut(s.addr, ":")
	s.prefix = port
	s.world.cluster = s.newID("cluster")
	s.AddNode("m1", "manager")
	return s
}

// AddManager adds a node that is a manager with a daemon of its own.
func (s *Swarm) AddManager(hostname string) *Manager {
	s.t.Helper()
	s.AddNode(hostname, "manager")
	return s.listen(hostname)
}

// listen starts the daemon of a manager.
func (s *Swarm) listen(hostname string) *Manager {
	s.t.Helper()
	m := newManager(s, hostname)
	s.mu.Lock()
	s.managers = append(s.managers, m)
	s.mu.Unlock()
	m.StartAgain()
	s.t.Cleanup(m.Stop)
	return m
}

// Backup is the state of a swarm at one moment.
type Backup struct{ world *world }

// Backup keeps the present state.
func (s *Swarm) Backup() Backup {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Backup{s.world.clone()}
}

// Restore brings a state back, as a restored backup does: the index of versions goes back
// too, and what happened since has never been. Nobody is told.
func (s *Swarm) Restore(b Backup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world = b.world.clone()
}

// Cluster returns the ID of the cluster.
func (s *Swarm) Cluster() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.cluster
}

// Index returns the highest version that anything in the swarm has had.
func (s *Swarm) Index() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.index
}

// newID makes an ID that no other swarm of the test has.
func (s *Swarm) newID(kind string) string {
	s.ids++
	kind += s.prefix
	return fmt.Sprintf("%s%0*d", kind, 25-len(kind), s.ids)
}

// tick moves the swarm's clock and the one index from which all versions come.
func (s *Swarm) tick() (time.Time, uint64) {
	s.world.now = s.world.now.Add(time.Second)
	s.world.index++
	return s.world.now, s.world.index
}

// AddNode adds a node that is ready and active; role is "manager" or "worker".
func (s *Swarm) AddNode(hostname, role string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, version := s.tick()
	n := &node{id: s.newID("node"), hostname: hostname, role: role, state: "ready", availability: "active", version: version}
	s.world.nodes[hostname] = n
	s.emit("node", "create", n.id, hostname, nil)
	return n.id
}

// SetNode changes a node's state ("ready", "down", "unknown") and availability.
func (s *Swarm) SetNode(hostname, state, availability string) {
	s.changeNode(hostname, func(n *node) { n.state, n.availability = state, availability })
}

// LabelNode sets a node's labels and those of its engine.
func (s *Swarm) LabelNode(hostname string, labels, engineLabels map[string]string) {
	s.changeNode(hostname, func(n *node) { n.labels, n.engineLabels = labels, engineLabels })
}

func (s *Swarm) changeNode(hostname string, change func(*node)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.world.nodes[hostname]
	if n == nil {
		s.t.Fatalf("no node %s", hostname)
	}
	change(n)
	_, n.version = s.tick()
	s.emit("node", "update", n.id, hostname, nil)
}

// RemoveNode removes a node.
func (s *Swarm) RemoveNode(hostname string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.world.nodes[hostname]; n != nil {
		delete(s.world.nodes, hostname)
		s.tick()
		s.emit("node", "remove", n.id, hostname, nil)
	}
}

// network returns the ID of a network, which is made if need be.
func (s *Swarm) network(name string) string {
	for id, n := range s.world.networks {
		if n == name {
			return id
		}
	}
	id := s.newID("net")
	s.world.networks[id] = name
	return id
}

// Create creates a service and returns its ID. Its tasks run at once, unless it is Pending.
func (s *Swarm) Create(svc Service) string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(svc.Name) != nil {
		s.t.Fatalf("service %s exists already", svc.Name)
	}
	now, version := s.tick()
	made := &service{id: s.newID("svc"), version: version, created: now, updated: now, pending: svc.Pending, addresses: svc.Addresses, spec: s.specOf(svc)}
	s.world.services[made.id] = made
	s.place(made)
	s.emit("service", "create", made.id, svc.Name, nil)
	return made.id
}

func (s *Swarm) specOf(svc Service) map[string]any {
	labels, containerLabels := clone(svc.Labels), clone(svc.ContainerLabels)
	if svc.Stack != "" {
		labels["com.docker.stack.namespace"] = svc.Stack
		labels["com.docker.stack.image"] = "app:1"
		containerLabels["com.docker.stack.namespace"] = svc.Stack
	}
	networks := []any{}
	for _, name := range svc.Networks {
		networks = append(networks, map[string]any{"Target": s.network(name), "Aliases": []any{svc.Name}})
	}
	mode := map[string]any{"Replicated": map[string]any{"Replicas": svc.Replicas}}
	if svc.Global {
		mode = map[string]any{"Global": map[string]any{}}
	}
	if svc.EndpointMode == "" {
		svc.EndpointMode = "dnsrr"
	}
	// Through JSON, so that a specification looks the same however it came here.
	return decode(encode(map[string]any{
		"Name": svc.Name, "Labels": labels, "Mode": mode,
		"TaskTemplate": map[string]any{
			"ContainerSpec": map[string]any{"Image": "app:1", "Labels": containerLabels, "Isolation": "default"},
			"Resources":     map[string]any{}, "Placement": map[string]any{}, "Networks": networks,
			"ForceUpdate": 0, "Runtime": "container",
		},
		"EndpointSpec": map[string]any{"Mode": svc.EndpointMode},
	}))
}

// Change changes a service's specification in any way, as docker service update does.
func (s *Swarm) Change(name string, change func(spec map[string]any)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.must(name)
	spec := decode(encode(svc.spec))
	change(spec)
	s.apply(svc, spec)
}

// apply gives a service another specification.
func (s *Swarm) apply(svc *service, spec map[string]any) {
	before := replicasOf(svc.spec)
	svc.previous, svc.spec = svc.spec, decode(encode(spec))
	svc.updated, svc.version = s.tick()
	more := map[string]string{}
	if after := replicasOf(svc.spec); after != before {
		more["replicas.old"], more["replicas.new"] = strconv.FormatUint(before, 10), strconv.FormatUint(after, 10)
	}
	s.place(svc)
	s.emit("service", "update", svc.id, nameOf(svc.spec), more)
}

// Relabel replaces the labels of a service; those of its stack stay.
func (s *Swarm) Relabel(name string, labels map[string]string) {
	s.t.Helper()
	s.Change(name, func(spec map[string]any) {
		all := map[string]any{}
		for key, text := range labels {
			all[key] = text
		}
		old, _ := spec["Labels"].(map[string]any)
		for _, key := range []string{"com.docker.stack.namespace", "com.docker.stack.image"} {
			if text, ok := old[key]; ok {
				all[key] = text
			}
		}
		spec["Labels"] = all
	})
}

// Redeploy is a docker stack deploy that changes nothing: version and event, no more.
func (s *Swarm) Redeploy(name string) {
	s.t.Helper()
	s.Change(name, func(map[string]any) {})
}

// Scale sets the number of replicas; tasks follow at once.
func (s *Swarm) Scale(name string, replicas uint64) {
	s.t.Helper()
	s.Change(name, func(spec map[string]any) {
		spec["Mode"] = map[string]any{"Replicated": map[string]any{"Replicas": replicas}}
	})
}

// SetUpdateState sets the state of a rolling update ("updating", "completed", "paused", ...).
func (s *Swarm) SetUpdateState(name, state string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.must(name)
	more := map[string]string{"updatestate.new": state}
	svc.updateState = state
	svc.updated, svc.version = s.tick()
	s.emit("service", "update", svc.id, name, more)
}

// Remove removes a service and its tasks.
func (s *Swarm) Remove(name string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.must(name)
	delete(s.world.services, svc.id)
	s.tick()
	s.emit("service", "remove", svc.id, name, nil)
}

// SetTasks says what tasks a service has, from now on whatever its replicas.
// Swarm has no events of tasks, so none is sent.
func (s *Swarm) SetTasks(name string, tasks ...Task) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.must(name)
	svc.given, svc.tasks = true, nil
	for i, t := range tasks {
		if t.Slot == 0 {
			t.Slot = i + 1
		}
		svc.tasks = append(svc.tasks, s.newTask(svc, t))
	}
}

// Settle lets the tasks of a Pending service run.
func (s *Swarm) Settle(name string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.must(name)
	svc.pending = false
	for i := range svc.tasks {
		svc.tasks[i].State = "running"
		_, svc.tasks[i].version = s.tick()
		svc.tasks[i].encoded = nil
	}
}

// CrashLoop makes the tasks of a service die and be replaced from now on, by one step for
// each list of tasks that asks for them: prepared, starting, running, dead. Nothing tells of it.
func (s *Swarm) CrashLoop(names ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.must(name).crashing = true
	}
}

// crash brings the tasks of a service one step further in their loop.
func (s *Swarm) crash(svc *service) {
	steps := []struct{ state, desired string }{{"preparing", "ready"}, {"starting", "running"}, {"running", "running"}}
	step := steps[svc.stage%len(steps)]
	first := svc.stage%len(steps) == 0
	svc.stage++
	var tasks []task
	for _, t := range svc.tasks {
		switch {
		case t.Desired == "shutdown":
			continue // the engine keeps a few of the dead; one is enough
		case !first:
			t.State, t.Desired, t.encoded = step.state, step.desired, nil
			_, t.version = s.tick()
			tasks = append(tasks, t)
		default:
			dead := t
			dead.State, dead.Desired, dead.encoded = "failed", "shutdown", nil
			_, dead.version = s.tick()
			tasks = append(tasks, dead, s.newTask(svc, Task{Slot: t.Slot, Node: t.Node, State: step.state, Desired: step.desired}))
		}
	}
	svc.given, svc.tasks = true, tasks
}

// place makes as many tasks as the specification asks for.
func (s *Swarm) place(svc *service) {
	if svc.given {
		return
	}
	want := replicasOf(svc.spec)
	if want > 10_000 {
		s.t.Errorf("%d replicas are too many for a test", want)
		return
	}
	for uint64(len(svc.tasks)) > want {
		svc.tasks = svc.tasks[:len(svc.tasks)-1]
	}
	for uint64(len(svc.tasks)) < want {
		t := Task{Slot: len(svc.tasks) + 1}
		if svc.pending {
			t.State = "starting"
		}
		svc.tasks = append(svc.tasks, s.newTask(svc, t))
	}
}

func (s *Swarm) newTask(svc *service, t Task) task {
	if t.State == "" {
		t.State = "running"
	}
	if t.Desired == "" {
		t.Desired = "running"
	}
	if t.Node == "" && !t.NoNode {
		t.Node = slices.Min(slices.Collect(maps.Keys(s.world.nodes)))
	}
	if t.Addresses == nil {
		t.Addresses = map[string]string{}
		for i, id := range networkIDs(svc.spec) {
			t.Addresses[s.world.networks[id]] = fmt.Sprintf("10.%d.%d.%d", i, s.ids/250, s.ids%250+2)
			if t.Slot <= len(svc.addresses) {
				t.Addresses[s.world.networks[id]] = svc.addresses[t.Slot-1]
			}
		}
	}
	made := task{Task: t, id: t.ID}
	if t.ID == "" {
		made.id = s.newID("task")
	}
	if n := s.world.nodes[t.Node]; n != nil {
		made.nodeID = n.id
	}
	made.created, made.version = s.tick()
	return made
}

// emit sends an event to the streams of all managers that hear of it.
func (s *Swarm) emit(kind, action, id, name string, more map[string]string) {
	attributes := map[string]string{"name": name}
	maps.Copy(attributes, more)
	event := append(encode(map[string]any{
		"Type": kind, "Action": action, "Actor": map[string]any{"ID": id, "Attributes": attributes},
		"scope": "swarm", "time": s.world.now.Unix(), "timeNano": s.world.now.UnixNano(),
	}), '\n')
	for _, m := range s.managers {
		if m.past == nil {
			m.tell(event)
		}
	}
}

// Replicas returns the number of replicas asked for.
func (s *Swarm) Replicas(name string) uint64 {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return replicasOf(s.must(name).spec)
}

// Addresses returns the addresses of a service's running tasks on a network, as
// the DNS of the overlay tells them; none if there is no such service.
func (s *Swarm) Addresses(name, network string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.find(name)
	if svc == nil {
		return nil
	}
	var out []string
	for _, t := range svc.tasks {
		if address := t.Addresses[network]; address != "" && t.State == "running" && t.Desired == "running" {
			out = append(out, address)
		}
	}
	return out
}

// ID returns a service's ID.
func (s *Swarm) ID(name string) string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.must(name).id
}

// Spec returns a service's present specification as JSON, and its version.
func (s *Swarm) Spec(name string) (json.RawMessage, uint64) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.must(name)
	return encode(svc.spec), svc.version
}

// Updates returns the bodies of all updates that came over the API and were accepted.
func (s *Swarm) Updates() []json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.updates)
}

func (s *Swarm) find(idOrName string) *service { return s.world.find(idOrName) }

func (s *Swarm) must(name string) *service {
	s.t.Helper()
	svc := s.find(name)
	if svc == nil {
		s.t.Fatalf("no service %s", name)
	}
	return svc
}

func nameOf(spec map[string]any) string {
	name, _ := spec["Name"].(string)
	return name
}

func replicasOf(spec map[string]any) uint64 {
	var known struct {
		Mode struct {
			Replicated *struct{ Replicas uint64 }
			Global     *struct{}
		}
	}
	if err := json.Unmarshal(encode(spec), &known); err != nil || known.Mode.Replicated == nil {
		return 1 // a global service: one node
	}
	return known.Mode.Replicated.Replicas
}

func networkIDs(spec map[string]any) []string {
	var known struct {
		TaskTemplate struct{ Networks []struct{ Target string } }
	}
	if err := json.Unmarshal(encode(spec), &known); err != nil {
		return nil
	}
	var ids []string
	for _, n := range known.TaskTemplate.Networks {
		ids = append(ids, n.Target)
	}
	return ids
}

func clone(labels map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, labels)
	return out
}

// encode and decode take values that came from JSON or go there; they cannot fail.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func decode(b []byte) map[string]any {
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		panic(err)
	}
	return v
}
