// Command chaos deploys Waggle in swarms of its own, breaks them in every way that
// Waggle is meant to live through, and says of each whether it did. It needs root, the
// images and a machine that does little else. It exits with 1 if a promise does not hold.
package main

import (
	"os"

	"github.com/wagglehq/waggle/compose/e2e/chaos"
	"github.com/wagglehq/waggle/compose/e2e/parts"
)

func main() { os.Exit(parts.Command("chaos", os.Args[1:], os.Getenv, chaos.Parts(), chaos.Run)) }
