package traffic

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

const (
	namespace    = "waggle_proxy"
	serviceLabel = "service"
	codeLabel    = "code"
)

// Bounds are those of the histogram, in seconds.
func Bounds() []float64 {
	return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// services are the metrics of each service, 27 series at most. It is a collector of its own
// because a thousand services with an object for each series take 7 MB, as plain numbers a
// twentieth of that.
type services struct {
	mu      sync.Mutex // of Run, Listen and whoever scrapes
	tallies map[string]*tally

	responses, bytes, failures *prometheus.Desc
	open, queued, servers      *prometheus.Desc
	latency                    *prometheus.Desc
}

// tally is what is known of one service.
type tally struct {
	// sum is all that was counted; its texts and what is only so at a moment are not used,
	// and HTTP says that there are answers.
	sum runtime.Traffic
	now present
	latency
}

// latency is how long requests took.
type latency struct {
	requests uint64
	seconds  float64
	// within counts, for each of Bounds, those that took as long at most and longer than
	// the bound before allows; longer ones are in none of them.
	within []uint64
}

func newServices(reg prometheus.Registerer) *services {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, serviceLabel, name), help, append(labels, serviceLabel), nil)
	}
	s := &services{
		tallies:   map[string]*tally{},
		responses: desc("responses_total", "Answers to requests for a service, by the class of their status (2xx, 3xx, 4xx, 5xx, other), HAProxy's own included.", codeLabel),
		bytes:     desc("bytes_total", "Bytes of a service's clients (in) and for them (out).", "direction"),
		failures:  desc("failures_total", "What went wrong with a service's tasks: connections that failed (connect), answers that broke off (response), and what was sent once more (retry).", "kind"),
		open:      desc("open_requests", "Requests for a service that are under way, or connections if it is not HTTP, those that wait included."),
		queued:    desc("queued_requests", "Requests for a service that wait for a task to have room."),
		servers:   desc("servers", "Tasks to which the proxy sends requests for a service; 0 for one that shares its backend with others."),
		latency:   desc("latency_seconds", "How long requests for a service waited for the head of their answer, the wait for a task and the connection to it included. Of many requests a share is measured, which counts for all: the number of requests is that of the answers."),
	}
	reg.MustRegister(s)
	return s
}

// of is the tally of a service, which has its series from now on, so that the first answer is
// an increase. The lock is held.
func (s *services) of(o *Owners, service string) *tally {
	t, ok := s.tallies[service]
	if !ok {
		t = &tally{sum: runtime.Traffic{HTTP: o.http[service]}}
		s.tallies[service] = t
	}
	return t
}

// are the services that there are; what others had is gone. The lock is held.
func (s *services) are(o *Owners) {
	for service := range s.tallies {
		if _, ok := slices.BinarySearch(o.services, service); !ok {
			delete(s.tallies, service)
		}
	}
	for _, service := range o.services {
		s.of(o, service)
	}
}

// add counts what came to a service.
func (t *tally) add(grown runtime.Traffic) {
	sum, a := &t.sum, grown.Answers
	sum.HTTP = sum.HTTP || grown.HTTP
	sum.Answers = runtime.Answers{
		Other: sum.Answers.Other + a.Other, OK: sum.Answers.OK + a.OK, Redirected: sum.Answers.Redirected + a.Redirected,
		Refused: sum.Answers.Refused + a.Refused, Failed: sum.Answers.Failed + a.Failed,
	}
	sum.In += grown.In
	sum.Out += grown.Out
	sum.Connect += grown.Connect
	sum.Response += grown.Response
	sum.Retried += grown.Retried
}

// took counts requests that took so long.
func (l *latency) took(seconds float64, requests int) {
	bounds := Bounds()
	if l.within == nil {
		l.within = make([]uint64, len(bounds))
	}
	l.requests += uint64(requests)
	l.seconds += seconds * float64(requests)
	if i, _ := slices.BinarySearch(bounds, seconds); i < len(bounds) {
		l.within[i] += uint64(requests)
	}
}

// Describe is for prometheus.Collector.
func (s *services) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.responses, s.bytes, s.failures, s.open, s.queued, s.servers, s.latency} {
		out <- d
	}
}

// Collect is for prometheus.Collector.
func (s *services) Collect(out chan<- prometheus.Metric) {
	s.mu.Lock()
	var all []series
	for service, t := range s.tallies {
		all = s.append(all, service, t)
	}
	s.mu.Unlock()
	for i := range all {
		out <- &all[i]
	}
}

// Examples returns series of each metric, so that it can be told what it is before there is a
// service: open stands for texts of labels that are not known beforehand.
func (s *services) Examples(open string) []prometheus.Metric {
	t := &tally{sum: runtime.Traffic{HTTP: true}}
	t.took(0, 1)
	var out []prometheus.Metric
	for _, one := range s.append(nil, open, t) {
		out = append(out, &one)
	}
	return out
}

// append adds the series of a service.
func (s *services) append(all []series, service string, t *tally) []series {
	name := pair(serviceLabel, service)
	counter := func(desc *prometheus.Desc, label, text string, n int64) {
		all = append(all, series{desc: desc, labels: []*dto.LabelPair{pair(label, text), name}, counter: &dto.Counter{Value: new(float64(n))}})
	}
	gauge := func(desc *prometheus.Desc, n int64) {
		all = append(all, series{desc: desc, labels: []*dto.LabelPair{name}, gauge: &dto.Gauge{Value: new(float64(n))}})
	}
	if t.sum.HTTP {
		for _, c := range classes(t.sum.Answers) {
			counter(s.responses, codeLabel, c.name, c.n)
		}
	}
	counter(s.bytes, "direction", "in", t.sum.In)
	counter(s.bytes, "direction", "out", t.sum.Out)
	counter(s.failures, "kind", "connect", t.sum.Connect)
	counter(s.failures, "kind", "response", t.sum.Response)
	counter(s.failures, "kind", "retry", t.sum.Retried)
	gauge(s.open, t.now.open)
	gauge(s.queued, t.now.queued)
	gauge(s.servers, t.now.servers)
	if t.requests > 0 {
		all = append(all, series{desc: s.latency, labels: []*dto.LabelPair{name}, histogram: t.latency.histogram()})
	}
	return all
}

func (l *latency) histogram() *dto.Histogram {
	out, sum := &dto.Histogram{SampleCount: new(l.requests), SampleSum: new(l.seconds)}, uint64(0)
	for i, bound := range Bounds() {
		sum += l.within[i]
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: new(bound), CumulativeCount: new(sum)})
	}
	return out
}

func pair(name, text string) *dto.LabelPair { return &dto.LabelPair{Name: new(name), Value: new(text)} }

// series is one of them at a moment, and one of its last three fields is set. Its labels stand
// in the order of their names.
type series struct {
	desc      *prometheus.Desc
	labels    []*dto.LabelPair
	counter   *dto.Counter
	gauge     *dto.Gauge
	histogram *dto.Histogram
}

// Desc is for prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write is for prometheus.Metric.
func (s *series) Write(out *dto.Metric) error {
	out.Label, out.Counter, out.Gauge, out.Histogram = s.labels, s.counter, s.gauge, s.histogram
	return nil
}
