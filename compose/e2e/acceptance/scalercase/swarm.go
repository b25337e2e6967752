package scalercase

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/clock"
)

// The states of a task.
const (
	running  = "running"
	failing  = "failing"
	pending  = "pending"
	starting = "starting"
)

// never is how long a task takes to run that finds no room.
const never = time.Duration(-1)

// task is one task of a service.
type task struct {
	id, node string
	slot     int
	state    string
	created  time.Time
	version  uint64
	// of is the template that it was made of.
	of json.RawMessage
}

// service is one service as Swarm keeps it.
type service struct {
	id, name         string
	version          uint64
	created, updated time.Time
	spec, previous   map[string]any
	// update is Swarm's word; silent says that it has not been said yet.
	update  string
	silent  bool
	start   time.Duration
	tasks   []task
	nextID  int
	changes []uint64
	// read are the versions that scalers have read last, by their sockets.
	read map[string]uint64
}

// conflict is somebody else who changes a service before the scaler does.
type conflict struct {
	left     int
	replicas *uint64
}

// swarm is the recorded swarm. It makes of each change, whoever's, a new version, and of the
// specification before it the previous one.
type swarm struct {
	clock clock.Clock

	// mu guards the rest, which steps, the clock and the scaler's calls share.
	mu       sync.Mutex
	index    uint64
	services map[string]*service // by name
	nodes    []string
	// revision counts what has changed, for the catalog.
	revision uint64
	calls    int
	hung     chan struct{}
	waiting  int
	fails    map[string]bool // by service, "" for all
	conflict map[string]*conflict
	faults   []error
}

func newSwarm(c clock.Clock) *swarm {
	return &swarm{clock: c, index: 100, services: map[string]*service{}, nodes: []string{"n1"}, fails: map[string]bool{}, conflict: map[string]*conflict{}}
}

// about calls f with a service.
func (s *swarm) about(name string, f func(*service) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.services[name]
	if svc == nil {
		return fmt.Errorf("there is no service %s", name)
	}
	s.revision++
	return f(svc)
}

// create makes a service that has run for an hour.
func (s *swarm) create(name string, o serviceOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.services[name] != nil {
		return fmt.Errorf("service %s is there already", name)
	}
	now := s.clock.Now()
	s.index++
	s.revision++
	svc := &service{
		id: fmt.Sprintf("id%023d", s.index), name: name, version: s.index, created: now.Add(-time.Hour), updated: now.Add(-time.Hour), start: o.start, read: map[string]uint64{},
	}
	replicas := float64(o.Replicas)
	mode := map[string]any{"Replicated": map[string]any{"Replicas": replicas}}
	switch o.Mode {
	case "global":
		mode = map[string]any{"Global": map[string]any{}}
	case "replicated-job":
		mode = map[string]any{"ReplicatedJob": map[string]any{"MaxConcurrent": replicas, "TotalCompletions": replicas}}
	}
	labels := map[string]any{}
	for name, text := range o.Labels {
		labels["com.df."+name] = text
	}
	if _, ok := o.Labels["notify"]; !ok {
		labels["com.df.notify"] = "true"
	}
	svc.spec = map[string]any{
		"Name": name, "Labels": labels, "Mode": mode,
		"TaskTemplate": map[string]any{
			"ContainerSpec": map[string]any{"Image": o.image()}, "ForceUpdate": 0.0, "Runtime": "container",
			"RestartPolicy": map[string]any{"Condition": "any"},
		},
		"UpdateConfig": map[string]any{"Parallelism": 1.0, "FailureAction": o.failure(), "MaxFailureRatio": 0.0},
		// What a newer engine knows, and a client need not.
		"FieldOfTomorrow": map[string]any{"Deep": []any{"x", 1.5}},
	}
	s.services[name] = svc
	for range o.Replicas {
		s.newTask(svc, running)
	}
	return nil
}

// newTask adds a task on the node that has the fewest of the service.
func (s *swarm) newTask(svc *service, state string) {
	svc.nextID++
	t := task{
		id: fmt.Sprintf("%s-%d", svc.id[20:], svc.nextID), slot: svc.nextID, state: state, created: s.clock.Now(), version: s.index, of: templateOf(svc),
	}
	if state != pending {
		t.node = s.emptiest(svc)
	}
	svc.tasks = append(svc.tasks, t)
	if state != starting {
		return
	}
	s.clock.AfterFunc(svc.start, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range svc.tasks {
			if svc.tasks[i].id == t.id && svc.tasks[i].state == starting {
				svc.tasks[i].state = running
				s.revision++
			}
		}
	})
}

