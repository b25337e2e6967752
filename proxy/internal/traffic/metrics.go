package traffic

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// The classes of a status.
const (
	classOK         = "2xx"
	classRedirected = "3xx"
	classRefused    = "4xx"
	classFailed     = "5xx"
	classOther      = "other"
)

// class is how many answers have a status of a class.
type class struct {
	name string
	n    int64
}

func classes(a runtime.Answers) []class {
	return []class{{classOK, a.OK}, {classRedirected, a.Redirected}, {classRefused, a.Refused}, {classFailed, a.Failed}, {classOther, a.Other}}
}

// metrics are those of the worker and its ports; services has the others.
type metrics struct {
	answers           *prometheus.CounterVec
	connections, lost prometheus.Counter
	current, most     prometheus.Gauge
	idle              prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	name := func(subsystem, name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	m := &metrics{
		answers:     prometheus.NewCounterVec(prometheus.CounterOpts(name("", "responses_total", "Answers to requests on all ports for HTTP, those that belong to no service included, by the class of their status (2xx, 3xx, 4xx, 5xx, other).")), []string{codeLabel}),
		connections: prometheus.NewCounter(prometheus.CounterOpts(name("", "connections_total", "Connections that clients have opened to the ports for HTTP."))),
		lost:        prometheus.NewCounter(prometheus.CounterOpts(name("haproxy", "lost_log_lines_total", "Lines of HAProxy's log that nobody took in time, of requests that are measured or of its output."))),
		current:     prometheus.NewGauge(prometheus.GaugeOpts(name("haproxy", "connections", "Connections that HAProxy has with clients."))),
		most:        prometheus.NewGauge(prometheus.GaugeOpts(name("haproxy", "connections_limit", "How many of them there may be."))),
		idle:        prometheus.NewGauge(prometheus.GaugeOpts(name("haproxy", "idle_ratio", "Share of the time in which HAProxy's threads have nothing to do."))),
	}
	reg.MustRegister(m.answers, m.connections, m.lost, m.current, m.most, m.idle)
	m.front(runtime.Traffic{})
	return m
}

func (m *metrics) worker(w runtime.Worker) {
	m.current.Set(float64(w.CurConn))
	m.most.Set(float64(w.MaxConn))
	m.idle.Set(w.Idle)
}

// front counts what came to the ports.
func (m *metrics) front(grown runtime.Traffic) {
	for _, c := range classes(grown.Answers) {
		m.answers.WithLabelValues(c.name).Add(float64(c.n))
	}
	m.connections.Add(float64(grown.Sessions))
}
