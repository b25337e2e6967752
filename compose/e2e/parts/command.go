package parts

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/stack"
)

// Command is the whole of a command that plays parts: it reads arguments and environment,
// runs until the parts are played or a signal comes, and returns the code to exit with,
// which is 1 if a promise does not hold.
func Command(name string, args []string, env func(string) string, all []string, run func(context.Context, Config) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, err := parse(ctx, name, args, env, all)
	if err == nil {
		err = run(ctx, c)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func parse(ctx context.Context, name string, args []string, env func(string) string, all []string) (Config, error) {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	c := Config{Out: os.Stdout, Log: os.Stderr}
	fs.StringVar(&c.Images, "images", env("WAGGLE_IMAGES"), "prefix of the images, waggle if empty")
	fs.StringVar(&c.Tag, "tag", env("WAGGLE_TAG"), "tag of the images, dev if empty")
	only := fs.String("only", "", "parts to play, separated by commas, all if empty: "+strings.Join(all, ","))
	fs.StringVar(&c.Logs, "logs", "", "folder for the logs of all engines and containers after each part that fails; none if empty")
	hold := fs.Bool("hold", false, "leave each swarm as it is at the end, to look around in it, until SIGINT")
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	if *hold {
		c.Hold = func(s *stack.Stack) { s.Hold(ctx, os.Stderr) }
	}
	return c, nil
}
