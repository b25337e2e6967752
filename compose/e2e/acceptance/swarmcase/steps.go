package swarmcase

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

// Text is a text, or one that is repeated: ["x", 3] is "xxx".
type Text string

// UnmarshalJSON reads both forms.
func (t *Text) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*t = Text(text)
		return nil
	}
	var values []json.RawMessage
	var times int
	if err := json.Unmarshal(b, &values); err != nil {
		return fmt.Errorf("%s: want a text, or a text and how often", b)
	}
	if err := acceptance.Fill(values, &text, &times); err != nil {
		return err
	}
	if times < 0 || times*len(text) > 10<<20 {
		return fmt.Errorf("%s: want at most 10 MB", b)
	}
	*t = Text(strings.Repeat(text, times))
	return nil
}

// Service is what a step says of a service. Only what it names is changed.
type Service struct {
	Name            string             `json:"name"`
	Labels          *map[string]Text   `json:"labels"`
	ContainerLabels *map[string]Text   `json:"container_labels"`
	Replicas        *uint64            `json:"replicas"`
	Global          *bool              `json:"global"`
	Job             *bool              `json:"job"`
	Networks        *[]string          `json:"networks"`
	Stack           *string            `json:"stack"`
	Image           *string            `json:"image"`
	Env             *map[string]string `json:"env"`
	Endpoint        *string            `json:"endpoint"`
	// Ports are published ports with those of the container.
	Ports  *map[string]uint32 `json:"ports"`
	Update *string            `json:"update"`
	Count  int                `json:"count"`
}

// Task is one task of a service.
type Task struct {
	State   string  `json:"state"`
	Desired string  `json:"desired"`
	Node    *string `json:"node"`
	// IP are its addresses by network; nil: some on each network of the service.
	IP    map[string]string `json:"ip"`
	Error string            `json:"error"`
	Exit  int               `json:"exit"`
}

// Node is what a step says of a node. Only what it names is changed.
type Node struct {
	ID           string           `json:"id"`
	Hostname     *string          `json:"hostname"`
	Address      *string          `json:"address"`
	Role         *string          `json:"role"`
	Availability *string          `json:"availability"`
	State        *string          `json:"state"`
	EngineLabels *map[string]Text `json:"engine_labels"`
	Labels       *map[string]Text `json:"labels"`
	Count        int              `json:"count"`
}

// Faults are how the API fails.
type Faults struct {
	// Down refuses connections.
	Down bool `json:"down"`
	// Fail are calls that answer 500 with Message, Hang those that never answer.
	Fail    []string `json:"fail"`
	Hang    []string `json:"hang"`
	Message string   `json:"message"`
	// Events is cut (streams end and none opens) or deaf (they stay and are silent).
	Events string `json:"events"`
}

// calls are those that can fail.
func calls() []string { return []string{"services", "service", "tasks", "nodes", "networks"} }

// taskStates and updateStates are Swarm's words.
func taskStates() []string {
	return []string{
		"new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running", "complete", "shutdown", "failed",
		"rejected", "remove", "orphaned",
	}
}

func updateStates() []string {
	return []string{"updating", "paused", "completed", "rollback_started", "rollback_paused", "rollback_completed"}
}

// Change is a step that was read.
type Change struct {
	// About says what it acts upon.
	About string
	Do    func(*Swarm) error
}

