package publish

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/listener/internal/advice"
	"github.com/wagglehq/waggle/pkg/catalog"
)

type metrics struct {
	changes              *prometheus.CounterVec
	services             *prometheus.GaugeVec
	nodes                prometheus.Gauge
	listed, failingSince prometheus.Gauge
	missed               prometheus.Counter
	strangers            *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "catalog_changes_total",
			Help: "Entries of the catalog written or deleted, by kind (service, node, tasks, secret).",
		}, []string{"kind"}),
		services: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "services",
			Help: "Services in the swarm, by whether they opted in, as the listener that writes lists them.",
		}, []string{"opted_in"}),
		nodes: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "nodes", Help: "Nodes in the swarm, as the listener that writes lists them.",
		}),
		listed: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "listed_timestamp_seconds",
			Help: "Unix time of the last full list of the swarm that this listener wrote.",
		}),
		failingSince: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "list_failing_since_timestamp_seconds",
			Help: "Unix time since which the swarm cannot be listed; 0 while it can.",
		}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "missed_events_total",
			Help: "Changes that a list found and of which no event of Docker told.",
		}),
		strangers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "strangers_on_control_network",
			Help: "1 for each service that is on the network of Waggle's own services without being one of them, as the listener that writes lists them.",
		}, []string{"service"}),
	}
	if reg != nil {
		reg.MustRegister(m.changes, m.services, m.nodes, m.listed, m.failingSince, m.missed, m.strangers)
	}
	return m
}

// wrote counts what landed on the bus.
func (m *metrics) wrote(changes catalog.Changes) {
	for _, e := range changes.Put {
		m.changes.WithLabelValues(kindOf(e.Key)).Inc()
	}
	for _, key := range changes.Delete {
		m.changes.WithLabelValues(kindOf(key)).Inc()
	}
}

func (m *metrics) counts(s catalog.Snapshot, control advice.Control) {
	in := 0
	m.strangers.Reset()
	for _, svc := range s.Services {
		if control.IsStranger(svc) {
			m.strangers.WithLabelValues(svc.Name).Set(1)
		}
		if svc.OptedIn() {
			in++
		}
	}
	m.services.WithLabelValues("true").Set(float64(in))
	m.services.WithLabelValues("false").Set(float64(len(s.Services) - in))
	m.nodes.Set(float64(len(s.Nodes)))
}

// kindOf is the word before an entry's ID.
func kindOf(key string) string {
	kind, _, _ := strings.Cut(key, ".")
	return kind
}
