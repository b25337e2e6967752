package why

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// faults are those of the monitor that are about items which begin with a word, or about all.
func faults(a monitor.Answer, item string) (text, fix string) {
	var texts []string
	for _, f := range a.Faults {
		if strings.HasPrefix(f.Item, item) || f.Item == "name" || f.Item == "labels" && (strings.Contains(f.Label, item) || f.Label == "") {
			one := f.Text
			if f.Label != "" && !strings.Contains(one, f.Label) {
				one = f.Label + ": " + one
			}
			texts = append(texts, one)
			fix = cmp.Or(fix, f.Fix, "see "+f.Label)
		}
	}
	return strings.Join(texts, "; "), fix
}

func (w *world) scrape(svc catalog.Service) Rung {
	a, known := w.scrapes[svc.ID]
	isAsked := len(a.Jobs) > 0 || asks(svc, "scrape", "metrics")
	if !isAsked {
		return Rung{"scrape", None, "", ""}
	}
	if !known || len(a.Jobs) == 0 && a.State == catalog.StateIgnored || !asks(svc, "scrapePort") {
		return Rung{"scrape", Broken, cmp.Or(strings.Join(a.Warnings, "; "), a.Reason, "labels describe a scrape, and none is asked for"), "set com.df.scrapePort"}
	}
	if text, fix := faults(a, "scrape"); text != "" {
		return Rung{"scrape", Broken, text, fix}
	}
	return w.ofMonitor(svc, "scrape", fmt.Sprintf("%d jobs", len(a.Jobs)))
}

func (w *world) alert(svc catalog.Service) Rung {
	a := w.scrapes[svc.ID]
	if len(a.Rules) == 0 && !asks(svc, "alert") {
		return Rung{"alert", None, "", ""}
	}
	if text, fix := faults(a, "alert"); text != "" {
		return Rung{"alert", Broken, text, fix}
	}
	var names []string
	for _, r := range a.Rules {
		names = append(names, r.Name)
	}
	return w.ofMonitor(svc, "alert", strings.Join(names, ", "))
}

// ofMonitor is a rung about which only a running monitor knows more.
func (w *world) ofMonitor(svc catalog.Service, rung, text string) Rung {
	if trouble, fix := w.trouble("monitor"); trouble != "" {
		return Rung{rung, Broken, trouble, fix}
	}
	s, known := w.status("monitor", svc)
	isAbout := func() bool {
		aboutAlert := strings.Contains(s.Label, "alert") || strings.HasPrefix(s.Reason, "alert") || strings.HasPrefix(s.Reason, "the rule")
		return aboutAlert == (rung == "alert")
	}
	switch {
	case !known || s.Earlier:
		return Rung{rung, Wait, "the monitor has not answered yet about the present labels", ""}
	case (s.State == catalog.StateRejected || s.State == catalog.StateDegraded) && isAbout():
		if s.State == catalog.StateDegraded && rung == "scrape" && s.Label == "" {
			return Rung{rung, Warn, s.Reason, s.Hint}
		}
		reason := s.Reason
		if s.Label != "" && !strings.Contains(reason, s.Label) {
			reason = s.Label + ": " + reason
		}
		return Rung{rung, Broken, reason, cmp.Or(s.Hint, "see "+s.Label)}
	case s.State == catalog.StateAccepted:
		return Rung{rung, Wait, cmp.Or(s.Reason, "the monitor is about to apply it"), ""}
	}
	if warnings := warningsOf(s.Warnings, rung); len(warnings) > 0 {
		return Rung{rung, Warn, text + "; " + strings.Join(warnings, "; "), "do what it says of the label, or leave it if it is meant so"}
	}
	return Rung{rung, OK, text, ""}
}

// warningsOf are those of a monitor's warnings that are about a rung: each begins with its label.
func warningsOf(all []string, rung string) []string {
	var out []string
	for _, warning := range all {
		isAboutScrape := strings.HasPrefix(warning, catalog.Prefix+"scrape") || strings.HasPrefix(warning, catalog.Prefix+"metricsPath")
		if strings.HasPrefix(warning, catalog.Prefix) && isAboutScrape == (rung == "scrape") {
			out = append(out, warning)
		}
	}
	return out
}

