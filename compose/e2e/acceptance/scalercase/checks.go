package scalercase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

// see calls f with a service as it is.
func (s *swarm) see(name string, f func(*service) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.services[name]
	if svc == nil {
		return fmt.Errorf("there is no service %s", name)
	}
	return f(svc)
}

func readReplicas(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var n uint64
	err := acceptance.Fill(values, &name, &n)
	s, errName := each(name, func(_ context.Context, w *world, name string) error {
		return w.swarm.see(name, func(svc *service) error {
			if got, _ := replicasOf(svc.spec); got != n {
				return fmt.Errorf("it has %d replicas, want %d (the scaler wrote %v)", got, n, svc.changes)
			}
			return nil
		})
	})
	return s, errors.Join(err, errName)
}

func readChanges(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var want []uint64
	err := acceptance.Fill(values, &name, &want)
	s, errName := each(name, func(_ context.Context, w *world, name string) error {
		return w.swarm.see(name, func(svc *service) error {
			if !slices.Equal(svc.changes, want) {
				return fmt.Errorf("the scaler wrote %v, want %v", svc.changes, want)
			}
			return nil
		})
	})
	return s, errors.Join(err, errName)
}

func readSpec(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var want specOptions
	err := acceptance.Fill(values, &name, &want)
	s, errName := each(name, func(_ context.Context, w *world, name string) error {
		return w.swarm.see(name, func(svc *service) error {
			got, _ := replicasOf(svc.spec)
			if image := imageOf(svc.spec); want.Image != "" && image != want.Image || want.Replicas != nil && got != *want.Replicas {
				return fmt.Errorf("it is %s with %d replicas", image, got)
			}
			return nil
		})
	})
	return s, errors.Join(err, errName)
}

func readSpread(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var want map[string]int
	err := acceptance.Fill(values, &name, &want)
	s, errName := each(name, func(_ context.Context, w *world, name string) error {
		return w.swarm.see(name, func(svc *service) error {
			got := map[string]int{}
			for node := range want {
				got[node] = 0
			}
			for _, t := range svc.tasks {
				if t.state == running {
					got[t.node]++
				}
			}
			if !maps.Equal(got, want) {
				return fmt.Errorf("its tasks run on %v, want %v", got, want)
			}
			return nil
		})
	})
	return s, errors.Join(err, errName)
}

// decisions are those about a service, oldest first.
func (w *world) decisions(ctx context.Context, name string) ([]decided, string, error) {
	status, body, err := w.ask(ctx, http.MethodGet, "/v1/decisions?"+url.Values{"service": {name}, "limit": {"1000"}}.Encode(), nil, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the decisions: status %d: %s", status, body)
	}
	var all []decided
	if err == nil {
		err = json.Unmarshal(body, &all)
	}
	slices.Reverse(all)
	var text bytes.Buffer
	for _, d := range all {
		from, to := uint64(0), uint64(0)
		if d.From != nil && d.To != nil {
			from, to = *d.From, *d.To
		}
		fmt.Fprintf(&text, "; %s %s %d-%d %s", d.Code, d.Want, from, to, d.Reason)
	}
	return all, text.String(), err
}

func readDecision(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var want decisionOptions
	err := acceptance.Fill(values, &name, &want)
	if want.Code == "" {
		err = errors.Join(err, errors.New("want a code"))
	}
	s, errName := each(name, func(ctx context.Context, w *world, name string) error {
		all, text, err := w.decisions(ctx, name)
		if err != nil {
			return err
		}
		for i, d := range all {
			if i >= w.found[name] && d.Code == want.Code && (want.Want == "" || d.Want == want.Want) && isNumber(want.From, d.From) && isNumber(want.To, d.To) &&
				(contains(d.Reason, want.Reason) || contains(d.Message, want.Reason)) {
				w.found[name] = i + 1
				return nil
			}
		}
		return fmt.Errorf("no such decision behind the first %d of these%s", w.found[name], text)
	})
	return s, errors.Join(err, errName)
}

func readNoDecision(values []json.RawMessage) (acceptance.Step, error) {
	var name, code string
	err := fill(values, &name, &code)
	s, errName := each(name, func(ctx context.Context, w *world, name string) error {
		all, text, err := w.decisions(ctx, name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(d decided) bool { return code == "" || d.Code == code }) {
			return fmt.Errorf("there is one among these%s", text)
		}
		return nil
	})
	return s, errors.Join(err, errName)
}

func readStatus(values []json.RawMessage) (acceptance.Step, error) {
	var name string
	var want statusOptions
	err := acceptance.Fill(values, &name, &want)
	err = errors.Join(err, among("state", want.State, "", "applied", "degraded", "rejected", "ignored"))
	s, errName := each(name, func(ctx context.Context, w *world, name string) error {
		status, body, err := w.ask(ctx, http.MethodGet, "/v1/services/"+url.PathEscape(name), nil, nil)
		if err != nil {
			return err
		}
		var got statusOptions
		if status != http.StatusOK || json.Unmarshal(body, &got) != nil {
			return fmt.Errorf("status %d: %s", status, body)
		}
		if want.State != "" && got.State != want.State || want.Label != "" && got.Label != want.Label || !contains(got.Reason, want.Reason) || !contains(got.Hint, want.Hint) {
			return fmt.Errorf("it is %+v", got)
		}
		return nil
	})
	return s, errors.Join(err, errName)
}

func readTold(values []json.RawMessage) (acceptance.Step, error) {
	var want toldOptions
	err := acceptance.Fill(values, &want)
	s, errName := each(want.Service, func(_ context.Context, w *world, name string) error {
		one := want
		one.Service = name
		got := w.told.matching(one)
		if want.Times != nil && got != *want.Times || want.Times == nil && got == 0 {
			return fmt.Errorf("it was told %d times: %s", got, w.told.all(name))
		}
		return nil
	})
	return s, errors.Join(err, errName, among("status", want.Status, "", "success", "error"))
}

