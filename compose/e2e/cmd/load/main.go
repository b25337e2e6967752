// Command load sends HTTP requests at a steady rate and prints what became of
// them, without ever repeating one. Its exit code is 0 when none failed, 1 when
// some did, 2 for a wrong command line.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var c load.Config
	fs.StringVar(&c.URL, "url", "", "what to ask for, such as http://127.0.0.1/demo")
	fs.StringVar(&c.Host, "host", "", "Host header, if not that of the URL")
	fs.Float64Var(&c.Rate, "rate", 0, "requests per second; 0 for as many as the connections take")
	fs.IntVar(&c.Connections, "connections", 1, "requests under way at most")
	fs.BoolVar(&c.KeepAlive, "keepalive", false, "use connections again")
	fs.DurationVar(&c.Duration, "duration", 10*time.Second, "how long to send; SIGTERM ends it early")
	fs.DurationVar(&c.Timeout, "timeout", 10*time.Second, "how long one request may take")
	fs.BoolVar(&c.Insecure, "insecure", false, "take any certificate")
	fs.DurationVar(&c.Every, "every", 0, "print a line that often, too")
	asJSON := fs.Bool("json", false, "print JSON instead of text")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	show := func(r load.Report) {
		if !*asJSON {
			fmt.Fprintln(stdout, r)
			return
		}
		b, err := json.Marshal(r)
		if err != nil {
			fmt.Fprintln(stderr, "load:", err)
			return
		}
		fmt.Fprintf(stdout, "%s\n", b)
	}
	c.Progress = show
	r, err := load.Run(ctx, c)
	if err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 2
	}
	show(r)
	if r.Failed > 0 {
		return 1
	}
	return 0
}
