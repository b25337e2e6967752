package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// signal sends a signal to the processes of a service's task whose command line
// holds all of these words, and fails if there is none.
func (s *Stack) signal(ctx context.Context, node, service string, sig syscall.Signal, words ...string) error {
	all, err := s.Processes(ctx, node, service, words...)
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := syscall.Kill(p.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%v for %s: %w", sig, p.Command(), err)
		}
	}
	return nil
}

// Processes returns the processes of a service's task whose command line holds all of these
// words, with the numbers that they have on this machine; none is an error.
func (s *Stack) Processes(ctx context.Context, node, service string, words ...string) ([]proc.Process, error) {
	container, err := s.Container(ctx, node, service)
	if err != nil {
		return nil, err
	}
	all, err := s.lab.Processes(ctx, node, container)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(slices.Clone(all), func(p proc.Process) bool {
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(p.Command(), w) })
	})
	if len(found) == 0 {
		return nil, fmt.Errorf("%s on %s has no process %q; its processes: %v", service, node, words, all)
	}
	return found, nil
}

// Kill is a process that is killed.
type Kill struct {
	// Name says which it is, Service is what it belongs to, without the stack.
	Name, Service string
	// Words are in its command line.
	Words []string
	// Outage is how long nobody may listen at port 80; 0 means that no request may fail.
	Outage time.Duration
}

// Kills are all that are tried.
func Kills() []Kill {
	return []Kill{
		{Name: "listener", Service: "listener", Words: []string{"waggle-listener"}},
		{Name: "controller of the proxy", Service: "proxy", Words: []string{"waggle-proxy", "-controller"}},
		{Name: "Prometheus", Service: "monitor", Words: []string{"prometheus", "--config.file"}},
		{Name: "monitor", Service: "monitor", Words: []string{"waggle-monitor"}},
		{Name: "scaler", Service: "scaler", Words: []string{"waggle-scaler"}},
		{Name: "HAProxy", Service: "proxy", Words: []string{"haproxy.cfg"}, Outage: 500 * time.Millisecond},
	}
}

// Kill sends SIGKILL to it, on the manager where it runs on every node.
func (s *Stack) Kill(ctx context.Context, k Kill) error {
	node, err := s.Home(ctx, "waggle_"+k.Service)
	if err != nil {
		return err
	}
	return s.signal(ctx, node, "waggle_"+k.Service, syscall.SIGKILL, k.Words...)
}

// Outage kills, and returns after how long port 80 of the manager is listening
// again, which is 0 if it never ceased to.
func (s *Stack) Outage(ctx context.Context, k Kill) (time.Duration, error) {
	if err := s.Kill(ctx, k); err != nil {
		return 0, err
	}
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	silent := false
	for {
		conn, err := s.lab.DialContext(ctx, "tcp", net.JoinHostPort(Manager, "80"))
		if err == nil {
			_ = conn.Close()
			if silent {
				return time.Since(began), nil
			}
			if time.Since(began) > time.Second {
				return 0, nil
			}
		}
		silent = silent || err != nil
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("port 80 of %s: %w", Manager, ctx.Err())
		case <-tick.C:
		}
	}
}

// LoseStore takes the bus's store away while the listener is down, does what is to
// be done meanwhile, and lets the listener start again.
func (s *Stack) LoseStore(ctx context.Context, meanwhile func() error) error {
	node, err := s.Home(ctx, "waggle_listener")
	if err != nil {
		return err
	}
	if err := s.listenerDown(ctx); err != nil {
		return err
	}
	volume := s.lab.Node(node).Volume("waggle_listener")
	entries, err := os.ReadDir(volume)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("%s is empty already", volume)
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(volume, e.Name())))
	}
	if err == nil {
		err = meanwhile()
	}
	return errors.Join(err, s.Scale(ctx, "waggle_listener", 1))
}

func (s *Stack) listenerDown(ctx context.Context) error {
	if err := s.Scale(ctx, "waggle_listener", 0); err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "the listener to be down", func(context.Context) error {
		n, err := s.Containers(ctx, "waggle_listener")
		if err == nil && n > 0 {
			err = errors.New("it runs")
		}
		return err
	})
}

// Containers returns how many containers of a service run on all nodes.
func (s *Stack) Containers(ctx context.Context, service string) (int, error) {
	n := 0
	for _, node := range s.lab.Nodes() {
		out, err := node.Docker(ctx, "ps", "-q", "--filter", "label=com.docker.swarm.service.name="+service)
		if err != nil {
			return 0, err
		}
		n += len(strings.Fields(out))
	}
	return n, nil
}

// Part is what can be away while labels change.
type Part string

// The parts. The controller alone can be away without anybody noticing, the proxy
// as a whole serves nothing on its node meanwhile.
const (
	Listener   Part = "listener"
	Controller Part = "controller of the proxy"
	Proxy      Part = "proxy"
)

// Parts are all of them.
func Parts() []Part { return []Part{Listener, Controller, Proxy} }

// Catch is a part that is away while one service is created, one relabelled and one
// removed.
type Catch struct {
	Part Part
	// Suffix makes names different from one time to the next.
	Suffix string
}

func (c Catch) created() string    { return "created" + c.Suffix }
func (c Catch) relabelled() string { return "relabelled" + c.Suffix }
func (c Catch) removed() string    { return "removed" + c.Suffix }