func readNotTold(values []json.RawMessage) (acceptance.Step, error) {
	var want toldOptions
	err := acceptance.Fill(values, &want)
	if want.Times != nil {
		err = errors.Join(err, errors.New("times is for told"))
	}
	s, errName := each(want.Service, func(_ context.Context, w *world, name string) error {
		one := want
		one.Service = name
		if got := w.told.matching(one); got > 0 {
			return fmt.Errorf("it was told %d times: %s", got, w.told.all(name))
		}
		return nil
	})
	return s, errors.Join(err, errName, among("status", want.Status, "", "success", "error"))
}

func readCalls(values []json.RawMessage) (acceptance.Step, error) {
	var most int
	err := acceptance.Fill(values, &most)
	return step("", func(_ context.Context, w *world) error {
		if got := w.swarm.called() - w.calls; got > most {
			return fmt.Errorf("%d calls of Docker, want %d at most", got, most)
		}
		return nil
	}), err
}

func readQueries(values []json.RawMessage) (acceptance.Step, error) {
	var most int
	err := acceptance.Fill(values, &most)
	return step("", func(_ context.Context, w *world) error {
		if got := w.prom.asked() - w.queries; got > most {
			return fmt.Errorf("%d queries to Prometheus, want %d at most", got, most)
		}
		return nil
	}), err
}

// simulated is what a simulation must come to.
type simulated struct {
	Most          *uint64         `json:"most"`
	Least         *uint64         `json:"least"`
	End           json.RawMessage `json:"end"`
	By            json.RawMessage `json:"by"`
	ChangesAtMost *int            `json:"changes_at_most"`

	end   []uint64
	by    uint64
	until time.Duration
}

func (s *simulated) read() error {
	var errs []error
	if len(s.End) > 0 && json.Unmarshal(s.End, &s.end) != nil {
		s.end = []uint64{0}
		errs = append(errs, acceptance.Strict(s.End, &s.end[0]))
	}
	if len(s.By) > 0 {
		var pair []json.RawMessage
		var until span
		errs = append(errs, acceptance.Strict(s.By, &pair), acceptance.Fill(pair, &s.by, &until))
		s.until = time.Duration(until)
	}
	return errors.Join(errs...)
}

// simulation is what is asked of waggle-scaler simulate.
type simulation struct {
	Labels   map[string]string `json:"labels"`
	Replicas uint64            `json:"replicas"`
	Start    span              `json:"start"`
	Range    span              `json:"range"`
	Delay    span              `json:"delay"`
	Noise    float64           `json:"noise"`
	Up       *float64          `json:"up"`
	Down     *float64          `json:"down"`
	Load     []json.RawMessage `json:"load"`
	For      span              `json:"for"`
}

func readSimulate(values []json.RawMessage) (acceptance.Step, error) {
	var o simulation
	var want simulated
	err := acceptance.Fill(values, &o, &want)
	err = errors.Join(err, want.read())
	if len(values) == 0 {
		return acceptance.Step{}, err
	}
	asked := values[0]
	return step("", func(ctx context.Context, w *world) error {
		for seed := range 3 {
			if err := w.simulate(ctx, asked, seed, want); err != nil {
				return fmt.Errorf("with seed %d: %w", seed, err)
			}
		}
		return nil
	}), err
}

// simulate runs the program on what is asked, as a file.
func (w *world) simulate(ctx context.Context, asked []byte, seed int, want simulated) error {
	file := filepath.Join(acceptance.Hall, "simulation.json") // other cases run beside this one
	if err := os.WriteFile(file, asked, 0o600); err != nil {
		return err
	}
	out, err := w.run(ctx, "simulate", "-json", "-seed", fmt.Sprint(seed), file)
	if err != nil {
		return err
	}
	var got struct {
		Least, Most, End uint64
		Changes          []struct {
			At string
			To uint64
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	isReached := len(want.By) == 0 || begins(asked) >= want.by
	for _, c := range got.Changes {
		at, err := time.ParseDuration(c.At)
		if err != nil {
			return err
		}
		isReached = isReached || c.To >= want.by && at <= want.until
	}
	if want.Most != nil && got.Most > *want.Most || want.Least != nil && got.Least < *want.Least || len(want.end) > 0 && !slices.Contains(want.end, got.End) ||
		!isReached || want.ChangesAtMost != nil && len(got.Changes) > *want.ChangesAtMost {
		return fmt.Errorf("it came to %s", out)
	}
	return nil
}

// begins is the number at the beginning of a simulation.
func begins(asked []byte) uint64 {
	var s simulation
	_ = json.Unmarshal(asked, &s) // it was read before
	return s.Replicas
}

// run runs the scaler's program, beside the recorded swarm.
func (w *world) run(ctx context.Context, args ...string) ([]byte, error) {
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, w.scaler, args...)
	cmd.Env = []string{"DOCKER_HOST=unix://" + filepath.Join(acceptance.Hall, "reader.sock")}
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("waggle-scaler %s: %w: %s", args[0], err, errOut.String())
	}
	return out.Bytes(), nil
}

func readKeep(values []json.RawMessage) (acceptance.Step, error) {
	var stack, before, after string
	err := acceptance.Fill(values, &stack, &before, &after)
	return step(stack, func(ctx context.Context, w *world) error {
		file := filepath.Join(acceptance.Hall, "stack.yml") // other cases run beside this one
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			return err
		}
		out, err := w.run(ctx, "keep", "-stack", stack, file)
		if err == nil && string(out) != after {
			err = fmt.Errorf("it is now %q", out)
		}
		return err
	}), err
}
