package proxy

import (
	"context"
	"os"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// judgedBy are the settings by which the proxy judges labels, by their flags.
func judgedBy() []string {
	return []string{
		"admin", "allow-raw", "bind-ports", "default-ports", "default-req-mode", "filter-proxy-instance-name", "https-only", "networks",
		"proxy-instance-name", "separator", "service-domain-algo", "stats-port",
	}
}

// instance names this replica; by default it is the container's host name.
func (c Config) instance() string {
	if c.Instance != "" {
		return c.Instance
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// own is what this replica says of itself.
func own(name string, sh app.Shell, view func() *controller.View) func() (catalog.Instance, bool) {
	settings := sh.Chosen(judgedBy())
	return func() (catalog.Instance, bool) {
		v := view()
		if v == nil {
			return catalog.Instance{}, false
		}
		return catalog.Instance{Instance: name, Revision: v.Snapshot.Revision, Hash: v.Hash, Version: sh.Version, Settings: settings}, true
	}
}

// countConnections adds how many clients are connected, by HAProxy's own count: those of
// the worker that takes new ones.
func countConnections(worker *runtime.Client) func(context.Context, *catalog.Instance) {
	return func(ctx context.Context, i *catalog.Instance) {
		if info, err := worker.ShowInfo(ctx); err == nil {
			i.Connections = info.CurConn
		}
	}
}
