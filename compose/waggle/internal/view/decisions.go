package view

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
	"github.com/wagglehq/waggle/pkg/picture"
	scaler "github.com/wagglehq/waggle/scaler/judge"
)

// Decision is one of the scaler about a service.
type Decision struct {
	picture.Decision
	Service string
	State   why.State
}

// Key is what the decision is known by.
func (d Decision) Key() string {
	return strings.Join([]string{d.Time.Format(time.RFC3339Nano), d.Service, d.Direction, d.Action}, " ")
}

// Path is that of the page of its service.
func (d Decision) Path() string { return ServicePath(d.Service) }

// Replicas is the change of the number, or the number that stays.
func (d Decision) Replicas() string {
	if d.From == d.To {
		return fmt.Sprint(d.From)
	}
	return fmt.Sprintf("%d → %d", d.From, d.To)
}

// Decisions are those among events, in their order.
func Decisions(events []picture.Event) []Decision {
	var out []Decision
	for _, e := range events {
		if e.Decision == nil {
			continue
		}
		d := Decision{Decision: *e.Decision, Service: e.Service, State: why.None}
		switch d.Action {
		case "scaled":
			d.State = why.OK
		case "refused":
			if d.State = why.Warn; d.Code == scaler.AtMin || d.Code == scaler.Unchanged {
				d.State = why.None // as it should be
			}
		case "held":
			d.State = why.Wait
		}
		out = append(out, d)
	}
	return out
}

// Happening is one line of what happened last.
type Happening struct {
	Time time.Time
	Kind string
	// Service is what it is about, with the path of its page, or several, or empty.
	Service, Path, Text string
	number              int
}

// Key is what it is known by.
func (h Happening) Key() string {
	return fmt.Sprintf("%s %s %s %d", h.Time.Format(time.RFC3339Nano), h.Kind, h.Service, h.number)
}

// Happenings are events as lines, in their order.
func Happenings(events []picture.Event) []Happening {
	var out []Happening
	same := map[string]int{}
	for _, e := range events {
		h := Happening{Time: e.Time, Kind: string(e.Kind), Service: cmp.Or(e.Service, strings.Join(e.Services, ", ")), Text: e.Text}
		if e.Service != "" {
			h.Path = ServicePath(e.Service)
		}
		key := h.Key()
		h.number = same[key]
		same[key]++
		out = append(out, h)
	}
	return out
}
