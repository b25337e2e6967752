package notify

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of Docker Flow Swarm Listener, and what it lacked.
type Metrics struct {
	errors *prometheus.CounterVec
	sends  *prometheus.CounterVec
	due    *prometheus.GaugeVec
}

// The operations of docker_flow_error that are no messages.
const (
	ServeServices = "serveGetServices"
	ServeNodes    = "serveGetNodes"
	Events        = "ListenForServiceEvents"
	NodeEvents    = "ListenForNodeEvents"
)

// NewMetrics registers them. services counts the services that receivers are told of.
func NewMetrics(reg prometheus.Registerer, services func() float64) *Metrics {
	name := prometheus.Labels{"service": "swarm_listener"}
	m := &Metrics{
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "docker_flow_error", ConstLabels: name,
			Help: "Errors of Docker Flow's side, by operation: messages to receivers whose retries (DF_RETRY) failed, each once, answers that could not be given, and streams of events that ended.",
		}, []string{"operation"}),
		sends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "notifications_total",
			Help: "Requests to Docker Flow's receivers, by receiver, kind and result (ok, failed).",
		}, []string{"receiver", "kind", "result"}),
		due: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "notifications_due",
			Help: "Messages that a receiver of Docker Flow's has not acknowledged yet.",
		}, []string{"receiver"}),
	}
	reg.MustRegister(m.errors, m.sends, m.due, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "docker_flow_service_count", ConstLabels: name, Help: "Services that opted in (DF_NOTIFY_LABEL).",
	}, services))
	for _, operation := range append(operations(), ServeServices, ServeNodes, Events, NodeEvents) {
		m.errors.WithLabelValues(operation)
	}
	return m
}

// Error counts an error of an operation.
func (m *Metrics) Error(operation string) { m.errors.WithLabelValues(operation).Inc() }

func (m *Metrics) failed(s Step) { m.Error(operation(s)) }

func (m *Metrics) sent(receiver string, s Step, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.sends.WithLabelValues(receiver, s.word(), result).Inc()
}
