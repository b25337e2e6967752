package proxy

import (
	"context"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// reporter returns what tells the bus what became of services.
func reporter(b *bus.Bus, view func() *controller.View, statuses *bus.Statuses, e extra) func(context.Context) error {
	return func(ctx context.Context) error {
		v := view()
		if v == nil || !b.Connected() {
			return nil // the catalog comes the same way; its arrival pokes
		}
		if v.FromBus {
			if err := statuses.Publish(ctx, v.Published()); err != nil {
				return err
			}
		}
		return e.keep(ctx)
	}
}

// own is what this replica says of itself.
func own(name, version string, settings map[string]string, view func() *controller.View) func() (catalog.Instance, bool) {
	return func() (catalog.Instance, bool) {
		v := view()
		if v == nil {
			return catalog.Instance{}, false
		}
		return catalog.Instance{Instance: name, Revision: v.Snapshot.Revision, Hash: v.Hash, Version: version, Settings: settings}, true
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
