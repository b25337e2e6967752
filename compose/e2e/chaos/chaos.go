// Package chaos breaks a deployed Waggle in one way after the other, while requests
// flow and labels change, and says what was done, what was counted and whether that
// is what is promised.
package chaos

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

// rooms are all of them. What concerns the server that a listener runs itself needs
// another swarm than what several servers are needed for.
func rooms() []room {
	return []room{
		{Name: "three managers, two workers, three NATS servers, three listeners",
			Options: stack.Options{Managers: 3, Workers: 2, NATS: true, Listeners: 3, Lean: true}, Parts: []part{
				{Name: "listeners", What: "kill -9 of each listener", Play: (*world).killListeners},
				{Name: "nats", What: "kill -9 of each NATS server", Play: (*world).killNATS},
				{Name: "leader", What: "kill -9 of the NATS server that leads the bucket", Play: (*world).killLeader},
				{Name: "pause", What: "SIGSTOP of the writer for 30 s, and SIGCONT", Play: (*world).pauseWriter},
				{Name: "cut-manager", What: "the link of the writer's manager is cut for 30 s", Play: (*world).cutManager},
				{Name: "cut-leader", What: "the link of the manager that leads the swarm is cut for 30 s", Play: (*world).cutSwarmLeader},
				{Name: "cut-nats", What: "the NATS server that leads the bucket is cut off for 20 s", Play: (*world).cutNATS},
				{Name: "swarm-leader", What: "the engine that leads the swarm stops for 25 s", Play: (*world).changeSwarmLeader},
				{Name: "quorum", What: "two of three managers' engines stop for 40 s", Play: (*world).loseQuorum},
				{Name: "blackout", What: "the power of two of three managers is cut", Play: (*world).blackout},
				{Name: "worker", What: "the power of a worker is cut, three times", Play: (*world).powerOfWorker},
				{Name: "manager", What: "the power of a manager is cut, three times", Play: (*world).powerOfManager},
				{Name: "unsynced", What: "a NATS server's power is cut, and its disk has lost the last writes", Play: (*world).unsynced},
				{Name: "strangers", What: "a listener of another swarm comes to the same NATS", Play: (*world).strangers},
			}},
		{Name: "a manager and a worker, the listener's own server", Parts: []part{
			{Name: "backup", What: "an old backup of the store is put back", Play: (*world).backup},
			{Name: "unsynced-own", What: "power cut of the listener's node, whose disk has lost the last writes", Play: (*world).unsyncedOwn},
			{Name: "disk", What: "the disk of the store is full", Play: (*world).fullDisk},
			{Name: "forged", What: "a NATS server with a forged catalog takes the listener's name", Play: (*world).forged},
			{Name: "alertmanager", What: "somebody takes Alertmanager's name", Play: (*world).takenAlertmanager},
			{Name: "rotate", What: "the secrets of all components are replaced, and the script is killed on its way", Play: (*world).rotate}}},
	}
}

// Parts are the names of all parts, in their order.
func Parts() []string { return parts.Names(rooms()) }

// Run plays the parts. A part that fails does not keep the others from being played.
func Run(ctx context.Context, c parts.Config) error { return parts.Run(ctx, c, rooms(), look) }

// On plays parts, shortened, on a Waggle that is deployed already, which stays.
func On(ctx context.Context, s *stack.Stack, out io.Writer, names ...string) error {
	return parts.On(ctx, parts.NewStage(s, out), names, rooms(), func(ctx context.Context, s *parts.Stage) (*world, error) {
		w, err := look(ctx, s)
		if err == nil {
			w.short = true
		}
		return w, err
	})
}
