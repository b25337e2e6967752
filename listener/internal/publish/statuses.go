package publish

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/wagglehq/waggle/listener/internal/advice"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Statuses returns what the listener that writes has to say, sorted by service ID: the
// others say nothing. It is false while nothing has been listed.
func (p *Publisher) Statuses() ([]catalog.Status, bool) {
	if !p.o.Leads() {
		return nil, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Listed.IsZero() {
		return nil, false
	}
	said := map[string]advice.Advice{}
	for _, a := range p.advice.All(p.snapshot, p.large, p.o.Table) {
		said[a.ServiceID] = a
	}
	var out []catalog.Status
	for _, id := range slices.Sorted(maps.Keys(p.snapshot.Services)) {
		a, isSaid := said[id]
		status := catalog.Status{
			ServiceID: id, Service: p.snapshot.Services[id].Name, State: catalog.State(cmp.Or(a.State, advice.Accepted)),
			Reason: a.Reason, Label: a.Label, Hint: a.Hint, Warnings: a.Warnings,
		}
		if p.o.Control.IsStranger(p.snapshot.Services[id]) {
			status.Warnings, isSaid = append(slices.Clip(status.Warnings), p.o.Control.Warning()), true
		}
		if p.poisoned(id, &status) || isSaid {
			out = append(out, status)
		}
	}
	return out, true
}

// poisoned says of a service what the bus did not take of it.
func (p *Publisher) poisoned(id string, s *catalog.Status) bool {
	switch {
	case p.refused[catalog.ServiceKey(id)] != nil:
		s.State = catalog.StateRejected
		s.Reason = fmt.Sprintf("the bus did not take the service: %v", p.refused[catalog.ServiceKey(id)])
	case p.refused[catalog.SecretKey(id)] != nil:
		s.State = catalog.StateRejected
		s.Reason = fmt.Sprintf("the bus did not take the texts of its secret labels: %v", p.refused[catalog.SecretKey(id)])
	case s.State == catalog.StateRejected:
		return true
	case p.cut[id] != nil:
		s.State, s.Reason = catalog.StateDegraded, p.cut[id].Error()
		s.Hint = "Have fewer replicas: the others are known to Swarm and to DNS, but not to Waggle."
	case p.refused[catalog.TasksKey(id)] != nil:
		s.State = catalog.StateDegraded
		s.Reason = fmt.Sprintf("the bus did not take the list of its tasks: %v", p.refused[catalog.TasksKey(id)])
	default:
		return false
	}
	return true
}
