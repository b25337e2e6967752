package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// said is what all instances of all components said of the services, and what is to be
// thought of it.
type said struct {
	now time.Time
	// blind says why the swarm is not listed, isBusAway that statuses may be old.
	blind     string
	isBusAway bool
	snapshot  catalog.Snapshot
	instances map[instances.Name]instances.Instance
	// byService are the verdicts by service ID, each service's by component, the worst first.
	byService map[string][]statusAnswer
}

// statusAnswer is what one instance said of a service.
type statusAnswer struct {
	catalog.Status
	// Away says that the instance is not heard of any more, and Heard when it was last.
	Away  bool       `json:"away,omitempty"`
	Heard *time.Time `json:"heard,omitempty"`
	// Earlier says that it is about labels, replicas or networks that have changed since.
	Earlier bool `json:"earlier,omitempty"`
}

// said gathers what is on the bus.
func (a *API) said(s catalog.Snapshot) said {
	values, complete := a.Statuses()
	out := said{
		now: a.Now(), blind: a.blind(), isBusAway: !complete || !a.Connected(), snapshot: s,
		instances: a.Instances(), byService: map[string][]statusAnswer{},
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name, ok := instances.NameOf(key)
		var status catalog.Status
		if !ok || json.Unmarshal(values[key].Data, &status) != nil {
			continue
		}
		out.byService[status.ServiceID] = append(out.byService[status.ServiceID], out.judged(name, status))
	}
	for _, verdicts := range out.byService {
		slices.SortStableFunc(verdicts, func(x, y statusAnswer) int {
			if x.Component != y.Component {
				return strings.Compare(x.Component, y.Component)
			}
			return badness(x.State) - badness(y.State)
		})
	}
	return out
}

func (s *said) judged(name instances.Name, status catalog.Status) statusAnswer {
	answer := statusAnswer{Status: status}
	if i, ok := s.instances[name]; ok && i.Away && !s.isBusAway {
		answer.Away = true
		if i.Exact {
			answer.Heard = &i.Heard
		}
	}
	present, judged := s.snapshot.Revisions[status.ServiceID], status.Revision
	answer.Earlier = judged.Sequence != 0 && present != 0 && (judged.Epoch != s.snapshot.Revision.Epoch || judged.Sequence < present)
	return answer
}

// badness orders states, the worst first.
func badness(s catalog.State) int {
	return slices.Index([]catalog.State{catalog.StateRejected, catalog.StateDegraded, catalog.StateIgnored, catalog.StateAccepted, catalog.StateApplied}, s)
}

func (s *said) statuses(serviceID string) []statusAnswer {
	return append([]statusAnswer{}, s.byService[serviceID]...) // an empty list is easier to read than null
}

// summary says in one line what became of a service, the worst first.
func (s *said) summary(svc catalog.Service) string {
	parts := s.verdicts(svc)
	if s.blind != "" {
		parts = append([]string{s.blind}, parts...)
	}
	if s.isBusAway {
		parts = append(parts, "the bus is away, so this may be old")
	}
	return strings.Join(parts, "; ")
}

func (s *said) verdicts(svc catalog.Service) []string {
	if len(svc.Labels)+len(svc.ContainerLabels)+len(svc.Withheld) == 0 && svc.Oversize == 0 {
		return []string{fmt.Sprintf("not Waggle's matter: it has no label under %s; to opt in, give it %s=true under deploy.labels", catalog.Prefix, catalog.Notify)}
	}
	var parts []verdict
	warnings := map[string]bool{}
	for _, component := range s.components(svc.ID) {
		parts = append(parts, s.component(svc.ID, component)...)
	}
	for _, v := range s.byService[svc.ID] {
		for _, w := range v.Warnings {
			warnings[v.Component+" "+w] = true
		}
	}
	slices.SortStableFunc(parts, func(a, b verdict) int { return a.badness - b.badness })
	var out []string
	for _, p := range parts {
		out = append(out, p.text)
	}
	if len(out) == 0 && svc.OptedIn() && !s.isBusAway {
		out = append(out, "published; no other component has answered yet")
	}
	if len(warnings) > 0 {
		out = append(out, fmt.Sprintf("with warnings: %d", len(warnings)))
	}
	return out
}

func (s *said) components(serviceID string) []string {
	var out []string
	for _, v := range s.byService[serviceID] {
		out = append(out, v.Component)
	}
	return slices.Compact(out)
}

// verdict is what is to be said of one or several instances of a component that agree.
type verdict struct {
	text    string
	badness int
}

// component returns what the instances of one component say, the worst first: of those
// that are there, or, if none is, of those that were.
func (s *said) component(serviceID, component string) []verdict {
	var here, away []statusAnswer
	for _, v := range s.byService[serviceID] {
		switch {
		case v.Component != component:
		case v.Away:
			away = append(away, v)
		default:
			here = append(here, v)
		}
	}
	if len(here) == 0 {
		if instances.Lives(s.instances, component) {
			return nil // those that are there have nothing to say of it
		}
		return s.past(component, away)
	}
	var out []verdict
	counted := map[string]bool{}
	for _, v := range here {
		same := 0
		for _, other := range here {
			if sameVerdict(v, other) {
				same++
			}
		}
		text := s.present(v)
		if text == "" || counted[string(v.State)+v.Reason] {
			continue
		}
		counted[string(v.State)+v.Reason] = true
		if same < len(here) {
			text = fmt.Sprintf("%s (%d of %d instances, such as %s)", text, same, len(here), v.Instance)
		}
		out = append(out, verdict{text, badness(v.State)})
	}
	return out
}

func sameVerdict(a, b statusAnswer) bool { return a.State == b.State && a.Reason == b.Reason }

// present says what an instance that is there says; nothing if that is of no interest.
func (s *said) present(v statusAnswer) string {
	text := fmt.Sprintf("%s by %s", v.State, v.Component)
	switch v.State {
	case catalog.StateRejected, catalog.StateDegraded:
		text += ": " + v.Reason
		if !v.Since.IsZero() {
			text += ", since " + clock(s.now, v.Since)
		}
	case catalog.StateIgnored:
		if v.Reason == "" {
			return ""
		}
		text += ": " + v.Reason
	default:
		if v.Component == "listener" {
			return ""
		}
	}
	if v.Earlier {
		text += " (about earlier labels: the answer to the present ones is not there yet)"
	}
	return text
}

// past says what the instances of a component said of which none is there.
func (s *said) past(component string, away []statusAnswer) []verdict {
	if len(away) == 0 {
		return nil
	}
	heard := time.Time{}
	for _, v := range away {
		if v.Heard != nil && v.Heard.After(heard) {
			heard = *v.Heard
		}
	}
	last := away[0]
	word := string(last.State)
	if last.Reason != "" {
		word += ": " + last.Reason
	}
	if last.Earlier {
		word += " (about earlier labels)"
	}
	since := ""
	if !heard.IsZero() {
		since = " for " + s.now.Sub(heard).Round(time.Second).String()
	}
	return []verdict{{fmt.Sprintf("%s has not been heard of%s; its last word was %s", component, since, word), 0}}
}
