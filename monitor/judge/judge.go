// Package judge answers for a snapshot of the swarm what becomes of each service in the
// monitor: what would be scraped, and which alerts there would be. It is pure, and the
// running monitor decides by the same functions.
package judge

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/report"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	variables "github.com/wagglehq/waggle/monitor/internal/settings"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// The settings by which labels are judged, by the names of their flags.
const (
	Network           = "network"
	ScrapeInterval    = "scrape-interval"
	ScrapeTimeout     = "scrape-timeout"
	ScaleAcrossStacks = "scale-across-stacks"
	OwnStack          = "own-stack"
	MinInterval       = "scrape-interval-min"
	ServiceLabels     = "df-scrape-target-labels"
	NodeLabels        = "df-node-target-labels"
	Shortcuts         = "shortcuts"
	AlertLimit        = "alert-limit"
	Evaluation        = "evaluation-interval"
	SampleLimit       = "sample-limit"
	BodyLimit         = "body-limit"
	MaxSamples        = "sample-limit-max"
	MaxBody           = "body-limit-max"
	MaxAlerts         = "alert-limit-max"
	// OwnShortcuts are the operator's own shortcuts as they stand in their files, or their names,
	// separated by commas. It is no flag: the monitor reads them from files.
	OwnShortcuts = "own-shortcuts"
	// Features are those that Prometheus has, separated by commas, by the name of the variable. They
	// are no flag of the monitor's either.
	Features = "ARG_ENABLE-FEATURE"
)

// Facts are the settings of which no flag has the name.
func Facts() []string { return []string{OwnShortcuts, Features} }

// IsVariable reports whether a name is one of the monitor's variables that have no flag, of which
// there are any number, such as SCRAPE_PORT_2.
func IsVariable(name string) bool { return variables.IsVariable(name) }

// The defaults of those settings, for the monitor's flags too.
const (
	DefaultNetwork        = "waggle"
	DefaultScrapeInterval = 10 * time.Second
	DefaultScrapeTimeout  = 10 * time.Second
	DefaultOwnStack       = "waggle"
	DefaultMinInterval    = time.Second
	DefaultAlertLimit     = 1000
	DefaultEvaluation     = 10 * time.Second
	DefaultSampleLimit    = 100_000
	DefaultBodyLimit      = "50MB"
)

// Names are the names of those settings.
func Names() []string {
	return []string{Network, ScrapeInterval, ScrapeTimeout, ScaleAcrossStacks, OwnStack, MinInterval, ServiceLabels, NodeLabels, Shortcuts, AlertLimit, Evaluation, SampleLimit, BodyLimit, MaxSamples, MaxBody, MaxAlerts}
}

// Question is what is judged, and by what.
type Question struct {
	// Snapshot is the swarm: services with their labels and networks, their tasks, and nodes.
	Snapshot catalog.Snapshot
	// Accepted are the label sets that were last accepted, by service ID.
	Accepted map[string]catalog.Service
	// Settings are those that the monitor publishes in the record of each instance; one
	// that is missing has its default.
	Settings map[string]string
}

// Answer is what becomes of one service.
type Answer struct {
	// Status says whether its labels are in force, and if not why, which label is at
	// fault and what would be right. What would be in force is accepted: whether it is
	// applied, and whether rules ever have a result, is for a running monitor to say. A rule
	// that Prometheus alone refuses is not known here, and of shortcuts of the operator's own no
	// more than their names.
	catalog.Status
	// Faults are all that is wrong, of which the status names the first label.
	Faults []Fault
	// Jobs are those for which it would be scraped, one for each port.
	Jobs  []Job
	Rules []Rule
}

// Job is what would be scraped at one port.
type Job struct {
	Name, Path        string
	Interval, Timeout time.Duration
	// Targets are the addresses with their ports.
	Targets []string
}

// Rule is one alert, or what records the load of the service for the scaler.
type Rule struct {
	Record     bool
	Name, Expr string
	// For is empty or a duration as Prometheus writes it.
	For                 string
	Labels, Annotations map[string]string
}

// Services judges all services that opted in and ask for something, sorted by name. The
// error is that of a setting.
func Services(q Question) ([]Answer, error) { return new(Judge).Services(q) }

// Judge is Services with a memory of labels that were read before, which makes it quick and does
// not show in the answers. It belongs to one goroutine, and answers must not be changed.
type Judge struct {
	settings map[string]string
	parsed   desired.Settings
	memory   desired.Memory
}

