package runtime

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how many intervals Watch lets pass before it asks although the socket is the
// same, as after a reload that somebody else asked for.
const patience = 10

// Watch looks whether the socket is another whenever the kernel says that one comes or goes, and
// asks who answers if it is; every interval if nobody answered the last time, and every tenth in
// any case. It calls changed whenever it is another process than before: at the first answer,
// after every reload and after every death. A question is some 80 lines of HAProxy's to write and
// ours to read. Where the kernel tells nothing, it looks every interval. It returns when the
// context ends.
func (c *Client) Watch(ctx context.Context, interval time.Duration, changed func(Info)) error {
	moves, end := changesIn(filepath.Dir(c.path))
	defer end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := 0
	var socket fs.FileInfo
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-moves:
			if !ok {
				moves = nil
			}
		case <-timer.C:
		}
		now, err := os.Stat(c.path)
		if err != nil || !same(socket, now) || time.Since(asked) >= patience*interval {
			// A failure means that HAProxy is on its way up; its pid will be new then.
			socket, asked = nil, time.Now()
			if info, err := c.ShowInfo(ctx); err == nil {
				socket = now
				if info.Pid != last {
					last = info.Pid
					changed(info)
				}
			}
		}
		if socket != nil && moves != nil {
			timer.Reset(patience * interval)
		} else {
			timer.Reset(interval)
		}
	}
}

// same tells whether a socket is the one of before: HAProxy makes another at each start.
func same(before, now fs.FileInfo) bool {
	return before != nil && now != nil && os.SameFile(before, now) && before.ModTime().Equal(now.ModTime())
}

// changesIn returns a channel that gets a value when a file has come into a folder or gone from
// it, until end is called. It is nil where the kernel does not tell, as when too many ask it to,
// and is closed when it ceases to.
func changesIn(folder string) (moves <-chan struct{}, end func()) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, func() {}
	}
	told := os.NewFile(uintptr(fd), "inotify") //nolint:gosec // the kernel's numbers are not negative.
	end = func() { _ = told.Close() }
	if _, err := unix.InotifyAddWatch(fd, folder, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_MOVED_FROM); err != nil {
		end()
		return nil, func() {}
	}
	rings := make(chan struct{}, 1)
	go func() {
		defer close(rings)
		// What it was does not matter, so that what is read need not be understood.
		for buf := make([]byte, 4096); ; {
			if _, err := told.Read(buf); err != nil {
				return
			}
			select {
			case rings <- struct{}{}:
			default:
			}
		}
	}()
	return rings, end
}
