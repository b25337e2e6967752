// Command measure deploys Waggle in a swarm of its own and prints, as tables, how
// fast it follows the swarm and what that costs requests. It needs root, the images
// and a machine that does little else; beside each number stands how busy the
// machine was.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

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

// parts are what can be measured, in this order.
const parts = "latency,changes,updates,catch,kills,own,many,deadnode"

func run(ctx context.Context, args []string) (err error) {
	fs := flag.NewFlagSet("measure", flag.ContinueOnError)
	m := measurement{out: os.Stdout, log: os.Stderr}
	var o stack.Options
	fs.StringVar(&o.Images, "images", os.Getenv("WAGGLE_IMAGES"), "prefix of the images, waggle if empty")
	fs.StringVar(&o.Tag, "tag", os.Getenv("WAGGLE_TAG"), "tag of the images, dev if empty")
	fs.IntVar(&m.runs, "runs", 3, "how often each is measured")
	fs.IntVar(&m.services, "services", 20, "services per run")
	fs.DurationVar(&m.minute, "minute", time.Minute, "how long requests are sent after a node was cut off, for deadnode")
	fs.IntVar(&m.others, "others", 200, "other services that are there when many are")
	hold := fs.Bool("hold", false, "leave the swarm as it is at the end, to look around in it, until SIGINT")
	only := fs.String("only", parts, "what to measure, separated by commas")
	if err := fs.Parse(args); err != nil {
		return err
	}
	o.Log = m.log
	if slices.Contains(strings.Split(*only, ","), "deadnode") {
		o.Workers = 2
	}
	m.Stack, err = stack.Deploy(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		if closed := m.Close(); err == nil {
			err = closed
		}
	}()
	wanted := map[string]bool{}
	for part := range strings.SplitSeq(*only, ",") {
		wanted[part] = true
	}
	few := fmt.Sprintf("%d others", fewOthers)
	if err := m.fill(ctx, 0, fewOthers); err != nil {
		return err
	}
	for _, step := range []struct {
		part string
		do   func(context.Context) error
	}{
		{"latency", func(ctx context.Context) error { return m.latency(ctx, few) }},
		{"changes", m.changes},
		{"updates", m.updates},
		{"catch", m.catch},
		{"kills", m.kills},
		{"own", m.own},
		{"many", func(ctx context.Context) error {
			if err := m.fill(ctx, fewOthers, m.others); err != nil {
				return err
			}
			return m.latency(ctx, fmt.Sprintf("%d others", m.others))
		}},
		{"deadnode", m.deadNode},
	} {
		if !wanted[step.part] {
			continue
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.part, err)
		}
	}
	if *hold {
		fmt.Fprintf(m.log, "measure: the engines answer at %s\n", strings.Join(m.Hosts(), " and "))
		<-ctx.Done()
	}
	return nil
}
