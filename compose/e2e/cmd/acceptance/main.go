// Command acceptance runs black-box cases of the components from files, and prints one
// line for each: PASS or FAIL, id, title and reason. With "agrees" before all arguments it
// compares the cases of the proxy with what waggle lint says of each deployment.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/listenercase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/monitorcase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/proxycase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/scalercase"
	"github.com/wagglehq/waggle/compose/e2e/acceptance/whycase"
)

func main() {
	forms := []acceptance.Form{proxycase.Form(), monitorcase.Form(), scalercase.Form(), listenercase.Form(), whycase.Form()}
	acceptance.Main(append(forms, proxycase.Agreement())...)
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "agrees" {
		forms, args = []acceptance.Form{proxycase.Agreement()}, args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := acceptance.Command(ctx, forms, args, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