// begin adds a task that begins now and runs when the service's tasks do.
func (s *swarm) begin(svc *service) {
	switch {
	case svc.start == never:
		s.newTask(svc, pending)
	case svc.start > 0:
		s.newTask(svc, starting)
	default:
		s.newTask(svc, running)
	}
}

func templateOf(svc *service) json.RawMessage {
	template := maps.Clone(svc.spec["TaskTemplate"].(map[string]any))
	delete(template, "Runtime") // the engine tells it of services alone
	encoded, err := json.Marshal(template)
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	return encoded
}

func (s *swarm) perNode(svc *service) map[string]int {
	out := map[string]int{}
	for _, n := range s.nodes {
		out[n] = 0
	}
	for _, t := range svc.tasks {
		if t.node != "" {
			out[t.node]++
		}
	}
	return out
}

func (s *swarm) emptiest(svc *service) string {
	count := s.perNode(svc)
	return slices.MinFunc(s.nodes, func(a, b string) int { return count[a] - count[b] })
}

// lose takes a task away: first a pending one, then a failing, then one that runs or begins,
// of the node that has most.
func (s *swarm) lose(svc *service) {
	count := s.perNode(svc)
	rank := func(t task) int {
		switch t.state {
		case pending:
			return 0
		case failing:
			return 1
		case starting:
			return 2
		}
		return 3
	}
	best := -1
	for i, t := range svc.tasks {
		if best < 0 || rank(t) < rank(svc.tasks[best]) || rank(t) == rank(svc.tasks[best]) && count[t.node] >= count[svc.tasks[best].node] {
			best = i
		}
	}
	if best >= 0 {
		svc.tasks = slices.Delete(svc.tasks, best, best+1)
	}
}

func replicasOf(spec map[string]any) (uint64, bool) {
	mode, _ := spec["Mode"].(map[string]any)
	replicated, _ := mode["Replicated"].(map[string]any)
	n, ok := replicated["Replicas"].(float64)
	return uint64(n), ok
}

func setReplicas(spec map[string]any, n uint64) error {
	mode, _ := spec["Mode"].(map[string]any)
	replicated, ok := mode["Replicated"].(map[string]any)
	if !ok {
		return errors.New("it has no number of replicas")
	}
	replicated["Replicas"] = float64(n)
	return nil
}

func imageOf(spec map[string]any) string {
	template, _ := spec["TaskTemplate"].(map[string]any)
	container, _ := template["ContainerSpec"].(map[string]any)
	image, _ := container["Image"].(string)
	return image
}

func copyOf(spec map[string]any) map[string]any {
	encoded, err := json.Marshal(spec)
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	var out map[string]any
	if err := json.Unmarshal(encoded, &out); err != nil {
		panic(err)
	}
	return out
}

// apply makes a specification the present one.
func (s *swarm) apply(svc *service, spec map[string]any) {
	svc.previous = svc.spec
	s.take(svc, spec)
}

func (s *swarm) take(svc *service, spec map[string]any) {
	s.index++
	s.revision++
	svc.spec, svc.version, svc.updated = spec, s.index, s.clock.Now()
	svc.update = ""
	s.fit(svc)
	if s.isRolling(svc) && !svc.silent {
		svc.update = "updating"
	}
}

// fit makes as many tasks as the specification asks for.
func (s *swarm) fit(svc *service) {
	n, ok := replicasOf(svc.spec)
	if !ok {
		return
	}
	for uint64(len(svc.tasks)) > n {
		s.lose(svc)
	}
	for uint64(len(svc.tasks)) < n {
		s.begin(svc)
	}
}

// isRolling reports whether tasks are not of the specification.
func (s *swarm) isRolling(svc *service) bool {
	template := string(templateOf(svc))
	return slices.ContainsFunc(svc.tasks, func(t task) bool { return string(t.of) != template })
}

