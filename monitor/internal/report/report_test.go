package report

import (
	"errors"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
)

func TestStatus(t *testing.T) {
	bad := desired.Fault{Item: "alert 2", Err: label.Faults{{Label: "com.df.alertIf.2", Text: "@x", Want: "a shortcut"}}}
	kept := desired.Fault{Item: "scrape", Kept: true, Err: &scrape.NetworkError{Want: []string{"waggle"}, Has: []string{"back"}}}
	large := desired.Fault{Item: "labels", Kept: true, Err: &catalog.OversizeError{Bytes: 70000}}
	job, rules, targets := []*scrape.Job{{}}, []alert.Rule{{}}, []scrape.Target{{}}
	load, other := alert.Rule{Name: scaling.Wanted, Record: true, Labels: map[string]string{"service_id": "1"}}, alert.Rule{Name: scaling.Wanted, Record: true, Labels: map[string]string{"service_id": "2"}}
	record := alert.Rule{Name: "shop:load", Record: true, Index: 2}
	for _, c := range []struct {
		name                string
		svc                 desired.Service
		applied             Applied
		state               catalog.State
		label, reason, hint string
	}{
		{"all is well", desired.Service{Jobs: job, Targets: targets, Rules: rules, Wanted: 1}, Applied{}, catalog.StateApplied, "", "", ""},
		{"part is left out", desired.Service{Rules: rules, Fresh: 1, Faults: []desired.Fault{bad}}, Applied{}, catalog.StateDegraded, "com.df.alertIf.2", `alert 2 is left out: com.df.alertIf.2="@x"`, "set it to a shortcut"},
		{"all is left out", desired.Service{Faults: []desired.Fault{bad}}, Applied{}, catalog.StateRejected, "com.df.alertIf.2", "alert 2 is left out", "a shortcut"},
		{"all is as it was", desired.Service{Jobs: job, Faults: []desired.Fault{kept, bad}}, Applied{}, catalog.StateRejected, "", "scrape stays as it was last accepted: Prometheus is on waggle and the service on back", "networks: [waggle]"},
		{"labels too large", desired.Service{Jobs: job, Faults: []desired.Fault{large}}, Applied{}, catalog.StateRejected, "", "labels stay as they were last accepted: its labels take 70,000 bytes, at most 65,536 are allowed", "secrets or files"},
		{"labels too large from the beginning", desired.Service{Faults: []desired.Fault{{Item: "labels", Err: large.Err}}}, Applied{}, catalog.StateRejected, "", "labels are left out: its labels", "secrets or files"},
		{"tasks that are not listed", desired.Service{Jobs: job, Targets: targets, Wanted: 4000, Unlisted: 2500}, Applied{}, catalog.StateDegraded, "", "2500 of its tasks are not in the catalog, which lists only so many", "fewer replicas"},
		{"tasks that are not listed and not scraped", desired.Service{Rules: rules, Wanted: 4000, Unlisted: 2500}, Applied{}, catalog.StateApplied, "", "", ""},
		{"not in force", desired.Service{Jobs: job, Wanted: 1}, Applied{Err: errors.New("down")}, catalog.StateAccepted, "", "down", ""},
		{"no task", desired.Service{Name: "web", Jobs: job, Wanted: 1}, Applied{}, catalog.StateDegraded, "", "nothing to scrape", "docker service ps web"},
		{"no task and none wanted", desired.Service{Jobs: job}, Applied{}, catalog.StateApplied, "", "", ""},
		{"not shown yet", desired.Service{ID: "1", Jobs: job, Targets: targets, Wanted: 1}, Applied{Unseen: map[string]bool{"1": true}}, catalog.StateAccepted, "", "not taken up", ""},
		{"a target over its limit", desired.Service{ID: "1", Jobs: job, Targets: targets, Wanted: 1}, Applied{Limited: map[string]string{"1": "10.0.0.1:80: sample limit exceeded"}}, catalog.StateDegraded, "", "nothing is taken of the target 10.0.0.1:80: sample limit exceeded", "-sample-limit"},
		{
			"a load of several series", desired.Service{Rules: []alert.Rule{load}}, Applied{Failing: map[string]string{load.ID(): "many-to-one matching must be explicit"}},
			catalog.StateDegraded, "com.df.scaleMetric", "the load has more than one series, so the scaler is told nothing of it and holds the number: many-to-one", "sum(...)",
		},
		{
			"a load that fails", desired.Service{Rules: []alert.Rule{load}}, Applied{Failing: map[string]string{load.ID(): "too many samples"}},
			catalog.StateDegraded, "com.df.scaleMetric", "the load fails whenever Prometheus evaluates it, so the scaler is told nothing of it and holds the number: too many samples", "one value",
		},
		{
			"a load of another service", desired.Service{Rules: []alert.Rule{load}}, Applied{Failing: map[string]string{other.ID(): "too many samples"}},
			catalog.StateApplied, "", "", "",
		},
		{
			"a recording rule that fails", desired.Service{Rules: []alert.Rule{record}}, Applied{Failing: map[string]string{record.ID(): "too many samples"}},
			catalog.StateDegraded, "com.df.recordExpr.2", "the recording rule shop:load fails whenever Prometheus evaluates it, so it records nothing: too many samples", "a result",
		},
		{"labels without effect", desired.Service{Warnings: []string{"w"}}, Applied{}, catalog.StateIgnored, "", "neither", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Statuses(desired.State{Services: []desired.Service{c.svc}}, c.applied)[0]
			if got.State != c.state || got.Label != c.label || !strings.Contains(got.Reason, c.reason) || (c.reason == "" && got.Reason != "") || !strings.Contains(got.Hint, c.hint) {
				t.Errorf("%+v", got)
			}
			if len(got.Warnings) != len(c.svc.Warnings) {
				t.Error("warnings are lost")
			}
		})
	}
}

func TestBystander(t *testing.T) {
	ask := map[string]string{"com.df.scrapePort": "80"}
	for _, c := range []struct {
		name string
		svc  catalog.Service
		hint string
	}{
		{"not opted in", catalog.Service{Labels: ask}, "com.df.notify=true"},
		{"labels on the container", catalog.Service{ContainerLabels: ask}, "deploy.labels"},
		{"nothing asked", catalog.Service{Labels: map[string]string{catalog.Notify: "true"}}, "com.df.scrapePort"},
	} {
		if got := Bystander(c.svc); got.State != catalog.StateIgnored || got.Reason == "" || !strings.Contains(got.Hint, c.hint) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// TestStatusesTellWhichEntryWasJudged: of each service its own.
func TestStatusesTellWhichEntryWasJudged(t *testing.T) {
	at := catalog.Revision{Epoch: "e", Sequence: 7}
	if got := Statuses(desired.State{Services: []desired.Service{{ID: "1", Revision: at}}}, Applied{}); got[0].Revision != at {
		t.Errorf("%+v, want %+v", got[0].Revision, at)
	}
}
