// Command scaler is the process of Waggle's scaler.
package main

import (
	"os"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/scaler"
)

// version is set when an image is built.
var version = "dev"

func main() { os.Exit(app.Main("scaler", version, scaler.Service)) }
