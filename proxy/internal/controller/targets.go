package controller

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
	"github.com/wagglehq/waggle/proxy/internal/sleep"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/static"
)

// Follower knows the addresses of tasks.
type Follower interface {
	Set(map[string]addresses.Target, addresses.Known)
	Addresses(key string) (addrs []netip.Addr, known bool)
	// Refused are those that DNS gives and that are not used.
	Refused(key string) []addresses.Refused
}

// Servers are those of a running HAProxy.
type Servers interface {
	// Addresses are those that a backend has.
	Addresses(route.Backend) []netip.Addr
}

// targets are the names whose addresses are followed.
type targets struct {
	follower Follower
	servers  Servers
	arrivals *sleep.Arrivals
	networks []string
	moved    map[string]motion
	// neighbours tells whose addresses are.
	neighbours neighbours
	// wants reads the labels of a service.
	wants func(catalog.Service) (route.Service, error)
}

// motion is what a service looked like and since when.
type motion struct {
	replicas uint64
	tasks    []netip.Addr
	since    time.Time
}

// movesFor is how long a service counts as moving after its last change.
const movesFor = 10 * time.Second

// follow tells the follower which names to ask, and how often they may change.
// current says that the listener is heard of.
func (t *targets) follow(desired claims.Desired, snapshot catalog.Snapshot, current bool) {
	all := make(map[string]addresses.Target, len(desired.Services))
	moved := make(map[string]motion, len(desired.Services))
	now := time.Now()
	follow := func(s *route.Service) {
		svc := snapshot.Services[s.ID]
		tasks := snapshot.Tasks[s.ID]
		addrs, count := taskAddresses(tasks, t.networks)
		nodes := nodesOf(tasks)
		wrong := inMotion(svc, tasks)
		if _, cut := snapshot.Cut[s.ID]; cut {
			// DNS knows the others, too, and a list that lacks them says nothing.
			addrs, count, wrong = nil, 0, false
		}
		m, ok := t.moved[s.ID]
		if !ok || m.replicas != svc.Replicas || !slices.Equal(m.tasks, addrs) {
			m = motion{replicas: svc.Replicas, tasks: addrs, since: now}
		}
		moved[s.ID] = m
		expected := svc.Replicas > 0 || svc.Mode == catalog.Global
		moving := svc.UpdateState != "" || now.Sub(m.since) < movesFor || wrong
		for _, b := range s.Backends {
			if _, ok := b.Literal(); ok {
				continue // it is the answer itself
			}
			target := addresses.Target{
				Name: b.Lookup, Expected: expected, Tasks: addrs, Count: count, Moving: moving, Nodes: nodes,
				Whose: t.whose(svc, snapshot, tasks, false),
			}
			if b.Lookup == svc.Name+"." {
				// The virtual IP is no task's, and outlives every node.
				target.Tasks, target.Count, target.Nodes, target.Whose = nil, 0, nil, t.whose(svc, snapshot, tasks, true)
			}
			if b.Outbound {
				target = addresses.Target{Name: b.Lookup, Expected: true}
				if !isOperators(s.ID) {
					target.Outbound = b.Host()
				}
			}
			all[key(*s, b)] = target
		}
	}
	for i := range desired.Services {
		follow(&desired.Services[i])
	}
	for _, s := range t.waiting(desired) {
		follow(&s)
	}
	t.moved = moved
	t.arrivals.Keep(func(at sleep.Door) bool { _, ok := all[at.Key]; return ok })
	t.follower.Set(all, t.neighbours.of(snapshot, current))
}

// await gives the first addresses a moment to arrive, so that the first
// configuration does not answer 503 where tasks run.
func (t *targets) await(ctx context.Context, services []route.Service) bool {
	deadline := time.NewTimer(firstAddresses)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := slices.ContainsFunc(services, func(s route.Service) bool {
			return slices.ContainsFunc(s.Backends, func(b route.Backend) bool {
				_, known := t.lookup(s, b)
				return !known
			})
		})
		if !missing {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-deadline.C:
			return true
		case <-tick.C:
		}
	}
}

