package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// killNATS kills one server after the other, each when the one before is well again.
func (w *world) killNATS(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		for _, node := range w.Managers() {
			w.Say("kill -9 of the NATS server on %s", node)
			if err := w.KillNATS(ctx, node); err != nil {
				return err
			}
			if err := w.wellAgain(ctx, node); err != nil {
				return err
			}
		}
		return nil
	}})
}

// wellAgain waits until the NATS server of a node is well, by its own word, and the servers
// agree on who leads the bucket, to which nobody can write before. They notice by the
// silence of a leader that it is dead, after four to nine seconds, and vote then.
func (w *world) wellAgain(ctx context.Context, node string) error {
	began := time.Now()
	if err := tooltest.Pause(ctx, time.Second); err != nil { // It may not have ended yet.
		return err
	}
	_, err := poll(ctx, time.Minute, "NATS on "+node, func(ctx context.Context) error { return w.NATSHealthy(ctx, node) })
	if err != nil {
		return err
	}
	w.Say("it was well %s later", seconds(time.Since(began)))
	_, err = poll(ctx, time.Minute, "a leader of the bucket", func(ctx context.Context) error { return w.BucketLed(ctx, bus.CatalogBucket) })
	if err == nil {
		w.Say("the servers agreed on who leads the bucket %s later", seconds(time.Since(began)))
	}
	return err
}

func (w *world) killLeader(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		leader, err := w.BucketLeader(ctx, bus.CatalogBucket)
		if err != nil {
			return err
		}
		w.Say("kill -9 of the NATS server on %s, which leads the bucket", leader)
		if err := w.KillNATS(ctx, leader); err != nil {
			return err
		}
		if err := w.takesWrites(ctx, time.Now()); err != nil {
			return err
		}
		return w.wellAgain(ctx, leader)
	}})
}

// takesWrites waits until the bucket has taken a write since a moment. Who leads it does
// not matter: a server that was killed is started again at once and may lead as before.
// The changes go on all the time, so that there is something to write.
func (w *world) takesWrites(ctx context.Context, since time.Time) error {
	_, err := poll(ctx, time.Minute, "the bucket to take writes again", func(context.Context) error {
		if newest := w.record.Newest(); !newest.After(since) {
			return fmt.Errorf("the newest was taken %s before", seconds(since.Sub(newest)))
		}
		return nil
	})
	if err == nil {
		w.Say("the bucket took the next write %s later", seconds(w.record.Newest().Sub(since)))
	}
	return err
}

func (w *world) cutNATS(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		leader, err := w.BucketLeader(ctx, bus.CatalogBucket)
		if err != nil {
			return err
		}
		w.Say("the NATS server on %s, which leads the bucket, is cut off", leader)
		began := time.Now()
		err = w.CutNATS(ctx, leader)
		if err == nil {
			// What the cut off server had taken before comes a moment later.
			err = w.takesWrites(ctx, time.Now())
		}
		if err == nil {
			err = tooltest.Pause(ctx, 20*time.Second-time.Since(began))
		}
		err = errors.Join(err, w.MendNATS(context.WithoutCancel(ctx), leader))
		w.Say("it is back after %s", seconds(time.Since(began)))
		return err
	}})
}

// unsynced puts the store of one server back to what it was some seconds ago, as a disk
// does that was told to write and had not yet when the power went.
func (w *world) unsynced(ctx context.Context) error {
	leader, err := w.BucketLeader(ctx, bus.CatalogBucket)
	if err != nil {
		return err
	}
	return w.under(ctx, trouble{struck: []string{leader}, happens: func(ctx context.Context) error {
		store := w.NATSStore(leader)
		copied := store + ".copy"
		if err := copyFolder(ctx, store, copied); err != nil {
			return err
		}
		if err := tooltest.Pause(ctx, 10*time.Second); err != nil {
			return err
		}
		w.Say("the power of %s, whose NATS server leads the bucket, is cut; its store is put back by 10 s (a copy of the folder)", leader)
		if err := w.Node(leader).Kill(); err != nil {
			return err
		}
		err := errors.Join(os.RemoveAll(store), os.Rename(copied, store), tooltest.Pause(ctx, 10*time.Second))
		return errors.Join(err, w.powerOn(ctx, leader))
	}})
}

// copyFolder copies a folder that somebody writes to, as a backup would find it.
func copyFolder(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput()
	if err != nil {
		// A file that goes meanwhile is none that counts.
		if _, gone := os.Stat(to); gone != nil {
			return fmt.Errorf("copy %s: %w: %s", from, err, out)
		}
	}
	return nil
}
