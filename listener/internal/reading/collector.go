package reading

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/listener/internal/state"
)

// Collector offers what a Reader knows. A scrape costs Docker nothing.
type Collector struct {
	reader  *Reader
	metrics []state.Metric
	descs   []*prometheus.Desc
}

// Collector returns the collector to register.
func (r *Reader) Collector() *Collector {
	c := &Collector{reader: r, metrics: state.Metrics()}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels, nil))
	}
	return c
}

// Describe is for prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect is for prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.reader.present() {
		out <- c.metric(s)
	}
}

func (c *Collector) metric(s state.Series) prometheus.Metric {
	kind := prometheus.GaugeValue
	if c.metrics[s.Metric].Counter {
		kind = prometheus.CounterValue
	}
	labels := make([]string, len(s.Labels))
	for i, text := range s.Labels {
		labels[i] = strings.ToValidUTF8(text, "\uFFFD") // one text of others must not spoil all metrics
	}
	return prometheus.MustNewConstMetric(c.descs[s.Metric], kind, s.Value, labels...)
}

// Examples returns series of each metric, so that it can be told what it is before anything
// has been listed: open stands for texts of labels that are not known beforehand.
func (c *Collector) Examples(open string) []prometheus.Metric {
	var out []prometheus.Metric
	for id, m := range c.metrics {
		labels := make([]string, len(m.Labels))
		for i := range labels {
			labels[i] = open
		}
		if len(m.Of) == 0 {
			out = append(out, c.metric(state.Series{Metric: state.ID(id), Labels: labels}))
		}
		for _, text := range m.Of {
			with := append(labels[:len(labels)-1:len(labels)-1], text)
			out = append(out, c.metric(state.Series{Metric: state.ID(id), Labels: with}))
		}
	}
	return out
}
