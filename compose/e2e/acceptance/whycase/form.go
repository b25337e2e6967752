package whycase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/swarmcase"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// program is the one that is asked.
const program = "waggle"

// Form is the form of the cases of waggle.
func Form() acceptance.Form {
	steps := changes()
	maps.Copy(steps, questions())
	return acceptance.Form{Name: "why", Builds: []string{program}, Steps: steps, Read: read}
}

// change is a step that changes the world.
func change(about string, do func(w *world) error) acceptance.Step {
	return acceptance.Step{About: about, Do: func(_ context.Context, any acceptance.World) error {
		w := any.(*world)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.revision++
		return errors.Join(do(w), w.judge(), w.tell())
	}}
}

// firstOf reads a step that is done before anything starts.
func firstOf(values []json.RawMessage) (acceptance.Step, error) {
	var kind string
	if len(values) == 0 {
		return acceptance.Step{}, errors.New("it is empty")
	}
	if err := acceptance.Strict(values[0], &kind); err != nil {
		return acceptance.Step{}, err
	}
	read := changes()[kind]
	if read == nil {
		return acceptance.Step{}, fmt.Errorf("unknown step %q", kind)
	}
	return read(values[1:])
}

// with reads one step of a name and a value.
func with[T any](do func(w *world, name string, value T) error) acceptance.Reader {
	return func(values []json.RawMessage) (acceptance.Step, error) {
		var (
			name  string
			value T
		)
		err := acceptance.Fill(values, &name, &value)
		return change(name, func(w *world) error { return do(w, name, value) }), err
	}
}

// one reads a step of one value.
func one[T any](do func(w *world, value T) error) acceptance.Reader {
	return func(values []json.RawMessage) (acceptance.Step, error) {
		var value T
		err := acceptance.Fill(values, &value)
		return change("", func(w *world) error { return do(w, value) }), err
	}
}

func changes() map[string]acceptance.Reader {
	steps := maps.Clone(acceptance.Common())
	maps.Copy(steps, map[string]acceptance.Reader{
		"service": one(func(w *world, c serviceChange) error { return c.each(w.change) }),
		"recreate": one(func(w *world, c serviceChange) error {
			delete(w.services, c.Name)
			return w.change(c)
		}),
		"tasks": with(func(w *world, name string, told []taskTold) error { return w.setTasks(name, told) }),
		"node":  one(func(w *world, n nodeChange) error { return w.setNode(n) }),
		"remove_node": one(func(w *world, id string) error {
			delete(w.nodes, id)
			return nil
		}),
		"docker": one(func(w *world, d dockerChange) error {
			w.failure = d.failure()
			return nil
		}),
		"component": with(func(w *world, name string, h health) error {
			w.health[name] = h
			return nil
		}),
		"bus": one(func(w *world, word string) error {
			w.isBusAway = word == "away"
			return nil
		}),
		"certs": one(func(w *world, all map[string][]string) error {
			w.certs = all
			return nil
		}),
		"secrets": one(func(w *world, names []string) error {
			w.secrets = names
			return nil
		}),
		"probe": with(func(w *world, name string, what map[string]picture.Probe) error {
			w.probes[name] = what
			return nil
		}),
		"alert": one(func(w *world, a picture.Alert) error {
			w.alerts[a.Name] = a
			return nil
		}),
		"decision": with(func(w *world, name string, d picture.Decision) error {
			d.Time = time.Now().Add(-time.Minute)
			w.decisions[name] = d
			return nil
		}),
		"says": readSays,
		"away": func(values []json.RawMessage) (acceptance.Step, error) {
			return acceptance.Step{Do: func(_ context.Context, any acceptance.World) error { return any.(*world).server.Close() }}, acceptance.Fill(values)
		},
	})
	return steps
}

func readSays(values []json.RawMessage) (acceptance.Step, error) {
	var (
		s    said
		told struct {
			State               catalog.State
			Reason, Label, Hint string
			Old                 bool
		}
	)
	err := acceptance.Fill(values, &s.component, &s.service, &told)
	s.State, s.Reason, s.Label, s.Hint, s.Old = told.State, told.Reason, told.Label, told.Hint, told.Old
	return change(s.service, func(w *world) error {
		w.said[s.component+" "+s.service] = s
		return nil
	}), err
}

// serviceChange is what a step says of a service; what it does not name stays.
type serviceChange struct {
	Name      string                    `json:"name"`
	Labels    map[string]swarmcase.Text `json:"labels"`
	Container map[string]swarmcase.Text `json:"container_labels"`
	Replicas  *uint64                   `json:"replicas"`
	Global    bool                      `json:"global"`
	Job       bool                      `json:"job"`
	Networks  []string                  `json:"networks"`
	Stack     *string                   `json:"stack"`
	Image     string                    `json:"image"`
	Env       any                       `json:"env"`
	Endpoint  string                    `json:"endpoint"`
	Ports     map[string]uint32         `json:"ports"`
	Update    *string                   `json:"update"`
	Count     int                       `json:"count"`
}

