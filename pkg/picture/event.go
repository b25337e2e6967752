package picture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Event is something that happened.
type Event struct {
	// Time is when it could be read on the bus, by the bus' clock.
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Service is the full name of the service that it is about, empty if it is about none, or
	// about several.
	Service string `json:"service"`
	// Component and Instance say who told it.
	Component string `json:"component,omitempty"`
	Instance  string `json:"instance,omitempty"`
	// Services are those because of which there was a reload.
	Services []string `json:"services,omitempty"`
	Text     string   `json:"text"`
	// Decision is what was decided, nil if nothing was.
	Decision *Decision `json:"decision,omitempty"`
}

// Kind is the kind of an event.
type Kind string

// The kinds of events.
const (
	Created   Kind = catalog.EventCreated
	Changed   Kind = catalog.EventChanged
	Removed   Kind = catalog.EventRemoved
	StatusNow Kind = "status"
	Decided   Kind = "decision"
	Reloaded  Kind = catalog.EventReload
)

// About reports whether an event is of interest to whoever asks about a service.
func (e Event) About(service string) bool {
	return service == "" || e.Service == service || slices.Contains(e.Services, service)
}

// OfCatalog is the event of a change, or of a reload, that a component told.
func OfCatalog(at time.Time, component string, e catalog.Event) Event {
	out := Event{Time: at, Kind: Kind(e.Kind), Service: e.Service, Component: component, Instance: e.Instance, Services: e.Services, Text: e.Text}
	switch {
	case e.NodeID != "":
		out.Text = strings.TrimSpace("the node "+e.Node) + " was " + e.Kind
	case out.Kind == Reloaded:
		out.Text = fmt.Sprintf("%s of %s: %s", component, e.Instance, e.Text)
		if len(e.Services) > 0 {
			out.Text += " (" + strings.Join(e.Services, ", ") + ")"
		}
	case e.Text == "":
		out.Text = "the service was " + e.Kind
	}
	return out
}

// OfStatus is the event of a word about a service.
func OfStatus(at time.Time, s catalog.Status) Event {
	text := s.Component + ": " + string(s.State)
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return Event{Time: at, Kind: StatusNow, Service: s.Service, Component: s.Component, Instance: s.Instance, Text: text}
}

// OfDecision is the event of a decision about a service.
func OfDecision(at time.Time, service string, d Decision) Event {
	text := fmt.Sprintf("%s: %s", d.Direction, d.Action)
	if d.From == d.To {
		text += fmt.Sprintf(" at %d", d.From)
	} else {
		text += fmt.Sprintf(" from %d to %d", d.From, d.To)
	}
	if d.Reason != "" {
		text += ": " + d.Reason
	}
	return Event{Time: at, Kind: Decided, Service: service, Component: "scaler", Text: text, Decision: &d}
}
