// Package keep writes the numbers of replicas that are live into a stack file, before it
// is deployed, and changes no other byte of it.
//
// What Docker makes of the file is found out with a parser, but the file is edited as
// text. Whatever the edit was, the result is read again: unless it says what the file
// said, but for the numbers, nothing comes out.
package keep

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"go.yaml.in/yaml/v3"
)

// Options are what a stack file alone does not tell.
type Options struct {
	// Stack is the name under which the file is deployed.
	Stack string
	// Live returns the number that a replicated service, by its full name, has now; false
	// if there is none of this name.
	Live func(name string) (uint64, bool)
	// Variable looks up a variable as docker stack deploy does; nil: there are none.
	Variable func(name string) (string, bool)
}

// Change is what was done about one service.
type Change struct {
	// Service is its full name.
	Service string
	// From is the text that stood there, empty if none did; To the number that does now.
	From string
	To   uint64
	// Live is the number that it has, if the file's own bounds do not allow that one.
	Live uint64
	// Fault is why the bounds of the file did not count, empty if they did.
	Fault string
}

// String is a line for a person.
func (c Change) String() string {
	text := fmt.Sprintf("%s: %d replicas, as there are now", c.Service, c.To)
	if c.Live != c.To {
		text = fmt.Sprintf("%s: %d replicas, the nearest to the %d of now that the file allows", c.Service, c.To, c.Live)
	}
	if c.From != "" {
		text += ", instead of " + c.From
	}
	if c.Fault != "" {
		text += "; its bounds do not count: " + c.Fault
	}
	return text
}

// Refusal says what cannot be edited so that nothing else changes.
type Refusal struct {
	// Line is where, 0 if there is no one place.
	Line int
	// What names it, such as services.web.deploy.
	What string
	// Why is made to stand behind What.
	Why string
}

// Error is what a person reads.
func (r *Refusal) Error() string {
	if r.Line == 0 {
		return r.What + " " + r.Why
	}
	return fmt.Sprintf("line %d: %s %s", r.Line, r.What, r.Why)
}

// bom may stand before all.
const bom = "\ufeff"

// Edit returns the file with the numbers of its scaled services that are live, and what was
// changed, in the order of the file. The error is a *Refusal, or says what in the file
// cannot be read.
func Edit(file []byte, o Options) ([]byte, []Change, error) {
	if !utf8.Valid(file) {
		return nil, nil, errors.New("the file is not UTF-8")
	}
	head := file[:len(file)-len(bytes.TrimPrefix(file, []byte(bom)))]
	text := file[len(head):]
	root, said, err := read(text)
	if err != nil {
		return nil, nil, err
	}
	targets, err := find(said, root, o)
	if err != nil {
		return nil, nil, err
	}
	e := editor{text: text, lines: lineStarts(text)}
	var changes []Change
	for _, t := range targets {
		change, err := e.set(root, t)
		if err != nil {
			return nil, nil, err
		}
		if change != nil {
			changes = append(changes, *change)
		}
	}
	out := e.apply()
	if err := verify(out, said, targets); err != nil {
		return nil, nil, err
	}
	return slices.Concat(head, out), changes, nil
}