func (w *world) scale(svc catalog.Service) Rung {
	a, isJudged := w.scales[svc.ID]
	if !isJudged || !asks(svc, "scale") {
		return Rung{"scale", None, "", ""}
	}
	trouble, fix := w.trouble("scaler")
	said, _ := w.status("scaler", svc)
	firing, deaf := w.deaf(svc)
	d, decided := w.Decisions[svc.Name]
	switch {
	case a.State == catalog.StateRejected:
		return Rung{"scale", Broken, a.Reason, cmp.Or(a.Hint, "see "+a.Label)}
	case a.State == catalog.StateIgnored:
		return Rung{"scale", Warn, a.Reason, a.Hint}
	case trouble != "":
		return Rung{"scale", Broken, trouble, fix}
	case said.State == catalog.StateRejected && !said.Earlier:
		return Rung{"scale", Broken, said.Reason, cmp.Or(said.Hint, "see "+said.Label)}
	case deaf && a.Rules != nil && !a.Rules.Load.Set():
		return Rung{"scale", Broken, "an alert fires and asks for no scaling: " + strings.Join(firing, ", "),
			"set com.df.alertLabels=scale=up,type=service beside that alert, or scale=down"}
	case said.State == catalog.StateDegraded && !said.Earlier:
		return Rung{"scale", Warn, said.Reason, said.Hint}
	case decided && d.Code == scaler.AtMin:
		return Rung{"scale", OK, within(svc, a.Rules) + "; " + d.Reason, ""}
	case decided && !w.isOver(svc, d) && (d.Action == "held" || d.Action == "refused"):
		return Rung{"scale", Warn, fmt.Sprintf("the last decision, %s, was %s at %d replicas: %s", d.Direction, d.Action, d.From, d.Reason),
			fixOf(d, svc)}
	case decided && d.Code == scaler.Dry:
		return Rung{"scale", OK, fmt.Sprintf("%s; it would be %d: %s", within(svc, a.Rules), d.To, d.Reason), ""}
	case decided && d.Action == "scaled" && svc.Replicas != d.To:
		return Rung{"scale", Warn, fmt.Sprintf("the scaler left %d replicas, and there are %d: somebody else has set the replicas, such as a deploy", d.To, svc.Replicas),
			"deploy the file with the replicas of now, as waggle-scaler keep prints it: without deploy.replicas there would be 1"}
	}
	return Rung{"scale", OK, within(svc, a.Rules), ""}
}

// isOver reports whether what a decision refused is wanted no longer: the scaler says nothing when
// an alert ends.
func (w *world) isOver(svc catalog.Service, d picture.Decision) bool {
	isAsked := slices.ContainsFunc(w.Alerts, func(a picture.Alert) bool {
		return a.Service == svc.Name && asksScaling(a) && a.Labels["scale"] == d.Direction
	})
	r := w.scales[svc.ID].Rules
	isAtLeast := d.Direction == "down" && r != nil && svc.Replicas <= r.Min && d.Want != scaler.OfAlert
	return d.Code == scaler.Unchanged || isAtLeast || d.Code == scaler.AtMax && d.Want == scaler.OfAlert && w.Alerts != nil && !isAsked
}

// fixOf is what to do about a decision that holds a step back or refuses it.
func fixOf(d picture.Decision, svc catalog.Service) string {
	switch d.Code {
	case scaler.Stopped:
		return "compose/look scaler -delete /v1/stop ends the stop"
	case scaler.Off:
		return "take com.df.scale=off away, or ask by hand with force=true"
	case scaler.Blind:
		return "bring back what watches: docker service ps waggle_monitor waggle_alertmanager"
	case scaler.NoData:
		return "com.df.scaleMetric must give one value: compose/look monitor /v1/services/" + svc.Name + " says why it does not; com.df.scaleFallback is what is wanted meanwhile"
	case scaler.InUse:
		return "wait: it goes on once no connection is open"
	case scaler.Beaten:
		return "compose/look scaler /v1/services/" + svc.Name + " says what wants more; a request by hand with force=true goes past it"
	case scaler.Update, scaler.Converging, scaler.Failing, scaler.Pending:
		return "wait until its tasks run, or see why they do not: docker service ps --no-trunc " + svc.Name
	case scaler.UpdatePaused:
		return "end the update: docker service rollback " + svc.Name + ", or docker service update " + svc.Name
	case scaler.Docker:
		return "it is tried again; see what Docker said, and docker node ls"
	case scaler.Limit:
		return "wait, or raise com.df.scaleUpMost or com.df.scaleDownMost"
	case scaler.Stabilizing:
		return "wait, or lower com.df.scaleStabilizeUp or com.df.scaleStabilizeDown"
	case scaler.Cooldown:
		return "wait, or lower com.df.scaleCooldownUp or com.df.scaleCooldownDown"
	}
	return "if that is not wanted, change com.df.scaleMin, com.df.scaleMax or the cooldown"
}

// within tells how many replicas there are, and how many there may be.
func within(svc catalog.Service, r *scaler.Rules) string {
	text := fmt.Sprintf("%d replicas", svc.Replicas)
	switch {
	case r == nil:
		return text
	case r.Off:
		return text + ", left alone (com.df.scale=off)"
	case r.DryRun:
		return fmt.Sprintf("%s of %d to %d, and nothing is changed: it is a dry run", text, r.Min, r.Max)
	}
	return fmt.Sprintf("%s of %d to %d", text, r.Min, r.Max)
}

// deaf are the alerts of a service that fire, and whether none of them asks for scaling.
func (w *world) deaf(svc catalog.Service) (firing []string, deaf bool) {
	deaf = true
	for _, a := range w.Alerts {
		if a.Service != svc.Name {
			continue
		}
		firing = append(firing, a.Name)
		if asksScaling(a) {
			deaf = false
		}
	}
	return firing, deaf && len(firing) > 0
}

func asksScaling(a picture.Alert) bool {
	return (a.Labels["scale"] == "up" || a.Labels["scale"] == "down") && a.Labels["type"] == "service"
}
