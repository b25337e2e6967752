package acceptance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// network is the one that all services share with the proxy.
const network = "waggle"

// swarm writes the catalog as the listener does.
type swarm struct {
	url      string
	writer   *bus.CatalogWriter
	names    *names
	services map[string]catalog.Service // by name
	tasks    map[string][]catalog.Task  // by ID
	created  int
}

// startSwarm starts a bus and makes its buckets. Both last until the process ends.
func startSwarm(ctx context.Context, folder string, n *names) (*swarm, error) {
	server, err := embedded.Start(embedded.Options{Dir: folder, Host: "127.0.0.1", Port: 4222})
	if err != nil {
		return nil, err
	}
	b, err := bus.Connect(bus.Options{URL: server.URL(), Component: "listener"})
	if err != nil {
		return nil, err
	}
	if err := poll(ctx, stepLimit, func(ctx context.Context) error { return b.Prepare(ctx, 1) }); err != nil {
		return nil, fmt.Errorf("buckets: %w", err)
	}
	s := &swarm{
		url: server.URL(), writer: b.CatalogWriter(func() {}), names: n,
		services: map[string]catalog.Service{}, tasks: map[string][]catalog.Task{},
	}
	go func() { _ = s.writer.Run(ctx) }() // it follows the bucket until the process ends
	return s, nil
}

// deploy creates a service, or gives it other labels. Its tasks are those whose
// addresses the DNS knows now.
func (s *swarm) deploy(d deployment) {
	svc, known := s.services[d.name]
	if !known {
		s.created++
		svc = catalog.Service{
			ID: fmt.Sprintf("service%04d", s.created), Name: d.name, Mode: catalog.Replicated,
			Networks: []string{network}, EndpointMode: "vip",
			CreatedAt: time.Date(2026, 1, 1, 0, 0, s.created, 0, time.UTC),
		}
	}
	svc.Labels = map[string]string{catalog.Notify: "true"}
	for name, value := range d.labels {
		svc.Labels[catalog.Prefix+name] = value
	}
	tasks := []catalog.Task{}
	for i, addr := range addresses(s.names.lookup("tasks." + d.name)) {
		tasks = append(tasks, catalog.Task{
			ID: fmt.Sprintf("%s-%d", svc.ID, i+1), Slot: i + 1, Node: "n1", State: "running", Desired: "running",
			Addresses: map[string][]string{network: {addr}},
		})
	}
	if len(tasks) == 0 {
		tasks = append(tasks, catalog.Task{ID: svc.ID + "-1", Slot: 1, Node: "n1", State: "starting", Desired: "running"})
	}
	svc.Replicas = uint64(len(tasks))
	s.services[d.name], s.tasks[svc.ID] = svc, tasks
}

// remove takes a service away, if it is there; one of the same name is another one
// later.
func (s *swarm) remove(name string) {
	delete(s.tasks, s.services[name].ID)
	delete(s.services, name)
}

// labels returns the labels of a service, without their prefix.
func (s *swarm) labels(name string) (map[string]string, bool) {
	svc, ok := s.services[name]
	out := map[string]string{}
	for label, value := range svc.Labels {
		if label != catalog.Notify {
			out[label[len(catalog.Prefix):]] = value
		}
	}
	return out, ok
}

// write publishes the catalog and returns its revision.
func (s *swarm) write(ctx context.Context) (catalog.Revision, error) {
	snapshot := catalog.Snapshot{
		Services: map[string]catalog.Service{}, Tasks: maps.Clone(s.tasks),
		Nodes: map[string]catalog.Node{"n1": {ID: "n1", Hostname: "n1", Role: "manager", Availability: "active", State: "ready"}},
	}
	for _, svc := range s.services {
		snapshot.Services[svc.ID] = svc
	}
	entries, tooLarge, err := catalog.EncodeAll(snapshot)
	if err != nil {
		return catalog.Revision{}, err
	}
	for _, t := range tooLarge {
		err = errors.Join(err, t)
	}
	if err != nil {
		return catalog.Revision{}, err
	}
	err = poll(ctx, stepLimit, func(ctx context.Context) error {
		seen, ok := s.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := s.writer.Write(ctx, seen, seen.Plan(entries))
		return err
	})
	seen, _ := s.writer.Seen()
	return seen.Revision, err
}
