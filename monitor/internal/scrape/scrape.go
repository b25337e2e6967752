// Package scrape turns labels and tasks into scrape targets. It is pure.
package scrape

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// The labels' names, without prefix.
const (
	labelPort     = "scrapePort"
	labelPath     = "metricsPath"
	labelInterval = "scrapeInterval"
	labelTimeout  = "scrapeTimeout"
	labelType     = "scrapeType"
)

// static is the value of scrapeType that asks for the service's name as the one target.
const static = "static_configs"

// Labels describes the labels that this package reads.
func Labels() []label.Spec {
	return []label.Spec{
		{Name: labelPort, Kind: "port", Default: "not scraped", Doc: "The port at which every task of the service serves its metrics. Without it nothing is scraped."},
		{Name: labelPath, Kind: "path", Default: "/metrics", Doc: "The path of the metrics."},
		{Name: labelInterval, Kind: "Prometheus duration", Default: "monitor's -scrape-interval", Doc: "How often each task is scraped, such as 15s."},
		{Name: labelTimeout, Kind: "Prometheus duration", Default: "10s, and never more than the interval", Doc: "How long a scrape may take; at most the interval."},
		{Name: labelType, Kind: "text", Default: "one target per task", Doc: "static_configs makes one target of the service's name and port instead of one per task. Every other text means one target per task."},
	}
}

// LabelNames returns the full names of the labels that describe the job.
func LabelNames() []string {
	var out []string
	for _, s := range Labels() {
		out = append(out, catalog.Prefix+s.Name)
	}
	return out
}

// Settings are what the operator decides for all jobs.
type Settings struct {
	// Networks are those that Prometheus is on, the preferred one first.
	Networks []string
	// Interval and Timeout hold where labels say nothing.
	Interval, Timeout time.Duration
}

// OwnJobs are the jobs of Waggle's own components, which go by the full names of its
// services; none without a stack.
func OwnJobs(stack string) []string {
	if stack == "" {
		return nil
	}
	var out []string
	for _, component := range []string{"listener", "proxy", "monitor", "scaler"} {
		out = append(out, OwnJob(stack, component))
	}
	return out
}

// Alertmanager is the component that is scraped as one of those to whom alerts are sent.
const Alertmanager = "alertmanager"

// OwnNames are those that no service of another stack may be called.
func OwnNames(stack string) []string {
	if stack == "" {
		return nil
	}
	return append(OwnJobs(stack), OwnJob(stack, Alertmanager))
}

// OwnJob is the job of one of Waggle's own components.
func OwnJob(stack, component string) string { return stack + "_" + component }

// Job is one service to scrape.
type Job struct {
	// ServiceID and Service are Swarm's own; Name is the job label, the name that the service is called.
	ServiceID string
	Service   string
	Name      string
	Port      int
	Path      string
	Interval  time.Duration
	Timeout   time.Duration
	// Static jobs have one target, the service's name.
	Static bool
	// Networks are those that the service shares with Prometheus.
	Networks []string
}

// NetworkError says that a service shares no network with Prometheus.
type NetworkError struct {
	// Want are Prometheus' networks, Has are the service's.
	Want, Has []string
}

// Error names the networks of both.
func (e *NetworkError) Error() string {
	has := "no overlay network"
	if len(e.Has) > 0 {
		has = strings.Join(e.Has, ", ")
	}
	return fmt.Sprintf("Prometheus is on %s and the service on %s: no network is common, so its tasks cannot be scraped", strings.Join(e.Want, ", "), has)
}

// Hint is the line to add.
func (e *NetworkError) Hint() string {
	if len(e.Want) == 0 {
		return "give monitor a network: -network waggle"
	}
	n := e.Want[0]
	return fmt.Sprintf("add to the service in the stack file \"networks: [%s]\" and at the file's top level \"networks: {%s: {external: true}}\"", n, n)
}

