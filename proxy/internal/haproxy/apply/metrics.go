package apply

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	reloads *prometheus.CounterVec
	changes prometheus.Counter
	refused prometheus.Counter
	up      prometheus.Gauge
	// fileRefused is about the file on disk, refused about what was to become it.
	fileRefused prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "reloads_total",
			Help: "Reloads of HAProxy by reason: start (its state was not known), frame (a setting, port, condition or user list, the first redirect or certificate), backend (one does something else, or a new one what no other does), server (another option of the servers of a backend), version (a new backend, and HAProxy is older than 3.4), certificate (one too large for a change at run time), runtime (a change at run time failed), failed. The log names the backends.",
		}, []string{"reason"}),
		changes: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "runtime_changes_total",
			Help: "Configurations applied through the runtime API, without a reload.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "refused_total",
			Help: "Configurations that HAProxy's own check refused.",
		}),
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "haproxy_up",
			Help: "1 if HAProxy answered at the last pass.",
		}),
	}
	m.fileRefused = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "waggle", Subsystem: "proxy", Name: "file_refused",
		Help: "1 if HAProxy refuses the file with which it would start, at the last check of it.",
	})
	// The first failure is seen as a rise only if there was a 0 before it.
	m.reloads.WithLabelValues("failed")
	if reg != nil {
		reg.MustRegister(m.reloads, m.changes, m.refused, m.up, m.fileRefused)
	}
	return m
}
