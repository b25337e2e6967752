package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/why"
)

// Decision is one of the scaler.
type Decision struct {
	Time                                           time.Time
	Service, Direction, Action, Code, Want, Reason string
	From, To                                       uint64
	DryRun                                         bool
	State                                          why.State
}

// Key is what the decision is known by.
func (d Decision) Key() string {
	return strings.Join([]string{d.Time.Format(time.RFC3339Nano), d.Service, d.Direction, d.Action}, " ")
}

// Path is that of the page of its service.
func (d Decision) Path() string { return ServicePath(d.Service) }

// Change is the change of the number, or the number that stays.
func (d Decision) Change() string {
	if d.From == d.To {
		return fmt.Sprint(d.From)
	}
	return fmt.Sprintf("%d → %d", d.From, d.To)
}

// Decisions are those among entries of the journal, in their order. What cannot be read is left
// out.
func Decisions(entries []Entry) []Decision {
	var out []Decision
	for _, e := range entries {
		var one Decision
		if e.Stream != "decisions" || json.Unmarshal(e.Value, &one) != nil {
			continue
		}
		one.State = why.None
		switch {
		case one.Action == "scaled" && !one.DryRun:
			one.State = why.OK
		case one.Action == "refused":
			one.State = why.Warn
		case one.Action == "held":
			one.State = why.Wait
		}
		out = append(out, one)
	}
	return out
}

// Happening is one line of what happened last.
type Happening struct {
	Time time.Time
	Kind string
	// Subject is what it is about, with the path of its page if it is a service.
	Subject, Path, Text string
	number              int
}

// Key is what it is known by.
func (h Happening) Key() string {
	return fmt.Sprintf("%s %s %s %d", h.Time.Format(time.RFC3339Nano), h.Kind, h.Subject, h.number)
}

// Happenings are all entries of the journal that can be read, the newest first.
func Happenings(entries []Entry) []Happening {
	var out []Happening
	same := map[string]int{}
	for _, e := range entries {
		h := Happening{Time: e.Time}
		var v struct {
			Time                                                     time.Time
			Kind, Service, Node, Text, Instance                      string
			Action, Direction, Reason, Component, Object, By, Detail string
			Services                                                 []string
			From, To                                                 uint64
		}
		if json.Unmarshal(e.Value, &v) != nil {
			continue
		}
		if !v.Time.IsZero() {
			h.Time = v.Time
		}
		switch e.Stream {
		case "events":
			h.Kind, h.Subject, h.Text = v.Kind, cmp.Or(v.Service, v.Node, v.Instance), cmp.Or(v.Text, strings.Join(v.Services, ", "))
		case "decisions":
			h.Kind, h.Subject, h.Text = v.Action, v.Service, fmt.Sprintf("%d → %d: %s", v.From, v.To, v.Reason)
			if v.From == v.To {
				h.Text = v.Reason
			}
		case "audit":
			h.Kind, h.Subject, h.Text = v.Action, v.Object, strings.TrimSpace(v.Detail+" "+by(v.By))
		default:
			continue
		}
		if v.Service != "" {
			h.Path = ServicePath(v.Service)
		}
		key := h.Key()
		h.number = same[key]
		same[key]++
		out = append(out, h)
	}
	slices.SortStableFunc(out, func(a, b Happening) int { return b.Time.Compare(a.Time) })
	return out
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return "(by " + who + ")"
}