// lookup returns what the follower knows of a backend; an address stands for itself, if a
// host outside may have it.
func (t *targets) lookup(s route.Service, b route.Backend) ([]netip.Addr, bool) {
	a, ok := b.Literal()
	switch {
	case !ok:
		return t.follower.Addresses(key(s, b))
	case len(t.refused(s, b)) > 0:
		return nil, true
	}
	return []netip.Addr{a}, true
}

// refused are the addresses of a backend that are not used.
func (t *targets) refused(s route.Service, b route.Backend) []addresses.Refused {
	a, ok := b.Literal()
	if !ok {
		return t.follower.Refused(key(s, b))
	}
	if outside := t.neighbours.known.Outside; outside != nil && !isOperators(s.ID) {
		if why := outside("", a); why != "" {
			return []addresses.Refused{{Addr: a, Forbidden: why}}
		}
	}
	return nil
}

// addresses of a backend; while the follower knows nothing yet, those that it has.
func (t *targets) addresses(s route.Service, b route.Backend) []netip.Addr {
	list, known := t.lookup(s, b)
	switch {
	case !known:
		return t.servers.Addresses(b)
	case b.Sleeps:
		return t.arrivals.Admit(sleep.Door{Key: key(s, b), Port: b.Port}, list)
	}
	return list
}

// keptBack are the addresses of tasks of a backend without servers that do not listen yet.
func (t *targets) keptBack(s route.Service, b route.Backend) []netip.Addr {
	if !b.Sleeps {
		return nil
	}
	list, _ := t.lookup(s, b)
	return list
}

// key tells a service's own tasks apart from a host of the same name, which others may
// name: what is known of the one says nothing of the other. The operator may name hosts
// that others may not.
func key(s route.Service, b route.Backend) string {
	switch {
	case b.Outbound && isOperators(s.ID):
		return "operator's " + b.Lookup
	case b.Outbound:
		return "outbound " + b.Lookup
	}
	return b.Lookup
}

// isOperators reports whether a service is the operator's own word; fromSwarm, whether it
// is one of Swarm's.
func isOperators(id string) bool { return static.Is(id) }
func fromSwarm(id string) bool   { return !static.Is(id) && !catalog.IsManual(id) }

// waiting are the services that wait for a route of another. They are followed already, so
// that requests have somewhere to go at the moment when the route becomes theirs.
func (t *targets) waiting(desired claims.Desired) []route.Service {
	var out []route.Service
	for _, v := range desired.Verdicts {
		if conflict := (*route.ConflictError)(nil); !errors.As(v.Err, &conflict) {
			continue
		}
		if s, err := t.wants(v.Service); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// inMotion reports whether the tasks are not yet, or no longer, those that are wanted.
func inMotion(svc catalog.Service, tasks []catalog.Task) bool {
	running := 0
	for _, t := range tasks {
		if t.Running() {
			running++
		} else if t.Desired == "running" {
			return true
		}
	}
	return svc.Mode == catalog.Replicated && len(tasks) > 0 && uint64(running) != svc.Replicas
}

// nodesOf are the nodes that run tasks, as often as they do.
func nodesOf(tasks []catalog.Task) []string {
	var out []string
	for _, t := range tasks {
		if t.Running() && t.Node != "" {
			out = append(out, t.Node)
		}
	}
	return out
}

// taskAddresses returns the addresses of running tasks on some networks, on all if none is
// named, and of how many tasks these are.
func taskAddresses(tasks []catalog.Task, networks []string) (out []netip.Addr, count int) {
	for _, t := range tasks {
		if !t.Running() {
			continue
		}
		before := len(out)
		if len(networks) == 0 {
			for _, texts := range t.Addresses {
				out = appendAddresses(out, texts)
			}
		}
		for _, n := range networks {
			out = appendAddresses(out, t.Addresses[n])
		}
		if len(out) > before {
			count++
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out, count
}

func appendAddresses(out []netip.Addr, texts []string) []netip.Addr {
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a)
		}
	}
	return out
}
