// Package alert turns labels into rules: alerts, series that are recorded, and the load that
// the scaler follows. It is pure.
//
// A good part of it is tables: of labels, and of shortcuts.
package alert

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// The labels' names, without prefix and index.
const (
	labelName        = "alertName"
	labelIf          = "alertIf"
	labelFor         = "alertFor"
	labelLabels      = "alertLabels"
	labelAnnotations = "alertAnnotations"
	labelKeep        = "alertKeepFiringFor"
	labelPersistent  = "alertPersistent"
)

// OwnerLabel says whose an alert is: the full name of the service that asks for it.
const OwnerLabel = "owner"

// What Alertmanager and the scaler go by: whom an alert is about, and which way it scales.
const (
	aboutService = "service"
	aboutScale   = "scale"
)

// Labels describes the labels that this package reads.
func Labels() []label.Spec { return slices.Concat(table, recordTable, limitTable) }

// table are those labels.
var table = []label.Spec{ //nolint:gochecknoglobals // a constant that Go cannot have
	{Name: labelName, Task: "Alerts", Example: "alertName=slow\nalertIf=@latency:0.95,5m,0.5", Kind: "text", Default: "no alert", Indexed: true, Doc: "The alert's name. The rule is called SERVICE_NAME, without any \"-\"."},
	{Name: labelIf, Task: "Alerts", Example: "alertIf=@error_ratio:5m,0.01\nalertName=errors", Kind: "PromQL or shortcut", Default: "no alert", Indexed: true, Doc: "When the alert fires: a PromQL expression, a shortcut such as @service_mem_limit:0.8, or shortcuts joined by _and_, _or_ and _unless_. It may stand on several lines."},
	{Name: labelFor, Task: "Alerts", Example: "alertFor=2m\nalertName=errors\nalertIf=@error_ratio:5m,0.01", Kind: "Prometheus duration", Default: "at once", Indexed: true, Doc: "How long the condition must hold before the alert fires, such as 30s."},
	{Name: labelKeep, Task: "Alerts", Example: "alertKeepFiringFor=10m\nalertName=errors\nalertIf=@error_ratio:5m,0.01", Kind: "Prometheus duration", Default: "not at all", Indexed: true, Doc: "How long the alert goes on firing after the condition has ceased to hold, such as 5m, so that one that comes and goes is one message."},
	{Name: labelLabels, Task: "Alerts", Example: "alertLabels=severity=critical,team=shop\nalertName=errors\nalertIf=@error_ratio:5m,0.01", Kind: "list of name=value", Default: "those of the shortcut", Indexed: true, Doc: "Labels of the alert. They replace the shortcut's own, name by name. Every alert has owner=FULL NAME, which cannot be set; one with scale is about service=FULL NAME unless it says otherwise."},
	{Name: labelAnnotations, Task: "Alerts", Example: "alertAnnotations=summary=The shop answers with errors,runbook=https://wiki.example.com/shop\nalertName=errors\nalertIf=@error_ratio:5m,0.01", Kind: "list of name=value", Default: "summary, with a shortcut", Indexed: true, Doc: "Annotations of the alert. A comma that no NAME= follows belongs to the text before it. An alert with scale also has settle where it can be known: for how long after a step it still speaks of the time before, which the scaler waits for."},
	{Name: labelPersistent, Task: "Alerts", Example: "alertPersistent=true\nalertName=errors\nalertIf=@error_ratio:5m,0.01", Kind: "true or false", Default: "false", Indexed: true, Doc: "Read for compatibility: every alert stays while its service exists, scaled to zero or not, and goes with it."},
}

// LabelNames returns the full names of the labels of one index; 0 means without an index.
func LabelNames(index int) []string { return names(table, index) }

// IfLabel returns the full name of the label that holds the expression of an alert.
func IfLabel(index int) string { return fullName(labelIf, index) }

// NameLabel returns the full name of the label that holds the name of an alert, and LabelsLabel
// of the one that holds its labels.
func NameLabel(index int) string { return fullName(labelName, index) }

// LabelsLabel is described with NameLabel.
func LabelsLabel(index int) string { return fullName(labelLabels, index) }

// fullName is the label's name with prefix and index.
func fullName(name string, index int) string {
	if index > 0 {
		return catalog.Prefix + name + "." + strconv.Itoa(index)
	}
	return catalog.Prefix + name
}

// Rule is one rule, which alerts or records.
type Rule struct {
	// ServiceID and Service are Swarm's own, Index is that of the labels.
	ServiceID string
	Service   string
	Index     int
	// Name, Expr, For, KeepFiring, Labels and Annotations are what Prometheus takes. For is
	// empty or a duration as Prometheus writes it.
	Name string
	Expr string
	For  string
	// KeepFiring is how long it fires on; empty or a duration.
	KeepFiring  string
	Labels      map[string]string
	Annotations map[string]string
	// Record says that it records a series of its name instead of alerting.
	Record bool
	// Limit is how many results each rule of the service may have; 0 is what holds for all.
	Limit int
}

