// Package view makes of what is known what the console shows: values in the order in which
// they stand on the page. It is pure.
package view

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
)

// Known is what pages are made of. It is not changed, so that several pages may be made of it
// at once.
type Known struct {
	*why.Judged
	// Board are all services, the worst first.
	Board []Line
}

// Know judges a picture, in a court that remembers the one before.
func Know(court *why.Court, p picture.Picture) (*Known, error) {
	j, err := court.Judge(p)
	if err != nil {
		return nil, err
	}
	return &Known{j, board(j)}, nil
}

// Sample is how many replicas a service had from a moment on.
type Sample struct {
	Time           time.Time
	Asked, Running uint64
}

// Word is how a state is called.
func Word(s why.State) string {
	switch s {
	case why.Broken:
		return "broken"
	case why.Warn:
		return "warning"
	case why.Wait:
		return "waiting"
	case why.OK:
		return "well"
	case why.None:
	}
	return "not asked"
}

// States are all, the worst first.
func States() []why.State { return []why.State{why.Broken, why.Warn, why.Wait, why.OK, why.None} }

// Clock is a time to read, in UTC, with the day if that is another one.
func Clock(t, now time.Time) string {
	switch t, now = t.UTC(), now.UTC(); {
	case t.IsZero():
		return ""
	case t.Year() != now.Year():
		return t.Format("2 Jan 2006")
	case t.YearDay() != now.YearDay():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("15:04:05")
}

// ServicePath is where the page of a service is.
func ServicePath(name string) string { return "/services/" + url.PathEscape(name) }

// has reports whether one of the texts contains what is looked for, which is in small letters.
func has(query string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), query) })
}

// labelsOf are the labels of a service as they may be shown, sorted by name.
func labelsOf(svc catalog.Service) []Label {
	var out []Label
	for name, text := range svc.Labels {
		out = append(out, Label{Name: name, Text: text})
	}
	for name := range svc.Withheld {
		out = append(out, Label{Name: name, Secret: true})
	}
	for name, text := range svc.ContainerLabels {
		out = append(out, Label{Name: name, Text: text, Misplaced: true})
	}
	slices.SortFunc(out, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Label is one of a service.
type Label struct {
	Name, Text string
	// Secret: its text is told to nobody. Misplaced: it stands on the container.
	Secret, Misplaced bool
}

// hostname is what a node is called.
func hostname(p picture.Picture, id string) string {
	for _, n := range p.Nodes {
		if n.ID == id {
			return n.Hostname
		}
	}
	return id
}

// addresses are those of a task, by network.
func addresses(t catalog.Task) string {
	var out []string
	for _, network := range slices.Sorted(maps.Keys(t.Addresses)) {
		out = append(out, strings.Join(t.Addresses[network], " ")+" on "+network)
	}
	return strings.Join(out, ", ")
}
