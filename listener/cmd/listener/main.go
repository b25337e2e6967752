// Command listener is the process of Waggle's listener.
package main

import (
	"os"

	"github.com/wagglehq/waggle/listener"
	"github.com/wagglehq/waggle/pkg/app"
)

// version is set when an image is built.
var version = "dev"

func main() { os.Exit(app.Main("listener", version, listener.Service)) }