// Alert is what the labels of one index ask for: a rule, or why there is none.
type Alert struct {
	Index int
	Rule  Rule
	// Err is of the type label.Faults.
	Err error
	// Warnings are what can be seen of the expression and does not keep it from being
	// loaded; each begins with the label's name.
	Warnings []string
}

// About is what the alerts of a service depend on beside its labels.
type About struct {
	// Replicas is how many tasks there should be; a global service has no number of its own.
	Replicas uint64
	// Listener is the job of Waggle's listener; empty if that is not known.
	Listener string
	// Interval is how often its own labels have it scraped; 0 if they do not.
	Interval time.Duration
	// Pack has the shortcuts; nil means Waggle's own.
	Pack *Pack
	// Language is that of Prometheus.
	Language Language
	// Proxies tell of its requests.
	Proxies Proxies
	// Every is how often others are scraped whose labels do not say, and Evaluation how often
	// rules are evaluated; 0 if that is not known.
	Every, Evaluation time.Duration
}

// of is what the conditions of a service speak of.
func (a About) of(svc catalog.Service) subject {
	return subject{
		service: svc.Name, job: svc.CalledName(), interval: a.Interval, every: a.Every, evaluation: a.Evaluation,
		proxies: a.Proxies, language: a.Language, pack: cmp.Or(a.Pack, standard),
		words: alertWords{ServiceName: svc.CalledName(), FullName: svc.Name, Replicas: a.Replicas, Listener: a.Listener, Proxies: a.Proxies.Job},
	}
}

// FromService reads the alerts of a service, in the order of their indexes, and
// the labels that have no effect.
//
// Labels without an index are an alert of their own; indexed ones inherit nothing.
func FromService(svc catalog.Service, about About) ([]Alert, []string) {
	r := label.NewReader(catalog.Prefix, svc.Labels, table, "")
	names := make([]string, 0, len(table))
	for _, s := range table {
		names = append(names, s.Name)
	}
	groups := r.Groups(names...)
	if groups[0].Index > 0 {
		groups = append([]label.Group{r.Service()}, groups...)
	}
	subject := about.of(svc)
	var alerts []Alert
	var idle []string
	for _, g := range groups {
		if !g.Own(labelName) && !g.Own(labelIf) {
			idle = append(idle, withoutAlert(svc.Labels, g.Index)...)
			continue
		}
		before := len(faults(r))
		var absent label.Faults
		rule, warnings := read(group{g, &absent}, subject)
		rule.ServiceID, rule.Service, rule.Index = svc.ID, svc.Name, g.Index
		a := Alert{Index: g.Index, Rule: rule, Warnings: warnings}
		if all := append(absent, faults(r)[before:]...); len(all) > 0 {
			a.Err = all
		}
		alerts = append(alerts, a)
	}
	return alerts, idle
}

func faults(r *label.Reader) label.Faults {
	var f label.Faults
	_ = errors.As(r.Err(), &f)
	return f
}

func withoutAlert(labels map[string]string, index int) []string {
	var out []string
	for _, full := range LabelNames(index) {
		if _, ok := labels[full]; ok {
			out = append(out, fmt.Sprintf("%s has no effect without %s and %s", full, fullName(labelName, index), fullName(labelIf, index)))
		}
	}
	return out
}

// group reads the labels of one index alone and notes those that must be there and are not.
type group struct {
	label.Group
	absent *label.Faults
}

// text returns the label's text without white space around it, "" if it is absent or at
// fault. It may have several lines: all that is written is quoted.
func (g group) text(name string) string {
	if !g.Own(name) {
		return ""
	}
	text := g.Block(name, "")
	if !utf8.ValidString(text) {
		g.Reject(name, "text in UTF-8")
		return ""
	}
	return strings.TrimSpace(text)
}

// needed is text that must be there.
func (g group) needed(name, want string) string {
	if !g.Own(name) {
		*g.absent = append(*g.absent, &label.Fault{Label: fullName(name, g.Index), Want: want})
		return ""
	}
	text := g.text(name)
	if text == "" {
		g.Reject(name, want)
	}
	return text
}

