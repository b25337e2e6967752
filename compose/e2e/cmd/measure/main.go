// Command measure prints, as tables, what Waggle does with time, requests and machines.
//
//	measure swarm [FLAGS]   how fast Waggle, in a swarm of its own, follows the swarm,
//	                        and what that costs requests
//	measure proxy [FLAGS]   what the proxy costs beside a bare HAProxy, and how it carries
//	                        many services, changes and connections
//	measure monitor [FLAGS] how soon the monitor and its Prometheus follow the catalog, with
//	                        few and many services, and what one that asks for too much costs
//	measure scaler [FLAGS]  how soon an alert has become a change of a service, and what
//	                        alerts cost that change nothing
//
// It needs root, the images and a machine that does little else.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "swarm":
			return onSwarm(ctx, args[1:])
		case "proxy":
			return ofProxy(ctx, args[1:])
		case "monitor":
			return ofMonitor(ctx, args[1:])
		case "scaler":
			return ofScaler(ctx, args[1:])
		}
	}
	return fmt.Errorf("want swarm, proxy, monitor or scaler, and then flags (-h), not %q", strings.Join(args, " "))
}

// session is what all that is measured shares.
type session struct {
	*report.Tables
	log     io.Writer
	options stack.Options
}

// part is something that can be measured by itself.
type part struct {
	name string
	// limit is how long it may take; 0 is as long as it takes.
	limit time.Duration
	do    func(context.Context) error
}

// begin declares the flags that all have. What it returns takes the command line, and
// returns those of the parts that are wanted.
func (s *session) begin(fs *flag.FlagSet, parts []part) func(args []string) ([]part, error) {
	s.Tables, s.log = &report.Tables{Out: os.Stdout}, os.Stderr
	s.options.Log = s.log
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	only := fs.String("only", strings.Join(names, ","), "what to measure, separated by commas")
	fs.StringVar(&s.options.Images, "images", os.Getenv("WAGGLE_IMAGES"), "prefix of the images, waggle if empty")
	fs.StringVar(&s.options.Tag, "tag", os.Getenv("WAGGLE_TAG"), "tag of the images, dev if empty")
	return func(args []string) ([]part, error) {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		wanted := strings.Split(*only, ",")
		for _, name := range wanted {
			if !slices.Contains(names, name) {
				return nil, fmt.Errorf("no part %q: want some of %s", name, strings.Join(names, ","))
			}
		}
		return slices.DeleteFunc(parts, func(p part) bool { return !slices.Contains(wanted, p.name) }), nil
	}
}

// each measures one part after the other.
func each(ctx context.Context, parts []part) error {
	for _, p := range parts {
		limited, cancel := context.WithTimeout(ctx, cmp.Or(p.limit, 24*time.Hour))
		err := p.do(limited)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// atOnce does something with each name, so many at a time.
func atOnce(ctx context.Context, parallel int, names []string, do func(ctx context.Context, name string) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, name := range names {
		g.Go(func() error { return do(ctx, name) })
	}
	return g.Wait()
}

// numbered are names that begin alike, from one number to before another.
func numbered(prefix string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(prefix, i))
	}
	return out
}

// populate makes services with one task and a route each, and waits until all answer.
func populate(ctx context.Context, s *stack.Stack, names []string) error {
	if err := atOnce(ctx, 4, names, func(ctx context.Context, name string) error { return plain(ctx, s, name) }); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := s.Since(ctx, stack.Manager, "/"+name, stack.Answered); err != nil {
			return err
		}
	}
	return nil
}

// plain makes one of them.
func plain(ctx context.Context, s *stack.Stack, name string) error {
	return s.Create(ctx, stack.Demo{Name: name, Replicas: 1, Unchecked: true, Labels: stack.Labels("/" + name)})
}
