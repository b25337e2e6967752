// Command scaler is the process of Waggle's scaler, and its tools.
package main

import (
	"os"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/scaler"
)

// version is set when an image is built.
var version = "dev"

func main() {
	if code, asked := app.Use("waggle-scaler", scaler.Tools()); asked {
		os.Exit(code)
	}
	os.Exit(app.Main("scaler", version, scaler.Service))
}
