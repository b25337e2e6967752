package acme

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/proxy/internal/wish/names"
)

// Metrics tell how it goes.
type Metrics struct {
	orders  prometheus.Counter
	results *prometheus.CounterVec
	names   *prometheus.GaugeVec
}

// NewMetrics registers them; they are there also where nothing is obtained.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		orders: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waggle_proxy_acme_orders_total", Help: "Orders that this replica has placed with authorities.",
		}),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waggle_proxy_acme_attempts_total", Help: "Attempts of this replica to obtain a certificate, by their end: ok, or the last word of the authority's type of problem, or away, slow, dnsProvider, http, odd, unknown.",
		}, []string{"result"}),
		names: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "waggle_proxy_acme_names", Help: "Hosts for which certificates are obtained: ok, waiting for their first one, failing without one, or failing to be renewed. All replicas know the same.",
		}, []string{"state"}),
	}
	for _, state := range []string{"ok", "waiting", "failing", "unrenewed"} {
		m.names.WithLabelValues(state)
	}
	reg.MustRegister(m.orders, m.results, m.names)
	return m
}

// show counts the names by what is known of them.
func (m *Metrics) show(wanted []names.Name, records map[string]Record, now time.Time) {
	count := map[string]int{"ok": 0, "waiting": 0, "failing": 0, "unrenewed": 0}
	for _, n := range wanted {
		r := records[n.Host]
		has := r.Chain != "" && now.Before(r.Until)
		switch {
		case has && r.Failures == 0:
			count["ok"]++
		case has:
			count["unrenewed"]++
		case r.Failures == 0:
			count["waiting"]++
		default:
			count["failing"]++
		}
	}
	for state, n := range count {
		m.names.WithLabelValues(state).Set(float64(n))
	}
}
