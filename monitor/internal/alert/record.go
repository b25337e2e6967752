package alert

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
)

// The names of the labels of recording rules, without prefix and index.
const (
	labelRecord       = "recordName"
	labelRecordExpr   = "recordExpr"
	labelRecordLabels = "recordLabels"
)

// recordTable are the labels of recording rules.
var recordTable = []label.Spec{ //nolint:gochecknoglobals // a constant that Go cannot have
	{Name: labelRecord, Task: "Alerts", Example: "recordName=shop:requests:rate5m\nrecordExpr=sum(rate(http_requests_total[5m]))", Kind: "text", Default: "no recording rule", Indexed: true, Doc: "The name of a series that Prometheus records, such as shop:requests:rate5m. It has a colon, which no scraped metric has, and does not begin with waggle. Of one name there may be several, of one service if their recordLabels differ."},
	{Name: labelRecordExpr, Task: "Alerts", Example: "recordExpr=sum(rate(http_requests_total[5m]))\nrecordName=shop:requests:rate5m", Kind: "PromQL", Default: "no recording rule", Indexed: true, Doc: "What is recorded: a PromQL expression, which may stand on several lines. Alerts of the same service see the result of the same evaluation."},
	{Name: labelRecordLabels, Task: "Alerts", Example: "recordLabels=team=shop\nrecordName=shop:requests:rate5m\nrecordExpr=sum(rate(http_requests_total[5m]))", Kind: "list of name=value", Default: "none", Indexed: true, Doc: "Labels of the recorded series, which replace those of the result, name by name. Every recorded series has owner=FULL NAME, which cannot be set."},
}

// RecordLabelNames returns the full names of the labels of one recording rule; 0 means without
// an index.
func RecordLabelNames(index int) []string { return names(recordTable, index) }

func names(table []label.Spec, index int) []string {
	out := make([]string, 0, len(table))
	for _, s := range table {
		out = append(out, fullName(s.Name, index))
	}
	return out
}

// Records reads the recording rules of a service, in the order of their indexes, and the
// labels that have no effect. Labels without an index are a rule of their own.
func Records(svc catalog.Service, about About) ([]Alert, []string) {
	r := label.NewReader(catalog.Prefix, svc.Labels, recordTable, "")
	groups := r.Groups(labelRecord, labelRecordExpr, labelRecordLabels)
	if groups[0].Index > 0 {
		groups = append([]label.Group{r.Service()}, groups...)
	}
	s := about.of(svc)
	var out []Alert
	var idle []string
	for _, g := range groups {
		if !g.Own(labelRecord) && !g.Own(labelRecordExpr) {
			if full := fullName(labelRecordLabels, g.Index); g.Own(labelRecordLabels) {
				idle = append(idle, fmt.Sprintf("%s has no effect without %s and %s", full, fullName(labelRecord, g.Index), fullName(labelRecordExpr, g.Index)))
			}
			continue
		}
		before := len(faults(r))
		var absent label.Faults
		a := readRecord(group{g, &absent}, s)
		a.Index, a.Rule.ServiceID, a.Rule.Service, a.Rule.Index = g.Index, svc.ID, svc.Name, g.Index
		if all := append(absent, faults(r)[before:]...); len(all) > 0 {
			a.Err = all
		}
		out = append(out, a)
	}
	return out, idle
}

// recordName is what a recorded series may be called. Without a colon it could pass for what
// an exporter tells, by which others' alerts decide.
var recordName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*:[a-zA-Z0-9_:]*$`)

func readRecord(g group, s subject) Alert {
	rule := Rule{Record: true, Labels: pairs(g, labelRecordLabels, false)}
	if rule.Labels == nil {
		rule.Labels = map[string]string{}
	}
	rule.Labels[OwnerLabel] = s.service
	const wanted = "a name such as shop:requests:rate5m"
	rule.Name = g.needed(labelRecord, wanted)
	switch {
	case rule.Name == "":
	case len(rule.Name) > maxName || !recordName.MatchString(rule.Name):
		g.Reject(labelRecord, fmt.Sprintf("%s, of letters, digits, _ and at least one colon, of at most %d bytes", wanted, maxName))
	case strings.HasPrefix(rule.Name, "waggle"):
		g.Reject(labelRecord, "another name: what begins with waggle is told by Waggle itself")
	}
	a := Alert{Rule: rule}
	text := g.needed(labelRecordExpr, "a PromQL expression")
	if text == "" {
		return a
	}
	e, err := s.parse(text)
	switch {
	case err != nil:
		g.Reject(labelRecordExpr, "PromQL: "+err.Error()+cure(text, err))
		return a
	case e.Type() != parser.ValueTypeVector && e.Type() != parser.ValueTypeScalar:
		g.Reject(labelRecordExpr, fmt.Sprintf("PromQL that gives values to record, not a %s", e.Type()))
		return a
	}
	a.Rule.Expr = text
	for _, doubt := range doubts(clause{parsed: e, raw: true}, s) {
		a.Warnings = append(a.Warnings, g.Label(labelRecordExpr)+": "+doubt)
	}
	return a
}

// Load reports whether the rule records the load of its service for the scaler.
func (r Rule) Load() bool { return r.Record && r.Name == scaling.Wanted }

// ID tells the rules that are loaded apart: alerts by their names, and recording rules, several
// of which may have one name, by their labels as well.
func (r Rule) ID() string {
	if r.Record {
		return RecordID(r.Name, r.Labels)
	}
	return r.Name
}

// RecordID is the ID of a recording rule with these labels.
func RecordID(name string, labels map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, key+"="+strconv.Quote(labels[key]))
	}
	return name + "{" + strings.Join(all, ",") + "}"
}

// Source returns the full name of the label that holds the rule's expression, and NamedBy of
// the one that holds its name.
func (r Rule) Source() string {
	switch {
	case r.Load():
		return catalog.Prefix + scaling.Metric
	case r.Record:
		return fullName(labelRecordExpr, r.Index)
	}
	return IfLabel(r.Index)
}

// NamedBy is described with Source.
func (r Rule) NamedBy() string {
	if r.Record {
		return fullName(labelRecord, r.Index)
	}
	return NameLabel(r.Index)
}
