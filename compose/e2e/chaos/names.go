package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// How the listener and Alertmanager are called by the others, and by whoever takes
// these names on the network of the users' services.
const (
	listenerName     = "waggle_listener"
	alertmanagerName = "waggle_alertmanager"
)

// forged starts a NATS server with a catalog of its own under the listener's name, and
// the listener anew, so that everybody looks for the bus.
func (w *world) forged(ctx context.Context) error {
	if err := w.Program(ctx, "forger", "./chaos/testdata/forger", w.Nodes()...); err != nil {
		return err
	}
	return w.under(ctx, trouble{slack: time.Minute, deaf: true, happens: func(ctx context.Context) error {
		err := w.Create(ctx, stack.Demo{Name: "forger", Image: "forger", Replicas: 1, Unchecked: true, Aliases: []string{listenerName}})
		if err != nil {
			return err
		}
		_, err = w.Running(ctx, "forger", 1)
		if err == nil {
			w.Say("a NATS server that admits everybody and has a catalog of its own is called %s on the network waggle", listenerName)
			err = w.Force(ctx, "waggle_listener")
		}
		if err == nil {
			w.Say("the listener was started anew")
			err = w.believed(ctx)
		}
		return errors.Join(err, w.Remove(context.WithoutCancel(ctx), "forger"))
	}})
}

// believed looks for a while whether a proxy answers what only the forged catalog has.
func (w *world) believed(ctx context.Context) error {
	while := time.Minute
	if w.short {
		while = 15 * time.Second
	}
	seen, last := 0, ""
	for began := time.Now(); time.Since(began) < while; {
		last = ""
		for _, node := range w.Nodes() {
			if w.answers(ctx, node, "/forged", true) == nil {
				last = node
				seen++
			}
		}
		if err := tooltest.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
	w.Say("the forged route was answered %d times in %s of looking once a second", seen, while)
	if last != "" {
		w.Fault("after %s %s answers what only the forged catalog has", while, last)
	}
	return nil
}

// takenAlertmanager starts somebody who listens under Alertmanager's name and does nothing, and
// then a service whose alert asks for another replica.
func (w *world) takenAlertmanager(ctx context.Context) error {
	return w.under(ctx, trouble{slack: time.Minute, happens: func(ctx context.Context) error {
		err := w.Create(ctx, stack.Demo{
			Name: "taker", Replicas: 1, Unchecked: true, Aliases: []string{alertmanagerName}, Args: []string{"-addr", ":9093"},
		})
		if err != nil {
			return err
		}
		if _, err = w.Running(ctx, "taker", 1); err == nil {
			w.Say("somebody is called %s on the network waggle, and listens at its port", alertmanagerName)
			// Whoever looked before looks again.
			err = w.Force(ctx, "waggle_monitor")
		}
		if err == nil {
			err = w.scaledByAlert(ctx)
		}
		return errors.Join(err, w.Remove(context.WithoutCancel(ctx), "taker"))
	}})
}

// scaledByAlert creates a service whose alert fires at once.
func (w *world) scaledByAlert(ctx context.Context) error {
	const name = "alarmed"
	err := w.Create(ctx, stack.Demo{Name: name, Replicas: 1, Unchecked: true, Labels: stack.Labels("/"+name, "scrapePort", "8080", "scrapeInterval", "1s",
		"alertName", "always", "alertIf", "vector(1) > 0", "alertLabels", "scale=up,type=service", "scaleMin", "1", "scaleMax", "2")})
	if err != nil {
		return err
	}
	took, err := poll(ctx, 90*time.Second, "the alert to scale", func(ctx context.Context) error {
		tasks, err := w.Tasks(ctx, name)
		if err == nil && len(tasks) < 2 {
			err = fmt.Errorf("%d task", len(tasks))
		}
		return err
	})
	if err != nil {
		w.Fault("%v", err)
	} else {
		w.Say("a service whose alert fires got its second replica %s after it was created", seconds(took))
	}
	return w.Remove(ctx, name)
}
