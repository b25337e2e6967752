package runtime

import (
	"context"
	"errors"
	"fmt"
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
