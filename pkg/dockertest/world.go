package dockertest

import (
	"maps"
	"slices"
	"time"
)

// world is what is in a swarm at one moment.
type world struct {
	cluster  string
	index    uint64
	now      time.Time
	services map[string]*service
	nodes    map[string]*node
	networks map[string]string
}

func newWorld() *world {
	return &world{
		now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), index: 10,
		services: map[string]*service{}, nodes: map[string]*node{}, networks: map[string]string{},
	}
}

// clone returns a copy that later changes do not reach. Specifications and labels are
// shared: they are replaced and never changed.
func (w *world) clone() *world {
	out := &world{
		cluster: w.cluster, index: w.index, now: w.now,
		services: map[string]*service{}, nodes: map[string]*node{}, networks: maps.Clone(w.networks),
	}
	for id, svc := range w.services {
		same := *svc
		same.tasks = slices.Clone(svc.tasks)
		out.services[id] = &same
	}
	for name, n := range w.nodes {
		same := *n
		out.nodes[name] = &same
	}
	return out
}

func (w *world) find(idOrName string) *service {
	if svc := w.services[idOrName]; svc != nil {
		return svc
	}
	for _, svc := range w.services {
		if nameOf(svc.spec) == idOrName {
			return svc
		}
	}
	return nil
}

// networkID returns the ID of a network, "" if there is none of that name.
func (w *world) networkID(name string) string {
	for id, n := range w.networks {
		if n == name {
			return id
		}
	}
	return ""
}
