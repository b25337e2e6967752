// Package decide answers what is asked of one service with a decision, its stable
// code and its reason. It is pure: the time is an argument.
//
// Alerts, the load, a schedule, a waiting request and persons want a number each, and the
// greatest wins; a person's request is decided by itself, and down only if nobody wants more.
// The number goes through stages, each of which may change it; the first that objects answers:
//   - stabilize and limit: see there;
//   - gate: the operator's stop, a service that is switched off, a scaler that sees
//     nothing, an update under way or paused;
//   - bounds: a scaling ends within the bounds and in the direction that was asked for:
//     above its greatest number a service is never lowered by a request up, below its
//     least never raised by a request down; a request up raises a service below
//     its least number to at least that;
//   - unsettled: a last step that does not show yet, a service of which less than half runs,
//     and tasks that find no room;
//   - cooling: the cooldown.
//
// For persons only the gate and the bounds count.
//
// Without a request nothing is scaled, also outside the bounds: somebody who stopped a
// service with 0 replicas meant it.
package decide

import (
	"fmt"
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
	// Stopped is the operator's reason to stop all scaling, empty if nothing is stopped.
	Stopped string
	// InUse says that connections are open to the service, or that no proxy tells.
	InUse bool
	// Blind says that nobody has been heard of for long who would renew or end an alert.
	Blind bool
}

// Wish is a number that is wanted from a time on.
type Wish struct {
	At     time.Time
	Number uint64
}

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

// Decide answers one thing that is asked of a service under its policy.
func Decide(p policy.Policy, s State, a Asked, now time.Time) Decision {
	p = p.At(now)
	number, ok := a.number(p, s.Replicas)
	if !ok {
		number = s.Replicas
	}
	d := blank(p, a, s.Replicas, number, now)
	q := question{p, s, a, now}
	for _, judges := range []stage{beaten, stabilize, limit, gate, bounds, unsettled, cooling} {
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

// Done is the decision of a step that was made, as it was told or would have been. The
// bounds may have changed since.
func Done(p policy.Policy, s signal.Step, a Asked) Decision {
	a.Direction, a.To, a.By = s.Direction, nil, max(s.From, s.To)-min(s.From, s.To)
	p.Min, p.Max, p.DryRun = min(p.Min, s.From, s.To), max(p.Max, s.From, s.To), false
	d := blank(p, a, s.From, s.To, s.Time)
	d.Instance, d.Version = s.Instance, s.Version
	d.scaled(a)
	if s.Want != "" {
		d.Want, d.Reason, d.Code = Want(s.Want), s.Reason, Want(s.Want).done()
	}
	return d
}

// Adopt is the decision to take over a number that somebody else has set.
func Adopt(p policy.Policy, s signal.Step) Decision {
	p.DryRun = false
	d := blank(p, Asked{Want: WantPerson, Direction: s.Direction}, s.From, s.To, s.Time)
	d.Action, d.Code, d.Instance, d.Version = Adopted, CodeAdopted, s.Instance, s.Version
	d.Reason = fmt.Sprintf("changed from %d to %d by somebody else; alerts wait for their cooldown", s.From, s.To)
	d.Message = p.Service + " was " + d.Reason
	return d
}

func (d *Decision) scaled(a Asked) {
	d.Action, d.Code, d.Reason = Scaled, a.want().done(), a.why()
	d.Message = fmt.Sprintf("Scaling %s from %d to %d replicas (min: %d, max: %d)", d.Service, d.From, d.To, d.Min, d.Max)
}

// not makes the decision one that changes nothing.
func (d Decision) not(action Action, code Code, reason string) Decision {
	d.Action, d.Code, d.Reason, d.To = action, code, reason, d.From
	d.Message = fmt.Sprintf("%s stays at %d replicas: %s", d.Service, d.From, reason)
	return d
}
