// Command chaos deploys Waggle in swarms of its own, breaks them in every way that
// Waggle is meant to live through, and says of each whether it did. It needs root, the
// images and a machine that does little else. It exits with 1 if a promise does not hold.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/chaos"
	"github.com/wagglehq/waggle/compose/e2e/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	c := chaos.Config{Out: os.Stdout, Log: os.Stderr}
	fs.StringVar(&c.Images, "images", os.Getenv("WAGGLE_IMAGES"), "prefix of the images, waggle if empty")
	fs.StringVar(&c.Tag, "tag", os.Getenv("WAGGLE_TAG"), "tag of the images, dev if empty")
	only := fs.String("only", "", "parts to play, separated by commas, all if empty: "+strings.Join(chaos.Parts(), ","))
	fs.StringVar(&c.Logs, "logs", "", "folder for the logs of all engines and containers after each part that fails; none if empty")
	hold := fs.Bool("hold", false, "leave each swarm as it is at the end, to look around in it, until SIGINT")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	if *hold {
		c.Hold = func(s *stack.Stack) { s.Hold(ctx, os.Stderr) }
	}
	return chaos.Run(ctx, c)
}
