// Command acceptance runs black-box cases of the proxy from files and prints one
// line for each: PASS or FAIL, id, title and reason.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
)

func main() {
	acceptance.Main()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := acceptance.Command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
