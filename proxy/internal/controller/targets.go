package controller

import (
	"net/netip"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/addresses"
)

// motion is what a service looked like and since when.
type motion struct {
	replicas uint64
	tasks    []netip.Addr
	since    time.Time
}

// settling is how long a service counts as moving after its last change.
const settling = 10 * time.Second

// follow tells the follower which names to ask, and how often they may change.
func (c *Controller) follow() {
	targets := make(map[string]addresses.Target, len(c.desired.Services))
	moved := make(map[string]motion, len(c.desired.Services))
	now := time.Now()
	for _, s := range c.desired.Services {
		svc := c.snapshot.Services[s.ID]
		tasks := c.snapshot.Tasks[s.ID]
		addrs, count := taskAddresses(tasks, c.o.Route.Networks)
		wrong := inMotion(svc, tasks)
		if _, cut := c.snapshot.Cut[s.ID]; cut {
			// DNS knows the others, too, and a list that lacks them says nothing.
			addrs, count, wrong = nil, 0, false
		}
		m, ok := c.moved[s.ID]
		if !ok || m.replicas != svc.Replicas || !slices.Equal(m.tasks, addrs) {
			m = motion{replicas: svc.Replicas, tasks: addrs, since: now}
		}
		moved[s.ID] = m
		expected := svc.Replicas > 0 || svc.Mode == catalog.Global
		moving := svc.UpdateState != "" || now.Sub(m.since) < settling || wrong
		for _, b := range s.Backends {
			t := addresses.Target{Name: b.Lookup, Expected: expected, Tasks: addrs, Count: count, Moving: moving}
			if b.Outbound {
				t = addresses.Target{Name: b.Lookup, Expected: true}
			}
			targets[b.Lookup] = t
		}
	}
	c.moved = moved
	c.o.Follower.Set(targets)
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

// taskAddresses returns the addresses of running tasks on some networks, and of how many
// tasks these are.
func taskAddresses(tasks []catalog.Task, networks []string) (out []netip.Addr, count int) {
	for _, t := range tasks {
		if !t.Running() {
			continue
		}
		before := len(out)
		for _, n := range networks {
			for _, text := range t.Addresses[n] {
				if a, err := netip.ParseAddr(text); err == nil {
					out = append(out, a)
				}
			}
		}
		if len(out) > before {
			count++
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out, count
}
