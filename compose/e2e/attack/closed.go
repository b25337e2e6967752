package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// closed has a container on the users' network try every port on which somebody listens in a
// container of Waggle that is there too, and looks at what containers of Waggle may do.
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
		return errors.Join(w.joined(ctx), w.confined(ctx))
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

// joined has a foreign service join the control network, which Swarm cannot keep it from.
func (w *world) joined(ctx context.Context) error {
	const intruder = "intruder"
	demo, err := w.Docker(ctx, "service", "inspect", "-f", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", liar)
	if err != nil {
		return err
	}
	if _, err := w.Docker(ctx, "service", "create", "--detach", "--name", intruder, "--network", "waggle_control", "--no-healthcheck", demo); err != nil {
		return err
	}
	if err := poll(ctx, told, "the listener to name the service on the control network", func(ctx context.Context) error {
		if said := w.Logs(ctx, "waggle_listener"); !strings.Contains(said, intruder) {
			return errors.New("its log does not")
		}
		return nil
	}); err != nil {
		w.Fault("%v", err)
	}
	return w.Remove(ctx, intruder)
}

// confined wants containers of Waggle to have no capability but those that are named in the
// stack file, and a file system that they cannot write to.
func (w *world) confined(ctx context.Context) error {
	for _, service := range []string{"listener", "proxy", "monitor", "scaler", "alertmanager"} {
		places, err := w.Places(ctx, "waggle_"+service, w.Nodes()...)
		if err != nil {
			return err
		}
		for _, p := range places {
			out, err := w.Node(p.Node).Docker(ctx, "inspect", "-f", "{{.HostConfig.CapDrop}} {{.HostConfig.ReadonlyRootfs}}", p.Container)
			if err != nil {
				return err
			}
			if out != "[ALL] true" {
				w.Fault("the %s on %s: dropped capabilities and a root that is only read are %s, want [ALL] true", service, p.Node, out)
			}
		}
	}
	return nil
}
