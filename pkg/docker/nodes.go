package docker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/docker/docker/api/types/swarm"
)

// nodes lists the nodes.
func (c *Client) nodes(ctx context.Context) ([]swarm.Node, error) {
	nodes, span, err := c.nodesTold(ctx)
	if err == nil {
		c.tellNodes(span, nodes)
	}
	return nodes, err
}

// nodesTold lists the nodes, and leaves it to its caller to tell of them. Whoever answers is
// a node itself, so an empty list is an error.
func (c *Client) nodesTold(ctx context.Context) ([]swarm.Node, Span, error) {
	asked, span := c.down.ask(), begin()
	nodes, err := call(ctx, c, kindNodes, "list nodes", func(ctx context.Context, s *session) ([]swarm.Node, error) {
		nodes, err := s.sdk.NodeList(ctx, swarm.NodeListOptions{})
		if err == nil && len(nodes) == 0 {
			err = errors.New("the list is empty, which cannot be")
		}
		return nodes, err
	})
	if err == nil {
		c.down.listed(asked, time.Now(), downOf(nodes))
	}
	span.end()
	return nodes, span, err
}

// isDown returns which nodes are down, by ID, as far as it is known; otherwise it lists them.
func (c *Client) isDown(ctx context.Context) (map[string]bool, error) {
	if ids, ok := c.down.known(time.Now()); ok {
		return ids, nil
	}
	nodes, err := c.nodes(ctx)
	if err != nil {
		return nil, err
	}
	return downOf(nodes), nil
}

func downOf(nodes []swarm.Node) map[string]bool {
	out := map[string]bool{}
	for _, n := range nodes {
		if n.Status.State == swarm.NodeStateDown {
			out[n.ID] = true
		}
	}
	return out
}

// downFor is for how long a list of nodes is believed although no event spoke of one: a stream
// can die without being closed.
const downFor = 5 * time.Second

// down remembers which nodes are down while a stream of events is open, which tells when
// that changes, before anybody is told of the event. So looking often at a few tasks does
// not mean to list all nodes as often.
type down struct {
	// mu guards the rest, which the stream of events and those who list share.
	mu sync.Mutex
	// isOpen says that there is a stream.
	isOpen bool
	// told counts what made an older list worthless.
	told int
	// ids are the nodes that were down at a time; nil if that is not known.
	ids map[string]bool
	at  time.Time
}

// ask is to be called before nodes are listed, and what it returns given to listed.
func (d *down) ask() (told int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.told
}

// listed takes in a list, unless something was told since it was asked for.
func (d *down) listed(asked int, now time.Time, ids map[string]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.isOpen && asked == d.told {
		d.ids, d.at = ids, now
	}
}

// known returns which nodes are down. It must not be changed.
func (d *down) known(now time.Time) (map[string]bool, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ids, d.ids != nil && now.Sub(d.at) < downFor
}

// stream says that a stream of events has been opened, or has ended.
func (d *down) stream(isOpen bool) {
	d.forget()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isOpen = isOpen
}

// forget makes the next one who asks list the nodes.
func (d *down) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told++
	d.ids = nil
}
