// Package report says what became of each service, for the bus and for people. It is pure.
package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// Applied is how the desired state fared.
type Applied struct {
	// Err is why it is not in force, nil if it is.
	Err error
	// Unseen are the services, by ID, of whose targets Prometheus does not show all as they should be.
	Unseen map[string]bool
	// Differing are the rules, by ID, that Prometheus does not show as they should be,
	// and Failing those that it cannot evaluate, each with the reason. Doubts say what
	// keeps a rule from ever having a result.
	Differing, Failing map[string]string
	Doubts             map[string][]string
	// Limited says, by the ID of a service, of which target nothing is taken because it
	// answers more than it may, in Prometheus' words.
	Limited map[string]string
	// Locked says in the same way of which target nothing is taken because of its secret.
	Locked map[string]string
}

// Statuses returns the status of every service that is opted in and asks for something.
func Statuses(s desired.State, applied Applied) []catalog.Status {
	out := make([]catalog.Status, 0, len(s.Services))
	for _, svc := range s.Services {
		out = append(out, status(svc, applied))
	}
	return out
}

// Judged says what becomes of the labels of a service: rejected, in part (degraded), asked for
// nothing (ignored), or accepted.
func Judged(svc desired.Service) catalog.Status {
	st := catalog.Status{ServiceID: svc.ID, Service: svc.Name, State: catalog.StateAccepted, Warnings: svc.Warnings, Revision: svc.Revision}
	switch {
	case len(svc.Faults) > 0:
		st.State = catalog.StateRejected
		if svc.Fresh > 0 {
			st.State = catalog.StateDegraded
		}
		fault(&st, svc)
	case len(svc.Jobs) == 0 && len(svc.Rules) == 0:
		st.State, st.Reason = catalog.StateIgnored, "the labels ask for neither a scrape job nor an alert, nor a recording rule, nor a load"
	}
	return st
}

func status(svc desired.Service, applied Applied) catalog.Status {
	st := Judged(svc)
	switch {
	case st.State == catalog.StateIgnored:
	case st.State != catalog.StateAccepted:
		ailing(&st, svc, applied)
	case applied.Err != nil:
		st.Reason = applied.Err.Error()
	case ailing(&st, svc, applied):
		st.State = catalog.StateDegraded
	case len(svc.Jobs) > 0 && len(svc.Targets) == 0 && svc.Wanted > 0:
		st.State, st.Reason = catalog.StateDegraded, "no task of the service runs on a network of Prometheus, so there is nothing to scrape"
		st.Hint = "docker service ps " + svc.Name
	case len(svc.Jobs) > 0 && svc.Unlisted > 0:
		st.State, st.Reason = catalog.StateDegraded, fmt.Sprintf("%d of its tasks are not in the catalog, which lists only so many of one service, so they are not scraped", svc.Unlisted)
		st.Hint = "fewer replicas, or several services"
	case applied.Unseen[svc.ID]:
		st.Reason = "Prometheus has not taken up all targets yet; it does so within seconds"
	default:
		st.State = catalog.StateApplied
	}
	for _, r := range svc.Rules {
		for _, doubt := range applied.Doubts[r.ID()] {
			st.Warnings = append(slices.Clip(st.Warnings), r.Source()+": "+doubt)
		}
	}
	return st
}

