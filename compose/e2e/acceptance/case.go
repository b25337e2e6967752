package acceptance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Case is one case of a file.
type Case struct {
	ID, Title string
	// raw is the case as it stands in the file, from which its own process reads it.
	raw json.RawMessage
	// fault is what is wrong with the case itself; such a case fails.
	fault error
}

// ReadFile reads a file of cases. A case that is not of the form is still returned:
// it fails when it is run. An error says that the file as a whole is of no use.
func ReadFile(path string) ([]Case, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		About string            `json:"about"`
		Cases []json.RawMessage `json:"cases"`
	}
	if err := strict(content, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(file.Cases) == 0 {
		return nil, fmt.Errorf("%s: it has no cases", path)
	}
	cases := make([]Case, len(file.Cases))
	for i, raw := range file.Cases {
		var name struct{ ID, Title string }
		errName := json.Unmarshal(raw, &name)
		_, err := parse(raw)
		if name.ID == "" {
			name.ID = fmt.Sprintf("#%d", i+1)
		}
		cases[i] = Case{ID: name.ID, Title: name.Title, raw: raw, fault: errors.Join(errName, err)}
	}
	return cases, nil
}

// script is a case that was read: what is there at the start, and what is done.
type script struct {
	initial []deployment
	env     map[string]string
	// secrets and certs are contents by file name, see world.place.
	secrets, certs map[string]string
	hosts          string
	trust          []string
	raw            bool
	steps          []step
}

// deployment is a service with its labels, the prefix left out.
type deployment struct {
	name   string
	labels map[string]string
}

// step is one thing that is done, and what must come of it.
type step struct {
	what string
	// pause is how long to wait; nothing is done then.
	pause time.Duration
	// polled says that the step may be tried again, because trying changes nothing.
	polled bool
	do     attempt
}

// parse reads a case. What it does not know is an error.
func parse(raw json.RawMessage) (script, error) {
	var form struct {
		ID       string              `json:"id"`
		Kind     string              `json:"kind"`
		Title    string              `json:"title"`
		Env      map[string]string   `json:"env"`
		Secrets  map[string]string   `json:"secrets"`
		Certs    map[string]string   `json:"certs"`
		Hosts    string              `json:"hosts"`
		Trust    []string            `json:"trust"`
		Raw      bool                `json:"raw"`
		Initial  [][]json.RawMessage `json:"initial"`
		Steps    [][]json.RawMessage `json:"steps"`
		Note     string              `json:"note"`
		Original any                 `json:"original"`
	}
	if err := strict(raw, &form); err != nil {
		return script{}, err
	}
	s := script{env: form.Env, secrets: form.Secrets, certs: form.Certs, hosts: form.Hosts, trust: form.Trust, raw: form.Raw}
	if form.ID == "" {
		return s, errors.New("the case has no id")
	}
	if len(form.Steps) == 0 {
		return s, errors.New("the case has no steps")
	}
	if _, err := parseHosts(form.Hosts); err != nil {
		return s, fmt.Errorf("hosts: %w", err)
	}
	for i, args := range form.Initial {
		var d deployment
		if err := fill(args, &d.name, &d.labels); err != nil {
			return s, fmt.Errorf("initial service %d: %w", i+1, err)
		}
		s.initial = append(s.initial, d)
	}
	for i, args := range form.Steps {
		st, err := parseStep(args)
		if err != nil {
			return s, fmt.Errorf("step %d: %w", i+1, err)
		}
		s.steps = append(s.steps, st)
	}
	return s, nil
}

