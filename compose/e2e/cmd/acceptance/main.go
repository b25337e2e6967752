// Command acceptance runs black-box cases of the components from files, and prints one
// line for each: PASS or FAIL, id, title and reason.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/monitorcase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/proxycase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/whycase"
)

func main() {
	forms := []acceptance.Form{proxycase.Form(), monitorcase.Form(), whycase.Form()}
	acceptance.Main(forms...)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := acceptance.Command(ctx, forms, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
