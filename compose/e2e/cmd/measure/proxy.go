package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

// bench is what the parts that measure the proxy share.
type bench struct {
	session
	// dir is a new folder; waggle and haproxy are programs.
	dir, waggle, haproxy string

	slices, few, services, idleServices int
	slice, idle                         time.Duration
	connections, sockets                int
	others, burst, posted               int
	pair, direct                        bool
}

// ofProxy measures what the proxy costs. The only targets are programs that it starts
// itself, on the loopback or in a swarm of its own.
func ofProxy(ctx context.Context, args []string) (err error) {
	var m bench
	fs := flag.NewFlagSet("measure proxy", flag.ContinueOnError)
	choose := m.begin(fs, []part{
		{"throughput", 10 * time.Minute, m.throughput},
		{"routes", 5 * time.Minute, m.routes},
		{"rules", 10 * time.Minute, m.rules},
		{"posts", 10 * time.Minute, m.posts},
		{"cold", 5 * time.Minute, m.cold},
		{"websockets", 5 * time.Minute, m.websockets},
		{"burst", 20 * time.Minute, m.bursts},
	})
	fs.IntVar(&m.slices, "slices", 15, "slices of each kind in turn, for throughput, routes and rules")
	fs.DurationVar(&m.slice, "slice", 2*time.Second, "length of a slice")
	fs.IntVar(&m.connections, "connections", 50, "connections of the load")
	fs.IntVar(&m.few, "few", 10, "services when there are few")
	fs.IntVar(&m.services, "services", 1000, "services when there are many, for routes and cold")
	fs.IntVar(&m.idleServices, "idle-services", 500, "services while the idle processor time is measured, for cold")
	fs.DurationVar(&m.idle, "idle", 30*time.Second, "how long that is")
	fs.IntVar(&m.posted, "posts", 10000, "POSTs at the moment when a task closes idle connections")
	fs.IntVar(&m.sockets, "websockets", 10000, "WebSocket connections")
	fs.IntVar(&m.others, "others", 200, "services that are there before the burst")
	fs.IntVar(&m.burst, "burst", 100, "services that are created, and changed, at once")
	fs.BoolVar(&m.pair, "two-nodes", false, "the burst in a swarm of two nodes instead of one")
	fs.BoolVar(&m.direct, "direct", false, "in the burst, ask new tasks themselves and not the proxy, to see what is left to it")
	parts, err := choose(args)
	if err != nil {
		return err
	}
	// Not below $TMPDIR: the path of a socket may have 107 bytes.
	if m.dir, err = os.MkdirTemp("/tmp", "wmp"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	if m.haproxy, err = exec.LookPath("haproxy"); err != nil {
		return fmt.Errorf("%w: run 'make setup' first", err)
	}
	if m.waggle, err = acceptance.Build(ctx, m.dir, "proxy"); err != nil {
		return err
	}
	if err := each(ctx, parts); err != nil {
		return err
	}
	return m.Missed()
}
