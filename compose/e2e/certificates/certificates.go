// Package certificates has a deployed Waggle obtain certificates from a real authority, Pebble,
// on three nodes: how long each stage takes and what it costs others, what becomes of orders and
// renewals whose replica is killed at any step, and what a lost store costs.
package certificates

import (
	"context"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

type (
	room = parts.Room[*world]
	part = parts.Part[*world]
)

// The limits of orders: few is what the first room's parts reach, many more than any part does.
const (
	few  = 120
	many = 10000
)

// short is how long certificates are good where they are renewed while one looks. Whoever asks is
// told to renew them long before, since after two failures in a row five minutes pass.
const short = 8 * time.Minute

// rooms are all of them. Certificates that are good for minutes need another authority than those
// of which each order counts.
func rooms(cities [2]*city) []room {
	three := func(c *city) stack.Options {
		return stack.Options{Managers: 1, Workers: 2, Lean: true, Prepare: c.prepare}
	}
	return []room{
		{Name: "a manager and two workers, an authority whose certificates are good for a day", Options: three(cities[0]), Parts: []part{
			{Name: "deploy", What: "services ask for certificates, one after the other", Play: (*world).deployed},
			{Name: "strangers", What: "names that no service asks for are asked for at the proxies", Play: (*world).strangers},
			{Name: "hundred", What: "a hundred services ask at once", Play: (*world).hundred},
			{Name: "limit", What: "more ask than may be ordered in an hour", Play: (*world).limit},
		}},
		{Name: "a manager and two workers, an authority whose certificates are good for eight minutes", Options: three(cities[1]), Parts: []part{
			{Name: "kill-order", What: "the proxy that orders is killed at each step of an order", Play: (*world).killOrders},
			{Name: "kill-renewal", What: "the proxy that renews is killed at each step of a renewal", Play: (*world).killRenewals},
			{Name: "store", What: "the bus loses its store during a renewal", Play: (*world).loseStore},
		}},
	}
}

func cities() [2]*city { return [2]*city{{perHour: few}, {perHour: many, life: short}} }

// Parts are the names of all parts, in their order.
func Parts() []string { return parts.Names(rooms(cities())) }

// Run plays the parts. A part that fails does not keep the others from being played.
func Run(ctx context.Context, c parts.Config) error {
	all := cities()
	defer func() {
		for _, one := range all {
			one.close()
		}
	}()
	return parts.Run(ctx, c, rooms(all), func(ctx context.Context, s *parts.Stage) (*world, error) {
		for _, one := range all {
			if one.stack == s.Stack {
				return look(ctx, s, one)
			}
		}
		return nil, errNoCity
	})
}
