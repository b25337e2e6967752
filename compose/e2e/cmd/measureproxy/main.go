// Command measureproxy measures what the proxy costs beside a bare HAProxy, and
// how it carries many services, changes and connections, and prints the results as tables with
// their goals. It needs root and the tools of 'make setup'; the part burst needs the images
// too. The only targets are programs that it starts itself, on the loopback or in a
// swarm of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure-proxy:", err)
		os.Exit(1)
	}
}

// measurement is what all parts share.
type measurement struct {
	*tables
	log io.Writer
	// dir is a new folder; waggle and haproxy are programs.
	dir, waggle, haproxy string
	images, tag          string

	slices, few, services, idleServices int
	slice, idle                         time.Duration
	connections, sockets                int
	others, burst                       int
	pair, direct                        bool
}

func run(ctx context.Context, args []string) (err error) {
	m := measurement{tables: &tables{out: os.Stdout}, log: os.Stderr}
	parts := []struct {
		name  string
		limit time.Duration
		do    func(context.Context) error
	}{
		{"throughput", 10 * time.Minute, m.throughput},
		{"routes", 5 * time.Minute, m.routes},
		{"cold", 5 * time.Minute, m.cold},
		{"websockets", 5 * time.Minute, m.websockets},
		{"burst", 20 * time.Minute, m.bursts},
	}
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	fs := flag.NewFlagSet("measure-proxy", flag.ContinueOnError)
	only := fs.String("only", strings.Join(names, ","), "what to measure, separated by commas")
	fs.StringVar(&m.images, "images", os.Getenv("WAGGLE_IMAGES"), "prefix of the images, waggle if empty")
	fs.StringVar(&m.tag, "tag", os.Getenv("WAGGLE_TAG"), "tag of the images, dev if empty")
	fs.IntVar(&m.slices, "slices", 15, "slices of each kind in turn, for throughput and routes")
	fs.DurationVar(&m.slice, "slice", 2*time.Second, "length of a slice")
	fs.IntVar(&m.connections, "connections", 50, "connections of the load")
	fs.IntVar(&m.few, "few", 10, "services when there are few")
	fs.IntVar(&m.services, "services", 1000, "services when there are many, for routes and cold")
	fs.IntVar(&m.idleServices, "idle-services", 500, "services while the idle processor time is measured, for cold")
	fs.DurationVar(&m.idle, "idle", 30*time.Second, "how long that is")
	fs.IntVar(&m.sockets, "websockets", 10000, "WebSocket connections")
	fs.IntVar(&m.others, "others", 200, "services that are there before the burst")
	fs.IntVar(&m.burst, "burst", 100, "services that are created, and changed, at once")
	fs.BoolVar(&m.pair, "two-nodes", false, "the burst in a swarm of two nodes instead of one")
	fs.BoolVar(&m.direct, "direct", false, "in the burst, ask new tasks themselves and not the proxy, to see what is left to it")
	if err := fs.Parse(args); err != nil {
		return err
	}
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no part %q: want some of %s", name, strings.Join(names, ","))
		}
	}
	// Not below $TMPDIR: the path of a socket may have 107 bytes.
	if m.dir, err = os.MkdirTemp("/tmp", "wmp"); err != nil {
		return err
	}
	defer func() {
		if removed := os.RemoveAll(m.dir); err == nil {
			err = removed
		}
	}()
	if m.haproxy, err = exec.LookPath("haproxy"); err != nil {
		return fmt.Errorf("%w: run 'make setup' first", err)
	}
	if m.waggle, err = acceptance.Build(ctx, m.dir); err != nil {
		return err
	}
	for _, p := range parts {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, p.limit)
		err := p.do(limited)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return m.missed()
}
