// Package scrape turns labels and tasks into scrape targets. It is pure.
package scrape

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
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
	labelNetwork  = "scrapeNetwork"
	labelScheme   = "scrapeScheme"
	labelParams   = "scrapeParams"
	labelSecret   = "scrapeSecret"
	labelUser     = "scrapeUser"
	labelSamples  = "scrapeSampleLimit"
	labelBody     = "scrapeBodyLimit"
)

// SecretLabel returns the full name of the label that names the secret of an index.
func SecretLabel(index int) string { return fullName(labelSecret, index) }

// static is the value of scrapeType that asks for the service's name as the one target.
const static = "static_configs"

// table are the labels that this package reads.
var table = []label.Spec{ //nolint:gochecknoglobals // a constant that Go cannot have
	{Name: labelPort, Task: "Scraping", Example: "scrapePort=8080", Kind: "port", Default: "not scraped", Indexed: true, Doc: "The port at which every task of the service serves its metrics. Without it nothing is scraped. Several ports stand at indexes and share one job; what an index leaves out is taken from the label without one."},
	{Name: labelPath, Task: "Scraping", Example: "metricsPath=/actuator/prometheus\nscrapePort=8080", Kind: "path", Default: "/metrics", Indexed: true, Doc: "The path of the metrics."},
	{Name: labelInterval, Task: "Scraping", Example: "scrapeInterval=15s\nscrapePort=8080", Kind: "Prometheus duration", Default: "monitor's -scrape-interval", Indexed: true, Doc: "How often each task is scraped, such as 15s; at least monitor's -scrape-interval-min. Beyond 5m a series is gone between two scrapes, which is a warning."},
	{Name: labelTimeout, Task: "Scraping", Example: "scrapeTimeout=5s\nscrapePort=8080", Kind: "Prometheus duration", Default: "10s, and never more than the interval", Indexed: true, Doc: "How long a scrape may take; at most the interval."},
	{Name: labelType, Task: "Scraping", Example: "scrapeType=static_configs\nscrapePort=8080", Kind: "text", Default: "one target per task", Indexed: true, Doc: "static_configs makes one target of the service's name and port instead of one per task. Every other text means one target per task."},
	{Name: labelNetwork, Task: "Scraping", Example: "scrapeNetwork=waggle\nscrapePort=8080", Kind: "network name", Default: "the first of monitor's -network that the service is on", Indexed: true, Doc: "The network at whose addresses tasks are scraped, one of monitor's -network. Any other name is a warning, and counts as absent."},
	{Name: labelScheme, Task: "Scraping", Example: "scrapeScheme=https\nscrapePort=8080", Kind: "http or https", Default: "http", Indexed: true, Doc: "How tasks are asked. With https their certificate must be valid for their address."},
	{Name: labelParams, Task: "Scraping", Example: "scrapeParams=module=http_2xx&target=example.org\nscrapePort=8080", Kind: "query", Default: "none", Indexed: true, Doc: "Parameters of the request, such as module=http_2xx&target=example.org; each name once."},
	{Name: labelSecret, Task: "Scraping", Example: "scrapeSecret=shop_web\nscrapePort=8080", Kind: "end of a secret's name", Default: "none", Indexed: true, Doc: "The secret `dfm_auth_<text>`, which monitor has, is sent with each request: as a bearer's token, or with scrapeUser as his password. The text is the full name of this service or of its stack. Not with scrapeType=static_configs, since anybody can take a name."},
	{Name: labelUser, Task: "Scraping", Example: "scrapeUser=prometheus\nscrapeSecret=shop_web\nscrapePort=8080", Kind: "text", Default: "none", Indexed: true, Doc: "The user of basic authentication, whose password is scrapeSecret."},
	{Name: labelSamples, Task: "Scraping", Example: "scrapeSampleLimit=1000\nscrapePort=8080", Kind: "whole number", Default: "monitor's -sample-limit", Indexed: true, Doc: "Samples in one answer of a task; beyond it the task counts as down, and its service is degraded. At most monitor's -sample-limit-max."},
	{Name: labelBody, Task: "Scraping", Example: "scrapeBodyLimit=5MB\nscrapePort=8080", Kind: "size", Default: "monitor's -body-limit", Indexed: true, Doc: "Size of one answer of a task, such as 5MB; beyond it the task counts as down. At most monitor's -body-limit-max."},
}

