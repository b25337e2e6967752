// Command monitor runs Waggle's monitor.
package main

import (
	"os"

	"github.com/wagglehq/waggle/monitor"
	"github.com/wagglehq/waggle/pkg/app"
)

// version is set when an image is built.
var version = "dev"

func main() { os.Exit(app.Main(monitor.Component, version, monitor.Service)) }
