package engine

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

type metrics struct {
	decisions *prometheus.CounterVec
	signals   *prometheus.GaugeVec
	stopped   prometheus.Gauge
	running   prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "scaler", Name: "decisions_total",
			Help: "Decisions by direction (up, down) and action (scaled, adopted, held, refused); a repeated hold counts once.",
		}, []string{"direction", "action"}),
		signals: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "scaler", Name: "signals",
			Help: "Services for which an alert asks for a direction at present.",
		}, []string{"direction"}),
	}
	m.stopped = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "waggle", Subsystem: "scaler", Name: "stopped",
		Help: "1 while the operator has stopped all scaling.",
	})
	m.running = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "waggle", Subsystem: "scaler", Name: "alert_to_running_seconds",
		Help:    "Time from the start of an alert that asks for up, as Alertmanager says, until all tasks of its first step run.",
		Buckets: []float64{1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600},
	})
	reg.MustRegister(m.decisions, m.signals, m.stopped, m.running)
	for _, d := range []signal.Direction{signal.Up, signal.Down} {
		m.signals.WithLabelValues(string(d))
		for _, a := range []decide.Action{decide.Scaled, decide.Adopted, decide.Held, decide.Refused} {
			m.decisions.WithLabelValues(string(d), string(a))
		}
	}
	return m
}

func (m *metrics) asked(a store.Asked) {
	m.stopped.Set(0)
	if a.Stop != nil {
		m.stopped.Set(1)
	}
	count := map[signal.Direction]float64{}
	for _, s := range a.Signals {
		count[s.Direction]++
	}
	for _, d := range []signal.Direction{signal.Up, signal.Down} {
		m.signals.WithLabelValues(string(d)).Set(count[d])
	}
}

// converged takes in that all tasks of a step run.
func (m *metrics) converged(s signal.Step) {
	if !s.Began.IsZero() && s.Direction == signal.Up {
		m.running.Observe(max(s.Converged.Sub(s.Began), 0).Seconds())
	}
}

func (m *metrics) decided(d decide.Decision) {
	m.decisions.WithLabelValues(string(d.Direction), string(d.Action)).Inc()
}
