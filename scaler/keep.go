package scaler

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/scaler/internal/keep"
)

func keepTool() app.Tool {
	return app.Tool{
		Name: "keep", Args: "FILE",
		Does:     "Prints a stack file with the numbers of replicas that its scaled services have now; - is the standard input.",
		Settings: []string{"docker-host", "docker-timeout", "docker-ca", "docker-cert", "docker-key", "docker-cert-path", "docker-tls-verify"},
		Declare: func(fs *flag.FlagSet) func(context.Context, app.Call) error {
			stack := fs.String("stack", "", "name under which the file is deployed")
			host := fs.String("docker-host", docker.DefaultHost, "Docker API of a manager: unix:///path/of/socket or tcp://address:port")
			timeout := fs.Duration("docker-timeout", docker.DefaultTimeout, "how long one call of the Docker API may take; after one that took longer up to four times as long")
			var tls docker.TLS
			tls.Flags(fs)
			return func(ctx context.Context, c app.Call) error {
				if *stack == "" || len(c.Args) != 1 {
					return errors.New("want -stack STACK and one FILE, or - for the standard input; several files: docker stack config -c ONE -c OTHER | waggle-scaler keep -stack STACK -")
				}
				client, err := docker.Connect(*host, docker.AllowRead, slog.New(slog.DiscardHandler), docker.Timeout(*timeout), docker.WithTLS(tls))
				if err != nil {
					return err
				}
				defer client.Close()
				return keepNumbers(ctx, *stack, client.Numbers, c)
			}
		},
	}
}

// keepNumbers prints the file of a call with the numbers that there are.
func keepNumbers(ctx context.Context, stack string, numbers func(context.Context) (map[string]uint64, error), c app.Call) error {
	file, err := readFile(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	now, err := numbers(ctx)
	if err != nil {
		return fmt.Errorf("how many replicas there are now is not known: %w", err)
	}
	out, changes, err := keep.Edit(file, keep.Options{
		Stack: stack, Variable: c.Variable,
		Live: func(name string) (uint64, bool) {
			n, ok := now[name]
			return n, ok
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Args[0], err)
	}
	for _, change := range changes {
		_, _ = fmt.Fprintln(c.Err, change)
	}
	_, err = c.Out.Write(out)
	return err
}
