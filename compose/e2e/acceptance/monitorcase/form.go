package monitorcase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// The subjects of cases.
const (
	monitor  = "monitor"
	listener = "listener"
)

// caseDir is the folder of a case, which its texts call @dir.
const caseDir = acceptance.Hall + "/case"

// Form is the form of the monitor's cases.
func Form() acceptance.Form {
	steps := map[string]acceptance.Reader{}
	maps.Copy(steps, changes())
	maps.Copy(steps, judgements())
	return acceptance.Form{
		Name: monitor, Builds: []string{monitor, listener}, Tools: []string{"prometheus", "promtool"}, Steps: steps, Read: read,
	}
}

// attempt does one step.
type attempt func(context.Context, *world) error

// step is one that is done once.
func step(about string, of subjects, do attempt) acceptance.Step {
	return acceptance.Step{About: about, Do: func(ctx context.Context, any acceptance.World) error {
		w := any.(*world)
		if !of.has(w.Subject) {
			return tooltest.Final(fmt.Errorf("it is no step of a case of the %s", w.Subject))
		}
		return do(ctx, w)
	}}
}

// The subjects of steps, as bits.
const (
	monitorAlone subjects = 1 << iota
	listenerOnly
	both = monitorAlone | listenerOnly
)

type subjects int

// has reports whether a subject is one of them.
func (s subjects) has(subject string) bool {
	return subject == monitor && s&monitorAlone != 0 || subject == listener && s&listenerOnly != 0
}

// fill decodes the values of a step, in which @dir is the case's folder.
func fill(values []json.RawMessage, targets ...any) error {
	own := make([]json.RawMessage, len(values))
	for i, v := range values {
		own[i] = withDir(v)
	}
	return acceptance.Fill(own, targets...)
}

func withDir(text []byte) []byte { return bytes.ReplaceAll(text, []byte("@dir"), []byte(caseDir)) }

// changes are the steps that change something.
func changes() map[string]acceptance.Reader {
	return map[string]acceptance.Reader{
		"service": func(values []json.RawMessage) (acceptance.Step, error) {
			var svc Service
			err := fill(values, &svc)
			if err == nil {
				err = svc.check()
			}
			return step(svc.Name, both, func(ctx context.Context, w *world) error {
				w.swarm.service(svc)
				return w.publish(ctx)
			}), err
		},
		"remove": func(values []json.RawMessage) (acceptance.Step, error) {
			var name string
			err := fill(values, &name)
			return step(name, both, func(ctx context.Context, w *world) error {
				w.swarm.remove(name)
				return w.publish(ctx)
			}), err
		},
		"node": func(values []json.RawMessage) (acceptance.Step, error) {
			var n Node
			err := fill(values, &n)
			if err == nil {
				err = n.check()
			}
			return step(n.ID, both, func(ctx context.Context, w *world) error {
				w.swarm.node(n)
				return w.publish(ctx)
			}), err
		},
		"burst": burst,
		"config": func(values []json.RawMessage) (acceptance.Step, error) {
			var c change
			err := fill(values, &c)
			return step("", both, func(ctx context.Context, w *world) error { return w.restart(ctx, c) }), err
		},
		"start_fails": func(values []json.RawMessage) (acceptance.Step, error) {
			var c change
			var texts []string
			err := fill(values, &c, &texts)
			if err == nil && len(texts) == 0 {
				err = errors.New("want texts of the error")
			}
			return step("", monitorAlone, func(ctx context.Context, w *world) error { return w.startFails(ctx, c, texts) }), err
		},
		"bus": func(values []json.RawMessage) (acceptance.Step, error) {
			var word string
			err := fill(values, &word)
			if err == nil && !slices.Contains([]string{"down", "up", "empty"}, word) {
				err = fmt.Errorf("%q: want down, up or empty", word)
			}
			return step(word, monitorAlone, func(ctx context.Context, w *world) error { return w.setBus(ctx, word) }), err
		},
		"exporter": func(values []json.RawMessage) (acceptance.Step, error) {
			var address string
			var e exporter
			err := fill(values, &address, &e)
			return step(address, monitorAlone, func(ctx context.Context, w *world) error { return w.exporters.serve(ctx, address, e) }), err
		},
		"docker": func(values []json.RawMessage) (acceptance.Step, error) {
			var word string
			err := fill(values, &word)
			if err == nil && word != "no_leader" && word != "ok" {
				err = fmt.Errorf("%q: want no_leader or ok", word)
			}
			return step(word, listenerOnly, func(_ context.Context, w *world) error {
				w.docker.leaderless(word == "no_leader")
				return nil
			}), err
		},
		"mark": func(values []json.RawMessage) (acceptance.Step, error) {
			return step("", both, func(_ context.Context, w *world) error { return w.reloads.mark() }), fill(values)
		},
		"sleep": func(values []json.RawMessage) (acceptance.Step, error) {
			var seconds float64
			err := fill(values, &seconds)
			if err == nil && (seconds < 0 || seconds > 600) {
				err = errors.New("want seconds, at most 600")
			}
			return step("", both, func(ctx context.Context, _ *world) error {
				return tooltest.Pause(ctx, time.Duration(seconds*float64(time.Second)))
			}), err
		},
	}
}

// burst gives a service one form after another.
func burst(values []json.RawMessage) (acceptance.Step, error) {
	var raw json.RawMessage
	var n, ms float64
	if err := fill(values, &raw, &n, &ms); err != nil {
		return acceptance.Step{}, err
	}
	if n < 1 || n != float64(int(n)) || ms < 0 {
		return acceptance.Step{}, errors.New("want how often, and milliseconds")
	}
	if !bytes.Contains(raw, []byte("%d")) {
		return acceptance.Step{}, errors.New("no text has %d")
	}
	all := make([]Service, int(n))
	for i := range all {
		if err := acceptance.Strict(bytes.ReplaceAll(raw, []byte("%d"), []byte(strconv.Itoa(i+1))), &all[i]); err != nil {
			return acceptance.Step{}, err
		}
		if err := all[i].check(); err != nil {
			return acceptance.Step{}, err
		}
	}
	return step(all[0].Name, monitorAlone, func(ctx context.Context, w *world) error {
		for i, svc := range all {
			if i > 0 {
				if err := tooltest.Pause(ctx, time.Duration(ms)*time.Millisecond); err != nil {
					return err
				}
			}
			w.swarm.service(svc)
			if err := w.publish(ctx); err != nil {
				return err
			}
		}
		return nil
	}), nil
}