// PrepareCatch makes the services that are to be changed.
func (s *Stack) PrepareCatch(ctx context.Context, c Catch) error {
	for _, name := range []string{c.relabelled(), c.removed()} {
		if err := s.Create(ctx, Demo{Name: name, Replicas: 1, Unchecked: true, Labels: Labels("/" + name)}); err != nil {
			return err
		}
		if _, err := s.Since(ctx, Manager, "/"+name, Answered); err != nil {
			return err
		}
	}
	return nil
}

// EndCatch removes what is left.
func (s *Stack) EndCatch(ctx context.Context, c Catch) error {
	return errors.Join(s.Remove(ctx, c.created()), s.Remove(ctx, c.relabelled()))
}

func (s *Stack) change(ctx context.Context, c Catch) error {
	if err := errors.Join(
		s.Create(ctx, Demo{Name: c.created(), Replicas: 1, Unchecked: true, Labels: Labels("/" + c.created())}),
		s.Relabel(ctx, c.relabelled(), Labels("/new-"+c.relabelled())),
		s.Remove(ctx, c.removed()),
	); err != nil {
		return err
	}
	_, err := s.Running(ctx, c.created(), 1)
	return err
}

// CatchUp lets a part be away while the services change, and returns how long after
// its return the manager's proxy was right on all three. The controller returns when
// its process is started, the proxy when its container is. The listener returns when
// its task runs: before that Swarm has not found it healthy, which takes a second, and
// does not tell its name to those that look for it.
func (s *Stack) CatchUp(ctx context.Context, c Catch) (time.Duration, error) {
	var err error
	var returned func() (time.Time, error)
	switch c.Part {
	case Listener:
		returned, err = s.awayListener(ctx, c)
	case Controller:
		returned, err = s.awayController(ctx, c)
	case Proxy:
		returned, err = s.awayProxy(ctx, c)
	default:
		err = fmt.Errorf("no part %s", c.Part)
	}
	if err != nil {
		return 0, err
	}
	var last time.Time
	for path, want := range map[string]func(int) bool{
		"/" + c.created(): Answered, "/new-" + c.relabelled(): Answered, "/" + c.relabelled(): Gone, "/" + c.removed(): Gone,
	} {
		at, err := s.Since(ctx, Manager, path, want)
		if err != nil {
			return 0, err
		}
		if at.After(last) {
			last = at
		}
	}
	// A route without tasks looks like none from outside.
	err = tooltest.Poll(ctx, tooltest.Slowly, c.removed()+" to be forgotten", func(context.Context) error {
		var answer struct{ Services []struct{ Service string } }
		if err := s.Inside(ctx, Manager, "waggle_proxy", 8080, "/v1/services", &answer); err != nil {
			return err
		}
		if slices.ContainsFunc(answer.Services, func(a struct{ Service string }) bool { return a.Service == c.removed() }) {
			last = time.Now()
			return errors.New("it is not")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	began, err := returned()
	return last.Sub(began), err
}

func (s *Stack) awayListener(ctx context.Context, c Catch) (func() (time.Time, error), error) {
	if err := s.listenerDown(ctx); err != nil {
		return nil, err
	}
	if err := s.change(ctx, c); err != nil {
		return nil, err
	}
	return func() (time.Time, error) { return s.Running(ctx, "waggle_listener", 1) }, s.Scale(ctx, "waggle_listener", 1)
}

// awayController stops the process, so that the supervisor does not start another.
func (s *Stack) awayController(ctx context.Context, c Catch) (func() (time.Time, error), error) {
	words := []string{"waggle-proxy", "-controller"}
	if err := s.signal(ctx, Manager, "waggle_proxy", syscall.SIGSTOP, words...); err != nil {
		return nil, err
	}
	err := s.change(ctx, c)
	now := time.Now()
	return func() (time.Time, error) { return now, nil }, errors.Join(err, s.signal(ctx, Manager, "waggle_proxy", syscall.SIGKILL, words...))
}

// awayProxy takes the proxy off the manager.
func (s *Stack) awayProxy(ctx context.Context, c Catch) (func() (time.Time, error), error) {
	place := func(constraints ...string) error {
		return s.Update(ctx, "waggle_proxy", func(spec object) {
			spec["TaskTemplate"].(object)["Placement"].(object)["Constraints"] = constraints
		})
	}
	if err := place("node.hostname==" + Worker); err != nil {
		return nil, err
	}
	err := tooltest.Poll(ctx, tooltest.Slowly, "the proxy to leave", func(context.Context) error {
		if _, err := s.Container(ctx, Manager, "waggle_proxy"); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
	if err == nil {
		err = s.change(ctx, c)
	}
	return func() (time.Time, error) { return s.started(ctx, Manager, "waggle_proxy") }, errors.Join(err, place())
}

// started returns when the container of a service's task on a node was started.
func (s *Stack) started(ctx context.Context, node, service string) (time.Time, error) {
	container, err := s.Container(ctx, node, service)
	if err != nil {
		return time.Time{}, err
	}
	text, err := s.lab.Node(node).Docker(ctx, "inspect", "-f", "{{json .State.StartedAt}}", container)
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	err = json.Unmarshal([]byte(text), &at)
	return at, err
}
