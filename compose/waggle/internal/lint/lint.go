// Package lint judges the services of stack files before they are deployed, by the same
// functions by which the running components judge them. It is pure.
package lint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	listener "github.com/wagglehq/waggle/listener/judge"
	monitor "github.com/wagglehq/waggle/monitor/judge"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	proxy "github.com/wagglehq/waggle/proxy/judge"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	// Error: what the labels ask for would not be in force, or not all of it.
	Error Level = "error"
	// Warning: it would be, and something is odd.
	Warning Level = "warning"
)

// Finding is one thing that is wrong in a file.
type Finding struct {
	File string `json:"file"`
	// Line is that of the label, or of the service, 0 if neither is known.
	Line int `json:"line,omitempty"`
	// Service is as in the file, empty if the file as a whole is at fault.
	Service string `json:"service"`
	// Label is the full name of the label at fault, if one is.
	Label string `json:"label"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Fix   string `json:"fix"`
}

// Service is one service of a file.
type Service struct {
	catalog.Service
	// Key is its name in the file.
	Key, File string
	// Line is where it begins there, LabelLines where its labels stand, by full name.
	Line       int
	LabelLines map[string]int
	// Strays are labels that nobody reads and that begin nearly as those of Waggle do, with the
	// names that are probably meant.
	Strays map[string]string
	// SetsReplicas says that each deploy sets the number of replicas.
	SetsReplicas bool
}

// Live is a swarm that the services would come into.
type Live struct {
	Snapshot catalog.Snapshot
	// Accepted are the label sets in force, by component and ID of the service.
	Accepted map[string]map[string]catalog.Service
}

// among puts services of files among those of a swarm: whoever is there already keeps its
// age and its ID, and all others are younger than what is there.
func (l Live) among(services []Service) (all catalog.Snapshot, own []Service) {
	all = catalog.Snapshot{
		Services: maps.Clone(l.Snapshot.Services), Nodes: l.Snapshot.Nodes, Tasks: l.Snapshot.Tasks, Revision: l.Snapshot.Revision,
	}
	if all.Services == nil {
		all.Services = map[string]catalog.Service{}
	}
	newest := time.Time{}
	for _, svc := range all.Services {
		if svc.CreatedAt.After(newest) {
			newest = svc.CreatedAt
		}
	}
	for i, svc := range services {
		svc.CreatedAt = newest.Add(time.Duration(i+1) * time.Second)
		if there, ok := l.Snapshot.ByName(svc.Name); ok {
			svc.ID, svc.CreatedAt = there.ID, there.CreatedAt
		}
		all.Services[svc.ID] = svc.Service
		own = append(own, svc)
	}
	return all, own
}

// Settings are those of the components, by component and name of the flag; those that are
// missing have their defaults.
type Settings map[string]map[string]string

// Files judges all services of files that are deployed together into a swarm. The error is that
// of a setting.
func Files(services []Service, live Live, settings Settings, now time.Time) ([]Finding, error) {
	f := finder{services: map[string]Service{}, asked: map[string]bool{}, large: map[string]bool{}, seen: map[string]bool{}}
	snapshot, services := live.among(services)
	for _, svc := range services {
		f.services[svc.ID] = svc
	}
	_, large, err := catalog.EncodeAll(snapshot)
	if err != nil {
		return nil, err
	}
	tooLarge := make(map[string]*catalog.TooLargeError, len(large))
	for _, l := range large {
		tooLarge[l.Service] = l
	}
	for id, svc := range snapshot.Services {
		if l := tooLarge[svc.Name]; l != nil {
			snapshot.Services[id], f.large[id] = catalog.Stripped(svc, l.Bytes), true
		}
	}
	said, err := listener.Services(listener.Question{Snapshot: snapshot, Large: tooLarge})
	if err != nil {
		return nil, err
	}
	routes, err := proxy.Services(proxy.Question{Snapshot: snapshot, Accepted: live.Accepted["proxy"], Settings: settings["proxy"], Now: now})
	if err != nil {
		return nil, fmt.Errorf("settings of proxy: %w", err)
	}
	scrapes, err := monitor.Services(monitor.Question{Snapshot: snapshot, Accepted: live.Accepted["monitor"], Settings: settings["monitor"]})
	if err != nil {
		return nil, fmt.Errorf("settings of monitor: %w", err)
	}
	scales, err := scaler.Services(scaler.Question{Snapshot: snapshot, Accepted: live.Accepted["scaler"], Settings: settings["scaler"], Now: now})
	if err != nil {
		return nil, fmt.Errorf("settings of scaler: %w", err)
	}
	// What a component refuses says more than that nobody reads the label.
	f.routed(routes)
	f.watched(scrapes)
	f.placed(said)
	f.scaled(scales)
	f.idle(said)
	for id, svc := range f.services {
		for full, meant := range svc.Strays {
			f.add(Warning, id, full, fmt.Sprintf("the label %s is none of Waggle's, which begin with %s, and has no effect: is %s meant?", full, catalog.Prefix, meant), "call it "+meant)
		}
	}
	slices.SortStableFunc(f.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Label, b.Label), cmp.Compare(a.Text, b.Text))
	})
	return f.found, nil
}

// finder gathers findings.
type finder struct {
	services map[string]Service
	found    []Finding
	// asked are the services, by ID, that ask a component for something, rightly or not.
	asked map[string]bool
	// large are those that bring too much, which all judges would say.
	large map[string]bool
	// seen are services with labels that have an error already: the same label is not
	// told of by several judges.
	seen map[string]bool
}

func (f *finder) add(level Level, id, label, text, fix string) {
	if level == Error && label != "" {
		if f.seen[id+" "+label] {
			return
		}
		f.seen[id+" "+label] = true
	}
	svc, isOwn := f.services[id]
	if !isOwn {
		return // of the swarm, where it is judged already
	}
	line := svc.Line
	if at, ok := svc.LabelLines[label]; ok {
		line = at
	}
	f.found = append(f.found, Finding{File: svc.File, Line: line, Service: svc.Key, Label: label, Level: level, Text: text, Fix: fix})
}

// placed tells of opting in, and of labels that stand in the wrong place or that nobody reads.
func (f *finder) placed(said []listener.Answer) {
	for _, a := range said {
		svc := f.services[a.ServiceID]
		if len(a.Misplaced) > 0 {
			f.add(Error, a.ServiceID, a.Misplaced[0], onContainer(a.Misplaced), label.MoveToService)
		}
		text, has := svc.Labels[catalog.Notify]
		switch {
		case a.State == catalog.StateRejected:
			f.add(Error, a.ServiceID, "", a.Reason, a.Hint)
		case svc.OptedIn() || a.Foreign || len(svc.Labels) == 0 || has && strings.EqualFold(text, "false"):
		default:
			f.add(Error, a.ServiceID, catalog.Notify, a.Reason, a.Hint)
		}
		for _, u := range a.Unknown {
			if u.Mistyped() {
				f.add(Error, a.ServiceID, u.Label, fmt.Sprintf("the label %s is not known and has no effect: is %s meant?", u.Label, u.Nearest), "call it "+u.Nearest)
			} else {
				f.add(Warning, a.ServiceID, u.Label, fmt.Sprintf("the label %s is not known and has no effect", u.Label), "remove it, or see the list of labels")
			}
		}
	}
}

func onContainer(labels []string) string {
	text := label.OnContainer(labels[0]).Reason
	if len(labels) > 1 {
		text += fmt.Sprintf("; so do %s", strings.Join(labels[1:], ", "))
	}
	return text
}

// routed tells of what the proxy would refuse.
func (f *finder) routed(answers []proxy.Answer) {
	for _, a := range answers {
		f.asked[a.ServiceID] = f.asked[a.ServiceID] || a.State != catalog.StateIgnored || len(a.Faults) > 0
		for _, w := range a.Warnings {
			f.add(Warning, a.ServiceID, "", w, "")
		}
		switch {
		case a.Elsewhere != "":
			f.asked[a.ServiceID] = true
			f.add(Warning, a.ServiceID, catalog.Prefix+"proxyInstanceName", a.Reason, "")
		case a.State != catalog.StateRejected:
			for _, u := range a.Uncertified {
				f.add(Warning, a.ServiceID, u.Label, u.Reason, u.Hint)
			}
			for _, s := range a.Shadowed {
				f.add(Warning, a.ServiceID, "", "no request reaches "+s, "another path or domain, or com.df.aclName")
			}
		case f.large[a.ServiceID]:
		case len(a.Faults) > 0:
			for i, fault := range a.Faults {
				fix := "want " + fault.Want
				if i == 0 && a.Hint != "" {
					fix = a.Hint
				}
				f.add(Error, a.ServiceID, fault.Label, fault.Error(), fix)
			}
		default:
			f.add(Error, a.ServiceID, a.Label, a.Reason, a.Hint)
		}
	}
}

// watched tells of what the monitor would refuse.
func (f *finder) watched(answers []monitor.Answer) {
	for _, a := range answers {
		f.asked[a.ServiceID] = true
		if a.State == catalog.StateIgnored {
			f.add(Error, a.ServiceID, catalog.Prefix+"scrapePort", strings.Join(append(slices.Clone(a.Warnings), a.Reason), "; "), "set "+catalog.Prefix+"scrapePort")
			continue
		}
		for _, w := range a.Warnings {
			f.add(Warning, a.ServiceID, "", w, "")
		}
		if f.large[a.ServiceID] {
			continue
		}
		for _, fault := range a.Faults {
			f.add(Error, a.ServiceID, fault.Label, fault.Item+": "+fault.Text, fault.Fix)
		}
	}
}

// scaled tells of what the scaler would refuse, and of replicas that a deploy sets.
func (f *finder) scaled(answers []scaler.Answer) {
	for _, a := range answers {
		svc := f.services[a.ServiceID]
		if !svc.OptedIn() || f.large[a.ServiceID] || len(svc.Labels) == 0 {
			continue
		}
		switch {
		case a.State == catalog.StateIgnored && a.Label == "" && !asksScaling(svc):
			continue // what stands on the container alone is told of already
		case a.State == catalog.StateIgnored:
			f.add(Warning, a.ServiceID, "", a.Reason, a.Hint)
		case len(a.Faults) > 0:
			for _, fault := range a.Faults {
				f.add(Error, a.ServiceID, fault.Label, fault.Error(), "want "+fault.Want)
			}
		case a.State == catalog.StateRejected:
			f.add(Error, a.ServiceID, a.Label, a.Reason, a.Hint)
		}
		f.asked[a.ServiceID] = true
		if svc.SetsReplicas {
			f.add(Warning, a.ServiceID, "", "each deploy sets the replicas back to those of the file, whatever the scaler has made of them", "deploy what waggle-scaler keep prints, with the replicas of now; without deploy.replicas there would be 1")
		}
	}
}

// asksScaling reports whether labels of the service begin as those of the scaler do.
func asksScaling(svc Service) bool {
	for full := range svc.Labels {
		if strings.HasPrefix(full, catalog.Prefix+"scale") {
			return true
		}
	}
	return false
}

// idle tells of services that opted in and ask for nothing.
func (f *finder) idle(said []listener.Answer) {
	for _, a := range said {
		if svc := f.services[a.ServiceID]; svc.OptedIn() && a.State != catalog.StateRejected && !f.asked[a.ServiceID] && !scaler.SpeaksOfMoves(svc.Service) {
			f.add(Error, a.ServiceID, "", "the service opted in, and its labels ask for nothing",
				"set com.df.servicePath or com.df.serviceDomain for a route, com.df.scrapePort for a scrape, com.df.alertName for an alert, com.df.scaleMax for scaling")
		}
	}
}
