// Command counts deploys Waggle in a swarm of its own and says whether the numbers of replicas
// there are what is promised: one step for one cause, however long tasks take to start, and
// numbers that survive deploys, with the scaler or without it. It needs root and the images.
// It exits with 1 if something was not as promised.
package main

import (
	"os"

	"github.com/wagglehq/waggle/compose/e2e/counts"
	"github.com/wagglehq/waggle/compose/e2e/parts"
)

func main() {
	os.Exit(parts.Command("counts", os.Args[1:], os.Getenv, counts.Parts(), counts.Run))
}
