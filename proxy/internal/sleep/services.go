// Package sleep tells the scaler, by the bus, what it must know of services that may sleep:
// that a request waits for one, and how many connections are open to each.
package sleep

import (
	"slices"
	"strings"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Services are those that may sleep, and their backends. They are not changed any more once
// they are made.
type Services struct {
	names map[string]string
	// held are, by backend, the IDs of those for which its requests wait.
	held map[string][]string
	// backends are the IDs of those that have a backend alone; members, by backend, those of
	// groups, whose servers tell whose they are.
	backends map[string]string
	members  map[string]map[string]string
}

// Of are those among services in force that the scaler knows.
func Of(services []route.Service, known func(id string) bool) *Services {
	s := &Services{names: map[string]string{}, held: map[string][]string{}, backends: map[string]string{}, members: map[string]map[string]string{}}
	for _, svc := range services {
		if !svc.MaySleep || !known(svc.ID) {
			continue
		}
		s.names[svc.ID] = svc.Name
		for _, b := range svc.Backends {
			if b.Sleeps && !slices.Contains(s.held[b.Name], svc.ID) {
				s.held[b.Name] = append(s.held[b.Name], svc.ID)
			}
			if b.Share.Group == "" {
				s.backends[b.Name] = svc.ID
				continue
			}
			if s.members[b.Name] == nil {
				s.members[b.Name] = map[string]string{}
			}
			s.members[b.Name][b.Share.Member] = svc.ID
		}
	}
	return s
}

// any reports whether there is one.
func (s *Services) any() bool { return len(s.names) > 0 }

// count adds what is open to each, of which there is one. What counts is what has reached a
// task, or waits for one that is full: who was not let in keeps nobody awake.
func (s *Services) count(open map[string]int, rows []runtime.Traffic) {
	for _, row := range rows {
		if row.Server == runtime.FrontendRow {
			continue
		}
		n := row.Queued
		if row.Server != runtime.BackendRow {
			n += row.Open
		}
		if id := s.of(row.Proxy, row.Server); id != "" && n > 0 {
			open[id] += int(n)
		}
	}
}

func (s *Services) of(backend, server string) string {
	if id := s.backends[backend]; id != "" {
		return id
	}
	member, _, _ := strings.Cut(strings.TrimPrefix(server, render.GivenServer), ":")
	return s.members[backend][member]
}
