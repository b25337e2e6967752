// Command waggle answers why a service of the swarm is not routed, scraped or scaled.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/wagglehq/waggle/compose/waggle/internal/cli"
)

// version is set when an image is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	env := map[string]string{}
	for _, pair := range os.Environ() {
		name, text, _ := strings.Cut(pair, "=")
		env[name] = text
	}
	code := cli.Main(ctx, os.Args[1:], cli.World{Env: env, Out: os.Stdout, Err: os.Stderr, Version: version, IsTerminal: term.IsTerminal(int(os.Stdout.Fd()))})
	stop()
	os.Exit(code)
}
