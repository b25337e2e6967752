package addresses

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	lookups  *prometheus.CounterVec
	duration prometheus.Histogram
	foreign  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "lookups_total",
			Help: "Look-ups of task addresses by result: answer, empty, timeout, error.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "lookup_duration_seconds",
			Help:    "How long look-ups of task addresses took.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .04, .06, .12, .25, .5},
		}),
		foreign: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "foreign_addresses",
			Help: "Addresses that DNS gives for followed names and that are not used: those of other services' tasks and of strangers that have the name as an alias, and where no host outside may be.",
		}),
	}
	for _, result := range []string{"answer", "empty", "timeout", "error"} {
		m.lookups.WithLabelValues(result)
	}
	if reg != nil {
		reg.MustRegister(m.lookups, m.duration, m.foreign)
	}
	return m
}

func (m metrics) count(r result, timeout bool) {
	switch {
	case r.err != nil && timeout:
		m.lookups.WithLabelValues("timeout").Inc()
	case r.err != nil:
		m.lookups.WithLabelValues("error").Inc()
	case len(r.addrs) == 0:
		m.lookups.WithLabelValues("empty").Inc()
	default:
		m.lookups.WithLabelValues("answer").Inc()
	}
}
