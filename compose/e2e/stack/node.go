package stack

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// PowerOff cuts the power of a node: its engine, tasks and network are gone at once, and
// nobody is told.
func (s *Stack) PowerOff(node string) error { return s.lab.Node(node).Kill() }

// PowerOn starts a node again and returns when Swarm calls it ready.
func (s *Stack) PowerOn(ctx context.Context, node string) error {
	if err := s.lab.Node(node).Start(ctx); err != nil {
		return err
	}
	return s.NodeReady(ctx, node)
}

// NodeReady waits until Swarm calls a node ready.
func (s *Stack) NodeReady(ctx context.Context, node string) error {
	return tooltest.Poll(ctx, tooltest.Slowly, node+" to be ready", func(context.Context) error {
		state, err := s.Docker(ctx, "node", "inspect", "-f", "{{.Status.State}}", node)
		if err == nil && state != "ready" {
			err = fmt.Errorf("it is %s", state)
		}
		return err
	})
}

// Unplug takes the cable of a node out, and Plug puts it in again. What runs there goes on.
func (s *Stack) Unplug(node string) error { return s.lab.Node(node).Cut() }

// Plug puts the cable of a node in again.
func (s *Stack) Plug(node string) error { return s.lab.Node(node).Mend() }

// Drain moves all tasks off a node, and returns when none of a service is left there.
// Activate lets tasks come again.
func (s *Stack) Drain(ctx context.Context, node, service string) error {
	if _, err := s.Docker(ctx, "node", "update", "--availability", "drain", node); err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "tasks to leave "+node, func(context.Context) error {
		out, err := s.lab.Node(node).Docker(ctx, "ps", "-q", "--filter", "label=com.docker.swarm.service.name="+service)
		if err == nil && out != "" {
			err = fmt.Errorf("%d are there", len(strings.Fields(out)))
		}
		return err
	})
}

// Activate ends a drain.
func (s *Stack) Activate(ctx context.Context, node string) error {
	_, err := s.Docker(ctx, "node", "update", "--availability", "active", node)
	return err
}

// Here is the address at which the nodes and their tasks reach this process.
func (s *Stack) Here() string { return s.lab.HostAddr() }

// InDNS returns the addresses that a service has in the DNS of its network, as the proxy
// of the manager is told.
func (s *Stack) InDNS(ctx context.Context, service string) ([]string, error) {
	dial, err := s.Within(ctx, s.manager, "waggle_proxy")
	if err != nil {
		return nil, err
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, "127.0.0.11:53")
	}}
	return resolver.LookupHost(ctx, "tasks."+service+".")
}