func read(g group, s subject) (Rule, []string) {
	rule := Rule{Labels: map[string]string{}, Annotations: map[string]string{}}
	name := g.needed(labelName, "a name, such as mem_limit")
	if len(name) > maxName {
		g.Reject(labelName, fmt.Sprintf("a name of at most %d bytes", maxName))
	}
	if strings.ContainsAny(name, "\n\t") {
		g.Reject(labelName, "a name on one line")
	}
	rule.Name = strings.ReplaceAll(s.job+"_"+name, "-", "")
	own, annotations := pairs(g, labelLabels, false), pairs(g, labelAnnotations, true)
	s.words.AlertName, s.words.AlertNameFormatted, s.words.AlertLabels, s.words.AlertAnnotations = name, rule.Name, own, annotations
	if g.Own(labelFor) {
		s.words.AlertFor = g.text(labelFor)
	}
	if g.Own(labelPersistent) {
		s.words.AlertPersistent = g.Bool(labelPersistent, false)
	}
	var c clause
	if text := g.needed(labelIf, "a PromQL expression or a shortcut such as @service_mem_limit:0.8"); text != "" {
		s.words.AlertIf = text
		var err error
		if c, err = condition(text, s); err != nil {
			g.Reject(labelIf, err.Error())
		}
		rule.Expr = c.expr
		// Values that a shortcut takes may stand in what it says.
		for _, texts := range []map[string]string{c.labels, c.annotations} {
			for _, key := range slices.Sorted(maps.Keys(texts)) {
				if err := checkTemplate(texts[key]); err != nil {
					g.Reject(labelIf, "a shortcut whose "+key+" Prometheus can fill in: "+err.Error())
				}
			}
		}
		maps.Copy(rule.Labels, c.labels)
		maps.Copy(rule.Annotations, c.annotations)
	}
	rule.For, rule.KeepFiring = duration(g, labelFor), duration(g, labelKeep)
	maps.Copy(rule.Labels, own)
	maps.Copy(rule.Annotations, annotations)
	rule.sign(s.service, c.parsed)
	if _, given := rule.Annotations[settleAnnotation]; rule.Scales() && !given {
		if text := settle(c, s); text != "" {
			rule.Annotations[settleAnnotation] = text
		}
	}
	var warnings []string
	for _, doubt := range doubts(c, s) {
		warnings = append(warnings, g.Label(labelIf)+": "+doubt)
	}
	return rule, warnings
}

// duration reads a time as Prometheus writes it; empty for none.
func duration(g group, name string) string {
	if !g.Own(name) {
		return ""
	}
	d, err := model.ParseDuration(g.text(name))
	if err != nil {
		g.Reject(name, "a duration as Prometheus writes it, such as 30s or 1m30s")
	}
	if err != nil || d == 0 {
		return ""
	}
	return d.String()
}

// sign says whose the alert is, and keeps series from saying what is for labels to say:
// an alert that scales is about its own service unless its labels name another, and
// where a series may bring a label scale, the rule takes it away.
func (r *Rule) sign(owner string, expr parser.Expr) {
	switch {
	case r.Scales():
		if r.Labels[aboutService] == "" {
			r.Labels[aboutService] = owner
		}
	case expr != nil && carries(expr, aboutScale):
		r.Labels[aboutScale] = ""
	}
	r.Labels[OwnerLabel] = owner
}

// Scales reports whether the alert asks the scaler for something.
func (r Rule) Scales() bool { return r.Labels[aboutScale] != "" }

// Names returns the service that the alert is about, as its labels say; empty if its
// series say it.
func (r Rule) Names() string { return r.Labels[aboutService] }

// maxName bounds an alert's name, which stands in every series of the alert.
const maxName = 200

var (
	namePattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	pairStart   = regexp.MustCompile(`^\s*[a-zA-Z_][a-zA-Z0-9_]*\s*=`)
)

// inTemplate reports whether a text ends within a template, whose commas and equals signs are its own.
func inTemplate(text string) bool {
	return strings.LastIndex(text, "{{") > strings.LastIndex(text, "}}")
}

// pairs reads "k=v,k2=v2". With texts, a part that does not begin with "name="
// belongs to the value before it, so that a sentence may hold a comma.
func pairs(g group, name string, texts bool) map[string]string {
	text := g.text(name)
	if text == "" {
		return nil
	}
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if len(parts) > 0 && (inTemplate(parts[len(parts)-1]) || texts && !pairStart.MatchString(part)) {
			parts[len(parts)-1] += "," + part
			continue
		}
		parts = append(parts, part)
	}
	what := "alert"
	if name == labelRecordLabels {
		what = "series"
	}
	out := map[string]string{}
	for _, part := range parts {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		_, twice := out[key]
		switch {
		case !ok || !namePattern.MatchString(key):
			g.RejectText(name, part, "name=value, the name of letters, digits and _")
		case strings.HasPrefix(key, "__") || key == model.AlertNameLabel:
			g.RejectText(name, part, "another name: those that begin with __ and alertname are taken by Prometheus")
		case !texts && key == OwnerLabel:
			g.RejectText(name, part, "another name: owner says whose "+what+" it is, which is always this service")
		case twice:
			g.RejectText(name, part, "each name once")
		default:
			// What is recorded is no template.
			if err := checkTemplate(value); err != nil && name != labelRecordLabels {
				g.RejectText(name, part, "a template that Prometheus can fill in: "+err.Error())
			}
			out[key] = value
		}
	}
	return out
}
