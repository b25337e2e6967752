// Command certificates deploys Waggle in swarms of its own beside an authority for certificates,
// has services ask for them, ends whoever orders and renews, and says of each part whether what
// is promised holds. It needs root and the images. It exits with 1 if a promise does not hold.
package main

import (
	"os"

	"github.com/wagglehq/waggle/compose/e2e/certificates"
	"github.com/wagglehq/waggle/compose/e2e/parts"
)

func main() {
	os.Exit(parts.Command("certificates", os.Args[1:], os.Getenv, certificates.Parts(), certificates.Run))
}
