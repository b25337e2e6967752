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
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// network is the one that all services share with the proxy.
const network = "waggle"

// Swarm writes the catalog as the listener does.
type Swarm struct {
	// URL is that of the bus.
	URL      string
	writer   *bus.CatalogWriter
	Names    *Names
	services map[string]catalog.Service // by name
	tasks    map[string][]catalog.Task  // by ID
	created  int
}

// StartSwarm starts the DNS, and a bus with its buckets. All last until the process ends.
func StartSwarm(ctx context.Context, n *Names) (*Swarm, error) {
	if _, err := n.Serve(nameServer); err != nil {
		return nil, err
	}
	server, err := embedded.Start(embedded.Options{Dir: Hall + "/nats", Host: "127.0.0.1", Port: 4222})
	if err != nil {
		return nil, err
	}
	b, err := bus.Connect(bus.Options{URL: server.URL(), Component: "listener"})
	if err != nil {
		return nil, err
	}
	if err := tooltest.PollFor(ctx, StepLimit, pollEvery, "buckets", func(ctx context.Context) error { return b.Prepare(ctx, 1) }); err != nil {
		return nil, err
	}
	s := &Swarm{
		URL: server.URL(), writer: b.CatalogWriter(func() {}), Names: n,
		services: map[string]catalog.Service{}, tasks: map[string][]catalog.Task{},
	}
	go func() { _ = s.writer.Run(ctx) }() // it follows the bucket until the process ends
	return s, nil
}

// Deploy creates a service, or gives it other labels. Its tasks are those whose
// addresses the DNS knows now.
func (s *Swarm) Deploy(name string, labels map[string]string) {
	svc, known := s.services[name]
	if !known {
		s.created++
		svc = catalog.Service{
			ID: fmt.Sprintf("service%04d", s.created), Name: name, Mode: catalog.Replicated,
			Networks: []string{network}, EndpointMode: "vip",
			CreatedAt: time.Date(2026, 1, 1, 0, 0, s.created, 0, time.UTC),
		}
	}
	svc.Labels = map[string]string{catalog.Notify: "true"}
	for label, value := range labels {
		svc.Labels[catalog.Prefix+label] = value
	}
	tasks := []catalog.Task{}
	for i, addr := range s.Names.addresses("tasks." + name) {
		tasks = append(tasks, catalog.Task{
			ID: fmt.Sprintf("%s-%d", svc.ID, i+1), Slot: i + 1, Node: "n1", State: "running", Desired: "running",
			Addresses: map[string][]string{network: {addr}},
		})
	}
	if len(tasks) == 0 {
		tasks = append(tasks, catalog.Task{ID: svc.ID + "-1", Slot: 1, Node: "n1", State: "starting", Desired: "running"})
	}
	svc.Replicas = uint64(len(tasks))
	s.services[name], s.tasks[svc.ID] = svc, tasks
}

// Remove takes a service away, if it is there; one of the same name is another one
// later.
func (s *Swarm) Remove(name string) {
	delete(s.tasks, s.services[name].ID)
	delete(s.services, name)
}

// Labels returns the labels of a service, without their prefix.
func (s *Swarm) Labels(name string) (map[string]string, bool) {
	svc, ok := s.services[name]
	out := map[string]string{}
	for label, value := range svc.Labels {
		if label != catalog.Notify {
			out[label[len(catalog.Prefix):]] = value
		}
	}
	return out, ok
}

// Write publishes the catalog and returns its revision.
func (s *Swarm) Write(ctx context.Context) (catalog.Revision, error) {
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
	err = tooltest.PollFor(ctx, StepLimit, pollEvery, "the catalog to be written", func(ctx context.Context) error {
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