// deploy changes what is given, in one update.
func (s *swarm) deploy(name string, o deployOptions) error {
	return s.about(name, func(svc *service) error {
		spec := copyOf(svc.spec)
		if o.Replicas != nil {
			if err := setReplicas(spec, *o.Replicas); err != nil {
				return err
			}
		}
		if o.Image != "" {
			spec["TaskTemplate"].(map[string]any)["ContainerSpec"].(map[string]any)["Image"] = o.Image
		}
		if o.Failure != "" {
			spec["UpdateConfig"].(map[string]any)["FailureAction"] = o.Failure
		}
		labels := spec["Labels"].(map[string]any)
		for label, text := range o.Labels {
			if text == nil {
				delete(labels, "com.df."+label)
			} else {
				labels["com.df."+label] = *text
			}
		}
		svc.silent = o.Silent
		s.apply(svc, spec)
		return nil
	})
}

// person sets a number as docker service scale does.
func (s *swarm) person(name string, n uint64) error {
	return s.about(name, func(svc *service) error {
		spec := copyOf(svc.spec)
		if err := setReplicas(spec, n); err != nil {
			return err
		}
		s.apply(svc, spec)
		return nil
	})
}

// says is Swarm's word about an update.
func (s *swarm) says(name, state string) error {
	return s.about(name, func(svc *service) error {
		svc.silent = false
		if state == "rollback_started" {
			if svc.previous == nil {
				return errors.New("there is no previous specification")
			}
			previous := svc.previous
			svc.previous = nil
			s.take(svc, previous)
		}
		s.index++
		svc.version, svc.update = s.index, state
		if state == "completed" || state == "rollback_completed" {
			s.fit(svc)
			for i := range svc.tasks {
				svc.tasks[i].of, svc.tasks[i].version = templateOf(svc), s.index
				if svc.tasks[i].state != pending {
					svc.tasks[i].state = running
				}
			}
		}
		return nil
	})
}

// arrange makes the tasks of a service what a case says.
func (s *swarm) arrange(name string, o taskOptions) error {
	return s.about(name, func(svc *service) error {
		if o.isStart {
			svc.start = o.start
		}
		if o.Running == nil && o.Failing == nil && o.Pending == nil && o.Nodes == nil {
			return nil
		}
		svc.tasks = nil
		for _, node := range slices.Sorted(maps.Keys(o.Nodes)) {
			if !slices.Contains(s.nodes, node) {
				s.nodes = append(s.nodes, node)
			}
			for range o.Nodes[node] {
				s.newTask(svc, running)
				svc.tasks[len(svc.tasks)-1].node = node
			}
		}
		for _, kind := range []struct {
			n     *int
			state string
		}{{o.Running, running}, {o.Failing, failing}, {o.Pending, pending}} {
			if kind.n == nil || kind.state == running && o.Nodes != nil {
				continue
			}
			for range *kind.n {
				s.newTask(svc, kind.state)
			}
		}
		return nil
	})
}

// update is one by the scaler. It returns the status and text of the answer.
func (s *swarm) updateBy(svc *service, read uint64, version, registryAuthFrom string, spec map[string]any) (int, string) {
	if s.fails[""] || s.fails[svc.name] {
		return 500, "rpc error: code = Unknown desc = the update is refused"
	}
	if c := s.conflict[svc.name]; c != nil && c.left > 0 {
		c.left--
		other := copyOf(svc.spec)
		if c.replicas != nil {
			_ = setReplicas(other, *c.replicas) // it is replicated, since it is scaled
		} else {
			other["Labels"].(map[string]any)["by.others"] = fmt.Sprint(c.left)
		}
		s.apply(svc, other)
	}
	if registryAuthFrom != "spec" {
		s.fault("an update of %s says registryAuthFrom=%q", svc.name, registryAuthFrom)
	}
	if version != fmt.Sprint(read) {
		s.fault("an update of %s names version %s, and %d was read last", svc.name, version, read)
	}
	if version != fmt.Sprint(svc.version) {
		return 500, "rpc error: code = Unknown desc = update out of sequence"
	}
	n, ok := replicasOf(spec)
	want := copyOf(svc.spec)
	if !ok || setReplicas(want, n) != nil || !reflect.DeepEqual(want, spec) {
		s.fault("an update of %s changes more than the number", svc.name)
	}
	s.apply(svc, spec)
	svc.changes = append(svc.changes, n)
	return 200, ""
}

func (s *swarm) fault(format string, values ...any) {
	s.faults = append(s.faults, fmt.Errorf(format, values...))
}

// broken is what the scaler has done wrong.
func (s *swarm) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.faults...)
}

// at returns the revision that the catalog is to have.
func (s *swarm) at() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revision
}