// parseStep reads a step, whose first element is its kind.
func parseStep(args []json.RawMessage) (step, error) {
	var kind string
	if len(args) == 0 || strict(args[0], &kind) != nil {
		return step{}, errors.New("want a list that begins with the kind of the step")
	}
	args = args[1:]
	var (
		s        step
		err      error
		name, at string
		labels   map[string]string
		number   int
		counts   map[string]int
	)
	switch kind {
	case "deploy":
		err = fill(args, &name, &labels)
		s = step{what: kind + " " + name, do: deploy(name, labels, inForce)}
	case "deploy_bad":
		err = fill(args, &name, &labels)
		s = step{what: kind + " " + name, do: deploy(name, labels, refused)}
	case "deploy_any":
		err = fill(args, &name, &labels)
		s = step{what: kind + " " + name, do: deploy(name, labels, settled)}
	case "remove":
		err = fill(args, &name)
		s = step{what: kind + " " + name, do: remove(name)}
	case "req":
		var (
			r request
			e expectation
		)
		if err = fill(args, &r, &e); err == nil {
			err = errors.Join(r.complete(), e.complete())
		}
		s = step{what: kind + " " + r.String(), polled: true, do: r.check(e)}
	case "tcp":
		var ids []string
		err = fill(args, &number, &ids)
		if err == nil && len(ids) == 0 {
			err = errors.New("tcp: want the greetings")
		}
		s = step{what: fmt.Sprintf("%s %d", kind, number), polled: true, do: greetings(number, ids)}
	case "sticky":
		err = fill(args, &at, &name)
		s = step{what: kind + " " + at, polled: true, do: sticky(at, name)}
	case "shares":
		if err = fill(args, &at, &number, &counts); err == nil {
			err = errors.Join(countable(map[string]int{"requests": number}, most), countable(counts, 100))
		}
		s = step{what: kind + " " + at, polled: true, do: shares(at, number, counts)}
	case "together":
		if err = fill(args, &at, &counts); err == nil {
			err = countable(counts, 50)
		}
		s = step{what: kind + " " + at, do: together(at, counts)}
	case "proxyproto":
		err = fill(args, &at, &name)
		s = step{what: kind + " " + at, polled: true, do: proxyProtocol(at, name)}
	case "ws":
		err = fill(args, &at)
		s = step{what: kind + " " + at, do: webSocket(at)}
	case "inflight":
		err = fill(args, &at, &name)
		s = step{what: kind + " " + at, do: inFlight(at, name)}
	case "putcert":
		err = fill(args, &name, &at, &number)
		s = step{what: kind + " " + name, do: putFile(name, at, number)}
	case "putcert_bad":
		err = fill(args, &name, &at)
		s = step{what: kind + " " + name, do: putText(name, at)}
	case "config_lacks":
		err = fill(args, &name)
		s = step{what: kind + " " + name, do: configLacks(name)}
	case "killproxy":
		err = fill(args)
		s = step{what: kind, do: killHAProxy}
	case "hosts":
		if err = fill(args, &name); err == nil {
			_, err = parseHosts(name)
		}
		s = step{what: kind, do: knowHosts(name)}
	case "sleep":
		var seconds float64
		if err = fill(args, &seconds); err == nil && (seconds <= 0 || seconds > 600) {
			err = errors.New("want seconds, at most 600")
		}
		s = step{what: kind, pause: time.Duration(seconds * float64(time.Second))}
	default:
		return step{}, fmt.Errorf("unknown step %q", kind)
	}
	if err != nil {
		return step{}, fmt.Errorf("%s: %w", kind, err)
	}
	return s, nil
}

// fill decodes one value for each target.
func fill(args []json.RawMessage, targets ...any) error {
	if len(args) != len(targets) {
		return fmt.Errorf("it has %d values, want %d", len(args), len(targets))
	}
	for i, target := range targets {
		if err := strict(args[i], target); err != nil {
			return fmt.Errorf("value %d: %w", i+1, err)
		}
	}
	return nil
}

// strict decodes one JSON value and refuses fields that it does not know.
func strict(text []byte, target any) error {
	if strings.TrimSpace(string(text)) == "null" {
		return errors.New("want a value, not null")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(target); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind the value")
	}
	return nil
}
