// Package decide answers what is asked of one service with a decision and its
// reason. It is pure: the time is an argument.
//
// What holds, in this order:
//   - while an alert asks for up, nothing goes down;
//   - a scaling ends within the bounds and in the direction that was asked for:
//     above its greatest number a service is never lowered by a request up, below its
//     least never raised by a request down; a request up raises a service below
//     its least number to at least that;
//   - without a request nothing is scaled, also outside the bounds: somebody who
//     stopped a service with 0 replicas meant it;
//   - an update under way, an earlier step whose tasks do not run yet, and a
//     service of which no task runs are waited for;
//   - since the last scaling, whatever its direction, the cooldown of the asked
//     direction has passed.
package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// Action is what a decision leads to.
type Action string

// The actions.
const (
	// Scaled changes the number of replicas.
	Scaled Action = "scaled"
	// Held changes nothing now; the same request may be granted later.
	Held Action = "held"
	// Refused changes nothing, and waiting alone does not change that.
	Refused Action = "refused"
)

// State is what is known of a service at the moment of the decision.
type State struct {
	// Replicas is the number asked for, Running that of tasks that run on ready nodes.
	Replicas, Running uint64
	// UpdateState is Swarm's word, empty without an update.
	UpdateState string
	// Last is the last scaling that took place, nil if none is known.
	Last *signal.Step
}

// Asked is what an alert or a person asks for.
type Asked struct {
	Direction signal.Direction
	// By is the step; 0 is that of the policy.
	By uint64
	// UpStands says that an alert asks for up at the same time.
	UpStands bool
	// Request is the ID of a request by hand, empty for alerts.
	Request string
	// Alerts are the fingerprints of the alerts that ask.
	Alerts []string
}

// Decision is the answer.
type Decision struct {
	Time      time.Time        `json:"time"`
	ServiceID string           `json:"serviceId,omitempty"`
	Service   string           `json:"service"`
	Direction signal.Direction `json:"direction"`
	Action    Action           `json:"action"`
	From      uint64           `json:"from"`
	To        uint64           `json:"to"`
	Min       uint64           `json:"min"`
	Max       uint64           `json:"max"`
	// Reason says why, in words that stay the same while the situation does.
	Reason string `json:"reason"`
	// Message is for whoever asked; where Docker Flow's scaler has a text, it is that.
	Message string `json:"message"`
	// Until is the time before which asking again is in vain, zero if unknown.
	Until   time.Time `json:"until,omitzero"`
	Request string    `json:"request,omitempty"`
	Alerts  []string  `json:"alerts,omitempty"`
	// AtBound says that the service is at the bound already.
	AtBound bool `json:"atBound,omitempty"`
	// DryRun says that nothing was changed, because the scaler only tries.
	DryRun   bool   `json:"dryRun,omitempty"`
	Instance string `json:"instance,omitempty"`
}

// Same reports whether two decisions say the same, apart from when and by whom.
func (d Decision) Same(other Decision) bool {
	return d.ServiceID == other.ServiceID && d.Service == other.Service && d.Direction == other.Direction && d.Action == other.Action &&
		d.From == other.From && d.To == other.To && d.Reason == other.Reason && d.Request == other.Request && d.DryRun == other.DryRun
}

// Decide answers what is asked of a service under its policy.
func Decide(p policy.Policy, s State, a Asked, now time.Time) Decision {
	d := Decision{
		Time: now, ServiceID: p.ServiceID, Service: p.Service, Direction: a.Direction,
		From: s.Replicas, To: s.Replicas, Min: p.Min, Max: p.Max, Request: a.Request, Alerts: slices.Clone(a.Alerts),
	}
	if a.Direction == signal.Down && a.UpStands {
		return d.not(Held, "an alert asks for up at the same time, and up goes before down")
	}
	if refused, ok := bounds(d, p); ok {
		return refused
	}
	if held, ok := settling(d, p, s, now); ok {
		return held
	}
	cooldown, by := p.CooldownUp, p.UpBy
	if a.Direction == signal.Down {
		cooldown, by = p.CooldownDown, p.DownBy
	}
	if s.Last != nil {
		if until := s.Last.Time.Add(cooldown); now.Before(until) {
			d.Until = until
			return d.not(Held, fmt.Sprintf("cooldown of %s: the last scaling, from %d to %d, was at %s",
				cooldown, s.Last.From, s.Last.To, s.Last.Time.UTC().Format(time.RFC3339)))
		}
	}
	if a.By > 0 {
		by = a.By
	}
	if a.Direction == signal.Up {
		d.To = max(min(s.Replicas+by, p.Max), p.Min)
	} else {
		d.To = min(max(s.Replicas-min(by, s.Replicas), p.Min), p.Max)
	}
	d.Action = Scaled
	d.Reason = a.why()
	d.Message = fmt.Sprintf("Scaling %s from %d to %d replicas (min: %d, max: %d)", p.Service, d.From, d.To, p.Min, p.Max)
	return d
}