// Labels describes the labels that this package reads.
func Labels() []label.Spec { return slices.Clone(table) }

// LabelNames returns the full names of the labels that describe the job of an index; 0
// means without one.
func LabelNames(index int) []string {
	out := make([]string, 0, len(table))
	for _, s := range table {
		out = append(out, fullName(s.Name, index))
	}
	return out
}

// fullName is the label's name with prefix and index.
func fullName(name string, index int) string {
	if index > 0 {
		return catalog.Prefix + name + "." + strconv.Itoa(index)
	}
	return catalog.Prefix + name
}

// Settings are what the operator decides for all jobs.
type Settings struct {
	// Networks are those that Prometheus is on, the preferred one first.
	Networks []string
	// Interval and Timeout hold where labels say nothing; no label may ask for less than
	// MinInterval.
	Interval, Timeout, MinInterval time.Duration
	// ServiceLabels are the labels of a service, without prefix, that its targets have too,
	// and NodeLabels those of a node or its engine, or one of what Swarm itself says of it.
	ServiceLabels, NodeLabels []string
	// MaxSamples and MaxBody are the most that a label may ask for of one answer; 0 and empty
	// are no limit.
	MaxSamples int
	MaxBody    string
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

// ListenerJob is the job of Waggle's listener, whose metrics tell the state of the swarm; empty
// without a stack.
func ListenerJob(stack string) string {
	if stack == "" {
		return ""
	}
	return OwnJob(stack, "listener")
}

// Job is one port of a service to scrape, as its labels have it: its fields are those of the
// labels, and more than a dozen for that.
type Job struct {
	// ServiceID and Service are Swarm's own; Name is the job label, the name that the service is called.
	ServiceID string
	Service   string
	Name      string
	// Index is that of the labels, 0 for those without one.
	Index    int
	Port     int
	Scheme   string
	Path     string
	Params   map[string]string
	Interval time.Duration
	Timeout  time.Duration
	// Static jobs have one target, the service's name.
	Static bool
	// Networks are those that the service shares with Prometheus, the one to use first.
	Networks []string
	// Labels are those of the service that its targets have, and NodeLabels the names of
	// those of a node.
	Labels     map[string]string
	NodeLabels []string
	// Pool is what Prometheus is told of all targets that share it.
	Pool Pool
}

// Asked is what the labels of one index ask for: a job, or why there is none.
type Asked struct {
	Job Job
	// Labels are the texts of the labels that describe it, by full name, with what is
	// inherited as if it stood at this index.
	Labels map[string]string
	// Err is label.Faults or a *NetworkError.
	Err error
	// Warnings are labels that have no effect.
	Warnings []string
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

// FromService reads the jobs of a service, in the order of their indexes: one for each
// scrapePort, with an index or without.
func FromService(svc catalog.Service, s Settings) []Asked {
	var out []Asked
	for _, g := range label.NewReader(catalog.Prefix, svc.Labels, table, "").Groups(labelPort) {
		if g.Index > 0 && len(out) == 0 && present(svc.Labels, fullName(labelPort, 0)) {
			out = append(out, ask(svc, 0, s))
		}
		if present(svc.Labels, fullName(labelPort, g.Index)) {
			out = append(out, ask(svc, g.Index, s))
		}
	}
	for i, one := range out {
		twin := slices.IndexFunc(out[:i], func(o Asked) bool { return o.Job.Port == one.Job.Port })
		if one.Err == nil && twin >= 0 {
			out[i].Err = label.Faults{{
				Label: fullName(labelPort, one.Job.Index), Text: strconv.Itoa(one.Job.Port),
				Want: "another port than " + fullName(labelPort, out[twin].Job.Index) + ": the label instance, which has address and port, tells targets apart",
			}}
		}
	}
	return out
}

func present(labels map[string]string, full string) bool {
	return strings.TrimSpace(labels[full]) != ""
}

// ask reads the labels of one index. Each has a reader of its own, so that a fault of what
// all inherit is one of each.
func ask(svc catalog.Service, index int, s Settings) Asked {
	r := label.NewReader(catalog.Prefix, svc.Labels, table, "")
	g := r.At(index)
	out := Asked{Labels: map[string]string{}, Job: Job{
		ServiceID: svc.ID, Service: svc.Name, Name: svc.CalledName(), Index: index,
		Port:     g.Int(labelPort, 0, 1, 65535),
		Scheme:   g.OneOf(labelScheme, "http", "http", "https"),
		Path:     path(g),
		Params:   params(g),
		Interval: Duration(g, labelInterval, s.Interval),
		Static:   strings.TrimSpace(g.Text(labelType, "")) == static,
		Labels:   chosen(s.ServiceLabels, func(name string) string { return svc.Labels[catalog.Prefix+name] }), NodeLabels: s.NodeLabels,
		Pool: pool(g, svc, s),
	}}
	job := &out.Job
	if g.Has(labelInterval) && job.Interval < s.MinInterval {
		g.Reject(labelInterval, fmt.Sprintf("at least %s, monitor's -scrape-interval-min", model.Duration(s.MinInterval)))
	}
	job.Timeout = Duration(g, labelTimeout, min(s.Timeout, job.Interval))
	if job.Timeout > job.Interval {
		g.Reject(labelTimeout, fmt.Sprintf("at most the scrape interval, %s", model.Duration(job.Interval)))
	}
	if g.Has(labelInterval) && job.Interval > lookback {
		out.Warnings = append(out.Warnings, fmt.Sprintf("%s: a series is gone %s after a scrape, so with an interval of %s alerts on it come and go; make it at most 5m",
			g.Label(labelInterval), model.Duration(lookback), model.Duration(job.Interval)))
	}
	for _, spec := range table {
		if text, ok := svc.Labels[g.Label(spec.Name)]; ok && g.Has(spec.Name) {
			out.Labels[fullName(spec.Name, index)] = text
		}
	}
	if job.Static && job.Pool.Secret != "" {
		g.Reject(labelSecret, "no secret beside "+g.Label(labelType)+"="+static+", which asks whoever takes the service's name")
	}
	network := g.Word(labelNetwork, "")
	if out.Err = r.Err(); out.Err != nil {
		return out
	}
	for _, n := range s.Networks {
		if slices.Contains(svc.Networks, n) {
			job.Networks = append(job.Networks, n)
		}
	}
	if len(job.Networks) == 0 {
		out.Err = &NetworkError{Want: s.Networks, Has: svc.Networks}
		return out
	}
	switch {
	case network == "":
	case slices.Contains(job.Networks, network):
		// Where a task has no address there, it is taken from the others.
		slices.SortStableFunc(job.Networks, func(a, b string) int { return cmp.Compare(truth(b == network), truth(a == network)) })
	default:
		out.Warnings = append(out.Warnings, fmt.Sprintf("%s=%q has no effect: want a network that the service is on and that Prometheus is on, which is %s",
			g.Label(labelNetwork), label.Show(network, false), strings.Join(job.Networks, " or ")))
	}
	return out
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lookback is for how long after a scrape Prometheus takes a series to be there.
const lookback = 5 * time.Minute

// Idle names the labels that describe a job although there is no scrapePort.
func Idle(labels map[string]string) []string {
	var out []string
	anyPort := false
	for full := range labels {
		name, _ := label.SplitIndex(full)
		anyPort = anyPort || name == catalog.Prefix+labelPort && present(labels, full)
	}
	for _, full := range slices.Sorted(maps.Keys(labels)) {
		name, ours := strings.CutPrefix(full, catalog.Prefix)
		base, index := label.SplitIndex(name)
		port := fullName(labelPort, index)
		known := slices.ContainsFunc(table, func(s label.Spec) bool { return s.Name == base })
		if !ours || !known || !present(labels, full) || present(labels, port) || index == 0 && anyPort {
			continue
		}
		out = append(out, full+" has no effect without "+port)
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

// params reads a query of which each name stands once.
func params(g label.Group) map[string]string {
	text := strings.TrimSpace(g.Text(labelParams, ""))
	if text == "" {
		return nil
	}
	values, err := url.ParseQuery(strings.TrimPrefix(text, "?"))
	out := map[string]string{}
	for name, all := range values {
		if len(all) != 1 || !paramName.MatchString(name) || !utf8.ValidString(all[0]) {
			err = errors.New("not one text")
		}
		out[name] = all[0]
	}
	if err != nil {
		g.Reject(labelParams, "a query such as module=http_2xx&target=example.org, each name once, of letters, digits and _")
	}
	return out
}

var paramName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// chosen are labels by the names that Prometheus can have for them. One without a text is left out.
func chosen(names []string, text func(name string) string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		if value := strings.TrimSpace(text(name)); value != "" && utf8.ValidString(value) {
			out[LabelName(name)] = value
		}
	}
	return out
}

// LabelName is the name of a label as Prometheus can have it.
func LabelName(name string) string {
	out := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' {
			return c
		}
		return '_'
	}, name)
	if out != "" && out[0] >= '0' && out[0] <= '9' {
		out = "_" + out
	}
	return out
}

// ofNode is what Swarm, or a label of the node or of its engine, says.
func ofNode(n catalog.Node, name string) string {
	switch name {
	case "id":
		return n.ID
	case "hostname":
		return n.Hostname
	case "role":
		return n.Role
	case "state":
		return n.State
	case "availability":
		return n.Availability
	case "address":
		return n.Address
	}
	return n.Labels[catalog.Prefix+name]
}

// The labels of a target that a metric of its own may replace; see the relabelling of
// the pool in package prometheus.
const (
	ServiceLabel = "service"
	NodeLabel    = "node"
)

// SecretMeta tells another Prometheus which secret a target asks for. No series has it.
const SecretMeta = "__meta_waggle_secret"

// Target is one address to scrape with its labels, as Prometheus' file and HTTP
// service discovery take it. Labels that begin with "__" are instructions.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
	pool    Pool
}

