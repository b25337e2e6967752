package proxy

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/reach"
	"github.com/wagglehq/waggle/proxy/internal/replicas"
	"github.com/wagglehq/waggle/proxy/internal/traffic"
	"github.com/wagglehq/waggle/proxy/judge"
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

// published returns what the bus says of certificates beside those of labels: there are
// uploads, or another replica has some on its disk.
func published(peers *replicas.Peers, self string, uploads *bus.Mirror, o obtained) func() (there, known bool) {
	return func() (bool, bool) {
		obtained, knows := o.there()
		instances, complete := peers.Instances()
		values, synced := uploads.Values()
		there := obtained || len(values) > 0 || slices.ContainsFunc(instances, func(i catalog.Instance) bool {
			return i.Instance != self && judge.InUse(i.Settings)
		})
		return there, complete && synced && knows
	}
}

// own is what this replica says of itself.
func own(c Config, version string, settings map[string]string, view func() *controller.View) func() (catalog.Instance, bool) {
	return func() (catalog.Instance, bool) {
		v := view()
		if v == nil {
			return catalog.Instance{}, false
		}
		said := maps.Clone(settings)
		said[judge.Certificates] = strconv.FormatBool(v.HasCertificates)
		said[judge.Obtains] = strconv.FormatBool(c.ACME.On())
		return catalog.Instance{Instance: c.InstanceName(), Revision: v.Snapshot.Revision, Hash: v.Hash, Version: version, Settings: said}, true
	}
}

// look adds what this replica alone sees: how many clients are connected, by HAProxy's own
// count (those of the worker that takes new ones), certificates, secrets with users, and tasks
// that cannot be spoken to.
func look(worker *runtime.Client, certificates func() *controller.Certificates, secrets func() []string, tasks *reach.Watch) func(context.Context, *catalog.Instance) {
	return func(ctx context.Context, i *catalog.Instance) {
		if info, err := worker.ShowInfo(ctx); err == nil {
			i.Connections = info.CurConn
		}
		i.Seen = &catalog.Seen{Certificates: served(certificates()), Secrets: secrets(), Unreached: tasks.Seen()}
	}
}

// mostHosts is how many hosts of certificates are told; of more, none is.
const mostHosts = 1000

// served are the certificates that clients get, nil if that is not known or they are too many.
func served(c *controller.Certificates) []catalog.ServedCertificate {
	if c == nil || !c.Applied {
		return nil
	}
	out, hosts := []catalog.ServedCertificate{}, 0
	for _, e := range c.Entries {
		if !e.Served() {
			continue
		}
		one := catalog.ServedCertificate{Name: e.Name, Hosts: e.Names, NotAfter: e.NotAfter}
		if e.Only != nil {
			one.Hosts = e.Only
		}
		if hosts += len(one.Hosts) + 1; hosts > mostHosts {
			return nil
		}
		out = append(out, one)
	}
	return out
}

// tasksToTry are the targets of the last pass, none before it.
func tasksToTry(view func() *controller.View) func() []reach.Target {
	return func() []reach.Target {
		v := view()
		if v == nil {
			return nil
		}
		return reach.Targets(v.Desired.Services, v.Addresses)
	}
}

// owners tells whose backends are whose, as of the last pass. It may be called from any
// goroutine.
func owners(view func() *controller.View) func() *traffic.Owners {
	var (
		mu   sync.Mutex // two loops ask
		of   *controller.View
		last *traffic.Owners
	)
	return func() *traffic.Owners {
		v := view()
		mu.Lock()
		defer mu.Unlock()
		if v != nil && v != of {
			of, last = v, traffic.OwnersOf(v.Desired.Services)
		}
		return last
	}
}
