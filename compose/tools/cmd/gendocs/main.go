// Command gendocs writes what is generated from the code: docs/labels.md,
// docs/metrics.md, docs/settings.md, the manual page of waggle, the schemas of the values on the bus, the
// dashboards of Grafana and the listener's list of known labels. It runs at the root of the repository, as 'make docs'
// does.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/wagglehq/waggle/compose/tools/dashboards"
	"github.com/wagglehq/waggle/compose/tools/docs"
	"github.com/wagglehq/waggle/compose/tools/drawing"
	"github.com/wagglehq/waggle/listener"
	"github.com/wagglehq/waggle/monitor"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/proxy"
	"github.com/wagglehq/waggle/scaler"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintf(os.Stderr, "gendocs: %v\n", err)
		os.Exit(1)
	}
}

func components() []docs.Component {
	return []docs.Component{
		{Name: "listener", Labels: listener.Labels(), Service: listener.Service},
		{Name: "proxy", Labels: proxy.Labels(), Refused: proxy.Unsupported(), Service: controller},
		{Name: "monitor", Labels: monitor.Labels(), Service: monitor.Service},
		{Name: "scaler", Labels: scaler.Labels(), Service: scaler.Service, Tools: scaler.Tools()},
	}
}

// controller is the part of the proxy that has metrics of its own.
func controller(fs *flag.FlagSet) func(context.Context, app.Shell) error {
	var c proxy.Config
	c.Flags(fs)
	return func(ctx context.Context, sh app.Shell) error { return proxy.Run(ctx, c, sh) }
}

// write generates everything and then writes what differs. If anything fails before
// that, nothing is written.
func write(root string) error {
	all := components()
	metrics, err := docs.MetricsPage(all)
	if err != nil {
		return err
	}
	labels, err := docs.LabelsPage(all)
	if err != nil {
		return err
	}
	known, err := docs.Known(all)
	if err != nil {
		return err
	}
	files, err := docs.Schemas(root)
	if err != nil {
		return err
	}
	grafana, err := dashboards.Files()
	if err != nil {
		return err
	}
	manual, err := docs.ManualPage(root)
	if err != nil {
		return err
	}
	maps.Copy(files, grafana)
	flow, err := os.ReadFile(root + "/docs/flow.txt")
	if err != nil {
		return err
	}
	picture, err := drawing.SVG("How Waggle works", string(flow))
	if err != nil {
		return fmt.Errorf("docs/flow.txt: %w", err)
	}
	maps.Copy(files, map[string][]byte{
		"docs/labels.md":                           labels,
		"docs/metrics.md":                          metrics,
		"docs/settings.md":                         docs.SettingsPage(all),
		"docs/flow.svg":                            picture,
		"docs/waggle.1":                            manual,
		"listener/internal/known/labels.txt":       known,
		"compose/waggle/internal/cli/settings.txt": docs.Settings(all),
	})
	for path, content := range files {
		if err := os.MkdirAll(filepath.Dir(root+"/"+path), 0o755); err != nil {
			return err
		}
		if _, err := atomicfile.Write(root+"/"+path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