// Services is the function of that name.
func (j *Judge) Services(q Question) ([]Answer, error) {
	if j.memory == nil || !maps.Equal(j.settings, q.Settings) {
		settings, err := ParseSettings(q.Settings)
		if err != nil {
			return nil, err
		}
		j.settings, j.parsed, j.memory = maps.Clone(q.Settings), settings, desired.Memory{}
	}
	state := desired.Settle(desired.Input{Snapshot: q.Snapshot, Accepted: q.Accepted, Settings: j.parsed, Memory: j.memory})
	out := make([]Answer, 0, len(state.Services))
	for _, svc := range state.Services {
		a := Answer{Status: report.Judged(svc)}
		a.Component = "monitor"
		for _, f := range svc.Faults {
			a.Faults = append(a.Faults, faultOf(f))
		}
		for _, j := range svc.Jobs {
			job := Job{Name: j.Name, Path: j.Path, Interval: j.Interval, Timeout: j.Timeout}
			for _, t := range scrape.Targets(*j, q.Snapshot.Tasks[svc.ID], q.Snapshot.Nodes) {
				job.Targets = append(job.Targets, t.Address())
			}
			a.Jobs = append(a.Jobs, job)
		}
		for _, r := range svc.Rules {
			a.Rules = append(a.Rules, Rule{Record: r.Record, Name: r.Name, Expr: r.Expr, For: r.For, Labels: r.Labels, Annotations: r.Annotations})
		}
		out = append(out, a)
	}
	return out, nil
}

// ParseSettings reads the settings that the monitor publishes.
func ParseSettings(settings map[string]string) (desired.Settings, error) {
	text := func(name, def string) string {
		if text, ok := settings[name]; ok {
			return text
		}
		return def
	}
	out := desired.Settings{OwnStack: text(OwnStack, DefaultOwnStack)}
	out.Networks = list(text(Network, DefaultNetwork))
	out.ServiceLabels, out.NodeLabels = list(text(ServiceLabels, "")), list(text(NodeLabels, ""))
	for _, labels := range []struct {
		setting string
		names   []string
	}{{ServiceLabels, out.ServiceLabels}, {NodeLabels, out.NodeLabels}} {
		for _, name := range labels.names {
			if strings.HasPrefix(scrape.LabelName(name), "__") {
				return out, Wrong(labels.setting, " %q: want another name: those that begin with __ are Prometheus' own", name)
			}
		}
	}
	if len(out.Networks) == 0 {
		return out, Wrong(Network, " %q: want the name of at least one network", settings[Network])
	}
	for _, one := range []struct {
		name string
		def  time.Duration
		into *time.Duration
	}{{ScrapeInterval, DefaultScrapeInterval, &out.Interval}, {ScrapeTimeout, DefaultScrapeTimeout, &out.Timeout}, {MinInterval, DefaultMinInterval, &out.MinInterval}, {Evaluation, DefaultEvaluation, &out.Evaluation}} {
		d, err := time.ParseDuration(text(one.name, one.def.String()))
		if err != nil || d < time.Millisecond {
			return out, Wrong(one.name, " %s: want a time such as 10s", settings[one.name])
		}
		*one.into = d
	}
	out.Timeout = min(out.Timeout, out.Interval)
	var err error
	if out.AcrossStacks, err = strconv.ParseBool(text(ScaleAcrossStacks, "false")); err != nil {
		return out, Wrong(ScaleAcrossStacks, " %q: want true or false", settings[ScaleAcrossStacks])
	}
	samples := 0
	for _, one := range []struct {
		name string
		def  int
		into *int
	}{{AlertLimit, DefaultAlertLimit, &out.AlertLimit}, {MaxAlerts, 0, &out.MaxAlerts}, {SampleLimit, DefaultSampleLimit, &samples}, {MaxSamples, 0, &out.MaxSamples}} {
		if *one.into, err = strconv.Atoi(text(one.name, strconv.Itoa(one.def))); err != nil || *one.into < 0 {
			return out, Wrong(one.name, " %q: want a whole number, 0 for no limit", settings[one.name])
		}
	}
	for _, name := range []string{BodyLimit, MaxBody} {
		if _, ok := scrape.Bytes(settings[name]); settings[name] != "" && !ok {
			return out, Wrong(name, " %q: want a size such as 50MB", settings[name])
		}
	}
	// A label may ask for what holds without it, if the operator does not say more.
	out.MaxSamples, out.MaxAlerts = cmp.Or(out.MaxSamples, samples), cmp.Or(out.MaxAlerts, out.AlertLimit)
	out.MaxBody = cmp.Or(text(MaxBody, ""), text(BodyLimit, DefaultBodyLimit))
	var own []alert.PackFile
	if told := text(OwnShortcuts, ""); told != "" {
		file, err := alert.Heard(told)
		if err != nil {
			return out, fmt.Errorf("%s: %w", OwnShortcuts, err)
		}
		own = append(own, file)
	}
	out.Language, _ = alert.LanguageOf(text(Features, ""))
	out.Pack, err = alert.NewPack(text(Shortcuts, alert.DefaultPack), own...)
	return out, err
}

// list takes "a, b" apart.
func list(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
