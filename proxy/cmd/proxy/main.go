// Command proxy keeps HAProxy equal to the labels of services. Without flags it is
// process 1 of its container and starts itself again as the controller.
package main

import (
	"context"
	"flag"
	"os"
	"slices"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy"
)

var version = "unknown"

func main() {
	os.Exit(app.Main("proxy", version, func(fs *flag.FlagSet) func(context.Context, app.Shell) error {
		var c proxy.Config
		c.Flags(fs)
		controller := fs.Bool("controller", false, "be the controller of an HAProxy that runs already, not the supervisor of both")
		return func(ctx context.Context, sh app.Shell) error {
			c.Environ = os.Environ()
			if *controller {
				return proxy.Run(ctx, c, sh)
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return proxy.Supervise(ctx, c, slices.Concat([]string{self, "-controller"}, os.Args[1:]), sh)
		}
	}, app.SecretFiles("secrets-dir", "dfp_")))
}
