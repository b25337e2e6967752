package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Form is one form of cases: what they have, what their steps are called, and the world
// that these act upon.
type Form struct {
	// Name is what the form is called.
	Name string
	// Builds are the components whose programs it starts, Tools the others.
	Builds, Tools []string
	// Last makes the last line of all results; nil if there is none.
	Last func([]Result) string
	// Steps read the values of each kind of step.
	Steps map[string]Reader
	// Read reads what a case has beside what all cases have. What it does not know is an error.
	Read func(rest json.RawMessage) (Open, error)
}

// Reader reads the values of one step.
type Reader func(values []json.RawMessage) (Step, error)

// Open makes the world of a case, in the case's own process and namespaces.
type Open func(ctx context.Context, j Job) (World, error)

// Step is one thing that is done, and what must come of it.
type Step struct {
	// About says what it acts upon, for the reason of a failure.
	About string
	// Pause is how long to wait; nothing is done then.
	Pause time.Duration
	// Polled says that the step may be tried again, because trying changes nothing.
	Polled bool
	Do     func(context.Context, World) error
}

// World is where a case happens: some component with a swarm around it.
type World interface {
	// Alive is an error once the component has ended.
	Alive() error
	// Log is the end of what the component has said.
	Log() string
}

// Concluder is a World that has something to say of the case as a whole.
type Concluder interface {
	// Conclusion is asked when all steps have passed.
	Conclusion() error
}

// Remover is a World in which a service can be taken away.
type Remover interface {
	// Remove takes a service away and waits until the component knows.
	Remove(ctx context.Context, name string) error
}

// Expect judges what a component says of a service a while after it was deployed: nil
// when it is as it must be, an error marked as final when it never will be.
type Expect func(s catalog.Status, since time.Duration) error

// Common are steps that a form may have; its world is a Remover.
func Common() map[string]Reader {
	return map[string]Reader{
		"remove": func(values []json.RawMessage) (Step, error) {
			var name string
			err := Fill(values, &name)
			return Step{About: name, Do: func(ctx context.Context, w World) error { return w.(Remover).Remove(ctx, name) }}, err
		},
		"sleep": func(values []json.RawMessage) (Step, error) {
			var seconds float64
			err := Fill(values, &seconds)
			if err == nil && (seconds <= 0 || seconds > 600) {
				err = errors.New("want seconds, at most 600")
			}
			return Step{Pause: time.Duration(seconds * float64(time.Second))}, err
		},
	}
}

// script is a case that was read.
type script struct {
	open  Open
	steps []Step
}

// head is what the cases of all forms have. All but the steps are for the reader.
type head struct {
	ID       string              `json:"id"`
	Kind     string              `json:"kind"`
	Title    string              `json:"title"`
	Note     string              `json:"note"`
	Original any                 `json:"original"`
	Steps    [][]json.RawMessage `json:"steps"`
}

// parse reads a case.
func (f Form) parse(raw json.RawMessage) (script, error) {
	var h head
	var rest map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(raw, &h), json.Unmarshal(raw, &rest)); err != nil {
		return script{}, err
	}
	if h.ID == "" {
		return script{}, errors.New("the case has no id")
	}
	if len(h.Steps) == 0 {
		return script{}, errors.New("the case has no steps")
	}
	var s script
	for i, values := range h.Steps {
		st, err := f.step(values)
		if err != nil {
			return s, fmt.Errorf("step %d: %w", i+1, err)
		}
		s.steps = append(s.steps, st)
	}
	for _, name := range []string{"id", "kind", "title", "note", "original", "steps"} {
		delete(rest, name)
	}
	own, err := json.Marshal(rest)
	if err != nil {
		return s, err
	}
	s.open, err = f.Read(own)
	return s, err
}

// step reads a step, whose first element is its kind.
func (f Form) step(values []json.RawMessage) (Step, error) {
	kind, err := kindOf(values)
	if err != nil {
		return Step{}, err
	}
	read, known := f.Steps[kind]
	if !known {
		return Step{}, fmt.Errorf("unknown step %q", kind)
	}
	s, err := read(values[1:])
	if err != nil {
		return Step{}, fmt.Errorf("%s: %w", kind, err)
	}
	s.About = strings.TrimSpace(kind + " " + s.About)
	return s, nil
}

func kindOf(values []json.RawMessage) (string, error) {
	var kind string
	if len(values) == 0 || Strict(values[0], &kind) != nil {
		return "", errors.New("want a list that begins with the kind of the step")
	}
	return kind, nil
}

// recognise returns the form that knows most kinds of the cases' steps, if it knows more
// than half of them. Some kinds are called alike in several forms.
func recognise(forms []Form, cases []json.RawMessage) (Form, bool) {
	kinds := map[string]bool{}
	for _, raw := range cases {
		var h head
		if json.Unmarshal(raw, &h) != nil {
			continue // it fails by itself
		}
		for _, values := range h.Steps {
			if kind, err := kindOf(values); err == nil {
				kinds[kind] = true
			}
		}
	}
	var best Form
	most := 0
	for _, f := range forms {
		known := 0
		for kind := range kinds {
			if _, ok := f.Steps[kind]; ok {
				known++
			}
		}
		if known > most {
			best, most = f, known
		}
	}
	return best, 2*most > len(kinds)
}

// known says which forms there are.
func known(forms []Form) string {
	var out []string
	for _, f := range forms {
		out = append(out, fmt.Sprintf("%s (%s)", f.Name, strings.Join(slices.Sorted(maps.Keys(f.Steps)), ", ")))
	}
	return "the forms that are known, with their steps: " + strings.Join(out, "; ")
}
