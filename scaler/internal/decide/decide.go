// Package decide answers what is asked of one service with a decision, its stable
// code and its reason. It is pure: the time is an argument.
//
// A decision goes through stages, and the first that objects answers:
//   - beaten: while an alert asks for up, nothing goes down, unless a person forces it;
//   - bounds: a scaling ends within the bounds and in the direction that was asked for:
//     above its greatest number a service is never lowered by a request up, below its
//     least never raised by a request down; a request up raises a service below
//     its least number to at least that;
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
	"strings"
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
	// Blind says that nobody has been heard of for long who would renew or end an alert.
	Blind bool
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

// stage returns the decision that changes nothing and true if it objects.
type stage func(Decision, question) (Decision, bool)

// Decide answers what is asked of a service under its policy.
func Decide(p policy.Policy, s State, a Asked, now time.Time) Decision {
	d := blank(p, a, s.Replicas, now)
	q := question{p, s, a, now}
	for _, objects := range []stage{beaten, bounds, gate, cooling} {
		if not, yes := objects(d, q); yes {
			return not
		}
	}
	by := p.UpBy
	if a.Direction == signal.Down {
		by = p.DownBy
	}
	if a.By > 0 {
		by = a.By
	}
	if a.Direction == signal.Up {
		d.To = max(min(s.Replicas+by, p.Max), p.Min)
	} else {
		d.To = min(max(s.Replicas-min(by, s.Replicas), p.Min), p.Max)
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

func beaten(d Decision, q question) (Decision, bool) {
	if q.asked.Direction == signal.Down && q.asked.UpStands && !q.asked.Force {
		return d.not(Held, CodeBeaten, "an alert asks for up at the same time, and up goes before down"), true
	}
	return d, false
}

// bounds refuses what would leave the bounds or go against the asked direction.
func bounds(d Decision, q question) (Decision, bool) {
	p, up := q.policy, d.Direction == signal.Up
	switch {
	case up && d.From == p.Max:
		d.AtBound = true
		d = d.not(Refused, CodeAtMax, fmt.Sprintf("already at the maximum of %d replicas", p.Max))
		d.Message = fmt.Sprintf("%s is already scaled to the maximum number of %d replicas", p.Service, p.Max)
	case up && d.From > p.Max:
		d = d.not(Refused, CodeAboveMax, fmt.Sprintf("%d replicas are above the maximum of %d, and a request up never lowers", d.From, p.Max))
	case !up && d.From == p.Min:
		d.AtBound = true
		d = d.not(Refused, CodeAtMin, fmt.Sprintf("already at the minimum of %d replicas", p.Min))
		d.Message = fmt.Sprintf("%s is already descaled to the minimum number of %d replicas", p.Service, p.Min)
	case !up && d.From < p.Min:
		d = d.not(Refused, CodeBelowMin, fmt.Sprintf("%d replicas are below the minimum of %d, and a request down never raises", d.From, p.Min))
	default:
		return d, false
	}
	return d, true
}

// gate holds what must not be changed now: for everybody a service that is switched off
// or whose update goes on, for alerts besides one that is in motion or not well, because
// what they measure says little of it then.
func gate(d Decision, q question) (Decision, bool) {
	s := q.state
	if q.policy.Off && !q.asked.Force {
		return d.not(Held, CodeOff, "com.df.scale=off: only a request by hand with force=true changes it"), true
	}
	if s.Blind && !q.asked.byHand() {
		return d.not(Held, CodeBlind, "neither Prometheus nor Alertmanager answers, so nobody would end the alert"), true
	}
	switch s.UpdateState {
	case "", "completed", "rollback_completed":
		if s.Silent {
			return d.not(Held, CodeUpdate, "its tasks are not of its specification yet: an update is about to begin"), true
		}
	case "paused", "rollback_paused":
		return d.not(Held, CodeUpdatePaused, "its update is "+strings.ReplaceAll(s.UpdateState, "_", " ")+
			", and a change of the number would resume it; "+policy.EndPaused(d.Service)+" ends that"), true
	default:
		return d.not(Held, CodeUpdate, "an update is in progress: "+strings.ReplaceAll(s.UpdateState, "_", " ")), true
	}
	if q.asked.byHand() {
		return d, false
	}
	return unsettled(d, q)
}

func unsettled(d Decision, q question) (Decision, bool) {
	s, up := q.state, d.Direction == signal.Up
	last := s.Last
	if last != nil && !shows(s) && q.now.Sub(q.past(last.Time)) < q.policy.Patience && (!up || last.Direction != signal.Down) {
		return d.not(Held, CodeConverging, fmt.Sprintf("the last scaling, from %d to %d at %s, is not complete: not all of %d tasks run",
			last.From, last.To, last.Time.UTC().Format(time.RFC3339), s.Replicas)), true
	}
	if placed := s.Replicas - min(s.Pending, s.Replicas); 2*s.Running < placed {
		few := "less than half"
		if s.Running == 0 {
			few = "none"
		}
		return d.not(Held, CodeFailing, fmt.Sprintf("%s of its %d tasks runs", few, placed)), true
	}
	if up && s.Pending > 0 {
		return d.not(Held, CodePending, "no node has room for all of its tasks"), true
	}
	return d, false
}

// shows reports whether the last step is complete, or was once.
func shows(s State) bool {
	return !s.Last.Converged.IsZero() || s.Running == s.Replicas || s.Last.Direction != signal.Down && s.Running > s.Replicas
}

// cooling holds an alert until the cooldown of its direction has passed since the last
// step was decided, and until what the alert looks back at has passed since that step
// shows: what it measures is of the time before otherwise. After a step down a step up
// waits for its cooldown alone. People wait for neither.
func cooling(d Decision, q question) (Decision, bool) {
	last := q.state.Last
	if q.asked.byHand() || last == nil {
		return d, false
	}
	cooldown := q.policy.CooldownUp
	if q.asked.Direction == signal.Down {
		cooldown = q.policy.CooldownDown
	}
	made := q.past(last.Time)
	d.Until = made.Add(cooldown)
	reason := fmt.Sprintf("cooldown of %s: the last scaling, from %d to %d, was at %s", cooldown, last.From, last.To, made.UTC().Format(time.RFC3339))
	if q.asked.Settle > 0 && (last.Direction != signal.Down || q.asked.Direction == signal.Down) {
		converged, known := q.converged()
		if settled := converged.Add(q.asked.Settle); known && settled.After(d.Until) {
			d.Until = settled
			reason = fmt.Sprintf("the last scaling, from %d to %d, shows since %s, and the alert looks back %s",
				last.From, last.To, converged.UTC().Format(time.RFC3339), q.asked.Settle)
		}
	}
	if q.now.Before(d.Until) {
		return d.not(Held, CodeCooldown, reason), true
	}
	d.Until = time.Time{}
	return d, false
}

// converged is since when the last step shows, and whether that is known.
func (q question) converged() (time.Time, bool) {
	switch {
	case !q.state.Last.Converged.IsZero():
		return q.past(q.state.Last.Converged), true
	case shows(q.state):
		return q.now, true // it has just been seen
	}
	return time.Time{}, false
}

// past is a time of the past: a clock that was ahead when it was written would freeze
// the service for as long.
func (q question) past(t time.Time) time.Time {
	if t.After(q.now) {
		return q.now
	}
	return t
}

// not makes the decision one that changes nothing.
func (d Decision) not(action Action, code Code, reason string) Decision {
	d.Action, d.Code, d.Reason = action, code, reason
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
