// Package scenarios plays on a deployed Waggle what Docker Flow's tutorials teach: each
// scenario is what a user does there, by labels, variables and compose's own stack files, and
// what he sees in Prometheus, in a chat and in the number of replicas. Their numbers are those
// by which the inventory of the original knows them.
package scenarios

import (
	"context"
	"io"
	"slices"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

type (
	room = parts.Room[*world]
	part = parts.Part[*world]
)

// rooms are all of them: what a user does on one swarm, one thing after the other, what is heard
// there when something stops, and a swarm that can lose its leader.
func rooms(c *chat) []room {
	return []room{{
		Name: "a manager and a worker, exporters, and a chat that alerts go to", Options: stack.Options{Prepare: c.prepare},
		Parts: slices.Concat(monitoring(), scaling()),
	}, {
		Name: "a manager and a worker, a DNS server that knows no name, and a chat", Options: stack.Options{Resolver: true, Prepare: c.prepareOutages},
		Parts: outages(),
	}, {
		Name: "three managers, and a chat", Options: stack.Options{Managers: 3, Alone: true, Resolver: true, Prepare: c.prepareOutages},
		Parts: []part{{Name: "leader", What: "the swarm gets another leader", Play: (*world).leader}},
	}}
}

// Parts are the names of all scenarios, in their order.
func Parts() []string { return parts.Names(rooms(&chat{})) }

// Run plays the scenarios. One that fails does not keep the others from being played.
func Run(ctx context.Context, c parts.Config) error {
	said := &chat{}
	defer said.close()
	return parts.Run(ctx, c, rooms(said), func(_ context.Context, s *parts.Stage) (*world, error) { return &world{Stage: s, chat: said}, nil })
}

// On plays scenarios that need no chat, shortened, on a Waggle that is deployed already, which
// stays.
func On(ctx context.Context, s *stack.Stack, out io.Writer, names ...string) error {
	none := &chat{}
	return parts.On(ctx, parts.NewStage(s, out), names, rooms(none), func(_ context.Context, s *parts.Stage) (*world, error) {
		return &world{Stage: s, chat: none, short: true}, nil
	})
}
