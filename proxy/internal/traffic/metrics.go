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

// Bounds are those of the histogram, in seconds.
func Bounds() []float64 {
	return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// metrics are those of each service, 27 series at most, and of the worker.
type metrics struct {
	responses, bytes, failures *prometheus.CounterVec
	open, queued, servers      *prometheus.GaugeVec
	latency                    *prometheus.HistogramVec

	answers           *prometheus.CounterVec
	connections, lost prometheus.Counter
	current, most     prometheus.Gauge
	idle              prometheus.Gauge
}

const serviceLabel = "service"

func newMetrics(reg prometheus.Registerer) *metrics {
	name := func(subsystem, name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "waggle_proxy", Subsystem: subsystem, Name: name, Help: help}
	}
	counter := func(subsystem, called, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(name(subsystem, called, help)), labels)
	}
	gauge := func(called, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(name(serviceLabel, called, help)), []string{serviceLabel})
	}
	m := &metrics{
		responses: counter(serviceLabel, "responses_total", "Answers to requests for a service, by the class of their status (2xx, 3xx, 4xx, 5xx, other), HAProxy's own included.", serviceLabel, "code"),
		bytes:     counter(serviceLabel, "bytes_total", "Bytes of a service's clients (in) and for them (out).", serviceLabel, "direction"),
		failures:  counter(serviceLabel, "failures_total", "What went wrong with a service's tasks: connections that failed (connect), answers that broke off (response), and what was sent once more (retry).", serviceLabel, "kind"),
		open:      gauge("open_requests", "Requests for a service that are under way, or connections if it is not HTTP, those that wait included."),
		queued:    gauge("queued_requests", "Requests for a service that wait for a task to have room."),
		servers:   gauge("servers", "Tasks to which the proxy sends requests for a service; 0 for one that shares its backend with others."),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "waggle_proxy", Subsystem: serviceLabel, Name: "latency_seconds", Buckets: Bounds(),
			Help: "How long requests for a service waited for the head of their answer, the wait for a task and the connection to it included. Of many requests a share is measured, which counts for all: the number of requests is that of the answers.",
		}, []string{serviceLabel}),
		answers:     counter("", "responses_total", "Answers to requests on all ports for HTTP, those that belong to no service included, by the class of their status (2xx, 3xx, 4xx, 5xx, other).", "code"),
		connections: prometheus.NewCounter(prometheus.CounterOpts(name("", "connections_total", "Connections that clients have opened to the ports for HTTP."))),
		lost:        prometheus.NewCounter(prometheus.CounterOpts(name("haproxy", "lost_log_lines_total", "Lines of HAProxy's log that nobody took in time, of requests that are measured or of its output."))),
		current:     prometheus.NewGauge(prometheus.GaugeOpts(name("haproxy", "connections", "Connections that HAProxy has with clients."))),
		most:        prometheus.NewGauge(prometheus.GaugeOpts(name("haproxy", "connections_limit", "How many of them there may be."))),
		idle:        prometheus.NewGauge(prometheus.GaugeOpts(name("haproxy", "idle_ratio", "Share of the time in which HAProxy's threads have nothing to do."))),
	}
	reg.MustRegister(m.responses, m.bytes, m.failures, m.open, m.queued, m.servers, m.latency, m.answers, m.connections, m.lost, m.current, m.most, m.idle)
	m.addAnswers(m.answers, nil, runtime.Answers{})
	return m
}

func (m *metrics) worker(w runtime.Worker) {
	m.current.Set(float64(w.CurConn))
	m.most.Set(float64(w.MaxConn))
	m.idle.Set(w.Idle)
}

// front counts what came to the ports.
func (m *metrics) front(grown runtime.Traffic) {
	m.addAnswers(m.answers, nil, grown.Answers)
	m.connections.Add(float64(grown.Sessions))
}

// appear makes the series of a service.
func (m *metrics) appear(service string, http bool) {
	m.add(service, runtime.Traffic{HTTP: http})
	m.show(service, nil)
}

// add counts what came to a service.
func (m *metrics) add(service string, grown runtime.Traffic) {
	if grown.HTTP {
		m.addAnswers(m.responses, []string{service}, grown.Answers)
	}
	for _, c := range []struct {
		vec  *prometheus.CounterVec
		text string
		n    int64
	}{
		{m.bytes, "in", grown.In}, {m.bytes, "out", grown.Out},
		{m.failures, "connect", grown.Connect}, {m.failures, "response", grown.Response}, {m.failures, "retry", grown.Retried},
	} {
		c.vec.WithLabelValues(service, c.text).Add(float64(c.n))
	}
}

func (m *metrics) addAnswers(vec *prometheus.CounterVec, labels []string, a runtime.Answers) {
	for _, c := range []struct {
		class string
		n     int64
	}{{classOK, a.OK}, {classRedirected, a.Redirected}, {classRefused, a.Refused}, {classFailed, a.Failed}, {classOther, a.Other}} {
		vec.WithLabelValues(append(labels[:len(labels):len(labels)], c.class)...).Add(float64(c.n))
	}
}

// show tells what is so at present; nil is nothing.
func (m *metrics) show(service string, p *present) {
	if p == nil {
		p = &present{}
	}
	m.open.WithLabelValues(service).Set(float64(p.open))
	m.queued.WithLabelValues(service).Set(float64(p.queued))
	m.servers.WithLabelValues(service).Set(float64(p.servers))
}

// forget takes the series of a service away.
func (m *metrics) forget(service string) {
	of := prometheus.Labels{serviceLabel: service}
	for _, vec := range []interface {
		DeletePartialMatch(labels prometheus.Labels) int
	}{m.responses, m.bytes, m.failures, m.open, m.queued, m.servers, m.latency} {
		vec.DeletePartialMatch(of)
	}
}
