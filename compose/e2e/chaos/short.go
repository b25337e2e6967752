package chaos

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/bus"
)

// Short plays what is most likely to go wrong, in one go on a small swarm: the writer
// is killed, the server that leads the bucket is killed, the writer sleeps and wakes up.
func Short(ctx context.Context, images, tag string, out, log io.Writer) error {
	r := room{
		Name:    "three managers, three NATS servers, two listeners",
		Options: stack.Options{Managers: 3, Alone: true, NATS: true, Listeners: 2, Lean: true},
		Parts:   []part{{Name: "short", What: "the writer and the leader of the bucket are killed, and the next writer sleeps", Play: (*world).shortly}},
	}
	return parts.Run(ctx, parts.Config{Images: images, Tag: tag, Out: out, Log: log}, []room{r}, look)
}

// sleep is how long the writer sleeps: longer than its lease, so that another one writes.
const sleep = 6 * time.Second

func (w *world) shortly(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		first, err := w.writer(ctx)
		if err != nil {
			return err
		}
		w.Say("kill -9 of the listener on %s, which writes", first.Node)
		if err := w.Signal(ctx, first, syscall.SIGKILL); err != nil {
			return err
		}
		w.succession(ctx, first)
		leader, err := w.BucketLeader(ctx, bus.CatalogBucket)
		if err != nil {
			return err
		}
		w.Say("kill -9 of the NATS server on %s, which leads the bucket", leader)
		if err := errors.Join(w.KillNATS(ctx, leader), w.listeners(ctx, 2, first), w.wellAgain(ctx, leader)); err != nil {
			return err
		}
		second, err := w.writer(ctx)
		if err != nil {
			return err
		}
		return w.asleep(ctx, second, sleep)
	}})
}
