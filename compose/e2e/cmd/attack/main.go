// Command attack deploys Waggle in a swarm of its own, has services and containers try to
// get what is not theirs, and says of each attempt whether it harmed anybody. It needs root,
// the images and a machine that does little else. It exits with 1 if a promise does not hold.
package main

import (
	"os"

	"github.com/wagglehq/waggle/compose/e2e/attack"
	"github.com/wagglehq/waggle/compose/e2e/parts"
)

func main() { os.Exit(parts.Command("attack", os.Args[1:], os.Getenv, attack.Parts(), attack.Run)) }
