// Command trials does on fresh nodes what README and docs tell a newcomer to do, and upgrades
// from the version before. It needs root and the images. It exits with 1 if something does not
// come of it that the pages promise.
package main

import (
	"context"
	"os"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/trials"
)

func main() {
	run := func(ctx context.Context, c parts.Config) error { return trials.Run(ctx, c, os.Getenv("WAGGLE_BEFORE")) }
	os.Exit(parts.Command("trials", os.Args[1:], os.Getenv, trials.Names(), run))
}