// Address is the target's host and port.
func (t Target) Address() string { return t.Targets[0] }

// Targets returns the targets of a job, sorted by address: one for each task that
// is meant to run and whose container has been started. A task that runs but
// does not answer is a target like any other, so that it is seen to be down.
func Targets(job Job, tasks []catalog.Task, nodes map[string]catalog.Node) []Target {
	port := strconv.Itoa(job.Port)
	if job.Static {
		return []Target{job.target(net.JoinHostPort(job.Service, port), catalog.Node{})}
	}
	var out []Target
	for _, t := range tasks {
		// The tasks of jobs are meant to complete.
		if (t.Desired != "running" && t.Desired != "complete") || (t.State != "running" && t.State != "starting") {
			continue
		}
		if addr, ok := address(job, t); ok {
			out = append(out, job.target(net.JoinHostPort(addr.String(), port), nodes[t.Node]))
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

func (j Job) target(address string, node catalog.Node) Target {
	labels := maps.Clone(j.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, chosen(j.NodeLabels, func(name string) string { return ofNode(node, name) }))
	for name, text := range j.Params {
		labels[model.ParamLabelPrefix+name] = text
	}
	maps.Copy(labels, map[string]string{
		model.JobLabel:            j.Name,
		model.InstanceLabel:       address,
		ServiceLabel:              j.Service,
		model.MetricsPathLabel:    j.Path,
		model.ScrapeIntervalLabel: model.Duration(j.Interval).String(),
		model.ScrapeTimeoutLabel:  model.Duration(j.Timeout).String(),
	})
	if j.Scheme == "https" {
		labels[model.SchemeLabel] = j.Scheme
	}
	// What a label would call the node is not asked: the alerts go by it.
	delete(labels, NodeLabel)
	if node.Hostname != "" {
		labels[NodeLabel] = node.Hostname
	}
	if j.Pool.Secret != "" {
		labels[SecretMeta] = j.Pool.Secret
	}
	return Target{Targets: []string{address}, Labels: labels, pool: j.Pool}
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
