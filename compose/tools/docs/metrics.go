package docs

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/wagglehq/waggle/pkg/app"
)

// Metric is one metric as a component registers it.
type Metric struct {
	Name string
	// Type is counter, gauge, histogram or summary.
	Type string
	// Labels are the names of the labels; behind one whose texts the code fixes,
	// those are in Values.
	Labels []string
	Values map[string][]string
	Help   string
}

// Metrics returns the metrics that a component registers, by name. To learn them it lets
// the component put itself together under a context that has ended, so that nothing of it
// runs. Neither bus nor engine has to be there for that.
func Metrics(c Component) ([]Metric, error) {
	dir, err := os.MkdirTemp("", "docs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	run := c.Service(fs)
	for name, text := range map[string]string{
		"nats-url": "nats://127.0.0.1:1", "docker-host": "unix://" + filepath.Join(dir, "docker.sock"),
		"data-dir": filepath.Join(dir, "data"), "run-dir": filepath.Join(dir, "run"), "prometheus-bin": "", "promtool-bin": "",
	} {
		if fs.Lookup(name) == nil {
			continue
		}
		if err := fs.Set(name, text); err != nil {
			return nil, err
		}
	}
	r := &recorder{Registry: prometheus.NewRegistry()}
	ended, end := context.WithCancel(context.Background())
	end()
	sh := app.Shell{Name: c.Name, Admin: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Registry: r}
	if err := run(ended, sh); err != nil && !errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("%s does not come as far as its loops: %w", c.Name, err)
	}
	return r.metrics(append(c.contract(), "waggle_"+c.Name+"_"))
}

// contract is what the names of a component's metrics may begin with beside its own: those
// of the swarm's state, and of Docker Flow, are a public contract, whoever tells them.
func (c Component) contract() []string {
	if c.Name == "listener" {
		return []string{"swarm_", "docker_flow_"}
	}
	return nil
}

// recorder is a registry that remembers who was registered.
type recorder struct {
	*prometheus.Registry
	all []prometheus.Collector
}

// Register remembers the collector.
func (r *recorder) Register(c prometheus.Collector) error {
	r.all = append(r.all, c)
	return r.Registry.Register(c)
}

// MustRegister remembers the collectors.
func (r *recorder) MustRegister(all ...prometheus.Collector) {
	r.all = append(r.all, all...)
	r.Registry.MustRegister(all...)
}

// metrics returns what the collectors say of their metrics. A metric may be registered
// several times with other texts of its fixed labels.
func (r *recorder) metrics(prefixes []string) ([]Metric, error) {
	found := map[string]Metric{}
	var errs []error
	for _, c := range r.all {
		families, err := families(c)
		if err != nil {
			return nil, err
		}
		for _, f := range families {
			m := metric(f)
			old, known := found[m.Name]
			switch {
			case !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(m.Name, p) }):
				errs = append(errs, fmt.Errorf("metric %s: want a name that begins with %s", m.Name, strings.Join(prefixes, " or ")))
			case m.Help == "":
				errs = append(errs, fmt.Errorf("metric %s has no help", m.Name))
			case known:
				for name, texts := range m.Values {
					merged := slices.Concat(old.Values[name], texts)
					slices.Sort(merged)
					old.Values[name] = slices.Compact(merged)
				}
			default:
				found[m.Name] = m
			}
		}
	}
	var out []Metric
	for _, m := range found {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
	return out, errors.Join(errs...)
}

// anyText stands for the text of a label that is known only when it is counted.
const anyText = "\x00"

// families returns what one collector offers.
func families(c prometheus.Collector) ([]*dto.MetricFamily, error) {
	var vec *prometheus.MetricVec
	switch c := c.(type) {
	case *prometheus.CounterVec:
		vec = c.MetricVec
	case *prometheus.GaugeVec:
		vec = c.MetricVec
	case *prometheus.HistogramVec:
		vec = c.MetricVec
	case *prometheus.SummaryVec:
		vec = c.MetricVec
	}
	if vec != nil {
		// It offers nothing before it has counted something, and has no name for how many
		// labels it has.
		const most = 10
		var texts []string
		for {
			texts = append(texts, anyText)
			_, err := vec.GetMetricWithLabelValues(texts...)
			if err == nil {
				break
			}
			if len(texts) == most {
				return nil, err
			}
		}
	}
	if e, ok := c.(interface {
		Examples(open string) []prometheus.Metric
	}); ok {
		c = fixed(e.Examples(anyText)) // it offers nothing before it knows something
	}
	alone := prometheus.NewRegistry()
	if err := alone.Register(c); err != nil {
		return nil, err
	}
	return alone.Gather()
}

// fixed offers the same metrics at all times.
type fixed []prometheus.Metric

// Describe is for prometheus.Collector.
func (f fixed) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, out) }

// Collect is for prometheus.Collector.
func (f fixed) Collect(out chan<- prometheus.Metric) {
	for _, m := range f {
		out <- m
	}
}

// metric says what a family is. Where there are several series, that whose texts are
// open tells which labels are.
func metric(f *dto.MetricFamily) Metric {
	m := Metric{Name: f.GetName(), Type: strings.ToLower(f.GetType().String()), Help: f.GetHelp(), Values: map[string][]string{}}
	isOpen := func(l *dto.LabelPair) bool { return l.GetValue() == anyText }
	series := f.GetMetric()
	i := max(0, slices.IndexFunc(series, func(s *dto.Metric) bool { return slices.ContainsFunc(s.GetLabel(), isOpen) }))
	for _, l := range series[i].GetLabel() {
		m.Labels = append(m.Labels, l.GetName())
		if isOpen(l) {
			continue
		}
		for _, s := range series {
			for _, other := range s.GetLabel() {
				if other.GetName() == l.GetName() && !slices.Contains(m.Values[l.GetName()], other.GetValue()) {
					m.Values[l.GetName()] = append(m.Values[l.GetName()], other.GetValue())
				}
			}
		}
	}
	return m
}