// each does it for as many services as are meant.
func (c serviceChange) each(do func(serviceChange) error) error {
	if c.Count == 0 {
		return do(c)
	}
	for i := range c.Count {
		number := fmt.Sprint(i + 1)
		numbered := c
		numbered.Name = strings.ReplaceAll(c.Name, "%", number)
		numbered.Labels, numbered.Container = fill(c.Labels, number), fill(c.Container, number)
		if err := do(numbered); err != nil {
			return err
		}
	}
	return nil
}

func fill(labels map[string]swarmcase.Text, number string) map[string]swarmcase.Text {
	out := map[string]swarmcase.Text{}
	for full, text := range labels {
		out[full] = swarmcase.Text(strings.ReplaceAll(string(text), "%", number))
	}
	return out
}

func plain(labels map[string]swarmcase.Text) map[string]string {
	out := map[string]string{}
	for full, text := range labels {
		if strings.HasPrefix(full, catalog.Prefix) {
			out[full] = string(text)
		}
	}
	return out
}

// change makes a service, or changes it. Whoever calls holds the lock.
func (w *world) change(c serviceChange) error {
	svc := w.services[c.Name]
	if svc == nil {
		w.order++
		svc = &service{Service: catalog.Service{
			ID: fmt.Sprintf("id%04d", w.order), Name: c.Name, Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle"}, Image: "img:1",
			EndpointMode: "vip", CreatedAt: time.Unix(int64(w.order), 0).UTC(),
		}}
		w.services[c.Name] = svc
	}
	svc.revision = w.revision
	if c.Labels != nil {
		svc.Labels = plain(c.Labels)
	}
	if c.Container != nil {
		svc.ContainerLabels = plain(c.Container)
	}
	if c.Replicas != nil {
		svc.Replicas = *c.Replicas
	}
	switch {
	case c.Global:
		svc.Mode, svc.Replicas = catalog.Global, 0
	case c.Job:
		svc.Mode = catalog.ReplicatedJob
	}
	if c.Networks != nil {
		svc.Networks = slices.Sorted(slices.Values(c.Networks))
	}
	if c.Stack != nil {
		svc.Stack = *c.Stack
	}
	if c.Image != "" {
		svc.Image = c.Image
	}
	if c.Endpoint != "" {
		svc.EndpointMode = c.Endpoint
	}
	if c.Update != nil {
		svc.UpdateState = *c.Update
	}
	if c.Ports != nil {
		svc.Ports = nil
		for _, published := range slices.Sorted(maps.Keys(c.Ports)) {
			port := catalog.Port{Target: c.Ports[published], Protocol: "tcp", Mode: "ingress"}
			if _, err := fmt.Sscan(published, &port.Published); err != nil {
				return err
			}
			svc.Ports = append(svc.Ports, port)
		}
	}
	return nil
}

// taskTold is what a step says of a task.
type taskTold struct {
	State   string            `json:"state"`
	Desired string            `json:"desired"`
	Node    *string           `json:"node"`
	IP      map[string]string `json:"ip"`
	Error   string            `json:"error"`
	Exit    int               `json:"exit"`
}

func (w *world) setTasks(name string, all []taskTold) error {
	w.tasks[name] = []picture.Task{}
	for i, told := range all {
		node := "n1"
		if told.Node != nil {
			node = *told.Node
		}
		if told.Desired == "" {
			told.Desired = "running"
		}
		t := task(fmt.Sprintf("%s.%d", name, i), node, told.State, told.Desired, []string{"waggle"})
		for network, ip := range told.IP {
			t.Addresses[network] = []string{ip}
		}
		w.tasks[name] = append(w.tasks[name], picture.Task{Task: t, Error: told.Error, Exit: told.Exit})
	}
	return nil
}

// nodeChange is what a step says of a node.
type nodeChange struct {
	ID           string            `json:"id"`
	Hostname     string            `json:"hostname"`
	Address      string            `json:"address"`
	Role         string            `json:"role"`
	Availability string            `json:"availability"`
	State        string            `json:"state"`
	Engine       map[string]string `json:"engine_labels"`
	Labels       map[string]string `json:"labels"`
}

func (w *world) setNode(c nodeChange) error {
	n, ok := w.nodes[c.ID]
	if !ok {
		n = catalog.Node{ID: c.ID, Role: "worker", Availability: "active", State: "ready"}
	}
	for _, f := range []struct {
		into *string
		text string
	}{{&n.Hostname, c.Hostname}, {&n.Address, c.Address}, {&n.Role, c.Role}, {&n.Availability, c.Availability}, {&n.State, c.State}} {
		if f.text != "" {
			*f.into = f.text
		}
	}
	w.nodes[c.ID] = n
	return nil
}

// dockerChange is how Docker is from now on.
type dockerChange struct {
	Down    bool     `json:"down"`
	Fail    []string `json:"fail"`
	Hang    []string `json:"hang"`
	Events  string   `json:"events"`
	Message string   `json:"message"`
}

// failure is why the swarm cannot be listed, empty if it can.
func (d dockerChange) failure() string {
	lists := func(calls []string) bool {
		return slices.ContainsFunc(calls, func(c string) bool { return c == "services" || c == "nodes" || c == "networks" })
	}
	switch {
	case d.Down:
		return "the swarm could not be listed: connection refused"
	case lists(d.Fail):
		return "the swarm could not be listed: " + d.Message
	case lists(d.Hang):
		return "the swarm could not be listed: Docker does not answer"
	}
	return ""
}
