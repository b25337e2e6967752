// Command scenarios deploys Waggle in a swarm of its own by compose's own files, does there
// what Docker Flow's tutorials teach, and says of each scenario whether that came of it which
// they promise. It needs root and the images. It exits with 1 if something did not.
package main

import (
	"os"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/scenarios"
)

func main() {
	os.Exit(parts.Command("scenarios", os.Args[1:], os.Getenv, scenarios.Parts(), scenarios.Run))
}
