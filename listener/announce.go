package listener

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// announceEvery is how often an instance says that it is there.
const announceEvery = 10 * time.Second

// announce says so as soon as a complete catalog is on the bus, and then regularly; said is
// called when it was said. The revisions of the catalog are noted in ages.
func announce(b *bus.Bus, p *publish.Publisher, reader *bus.Catalog, self catalog.Instance, said func(), ages *instances.Ages) func(context.Context) error {
	return func(ctx context.Context) error {
		snapshot, ok := reader.Snapshot()
		if !ok {
			return nil // the reader pokes
		}
		ages.Look(time.Now(), snapshot.Revision)
		ctx, cancel := context.WithTimeout(ctx, announceEvery)
		defer cancel()
		self.Revision, self.Hash = snapshot.Revision, p.Hash()
		err := b.Announce(ctx, self)
		if err == nil {
			said()
		}
		return err
	}
}

func newPokes(reg prometheus.Registerer) prometheus.Counter {
	pokes := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "waggle", Subsystem: "listener", Name: "docker_events_total",
		Help: "Events of services and nodes heard from Docker, and openings of the stream.",
	})
	reg.MustRegister(pokes)
	return pokes
}

// newLeads returns what notes whether this listener is the one that writes.
func newLeads(reg prometheus.Registerer) func(bool) {
	leads := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "waggle", Subsystem: "listener", Name: "leads",
		Help: "1 if this listener lists the swarm and writes the catalog, 0 if another one does or nobody.",
	})
	reg.MustRegister(leads)
	return func(held bool) {
		if held {
			leads.Set(1)
		} else {
			leads.Set(0)
		}
	}
}