// Steps read the steps of a swarm.
func Steps() map[string]func([]json.RawMessage) (Change, error) {
	return map[string]func([]json.RawMessage) (Change, error){
		"service": func(values []json.RawMessage) (Change, error) {
			svc, err := readService(values)
			return Change{svc.Name, func(s *Swarm) error { return s.each(svc, s.service) }}, err
		},
		"recreate": func(values []json.RawMessage) (Change, error) {
			svc, err := readService(values)
			return Change{svc.Name, func(s *Swarm) error { return s.each(svc, s.recreate) }}, err
		},
		"tasks": func(values []json.RawMessage) (Change, error) {
			var name string
			var tasks []Task
			err := acceptance.Fill(values, &name, &tasks)
			for i := range tasks {
				tasks[i].Desired = cmp.Or(tasks[i].Desired, "running")
				err = errors.Join(err, oneOf("state", tasks[i].State, taskStates()), oneOf("desired state", tasks[i].Desired, taskStates()))
			}
			return Change{name, func(s *Swarm) error { return s.setTasks(name, tasks) }}, err
		},
		"remove": func(values []json.RawMessage) (Change, error) {
			var name string
			err := acceptance.Fill(values, &name)
			return Change{name, func(s *Swarm) error { return s.remove(name) }}, err
		},
		"node": func(values []json.RawMessage) (Change, error) {
			var n Node
			err := acceptance.Fill(values, &n)
			if err == nil {
				err = n.check()
			}
			return Change{n.ID, func(s *Swarm) error { return s.nodes(n) }}, err
		},
		"remove_node": func(values []json.RawMessage) (Change, error) {
			var id string
			err := acceptance.Fill(values, &id)
			return Change{id, func(s *Swarm) error { return s.removeNode(id) }}, err
		},
		"docker": func(values []json.RawMessage) (Change, error) {
			var f Faults
			err := acceptance.Fill(values, &f)
			if err == nil {
				err = f.check()
			}
			return Change{"", func(s *Swarm) error { return s.fail(f) }}, err
		},
	}
}

// Read reads one whole step, whose first value is its kind.
func Read(values []json.RawMessage) (Change, error) {
	var kind string
	if len(values) == 0 || json.Unmarshal(values[0], &kind) != nil {
		return Change{}, errors.New("want a list that begins with the kind of the step")
	}
	read, ok := Steps()[kind]
	if !ok {
		return Change{}, fmt.Errorf("unknown step %q", kind)
	}
	c, err := read(values[1:])
	if err != nil {
		return c, fmt.Errorf("%s: %w", kind, err)
	}
	return c, nil
}

func readService(values []json.RawMessage) (Service, error) {
	var svc Service
	if err := acceptance.Fill(values, &svc); err != nil {
		return svc, err
	}
	switch {
	case svc.Name == "":
		return svc, errors.New("a service without a name")
	case svc.Update != nil:
		return svc, oneOf("update", *svc.Update, updateStates())
	case svc.Endpoint != nil:
		return svc, oneOf("endpoint", *svc.Endpoint, []string{"vip", "dnsrr"})
	}
	return svc, nil
}

func (n Node) check() error {
	if n.ID == "" {
		return errors.New("a node without an ID")
	}
	err := func(what string, word *string, words ...string) error {
		if word == nil {
			return nil
		}
		return oneOf(what, *word, words)
	}
	return errors.Join(
		err("role", n.Role, "worker", "manager"), err("state", n.State, "unknown", "down", "ready", "disconnected"),
		err("availability", n.Availability, "active", "pause", "drain"),
	)
}

func (f Faults) check() error {
	var errs []error
	for _, call := range slices.Concat(f.Fail, f.Hang) {
		errs = append(errs, oneOf("call", call, calls()))
	}
	if f.Events != "" {
		errs = append(errs, oneOf("events", f.Events, []string{"cut", "deaf"}))
	}
	return errors.Join(errs...)
}

func oneOf(what, word string, words []string) error {
	if slices.Contains(words, word) {
		return nil
	}
	return fmt.Errorf("%s %q: want one of %s", what, word, strings.Join(words, ", "))
}

// numbered calls do with each number from 1 to count, or once with "" if there is no count.
func numbered(count int, do func(number string) error) error {
	if count == 0 {
		return do("")
	}
	var errs []error
	for i := range count {
		errs = append(errs, do(strconv.Itoa(i+1)))
	}
	return errors.Join(errs...)
}

// fill puts a number, if there is one, in the place of each %.
func fill(text, number string) string {
	if number == "" {
		return text
	}
	return strings.ReplaceAll(text, "%", number)
}

func filled(labels map[string]Text, number string) map[string]string {
	out := make(map[string]string, len(labels))
	for name, text := range labels {
		out[fill(name, number)] = fill(string(text), number)
	}
	return out
}
