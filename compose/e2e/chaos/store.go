package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// volume is the folder of the listener's own server.
func (w *world) volume() string { return w.Node(stack.Manager).Volume("waggle_listener") }

// backup puts a copy of the store's folder back that was taken before many changes, as
// the pages tell: the listener is down meanwhile.
func (w *world) backup(ctx context.Context) error {
	copied := w.Node(stack.Manager).Dir("backup")
	if err := copyFolder(ctx, w.volume(), copied); err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	return w.under(ctx, trouble{happens: func(ctx context.Context) error {
		if err := tooltest.Pause(ctx, 15*time.Second); err != nil {
			return err
		}
		if err := w.Resize(ctx, "waggle_listener", 0); err != nil {
			return err
		}
		w.Say("the listener is down, and a copy of its volume from before the changes is put back")
		if err := w.restore(ctx, copied); err != nil {
			return err
		}
		return w.Resize(ctx, "waggle_listener", 1)
	}})
}

// restore makes the volume hold what a copy holds.
func (w *world) restore(ctx context.Context, copied string) error {
	entries, err := os.ReadDir(w.volume())
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(w.volume(), e.Name())))
	}
	if err != nil {
		return err
	}
	return copyFolder(ctx, copied+"/.", w.volume())
}

// unsyncedOwn cuts the power of the listener's node and takes the last seconds of its
// disk back: a copy of the store's folder, taken while the server wrote to it, takes the
// place of what there was when the power went.
func (w *world) unsyncedOwn(ctx context.Context) error {
	return w.under(ctx, trouble{struck: []string{stack.Manager}, deaf: true, happens: func(ctx context.Context) error {
		copied := w.Node(stack.Manager).Dir("copied")
		if err := copyFolder(ctx, w.volume(), copied); err != nil {
			return err
		}
		defer os.RemoveAll(copied)
		if err := tooltest.Pause(ctx, 10*time.Second); err != nil {
			return err
		}
		w.Say("the power of %s is cut, and its store is put back by 10 s (a copy of the folder)", stack.Manager)
		if err := w.Node(stack.Manager).Kill(); err != nil {
			return err
		}
		if err := errors.Join(w.restore(ctx, copied), tooltest.Pause(ctx, 5*time.Second)); err != nil {
			return err
		}
		began := time.Now()
		if err := w.Node(stack.Manager).Start(ctx); err != nil {
			return err
		}
		if _, err := w.elected(ctx); err != nil {
			return err
		}
		_, err := poll(ctx, time.Minute, "the listener to be started", func(ctx context.Context) error {
			places, err := w.Places(ctx, "waggle_listener", stack.Manager)
			if err == nil && len(places) != 1 {
				err = fmt.Errorf("%d run", len(places))
			}
			return err
		})
		w.Say("the listener's container runs %s after the power came back", seconds(time.Since(began)))
		if err != nil {
			return err
		}
		// The swarm's only manager was away: the worker asks for it ever more rarely, up to
		// eight seconds apart, and until it has found it no network leads from one to the other.
		_, err = poll(ctx, time.Minute, "the swarm to have its nodes again", w.ready)
		w.Say("the swarm has all nodes %s after the power came back", seconds(time.Since(began)))
		return err
	}})
}

// The size of the disk that gets full, and how much is left free for a beginning.
const (
	diskSize = 48 << 20
	diskFree = 16 << 10
)

// fullDisk gives the store a small disk, fills it, and makes room again.
func (w *world) fullDisk(ctx context.Context) error {
	node := w.Node(stack.Manager)
	if err := w.Resize(ctx, "waggle_listener", 0); err != nil {
		return err
	}
	inside, err := node.Mount(ctx, w.volume(), diskSize)
	if err != nil {
		return err
	}
	if err := w.Resize(ctx, "waggle_listener", 1); err != nil {
		return err
	}
	played := w.under(ctx, trouble{slack: 20 * time.Second, happens: func(ctx context.Context) error {
		filler := filepath.Join(inside, "filler")
		left, err := fill(filler)
		if err != nil {
			return err
		}
		w.Say("the disk of the store is full (%d bytes of %d were left)", left, diskSize)
		took, err := poll(ctx, 45*time.Second, "the listener to say that it cannot write", w.unwell)
		if err != nil {
			w.Fault("%v", err)
		} else {
			w.Say("the listener says so %s later: unhealthy, or started anew", seconds(took))
		}
		if err := os.Remove(filler); err != nil {
			return err
		}
		w.Say("there is room again")
		return nil
	}})
	err = errors.Join(played, w.Resize(ctx, "waggle_listener", 0), node.Unmount(ctx, w.volume()))
	return errors.Join(err, w.Resize(ctx, "waggle_listener", 1))
}

// fill writes a file until the disk takes no more, and returns how long it became.
func fill(file string) (int, error) {
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	written := 0
	for chunk := make([]byte, diskFree); ; {
		n, err := f.Write(chunk)
		written += n
		if err != nil {
			return written, nil // The error is what was wanted.
		}
	}
}

// unwell is nil if the listener is not healthy by its own word, or was started anew.
func (w *world) unwell(ctx context.Context) error {
	var answer string
	if err := w.Inside(ctx, stack.Manager, "waggle_listener", 8080, "/healthz", &answer); err != nil {
		return nil
	}
	return errors.New("it is healthy: " + answer)
}
