// Package ready has the alerts that are there on the first day: about Waggle itself, about
// services and nodes by what the listener says of the swarm, about the proxies, Prometheus
// and Alertmanager. It is pure.
//
// None asks for a scaling. A query takes the greatest of what several listeners say, which
// are the same numbers, and no job counts but Waggle's own.
package ready

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
)

// Group is the group of these rules, and their owner.
const Group = "waggle"

// DefaultDocs is the page that says for each alert what to do.
const DefaultDocs = "https://github.com/wagglehq/waggle/blob/main/docs/alerts.md"

// The labels and annotations by which messages are made and grouped.
const (
	severity = "severity"
	critical = "critical"
	warning  = "warning"
	none     = "none"
	// runbook is the annotation with the link to what to do.
	runbook = "runbook_url"
)

// stack is Waggle's own, with the page of its alerts.
type stack struct{ name, docs string }

// Rules are the alerts of a stack. docs is the page that says what to do.
func Rules(name, docs string) []alert.Rule {
	s := stack{name, docs}
	return slices.Concat(s.aboutWaggle(), s.aboutServices(), s.aboutNodes(), s.aboutProxies(), s.aboutPrometheus(), s.aboutAlertmanager())
}

// rule is one alert, whose link leads to the heading of its name.
func (s stack) rule(name, expr, hold, how, summary string) alert.Rule {
	return alert.Rule{
		Service: Group, Name: name, Expr: expr, For: hold,
		Labels:      map[string]string{severity: how, alert.OwnerLabel: Group},
		Annotations: map[string]string{"summary": summary, runbook: s.docs + "#" + strings.ToLower(name)},
	}
}

// of selects the job of a component.
func (s stack) of(component string) string {
	return "job=" + strconv.Quote(scrape.OwnJob(s.name, component))
}