// read returns the mapping that a file of one document is, and what it says.
func read(text []byte) (*yaml.Node, map[string]any, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := d.Decode(&document); err != nil {
		return nil, nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	var more yaml.Node
	if d.Decode(&more) == nil {
		return nil, nil, &Refusal{more.Line, "a second document", "is not deployed by Docker: one file, one stack"}
	}
	var said map[string]any
	if err := document.Decode(&said); err != nil {
		return nil, nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, nil, errors.New("the file is not a stack: want services")
	}
	return document.Content[0], said, nil
}

// target is a service of the file whose number is to be kept.
type target struct {
	// name stands in the file, full in the swarm.
	name, full string
	// number is to be set, live what there is.
	number, live uint64
	// has is what the file says, wherever that stands.
	has   any
	fault string
}

// value is the number as the parser reads it.
func (t target) value() any { return int(t.number) } //nolint:gosec // what Swarm counts is far below

// find returns the services of a file that it lets be scaled and that are live, in the
// file's order.
func find(said map[string]any, root *yaml.Node, o Options) ([]target, error) {
	services, _ := said["services"].(map[string]any)
	var out []target
	for _, name := range inOrder(services, root) {
		live, ok := o.Live(o.Stack + "_" + name)
		if !ok {
			continue
		}
		service, _ := services[name].(map[string]any)
		deploy, _ := service["deploy"].(map[string]any)
		t := target{name: name, full: o.Stack + "_" + name, live: live, number: live, has: deploy["replicas"]}
		scaled, err := t.judge(deploy, o.Variable)
		if err != nil {
			return nil, err
		}
		if scaled {
			out = append(out, t)
		}
	}
	return out, nil
}

// inOrder returns the names of services as the file has them; what is merged into them
// comes last.
func inOrder(services map[string]any, root *yaml.Node) []string {
	var names []string
	if _, value, _ := field(root, "services"); value != nil && value.Kind == yaml.MappingNode {
		for i := 0; i < len(value.Content); i += 2 {
			names = append(names, value.Content[i].Value)
		}
	}
	var rest []string
	for name := range services {
		if !slices.Contains(names, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	names = slices.DeleteFunc(names, func(name string) bool { _, ok := services[name]; return !ok })
	return append(names, rest...)
}

// deciding are the labels that say whether, and within which bounds, a service is scaled.
func deciding() []string {
	return []string{catalog.Notify, catalog.Prefix + "scale", catalog.Prefix + "scaleMin", catalog.Prefix + "scaleMax"}
}

// judge finds out from what the file deploys whether a service is scaled, and what number
// its bounds allow. Labels at fault bound nothing: the scaler goes on with those that it
// has accepted, so the number stays as it is.
func (t *target) judge(deploy map[string]any, variable func(string) (string, bool)) (bool, error) {
	what := "services." + t.name + ".deploy"
	s := catalog.Service{ID: t.full, Name: t.full, Mode: catalog.Replicated, Labels: map[string]string{}}
	for name, text := range labelsOf(deploy["labels"]) {
		if !slices.Contains(deciding(), name) {
			continue
		}
		value, missing := interpolate(text, variable)
		if missing != "" {
			return false, &Refusal{What: fmt.Sprintf("%s.labels: %s=%s", what, name, text), Why: "depends on the variable " + missing + ", which is not set here"}
		}
		s.Labels[name] = value
	}
	if mode := deploy["mode"]; mode != nil {
		value, missing := interpolate(fmt.Sprint(mode), variable)
		if missing != "" {
			return false, &Refusal{What: fmt.Sprintf("%s.mode=%v", what, mode), Why: "depends on the variable " + missing + ", which is not set here"}
		}
		s.Mode = catalog.Mode(value)
	}
	// Only what stands in the file bounds: which defaults hold knows the scaler.
	p, err := policy.FromService(s, policy.Defaults{Max: policy.Most, UpBy: 1, DownBy: 1})
	switch {
	case errors.Is(err, policy.ErrNotAsked), errors.Is(err, policy.ErrNotNotified), errors.Is(err, policy.ErrGlobal), errors.Is(err, policy.ErrJob):
		return false, nil
	case err != nil:
		t.fault = err.Error()
		return true, nil
	}
	t.number = min(max(t.live, p.Min), p.Max)
	return !p.Off, nil
}

// labelsOf reads both forms of labels.
func labelsOf(labels any) map[string]string {
	out := map[string]string{}
	switch labels := labels.(type) {
	case map[string]any:
		for name, value := range labels {
			if value == nil {
				value = ""
			}
			out[name] = fmt.Sprint(value)
		}
	case []any:
		for _, entry := range labels {
			name, value, _ := strings.Cut(fmt.Sprint(entry), "=")
			out[name] = value
		}
	}
	return out
}
