// Package attack has services and containers try to get what is not theirs from a deployed
// Waggle, and says of each attempt what was counted and whether it harmed anybody: who tries
// is refused by name, and others' requests and changes do not notice.
package attack

import (
	"context"
	"io"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

type (
	room = parts.Room[*world]
	part = parts.Part[*world]
)

// rooms are all of them, which is one.
func rooms() []room {
	return []room{{Name: "a manager and a worker", Parts: []part{
		{Name: "aliases", What: "services and a container take the name of another service", Play: (*world).aliases},
		{Name: "owners", What: "labels of one stack ask for hosts of another", Play: (*world).owners},
		{Name: "outbound", What: "labels lead to the proxy itself, the control network, the node and the cloud", Play: (*world).outbound},
		{Name: "scaling", What: "an alert, a stranger and the proxy scale what is not theirs", Play: (*world).scaling},
		{Name: "budgets", What: "one service asks for more than there is", Play: (*world).budgets},
		{Name: "paths", What: "a guarded path is spelled in other ways, by HTTP/1.1, 2 and 3", Play: (*world).paths},
		{Name: "trusted", What: "a container on the users' network says that it is somebody else", Play: (*world).trusted},
		{Name: "secrets", What: "what labels keep secret is looked for wherever something can be read", Play: (*world).secrets},
		{Name: "closed", What: "a container on the users' network tries all ports that Waggle listens on", Play: (*world).closed},
		{Name: "slips", What: "labels that decide who gets in are misspelled", Play: (*world).slips},
	}}}
}

// Parts are the names of all parts, in their order.
func Parts() []string { return parts.Names(rooms()) }

// Run plays the parts. A part that fails does not keep the others from being played.
func Run(ctx context.Context, c parts.Config) error { return parts.Run(ctx, c, rooms(), look) }

// On plays parts, shortened, on a Waggle that is deployed already, which stays: its proxies
// keep their settings, and no part needs others.
func On(ctx context.Context, s *stack.Stack, out io.Writer, names ...string) error {
	return parts.On(ctx, parts.NewStage(s, out), names, rooms(), func(ctx context.Context, s *parts.Stage) (*world, error) {
		w, err := look(ctx, s)
		if err == nil {
			w.short = true
		}
		return w, err
	})
}
