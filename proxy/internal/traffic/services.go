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

	directionLabel = "direction"
	kindLabel      = "kind"
)

// Bounds are those of the histogram, in seconds.
func Bounds() []float64 {
	return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// services are the metrics of each service, 27 series at most. It is a collector of its own
// because a thousand services with an object for each series take 7 MB, as plain numbers
// 0.3 MB.
type services struct {
	mu      sync.Mutex // of Run, Listen and whoever scrapes
	tallies map[string]*tally

	responses, bytes, failures *prometheus.Desc
	open, queued, servers      *prometheus.Desc
	latency                    *prometheus.Desc

	codes, directions, kinds []*dto.LabelPair
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
		tallies:    map[string]*tally{},
		codes:      pairs(codeLabel, classOK, classRedirected, classRefused, classFailed, classOther), // as classes
		directions: pairs(directionLabel, "in", "out"), kinds: pairs(kindLabel, "connect", "response", "retry"),

		responses: desc("responses_total", "Answers to requests for a service, by the class of their status (2xx, 3xx, 4xx, 5xx, other), HAProxy's own included.", codeLabel),
		bytes:     desc("bytes_total", "Bytes of a service's clients (in) and for them (out).", directionLabel),
		failures:  desc("failures_total", "What went wrong with a service's tasks: connections that failed (connect), answers that broke off (response), and what was sent once more (retry).", kindLabel),
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
	all := make([]series, 0, 14*len(s.tallies))
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
	add := func(desc *prometheus.Desc, gauge bool, n int64, labels ...*dto.LabelPair) {
		all = append(all, series{desc: desc, gauge: gauge, value: float64(n), labels: append(labels, name)})
	}
	if t.sum.HTTP {
		for i, c := range classes(t.sum.Answers) {
			add(s.responses, false, c.n, s.codes[i])
		}
	}
	for i, n := range []int64{t.sum.In, t.sum.Out} {
		add(s.bytes, false, n, s.directions[i])
	}
	for i, n := range []int64{t.sum.Connect, t.sum.Response, t.sum.Retried} {
		add(s.failures, false, n, s.kinds[i])
	}
	add(s.open, true, t.now.open)
	add(s.queued, true, t.now.queued)
	add(s.servers, true, t.now.servers)
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

// pairs are those of a label with each of its texts. They are shared by all services.
func pairs(name string, texts ...string) []*dto.LabelPair {
	out := make([]*dto.LabelPair, len(texts))
	for i, text := range texts {
		out[i] = pair(name, text)
	}
	return out
}

func pair(name, text string) *dto.LabelPair { return &dto.LabelPair{Name: new(name), Value: new(text)} }

// series is one of them at a moment: a histogram, or else a gauge or a counter. Its labels
// stand in the order of their names.
type series struct {
	desc      *prometheus.Desc
	labels    []*dto.LabelPair
	histogram *dto.Histogram
	gauge     bool
	value     float64
}

// Desc is for prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write is for prometheus.Metric.
func (s *series) Write(out *dto.Metric) error {
	out.Label = s.labels
	switch {
	case s.histogram != nil:
		out.Histogram = s.histogram
	case s.gauge:
		out.Gauge = &dto.Gauge{Value: &s.value}
	default:
		out.Counter = &dto.Counter{Value: &s.value}
	}
	return nil
}
