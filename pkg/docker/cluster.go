package docker

import (
	"context"
	"fmt"
	"slices"

	"github.com/docker/docker/api/types/swarm"
)

// cluster is what a manager says of itself: the cluster's ID and its own as a node.
type cluster struct{ id, node string }

// clusterOf returns the ID of the cluster whose nodes were listed. It is asked for once
// in each session, and again after a list that failed. The manager that told it is
// among the nodes of its cluster, so a socket that leads to another cluster
// without having been closed is noticed.
func (c *Client) clusterOf(ctx context.Context, nodes []swarm.Node) (string, error) {
	c.mu.Lock()
	known := c.cluster
	c.mu.Unlock()
	if known == nil {
		asked, err := call(ctx, c, kindInfo, "info", func(ctx context.Context, s *session) (cluster, error) {
			return c.ask(ctx, s)
		})
		if err != nil {
			return "", err
		}
		known = &asked
	}
	if !slices.ContainsFunc(nodes, func(n swarm.Node) bool { return n.ID == known.node }) {
		return "", fmt.Errorf("docker: %s leads to another daemon than before: node %s of cluster %s is not on the list of nodes", c.text, known.node, known.id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		c.cluster = known
	}
	return known.id, nil
}

func (c *Client) ask(ctx context.Context, s *session) (cluster, error) {
	info, err := s.sdk.Info(ctx)
	switch {
	case err != nil:
		return cluster{}, err
	case notManager(info) != nil:
		return cluster{}, notManager(info)
	case info.Swarm.Cluster == nil || info.Swarm.Cluster.ID == "":
		return cluster{}, fmt.Errorf("the daemon does not say of which cluster it is a manager (has the swarm a leader?) %s", info.Swarm.Error)
	}
	return cluster{id: info.Swarm.Cluster.ID, node: info.Swarm.NodeID}, nil
}

// forgetCluster lets the next list ask for the cluster again.
func (c *Client) forgetCluster() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cluster = nil
}
