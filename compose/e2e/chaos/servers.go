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
			w.say("kill -9 of the NATS server on %s", node)
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

// wellAgain waits until the NATS server of a node is.
func (w *world) wellAgain(ctx context.Context, node string) error {
	if err := tooltest.Pause(ctx, time.Second); err != nil { // It may not have ended yet.
		return err
	}
	took, err := poll(ctx, time.Minute, "NATS on "+node, func(ctx context.Context) error { return w.NATSHealthy(ctx, node) })
	if err == nil {
		w.say("it was well %s later", seconds(took+time.Second))
	}
	return err
}

func (w *world) killLeader(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		leader, err := w.BucketLeader(ctx, bus.CatalogBucket)
		if err != nil {
			return err
		}
		w.say("kill -9 of the NATS server on %s, which leads the bucket", leader)
		if err := w.KillNATS(ctx, leader); err != nil {
			return err
		}
		if err := w.otherLeader(ctx, leader); err != nil {
			return err
		}
		return w.wellAgain(ctx, leader)
	}})
}

// otherLeader waits until the bucket is led by somebody else.
func (w *world) otherLeader(ctx context.Context, was string) error {
	took, err := poll(ctx, time.Minute, "another leader of the bucket", func(ctx context.Context) error {
		now, err := w.BucketLeader(ctx, bus.CatalogBucket)
		if err == nil && now == was {
			err = errors.New(now + " leads it")
		}
		return err
	})
	if err == nil {
		w.say("another one led it %s later", seconds(took))
	}
	return err
}

func (w *world) cutNATS(ctx context.Context) error {
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		leader, err := w.BucketLeader(ctx, bus.CatalogBucket)
		if err != nil {
			return err
		}
		w.say("the NATS server on %s, which leads the bucket, is cut off", leader)
		began := time.Now()
		err = w.CutNATS(ctx, leader)
		if err == nil {
			err = w.otherLeaderThan(ctx, leader)
		}
		if err == nil {
			err = tooltest.Pause(ctx, 20*time.Second-time.Since(began))
		}
		err = errors.Join(err, w.MendNATS(context.WithoutCancel(ctx), leader))
		w.say("it is back after %s", seconds(time.Since(began)))
		return err
	}})
}

// otherLeaderThan is otherLeader for a leader that is cut off and goes on saying that
// it leads: whoever leads takes writes.
func (w *world) otherLeaderThan(ctx context.Context, was string) error {
	took, err := poll(ctx, 30*time.Second, "the bucket to take writes without "+was, func(ctx context.Context) error {
		for i, node := range w.Managers() {
			if node == was {
				continue
			}
			limited, cancel := context.WithTimeout(ctx, time.Second)
			_, _, err := w.buses[i].Bucket(bus.CatalogBucket).Get(limited, "_list")
			cancel()
			if err == nil {
				return nil
			}
		}
		return errors.New("nobody answers for it")
	})
	if err == nil {
		w.say("the others answered for the bucket %s later", seconds(took))
	}
	return err
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
		w.say("the power of %s, whose NATS server leads the bucket, is cut; its store is put back by 10 s (a copy of the folder)", leader)
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
