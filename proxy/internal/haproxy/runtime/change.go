package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"time"
)

// DelServer takes a server out of use and deletes it, waiting at most wait for
// its connections to end. With ErrBusy it stays, in maint, for another try.
func (c *Client) DelServer(ctx context.Context, backend, server string, wait time.Duration) error {
	// HAProxy 3.4 closes idle connections a moment after the change to maint, so
	// that there is always something to wait for; del server has the last word.
	errs := c.Batch(ctx, DisableServer(backend, server), AwaitServer(backend, server, max(wait, leastWait)), DeleteServer(backend, server))
	if errs[0] != nil {
		return errs[0]
	}
	return errs[2]
}

// leastWait is what an idle connection takes to close after a server went into maint.
const leastWait = 20 * time.Millisecond

// newVersion is the answer to prepare map.
var newVersion = regexp.MustCompile(`^New version created: ([0-9]+)`)

// ReplaceMap makes a map's content equal to entries, all at once: look-ups see
// the old content or the new.
func (c *Client) ReplaceMap(ctx context.Context, mapName string, entries []Entry) (err error) {
	text, err := c.one(ctx, command("prepare map", mapname(mapName)).confirm("New version created"))
	if err != nil {
		return err
	}
	m := newVersion.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("haproxy: prepare map %s: no version in %q", mapName, text)
	}
	version := literal("@" + m[1])
	defer func() {
		if err != nil {
			// What was prepared would stay in memory until the next commit.
			tidy := context.WithoutCancel(ctx)
			err = errors.Join(err, c.Do(tidy, command("clear map", version, mapname(mapName))))
		}
	}()
	var adds []Command
	for _, part := range Chunks(entries) {
		adds = append(adds, addEntries(part, version, mapname(mapName)))
	}
	// The commit waits until every entry is known to be there.
	if err := c.Do(ctx, adds...); err != nil {
		return err
	}
	return c.Do(ctx, command("commit map", version, mapname(mapName)))
}

// patience is how many intervals Watch lets pass before it asks although the socket is the
// same, as after a reload that somebody else asked for.
const patience = 10

// Watch looks every interval whether the socket is another, and asks who answers if it is, if
// nobody answered the last time, and every tenth time in any case. It calls changed whenever it
// is another process than before: at the first answer, after every reload and after every
// death. A question is some 80 lines of HAProxy's to write and ours to read, a look a call of
// the kernel. It returns when the context ends.
func (c *Client) Watch(ctx context.Context, interval time.Duration, changed func(Info)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last := 0
	var socket fs.FileInfo
	for n := 0; ; n++ {
		now, err := os.Stat(c.path)
		if err != nil || !same(socket, now) || n%patience == 0 {
			// A failure means that HAProxy is on its way up; its pid will be new then.
			socket = nil
			if info, err := c.ShowInfo(ctx); err == nil {
				socket = now
				if info.Pid != last {
					last = info.Pid
					changed(info)
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// same tells whether a socket is the one of before: HAProxy makes another at each start.
func same(before, now fs.FileInfo) bool {
	return before != nil && now != nil && os.SameFile(before, now) && before.ModTime().Equal(now.ModTime())
}
