// Package decide answers what is asked of one service with a decision, its stable
// code and its reason. It is pure: the time is an argument.
//
// A decision begins with a wanted number and goes through stages, each of which may change
// the number; the first that objects answers:
//   - beaten: while an alert asks for up, nothing goes down, unless a person forces it;
//   - bounds: a scaling ends within the bounds and in the direction that was asked for:
//     above its greatest number a service is never lowered by a request up, below its
//     least never raised by a request down; a request up raises a service below
//     its least number to at least that;
//   - stabilize and limit, for alerts: see there;
//   - gate: a service that is switched off, an update under way or paused, and, for
//     alerts, a scaler that sees nothing, a last step that does not show yet, a service of
//     which less than half runs, and tasks that find no room;
//   - cooldown, for alerts: see cooling.
//
// Without a request nothing is scaled, also outside the bounds: somebody who stopped a
// service with 0 replicas meant it.
package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// State is what is known of a service at the moment of the decision.
type State struct {
	// Replicas is the number asked for, Running that of tasks that run on ready nodes,
	// Pending that of tasks for which no node has room.
	Replicas, Running, Pending uint64
	// UpdateState is Swarm's word, empty without an update.
	UpdateState string
	// Silent says that tasks are not of the specification although Swarm has said
	// nothing of an update yet.
	Silent bool
	// Last is the last change of the number that is known, nil if there is none.
	Last *signal.Step
	// Wanted is what was wanted lately, oldest first: each number from its time on.
	Wanted []Wish
	// Blind says that nobody has been heard of for long who would renew or end an alert.
	Blind bool
}

// Wish is a number that is wanted from a time on.
type Wish struct {
	At     time.Time
	Number uint64
}

// Asked is what an alert or a person asks for.
type Asked struct {
	Direction signal.Direction
	// By is the step; 0 is that of the policy.
	By uint64
	// UpStands says that an alert asks for up at the same time.
	UpStands bool
	// Settle is how far back the alerts that ask look.
	Settle time.Duration
	// Request is the ID of a request by hand, empty for alerts. Force lets it go past
	// alerts and the label scale=off.
	Request string
	Force   bool
	// Alerts are the fingerprints of the alerts that ask.
	Alerts []string
}

func (a Asked) byHand() bool { return a.Request != "" }

// question is what the stages look at.
type question struct {
	policy policy.Policy
	state  State
	asked  Asked
	now    time.Time
}

// stage returns the decision with the number that it leaves, or one that changes nothing,
// and true, if it objects.
type stage func(Decision, question) (Decision, bool)

// Decide answers what is asked of a service under its policy.
func Decide(p policy.Policy, s State, a Asked, now time.Time) Decision {
	d := blank(p, a, s.Replicas, now)
	d.To = Wanted(p, a, s.Replicas)
	q := question{p, s, a, now}
	for _, judges := range []stage{beaten, bounds, stabilize, limit, gate, cooling} {
		var objects bool
		if d, objects = judges(d, q); objects {
			return d
		}
	}
	d.scaled(a)
	if p.DryRun {
		d.Code = CodeDryRun
	}
	return d
}

// Wanted is the number that is asked for, within the bounds.
func Wanted(p policy.Policy, a Asked, replicas uint64) uint64 {
	by := p.UpBy
	if a.Direction == signal.Down {
		by = p.DownBy
	}
	if a.By > 0 {
		by = a.By
	}
	if a.Direction == signal.Up {
		return max(min(replicas+by, p.Max), p.Min)
	}
	return min(max(replicas-min(by, replicas), p.Min), p.Max)
}

// Done is the decision of a step that was made, as it was told or would have been. The
// bounds may have changed since.
func Done(p policy.Policy, s signal.Step, a Asked) Decision {
	a.By = max(s.From, s.To) - min(s.From, s.To)
	p.Min, p.Max, p.DryRun = min(p.Min, s.From, s.To), max(p.Max, s.From, s.To), false
	d := blank(p, a, s.From, s.Time)
	d.To, d.Instance = s.To, s.Instance
	d.scaled(a)
	return d
}

// Adopt is the decision to take over a number that somebody else has set.
func Adopt(p policy.Policy, s signal.Step) Decision {
	p.DryRun = false
	d := blank(p, Asked{Direction: s.Direction}, s.From, s.Time)
	d.To, d.Action, d.Code, d.Want, d.Instance = s.To, Adopted, CodeAdopted, WantPerson, s.Instance
	d.Reason = fmt.Sprintf("changed from %d to %d by somebody else; alerts wait for their cooldown", s.From, s.To)
	d.Message = p.Service + " was " + d.Reason
	return d
}

func blank(p policy.Policy, a Asked, replicas uint64, now time.Time) Decision {
	d := Decision{
		Time: now, ServiceID: p.ServiceID, Service: p.Service, Direction: a.Direction, Want: WantAlert,
		From: replicas, To: replicas, Min: p.Min, Max: p.Max, Request: a.Request, Alerts: slices.Clone(a.Alerts), DryRun: p.DryRun,
	}
	if a.byHand() {
		d.Want = WantHand
	}
	return d
}

func (d *Decision) scaled(a Asked) {
	d.Action, d.Code, d.Reason = Scaled, CodeScaled, a.why()
	d.Message = fmt.Sprintf("Scaling %s from %d to %d replicas (min: %d, max: %d)", d.Service, d.From, d.To, d.Min, d.Max)
}

// not makes the decision one that changes nothing.
func (d Decision) not(action Action, code Code, reason string) Decision {
	d.Action, d.Code, d.Reason, d.To = action, code, reason, d.From
	d.Message = fmt.Sprintf("%s stays at %d replicas: %s", d.Service, d.From, reason)
	return d
}

func (a Asked) why() string {
	by := ""
	if a.By > 0 {
		by = fmt.Sprintf(" by %d", a.By)
	}
	switch {
	case a.byHand():
		return fmt.Sprintf("asked for %s%s by hand", a.Direction, by)
	case len(a.Alerts) == 1:
		return fmt.Sprintf("1 alert asks for %s%s", a.Direction, by)
	}
	return fmt.Sprintf("%d alerts ask for %s%s", len(a.Alerts), a.Direction, by)
}
