package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Buses connects to the bus as the listener, once to each of its servers and to no other.
func (s *Stack) Buses(ctx context.Context) ([]*bus.Bus, error) { return s.BusesAs(ctx, "listener") }

// BusesAs is Buses for another component.
func (s *Stack) BusesAs(ctx context.Context, component string) ([]*bus.Bus, error) {
	urls := s.servers()
	if !s.options.NATS {
		url, err := s.tunnel(ctx, "waggle_listener", natsPort)
		if err != nil {
			return nil, err
		}
		urls = []string{url}
	}
	var buses []*bus.Bus
	for _, url := range urls {
		b, err := bus.Connect(bus.Options{URL: url, Only: true, Component: component, Key: s.keys[component], Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		buses = append(buses, b)
	}
	return buses, nil
}

// Key is the secret of a component on the bus, and Servers are the addresses of the
// NATS servers.
func (s *Stack) Key(component string) string { return s.keys[component] }

// Servers are separated by commas.
func (s *Stack) Servers() string { return strings.Join(s.servers(), ",") }

// tunnel listens on this machine until the context ends, and leads each connection to a port
// of a service's task, wherever that runs at the time.
func (s *Stack) tunnel(ctx context.Context, service string, port int) (string, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go tooltest.Accept(listener, func(near net.Conn) {
		far, err := s.dialTask(ctx, service, port)
		if err != nil {
			return // Whoever has connected sees it by the end of the connection.
		}
		defer far.Close()
		couple(near, far)
	})
	return "tls://" + listener.Addr().String(), nil
}

func (s *Stack) dialTask(ctx context.Context, service string, port int) (net.Conn, error) {
	node, err := s.Home(ctx, service)
	if err != nil {
		return nil, err
	}
	dial, err := s.Within(ctx, node, service)
	if err != nil {
		return nil, err
	}
	return dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

// couple copies both ways until either side ends.
func couple(a, b net.Conn) {
	var wait sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wait.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // An end by an error is an end.
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	wait.Wait()
}

// Place is a container of a service.
type Place struct{ Node, Container string }

// Places are all running containers of a service on these nodes.
func (s *Stack) Places(ctx context.Context, service string, nodes ...string) ([]Place, error) {
	var places []Place
	for _, node := range nodes {
		out, err := s.lab.Node(node).Docker(ctx, "ps", "-q", "--no-trunc", "--filter", "label=com.docker.swarm.service.name="+service, "--filter", "status=running")
		if err != nil {
			return nil, err
		}
		for id := range strings.FieldsSeq(out) {
			places = append(places, Place{node, id})
		}
	}
	return places, nil
}

// Signal sends a signal to all processes of a container, and fails if there is none.
func (s *Stack) Signal(ctx context.Context, p Place, sig syscall.Signal) error {
	processes, err := s.lab.Processes(ctx, p.Node, p.Container)
	if err != nil {
		return err
	}
	// A health check that is under way is no process of the service.
	processes = slices.DeleteFunc(processes, func(p proc.Process) bool { return slices.Contains(p.Args, "-healthcheck") })
	if len(processes) == 0 {
		return fmt.Errorf("%s on %s has no process", p.Container, p.Node)
	}
	for _, process := range processes {
		if failed := syscall.Kill(process.PID, sig); failed != nil && !errors.Is(failed, syscall.ESRCH) {
			err = errors.Join(err, failed)
		}
	}
	return err
}