// ailing adds the rules that are loaded and do not do what they should, and the target that
// answers too much, and reports whether there are any.
func ailing(st *catalog.Status, svc desired.Service, applied Applied) bool {
	found := false
	add := func(r alert.Rule, reason, hint string) {
		if st.Reason != "" {
			st.Reason += "; "
		}
		st.Reason += reason
		if st.Label == "" && st.Hint == "" {
			st.Label, st.Hint = r.Source(), hint
		}
		found = true
	}
	if why, ok := applied.Limited[svc.ID]; ok {
		st.Reason = strings.TrimPrefix(st.Reason+"; nothing is taken of the target "+why, "; ")
		if st.Hint == "" {
			st.Hint = "fewer series, or a higher limit by com.df.scrapeSampleLimit or com.df.scrapeBodyLimit, or monitor's -sample-limit and -body-limit"
		}
		found = true
	}
	if why, ok := applied.Locked[svc.ID]; ok {
		st.Reason = strings.TrimPrefix(st.Reason+"; nothing is taken of the target "+why, "; ")
		for _, job := range svc.Jobs {
			if job.Pool.Secret != "" && st.Label == "" && st.Hint == "" {
				st.Label = scrape.SecretLabel(job.Index)
				st.Hint = "give monitor the secret " + scrape.SecretPrefix + job.Pool.Secret + ", with what the tasks take"
			}
		}
		found = true
	}
	for _, r := range svc.Rules {
		if why, ok := applied.Differing[r.ID()]; ok {
			add(r, "the rule "+r.Name+" is not in force: "+why, "the log of Prometheus; a foreign one must read this folder alone for these rules")
		}
		if why, ok := applied.Failing[r.ID()]; ok {
			failing(r, why, add)
		}
	}
	return found
}

// failing tells of a rule that Prometheus cannot evaluate.
func failing(r alert.Rule, why string, add func(r alert.Rule, reason, hint string)) {
	const try = "try the expression in Prometheus, and change it until it gives "
	switch {
	case r.Several(why):
		add(r, "the load has more than one series, so the scaler is told nothing of it and holds the number: "+why, "make it one value, such as by sum(...) around it")
	case r.Record && !r.Load():
		add(r, "the recording rule "+r.Name+" fails whenever Prometheus evaluates it, so it records nothing: "+why, try+"a result")
	case r.Record:
		add(r, "the load fails whenever Prometheus evaluates it, so the scaler is told nothing of it and holds the number: "+why, try+"one value")
	default:
		add(r, "the rule "+r.Name+" fails whenever Prometheus evaluates it, so it never fires: "+why, try+"a result")
	}
}

// fault names every fault, and the first one's label.
func fault(st *catalog.Status, svc desired.Service) {
	reasons := make([]string, len(svc.Faults))
	for i, f := range svc.Faults {
		fate := "is left out"
		switch {
		case f.Item == "labels" && f.Kept:
			fate = "stay as they were last accepted"
		case f.Item == "labels":
			fate = "are left out"
		case f.Kept:
			fate = "stays as it was last accepted"
		}
		reasons[i] = fmt.Sprintf("%s %s: %s", f.Item, fate, f.Err)
	}
	st.Reason = strings.Join(reasons, "; ")
	first := svc.Faults[0].Err
	if l := label.First(first); l != nil {
		st.Label, st.Hint = l.Label, "set it to "+l.Want
	}
	if hinted := interface{ Hint() string }(nil); errors.As(first, &hinted) {
		st.Hint = hinted.Hint()
	}
}

// Rejected counts the services of which something is rejected.
func Rejected(s desired.State) int {
	n := 0
	for _, svc := range s.Services {
		if len(svc.Faults) > 0 {
			n++
		}
	}
	return n
}

// Bystander returns the status of a service that the desired state does not name, and why.
func Bystander(svc catalog.Service) catalog.Status {
	st := catalog.Status{ServiceID: svc.ID, Service: svc.Name, State: catalog.StateIgnored}
	switch {
	case !svc.OptedIn() && desired.Asks(svc.Labels):
		absence := label.NotOptedIn(catalog.Notify, svc.Name, svc.Labels, svc.ContainerLabels)
		st.Label, st.Reason, st.Hint = absence.Label, absence.Reason, absence.Hint
	case desired.Asks(svc.ContainerLabels):
		absence := label.OnContainer(label.Misplaced(svc.Labels, svc.ContainerLabels)[0])
		st.Label, st.Reason, st.Hint = absence.Label, absence.Reason, absence.Hint
	default:
		st.Reason = "no label asks for a scrape job, an alert, a recording rule or a load"
		st.Hint = "set " + catalog.Prefix + "scrapePort, or " + catalog.Prefix + "alertName and " + catalog.Prefix + "alertIf"
	}
	return st
}
