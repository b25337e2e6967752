package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// closed has a container on the users' network try every port on which somebody listens in a
// container of Waggle that is there too.
func (w *world) closed(ctx context.Context) error {
	if err := w.Create(ctx, stack.Demo{Name: liar, Replicas: 1, Unchecked: true, Node: stack.Manager}); err != nil {
		return err
	}
	err := w.under(ctx, func(ctx context.Context) error {
		if _, err := w.Running(ctx, liar, 1); err != nil {
			return err
		}
		for _, node := range w.Nodes() {
			for service, open := range map[string][]uint16{"waggle_proxy": {80, 443}, "waggle_monitor": nil} {
				if _, err := w.Container(ctx, node, service); err != nil {
					continue // The monitor runs on one node.
				}
				if err := w.tried(ctx, node, service, open); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return errors.Join(err, w.Remove(context.WithoutCancel(ctx), liar))
}

// tried connects from the liar to the ports of a service's task.
func (w *world) tried(ctx context.Context, node, service string, open []uint16) error {
	address, err := w.address(ctx, node, service, "waggle")
	if err != nil {
		return err
	}
	listening, err := w.listening(ctx, node, service)
	if err != nil {
		return err
	}
	dial, err := w.Within(ctx, stack.Manager, liar)
	if err != nil {
		return err
	}
	var answering []uint16
	for _, l := range listening {
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		conn, err := dial(limited, "tcp", net.JoinHostPort(address, fmt.Sprint(l.Port())))
		cancel()
		if err == nil {
			_ = conn.Close()
			answering = append(answering, l.Port())
		}
	}
	slices.Sort(answering)
	answering = slices.Compact(answering)
	w.Say("%s on %s listens on %d addresses; from the users' network answer %v", service, node, len(listening), answering)
	for _, port := range answering {
		if !slices.Contains(open, port) {
			w.Fault("port %d of %s on %s answers on the users' network", port, service, node)
		}
	}
	if len(open) > 0 && !slices.Contains(answering, open[0]) {
		w.Fault("port %d of %s on %s does not answer, so nothing is shown", open[0], service, node)
	}
	return nil
}
