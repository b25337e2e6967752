package dockerflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/manual"
)

// nodeInfo is the label that says where the tasks of a service are: [[hostname, address, node ID], ...].
const nodeInfo = catalog.Prefix + "nodeInfo"

// place is one task.
type place struct{ hostname, address, node string }

// places reads where the tasks of a service are; none if it does not say.
func places(svc catalog.Service) ([]place, error) {
	text := strings.TrimSpace(svc.Labels[nodeInfo])
	if text == "" {
		return nil, nil
	}
	var rows [][]string
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, fmt.Errorf("nodeInfo=%q: want [[hostname, address, node ID], ...]: %w", label.Show(text, false), err)
	}
	out := []place{}
	for _, row := range rows {
		if len(row) != 3 {
			return nil, fmt.Errorf("nodeInfo=%q: want three texts for each task: hostname, address and node ID", label.Show(text, false))
		}
		if _, err := netip.ParseAddr(row[1]); err != nil {
			return nil, fmt.Errorf("nodeInfo: %q: want an address", label.Show(row[1], false))
		}
		out = append(out, place{row[0], row[1], row[2]})
	}
	return out, nil
}

// Join adds to the swarm what was asked for over HTTP. A service of the swarm that asks for
// something comes before one of its name, and a node of the swarm before one of its ID.
// Tasks are on the network that Prometheus prefers.
func Join(s catalog.Snapshot, services, nodes map[string]catalog.Service, network string) catalog.Snapshot {
	if len(services) == 0 {
		return s
	}
	s.Services, s.Nodes, s.Tasks = maps.Clone(s.Services), maps.Clone(s.Nodes), maps.Clone(s.Tasks)
	for _, id := range slices.Sorted(maps.Keys(services)) {
		svc := services[id]
		if _, taken := Owner(s.Services, svc.Name); taken {
			continue
		}
		where, err := places(svc)
		if err != nil {
			continue // it was checked when it was taken, by another version maybe
		}
		svc.Networks = []string{network}
		if where == nil {
			// Nobody says where its tasks are, so it is found by its name.
			svc.Labels = maps.Clone(svc.Labels)
			svc.Labels[catalog.Prefix+"scrapeType"] = "static_configs"
		}
		tasks := []catalog.Task{}
		for i, p := range where {
			if _, known := s.Nodes[p.node]; !known {
				s.Nodes[p.node] = outside(p, nodes[manual.ID(p.node)])
			}
			tasks = append(tasks, catalog.Task{
				ID: fmt.Sprintf("%s-%d", id, i+1), Slot: i + 1, Node: p.node, State: "running", Desired: "running",
				Addresses: map[string][]string{network: {p.address}},
			})
		}
		s.Services[id], s.Tasks[id] = svc, tasks
	}
	return s
}

// outside is a node that the swarm does not know, as far as somebody has told.
func outside(p place, told catalog.Service) catalog.Node {
	n := catalog.Node{ID: p.node, Hostname: p.hostname, Labels: told.Labels}
	for name, into := range map[string]*string{"role": &n.Role, "state": &n.State, "availability": &n.Availability, "address": &n.Address} {
		*into = told.Labels[catalog.Prefix+name]
	}
	return n
}

// Owner is the service of the swarm that asks for something under a name.
func Owner(services map[string]catalog.Service, name string) (catalog.Service, bool) {
	for id, svc := range services {
		if !catalog.IsManual(id) && svc.OptedIn() && desired.Asks(svc.Labels) && (svc.Name == name || svc.CalledName() == name) {
			return svc, true
		}
	}
	return catalog.Service{}, false
}

// Check returns what is wrong with a service that is asked for.
func Check(svc catalog.Service, s desired.Settings) error {
	_, err := places(svc)
	if len(s.Networks) > 0 {
		svc.Networks = s.Networks[:1]
	}
	return errors.Join(err, desired.Check(svc, s))
}