// bounds refuses what would leave the bounds or go against the asked direction.
func bounds(d Decision, p policy.Policy) (Decision, bool) {
	up := d.Direction == signal.Up
	switch {
	case up && d.From == p.Max:
		d.AtBound = true
		d = d.not(Refused, fmt.Sprintf("already at the maximum of %d replicas", p.Max))
		d.Message = fmt.Sprintf("%s is already scaled to the maximum number of %d replicas", p.Service, p.Max)
	case up && d.From > p.Max:
		d = d.not(Refused, fmt.Sprintf("%d replicas are above the maximum of %d, and a request up never lowers", d.From, p.Max))
	case !up && d.From == p.Min:
		d.AtBound = true
		d = d.not(Refused, fmt.Sprintf("already at the minimum of %d replicas", p.Min))
		d.Message = fmt.Sprintf("%s is already descaled to the minimum number of %d replicas", p.Service, p.Min)
	case !up && d.From < p.Min:
		d = d.not(Refused, fmt.Sprintf("%d replicas are below the minimum of %d, and a request down never raises", d.From, p.Min))
	default:
		return d, false
	}
	return d, true
}

// settling holds while the service is in motion or not well.
func settling(d Decision, p policy.Policy, s State, now time.Time) (Decision, bool) {
	switch s.UpdateState {
	case "", "completed", "rollback_completed":
	default:
		return d.not(Held, "an update is in progress: "+strings.ReplaceAll(s.UpdateState, "_", " ")), true
	}
	if s.Replicas > 0 && s.Running == 0 {
		return d.not(Held, fmt.Sprintf("none of its %d tasks runs", s.Replicas)), true
	}
	if s.Running < s.Replicas && s.Last != nil && now.Sub(s.Last.Time) < p.Patience {
		return d.not(Held, fmt.Sprintf("the last scaling, from %d to %d at %s, is not complete: not all of %d tasks run",
			s.Last.From, s.Last.To, s.Last.Time.UTC().Format(time.RFC3339), s.Replicas)), true
	}
	return d, false
}

// not makes the decision one that changes nothing.
func (d Decision) not(action Action, reason string) Decision {
	d.Action, d.Reason = action, reason
	d.Message = fmt.Sprintf("%s stays at %d replicas: %s", d.Service, d.From, reason)
	return d
}

func (a Asked) why() string {
	by := ""
	if a.By > 0 {
		by = fmt.Sprintf(" by %d", a.By)
	}
	switch {
	case a.Request != "":
		return fmt.Sprintf("asked for %s%s by hand", a.Direction, by)
	case len(a.Alerts) == 1:
		return fmt.Sprintf("1 alert asks for %s%s", a.Direction, by)
	}
	return fmt.Sprintf("%d alerts ask for %s%s", len(a.Alerts), a.Direction, by)
}

// Refuse is the decision about a request that no policy allows. The reason is
// made to stand behind the name of the service.
func Refuse(serviceID, service string, a Asked, reason string, now time.Time) Decision {
	return Decision{
		Time: now, ServiceID: serviceID, Service: service, Direction: a.Direction, Action: Refused,
		Reason: reason, Message: service + " " + reason, Request: a.Request, Alerts: slices.Clone(a.Alerts),
	}
}
