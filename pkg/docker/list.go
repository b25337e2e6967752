package docker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/swarm"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// List returns all services and nodes of the swarm, opted in or not, and which cluster
// it was that was listed.
func (c *Client) List(ctx context.Context) (catalog.Listing, error) {
	listing, err := c.list(ctx)
	if err != nil {
		c.forgetCluster()
		return catalog.Listing{}, err
	}
	return listing, nil
}

func (c *Client) list(ctx context.Context) (catalog.Listing, error) {
	span := begin()
	services, err := c.services(ctx)
	if err != nil {
		return catalog.Listing{}, err
	}
	span.end()
	nodes, toldNodes, err := c.nodesTold(ctx)
	if err != nil {
		return catalog.Listing{}, err
	}
	cluster, err := c.clusterOf(ctx, nodes)
	if err != nil {
		return catalog.Listing{}, err
	}
	names, err := c.networks.names(networksOf(services), func() (map[string]string, error) { return c.listNetworks(ctx) })
	if err != nil {
		return catalog.Listing{}, err
	}
	out := catalog.Snapshot{
		Services: make(map[string]catalog.Service, len(services)),
		Nodes:    make(map[string]catalog.Node, len(nodes)),
	}
	versions := make(map[string]uint64, len(services)+len(nodes))
	for _, s := range services {
		out.Services[s.ID] = serviceValue(s, names, c.key)
		versions[catalog.ServiceKey(s.ID)] = s.Version.Index
	}
	for _, n := range nodes {
		out.Nodes[n.ID] = nodeValue(n)
		versions[catalog.NodeKey(n.ID)] = n.Version.Index
	}
	c.tellServices(span, services)
	c.tellNodes(toldNodes, nodes)
	return catalog.Listing{Snapshot: out, Cluster: cluster, Versions: versions}, nil
}

func (c *Client) services(ctx context.Context) ([]swarm.Service, error) {
	return call(ctx, c, kindServices, "list services", func(ctx context.Context, s *session) ([]swarm.Service, error) {
		return s.sdk.ServiceList(ctx, swarm.ServiceListOptions{})
	})
}

// listNetworks returns the names of the swarm's networks by ID.
func (c *Client) listNetworks(ctx context.Context) (map[string]string, error) {
	list, err := call(ctx, c, kindNetworks, "list networks", func(ctx context.Context, s *session) ([]network.Summary, error) {
		return s.sdk.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("scope", "swarm"))})
	})
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(list))
	for _, n := range list {
		out[n.ID] = n.Name
	}
	return out, nil
}

// missedFor is how long a network that is not on the list is not asked for again.
const missedFor = 10 * time.Second

// networks remembers the names of networks, which never change for an ID.
type networks struct {
	// mu guards the rest and is held while listing, so that several callers
	// list once; the call has a deadline.
	mu     sync.Mutex
	byID   map[string]string
	missed map[string]time.Time
}

// names returns the names by ID. It lists again if an ID is wanted that it does not know.
func (n *networks) names(wanted map[string]bool, list func() (map[string]string, error)) (map[string]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	unknown := func(id string) bool { return n.byID[id] == "" && time.Since(n.missed[id]) >= missedFor }
	if !slices.ContainsFunc(slices.Collect(maps.Keys(wanted)), unknown) {
		return n.byID, nil
	}
	byID, err := list()
	if err != nil {
		return nil, err
	}
	n.byID, n.missed = byID, map[string]time.Time{}
	for id := range wanted {
		if byID[id] == "" {
			n.missed[id] = time.Now()
		}
	}
	return byID, nil
}

func nodeValue(n swarm.Node) catalog.Node {
	labels := ours(n.Description.Engine.Labels)
	if own := ours(n.Spec.Labels); labels == nil {
		labels = own
	} else {
		maps.Copy(labels, own)
	}
	return catalog.Node{
		ID: n.ID, Hostname: n.Description.Hostname, Address: n.Status.Addr, Role: string(n.Spec.Role),
		Availability: string(n.Spec.Availability), State: string(n.Status.State), Labels: labels,
	}
}

// Service returns one service as List does, and its version. The error is
// ErrNotFound if there is none.
func (c *Client) Service(ctx context.Context, id string) (catalog.Service, uint64, error) {
	s, err := c.inspect(ctx, id)
	if err != nil {
		return catalog.Service{}, 0, err
	}
	names, err := c.networks.names(networksOf([]swarm.Service{s}), func() (map[string]string, error) { return c.listNetworks(ctx) })
	if err != nil {
		return catalog.Service{}, 0, err
	}
	return serviceValue(s, names, c.key), s.Version.Index, nil
}

// inspect reads one service.
func (c *Client) inspect(ctx context.Context, id string) (swarm.Service, error) {
	return call(ctx, c, kindService, "service "+id, func(ctx context.Context, s *session) (swarm.Service, error) {
		svc, _, err := s.sdk.ServiceInspectWithRaw(ctx, id, swarm.ServiceInspectOptions{})
		return svc, err
	})
}
