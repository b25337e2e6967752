package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// lockPatience is how long another process may take to end; an update starts the
	// next one while the last one is ending.
	lockPatience = 10 * time.Second
	lockEvery    = 50 * time.Millisecond
)

// ErrInUse says that another process uses the folder of the store.
var ErrInUse = errors.New("another process uses it")

// lockFolder makes sure that one process alone uses the folder, since two would
// destroy the store. The kernel ends the lock with the process.
func lockFolder(dir string, patience time.Duration) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "waggle.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: folder of the store: %w", err)
	}
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	late := time.After(patience)
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("embedded NATS: lock of folder %s: %w", dir, err)
		}
		select {
		case <-tick.C:
		case <-late:
			_ = file.Close()
			return nil, fmt.Errorf("embedded NATS: folder %s: %w (a second listener on this node? run one, with a folder of its own, or use a NATS of yours for several)", dir, ErrInUse)
		}
	}
}