// FromService reads the job of a service. It is false when the labels ask for
// none. The error is label.Faults or a *NetworkError.
func FromService(svc catalog.Service, s Settings) (Job, bool, error) {
	r := label.NewReader(catalog.Prefix, svc.Labels, Labels(), "")
	g := r.Service()
	if !g.Has(labelPort) {
		return Job{}, false, nil
	}
	job := Job{
		ServiceID: svc.ID, Service: svc.Name, Name: svc.CalledName(),
		Port:     g.Int(labelPort, 0, 1, 65535),
		Path:     path(g),
		Interval: Duration(g, labelInterval, s.Interval),
		Static:   strings.TrimSpace(g.Text(labelType, "")) == static,
	}
	job.Timeout = Duration(g, labelTimeout, min(s.Timeout, job.Interval))
	if job.Timeout > job.Interval {
		g.Reject(labelTimeout, fmt.Sprintf("at most the scrape interval, %s", model.Duration(job.Interval)))
	}
	if err := r.Err(); err != nil {
		return Job{}, true, err
	}
	for _, n := range s.Networks {
		if slices.Contains(svc.Networks, n) {
			job.Networks = append(job.Networks, n)
		}
	}
	if len(job.Networks) == 0 {
		return Job{}, true, &NetworkError{Want: s.Networks, Has: svc.Networks}
	}
	return job, true, nil
}

// Idle names the labels that describe a job although there is no scrapePort.
func Idle(labels map[string]string) []string {
	there := func(full string) bool { return strings.TrimSpace(labels[full]) != "" }
	if there(catalog.Prefix + labelPort) {
		return nil
	}
	var out []string
	for _, full := range LabelNames() {
		if there(full) {
			out = append(out, full+" has no effect without "+catalog.Prefix+labelPort)
		}
	}
	return out
}

// Duration reads a duration greater than zero as Prometheus writes it ("1m30s", "1d").
func Duration(g label.Group, name string, def time.Duration) time.Duration {
	if !g.Has(name) {
		return def
	}
	text := strings.TrimSpace(g.Text(name, ""))
	d, err := model.ParseDuration(text)
	if err != nil || d <= 0 {
		g.Reject(name, "a duration greater than zero as Prometheus writes it, such as 15s or 1m30s")
		return def
	}
	return time.Duration(d)
}

func path(g label.Group) string {
	p := strings.TrimSpace(g.Text(labelPath, "/metrics"))
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	if strings.ContainsAny(p, "?# ") || !utf8.ValidString(p) {
		g.Reject(labelPath, "a path such as /metrics in UTF-8, without a query")
	}
	return p
}

// The labels of a target that a metric of its own may replace; see the relabelling of
// the pool in package prometheus.
const (
	ServiceLabel = "service"
	NodeLabel    = "node"
)

// Target is one address to scrape with its labels, as Prometheus' file and HTTP
// service discovery take it. Labels that begin with "__" are instructions.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Address is the target's host and port.
func (t Target) Address() string { return t.Targets[0] }

// Targets returns the targets of a job, sorted by address: one for each task that
// is meant to run and whose container has been started. A task that runs but
// does not answer is a target like any other, so that it is seen to be down.
func Targets(job Job, tasks []catalog.Task, nodes map[string]catalog.Node) []Target {
	port := strconv.Itoa(job.Port)
	if job.Static {
		return []Target{job.target(net.JoinHostPort(job.Service, port), "")}
	}
	var out []Target
	for _, t := range tasks {
		// The tasks of jobs are meant to complete.
		if (t.Desired != "running" && t.Desired != "complete") || (t.State != "running" && t.State != "starting") {
			continue
		}
		if addr, ok := address(job, t); ok {
			out = append(out, job.target(net.JoinHostPort(addr.String(), port), nodes[t.Node].Hostname))
		}
	}
	slices.SortFunc(out, func(a, b Target) int { return strings.Compare(a.Address(), b.Address()) })
	return slices.CompactFunc(out, func(a, b Target) bool { return a.Address() == b.Address() })
}

// address is the task's on the first common network where it has one.
func address(job Job, t catalog.Task) (netip.Addr, bool) {
	for _, n := range job.Networks {
		for _, text := range t.Addresses[n] {
			if a, err := netip.ParseAddr(text); err == nil {
				return a, true
			}
		}
	}
	return netip.Addr{}, false
}

func (j Job) target(address, node string) Target {
	labels := map[string]string{
		model.JobLabel:            j.Name,
		model.InstanceLabel:       address,
		ServiceLabel:              j.Service,
		model.MetricsPathLabel:    j.Path,
		model.ScrapeIntervalLabel: model.Duration(j.Interval).String(),
		model.ScrapeTimeoutLabel:  model.Duration(j.Timeout).String(),
	}
	if node != "" {
		labels[NodeLabel] = node
	}
	return Target{Targets: []string{address}, Labels: labels}
}

// Render returns the file for Prometheus' file discovery: the same bytes for the same targets.
func Render(targets []Target) ([]byte, error) {
	if targets == nil {
		targets = []Target{}
	}
	b, err := json.MarshalIndent(targets, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	return append(b, '\n'), nil
}
