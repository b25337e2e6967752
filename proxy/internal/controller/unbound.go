package controller

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// A reload fails although the check was passed where HAProxy cannot have a port: another
// process of the container listens there, or the kernel gives it to nobody without a
// privilege. That is the fault of the services that ask for the port.

// portAgain is how soon it is looked whether a port that HAProxy could not have is free.
const portAgain = time.Minute

// mostUnbound is how often in one pass services are left out because of their ports. HAProxy
// names all at once, and then those that the labels last accepted ask for as well.
const mostUnbound = 4

// withoutUnbound applies again, without the services whose ports HAProxy could not have, until
// it takes the rest. cause is why it did not take all.
func (c *Controller) withoutUnbound(ctx context.Context, cause error) error {
	err := cause
	for range mostUnbound {
		var failed *apply.ReloadError
		if !errors.As(err, &failed) {
			return err
		}
		found := c.settling.refusePorts(failed.Unbound(), ": "+boundWords(failed))
		if !found {
			var errSearch error
			words := &apply.CheckError{Output: failed.Output, Err: failed.Err}
			if found, errSearch = c.settling.isolateAmong(ctx, c.settling.unproven(c.settling.streams), words, c.doesNotStart); errSearch != nil {
				return errors.Join(err, errSearch)
			}
		}
		if !found {
			return err
		}
		c.events.Again(portAgain)
		if err = c.again(ctx); err == nil {
			return nil
		}
	}
	return err
}

// again applies what is settled now.
func (c *Controller) again(ctx context.Context) error {
	if err := c.certify(ctx); err != nil {
		return err
	}
	c.targets.follow(c.settling.desired, c.settling.snapshot, c.settling.current())
	return c.apply(ctx)
}

// doesNotStart returns why HAProxy does not start with what would be in force now, nil if it
// does; then it runs that.
func (c *Controller) doesNotStart(ctx context.Context) (*apply.CheckError, error) {
	f, err := c.render(c.targets.addresses)
	if err != nil {
		return nil, err
	}
	_, err = c.engine.Apply(ctx, f)
	var failed *apply.ReloadError
	if errors.As(err, &failed) {
		return &apply.CheckError{Output: failed.Output, Err: failed.Err}, nil
	}
	return nil, err
}

// streams reports whether a service in force has ports of its own.
func (s *settling) streams(svc catalog.Service) bool {
	return slices.ContainsFunc(s.desired.Services, func(d route.Service) bool { return d.ID == svc.ID && len(d.Streams) > 0 })
}

// refusePorts refuses the services in force that ask for a port that HAProxy names, whatever
// it took before, and reports whether there was one.
func (s *settling) refusePorts(ports []int, said string) bool {
	found := false
	for _, d := range s.desired.Services {
		i := slices.IndexFunc(d.Streams, func(st route.Stream) bool { return slices.Contains(ports, st.Port) })
		svc, ok := s.desired.Accepted[d.ID]
		if i < 0 || !ok {
			continue
		}
		stream := d.Streams[i]
		name := catalog.Prefix + "srcPort"
		if indexed := name + "." + strconv.Itoa(stream.Index); svc.Labels[indexed] != "" {
			name = indexed
		}
		words := name + "=" + strconv.Itoa(stream.Port) + ": the proxy cannot have this port, because it is in use in its container, or for privileged processes alone" + said
		s.settler.Refuse(svc, words)
		if s.unbound == nil {
			s.unbound = map[string]unbound{}
		}
		s.unbound[d.ID] = unbound{port: stream.Port, since: time.Now()}
		s.log.Warn("a service is left out, because HAProxy cannot have its port", "swarm_service", d.Name, "port", stream.Port, "error", said)
		found = true
	}
	if found {
		s.resettle()
	}
	return found
}

// boundWords are HAProxy's lines about ports.
func boundWords(e *apply.ReloadError) string {
	var out []string
	for line := range strings.Lines(e.Output) {
		if _, words, ok := strings.Cut(line, "for frontend "); ok && strings.Contains(line, "Binding") {
			out = append(out, strings.TrimSpace(words))
		}
	}
	if len(out) == 0 {
		return shorten(strings.TrimSpace(e.Output))
	}
	return shorten(strings.Join(out, "; "))
}

// refuseTaken refuses services with ports on which somebody else listens, before HAProxy is
// asked to: while it tries, it takes no connections of others. A port of the proxy itself may
// be shared, and is its own already. At a start it is not known
// which ports are HAProxy's own by now, so that its reload tells.
func (s *settling) refuseTaken() (found bool) {
	if s.proven == nil {
		return false
	}
	for range mostUnbound {
		var taken []int
		for _, l := range s.desired.Tables.Listeners {
			own := s.held[l.Port] || slices.Contains(s.rules.Options.EntryPorts, l.Port)
			if !own && !free(l.Port) {
				taken = append(taken, l.Port)
			}
		}
		if len(taken) == 0 || !s.refusePorts(taken, "") {
			break
		}
		found = true
	}
	return found
}

// hold remembers the ports that HAProxy has.
func (s *settling) hold() {
	s.held = map[int]bool{}
	for _, l := range s.desired.Tables.Listeners {
		s.held[l.Port] = true
	}
}

// unbound is a port that HAProxy could not have, and when that was last found out.
type unbound struct {
	port  int
	since time.Time
}

// admitFreed takes back the refusal of services whose port is free by now, and reports whether
// some are still refused.
func (s *settling) admitFreed(now time.Time) (waiting bool) {
	for _, id := range slices.Sorted(maps.Keys(s.unbound)) {
		u := s.unbound[id]
		if _, there := s.snapshot.Services[id]; !there {
			delete(s.unbound, id)
			continue
		}
		if now.Sub(u.since) < portAgain {
			continue
		}
		if !free(u.port) {
			u.since = now
			s.unbound[id] = u
			continue
		}
		delete(s.unbound, id)
		s.settler.Admit(id)
	}
	return len(s.unbound) > 0
}

// free reports whether HAProxy could bind a port as it does, which shares a port with whoever
// shares it too. Nobody's connections come here meanwhile, since nothing listens. Whether
// HAProxy has the rights that a port asks for, it finds out itself.
func free(port int) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true // it is not known
	}
	defer func() { _ = unix.Close(fd) }()
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
			return true
		}
	}
	return !errors.Is(unix.Bind(fd, &unix.SockaddrInet4{Port: port}), unix.EADDRINUSE)
}
