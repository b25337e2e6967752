// Package counts plays on a deployed Waggle what becomes of numbers of replicas: alerts that
// stand until what they asked for shows, and deploys of stack files that know nothing of what
// was scaled since. Swarm's own rollback, and tasks that take their time, cannot be recorded.
package counts

import (
	"context"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

type part = parts.Part[*world]

// rooms are all of them: one node suffices, since nothing of this depends on where tasks run.
func rooms() []parts.Room[*world] {
	return []parts.Room[*world]{{
		Name: "a manager alone", Options: stack.Options{Alone: true},
		Parts: []part{
			{Name: "steps", What: "one cause is one step, whether tasks take 0, 10, 40 or 90 s to start", Play: (*world).steps},
			{Name: "keep", What: "a deploy by keep never shows fewer tasks than there were", Play: (*world).kept},
			{Name: "restored", What: "a deploy without it has its number for less than 300 ms", Play: (*world).restored},
			{Name: "rollback", What: "a broken version ends with the one before, and with the number before", Play: (*world).rolledBack},
			{Name: "person", What: "the number of a person stays", Play: (*world).byPerson},
			{Name: "away", What: "a deploy without a scaler is made good when there is one", Play: (*world).whileAway},
		},
	}}
}

// Parts are the names of all, in their order.
func Parts() []string { return parts.Names(rooms()) }

// Run plays them. One that fails does not keep the others from being played.
func Run(ctx context.Context, c parts.Config) error {
	return parts.Run(ctx, c, rooms(), func(_ context.Context, s *parts.Stage) (*world, error) {
		return &world{Stage: s, image: imageOf(c)}, nil
	})
}
