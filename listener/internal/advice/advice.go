// Package advice says what the listener alone can see of a service: that it did
// not opt in, that its labels stand in the wrong place, that nobody reads one of
// them. It is pure.
package advice

import (
	"fmt"
	"maps"
	"slices"

	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// State is what became of the service as far as the listener is concerned; the
// words are those of the bus.
type State string

// The states of a service.
const (
	// Accepted services are published with their labels.
	Accepted State = "accepted"
	// Ignored services did not opt in.
	Ignored State = "ignored"
	// Rejected services are published without labels but com.df.notify.
	Rejected State = "rejected"
)

// Advice is what is to be said of one service.
type Advice struct {
	ServiceID, Service  string
	State               State
	Reason, Label, Hint string
	Warnings            []string
}

// maxWarnings bounds what is said of one service.
const maxWarnings = 20

// Memory is what was said of each service, because most are the same the next time. Its
// zero value is ready. It belongs to one goroutine.
type Memory struct {
	said map[string]remembered
}

type remembered struct {
	svc    catalog.Service
	large  catalog.TooLargeError
	advice Advice
	ok     bool
}

// All returns the advice on every service of which there is something to say, sorted by
// ID. large are the services that brought too much, by name.
func (m *Memory) All(s catalog.Snapshot, large map[string]*catalog.TooLargeError, table []label.Spec) []Advice {
	next := make(map[string]remembered, len(s.Services))
	var out []Advice
	for _, id := range slices.Sorted(maps.Keys(s.Services)) {
		svc := s.Services[id]
		r := remembered{svc: svc}
		if l := large[svc.Name]; l != nil {
			r.large = *l
		}
		if old, ok := m.said[id]; ok && old.large == r.large && old.svc.Equal(svc) {
			r = old
		} else {
			r.advice, r.ok = On(svc, large[svc.Name], table)
		}
		next[id] = r
		if r.ok {
			out = append(out, r.advice)
		}
	}
	m.said = next
	return out
}

// On returns the advice on one service, and whether there is any. large is nil
// unless the service brought too much.
func On(svc catalog.Service, large *catalog.TooLargeError, table []label.Spec) (Advice, bool) {
	a := Advice{ServiceID: svc.ID, Service: svc.Name, State: Accepted}
	if len(svc.Labels) == 0 && len(svc.ContainerLabels) == 0 {
		return a, false // it has nothing to do with Waggle
	}
	onContainer := Misplaced(svc)
	switch {
	case large != nil:
		a.State, a.Reason = Rejected, large.Error()
		a.Hint = "Shorten the labels of the service; certificates and long lists belong into secrets or files. What was last accepted stays in force."
	case svc.OptedIn():
	default:
		absence := label.NotOptedIn(catalog.Notify, svc.Name, svc.Labels, svc.ContainerLabels)
		a.State, a.Label, a.Reason, a.Hint = Ignored, absence.Label, absence.Reason, absence.Hint
	}
	unknown, more := label.FindUnknown(catalog.Prefix, svc.Labels, table, known.Foreign, maxWarnings)
	for _, u := range unknown {
		w := fmt.Sprintf("the label %s is not known and has no effect", shorten(u.Label))
		if u.Nearest != "" {
			w += ": is " + u.Nearest + " meant?"
		}
		a.Warnings = append(a.Warnings, w)
	}
	for _, full := range onContainer {
		if full != a.Label {
			a.Warnings = append(a.Warnings, label.OnContainer(full).Reason+": write it under deploy.labels")
		}
	}
	if more += max(len(a.Warnings)-maxWarnings, 0); more > 0 {
		a.Warnings = append(a.Warnings[:min(len(a.Warnings), maxWarnings)], fmt.Sprintf("and %d more", more))
	}
	return a, a.State != Accepted || len(a.Warnings) > 0
}

// Misplaced returns the labels that stand on the container alone, see label.Misplaced.
func Misplaced(svc catalog.Service) []string { return label.Misplaced(svc.Labels, svc.ContainerLabels) }

// shorten keeps a label's name, which may be any text, fit for a message.
func shorten(full string) string { return label.Show(full, false) }
