package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// bounds keeps the number within the bounds, and refuses what would go against the asked
// direction. While a service is in use its least number is 1, but for persons.
func bounds(d Decision, q question) (Decision, bool) {
	p, up := q.policy, d.Direction == signal.Up
	least := p.Min
	if least == 0 && q.state.InUse && !q.asked.byHand() {
		least = 1
	}
	switch {
	case up && d.From > p.Max:
		d = d.not(Refused, CodeAboveMax, fmt.Sprintf("%d replicas are above the maximum of %d, and a request up never lowers", d.From, p.Max))
	case q.asked.To != nil && d.To == d.From:
		d = d.not(Refused, CodeUnchanged, fmt.Sprintf("it has %d replicas already (min: %d, max: %d)", d.From, p.Min, p.Max))
	case up && d.From == p.Max:
		d.AtBound = true
		d = d.not(Refused, CodeAtMax, fmt.Sprintf("already at the maximum of %d replicas", p.Max))
		d.Message = fmt.Sprintf("%s is already scaled to the maximum number of %d replicas", p.Service, p.Max)
	case !up && d.From == least && least > p.Min:
		d = d.not(Held, CodeInUse, "connections are open, or no proxy tells of them: the last task goes only when none is")
	case !up && d.From == p.Min:
		d.AtBound = true
		d = d.not(Refused, CodeAtMin, fmt.Sprintf("already at the minimum of %d replicas", p.Min))
		d.Message = fmt.Sprintf("%s is already descaled to the minimum number of %d replicas", p.Service, p.Min)
	case !up && d.From < p.Min:
		d = d.not(Refused, CodeBelowMin, fmt.Sprintf("%d replicas are below the minimum of %d, and a request down never raises", d.From, p.Min))
	default:
		if q.asked.want() != WantSchedule {
			d.To = min(d.To, p.Max)
		} else if up {
			return d, false // it leads to the bounds, as far as its pace lets it
		}
		d.To = max(d.To, least)
		return d, false
	}
	return d, true
}

// stabilize lets an alert move the number no further than what was wanted all the time of
// the window: up no higher than the least number, down no lower than the greatest.
func stabilize(d Decision, q question) (Decision, bool) {
	up := d.Direction == signal.Up
	window := way(q.policy, up).Stabilize
	if q.asked.isFree() || window == 0 {
		return d, false
	}
	least, greatest := q.lately(window, d.To)
	if up {
		d.To = min(d.To, least)
	} else {
		d.To = max(d.To, greatest)
	}
	if up && d.To > d.From || !up && d.To < d.From {
		return d, false
	}
	d.Until = q.leaves(window)
	if up {
		return d.not(Held, CodeStabilizing, fmt.Sprintf("not more than %d replicas were wanted throughout the last %s", d.From, window)), true
	}
	return d.not(Held, CodeStabilizing, fmt.Sprintf("%d replicas or more were wanted within the last %s", d.From, window)), true
}

func way(p policy.Policy, up bool) policy.Way {
	if up {
		return p.Pace.Up
	}
	return p.Pace.Down
}

// lately returns the least and the greatest number that was wanted within a window that
// ends now, with the one that is wanted now. Before all that is known it was the present one.
func (q question) lately(window time.Duration, wanted uint64) (least, greatest uint64) {
	begin := q.now.Add(-window)
	least, greatest = wanted, wanted
	before := q.state.Replicas
	for _, w := range q.state.Wanted {
		if !w.At.After(begin) {
			before = w.Number
			continue
		}
		least, greatest = min(least, w.Number), max(greatest, w.Number)
	}
	return min(least, before), max(greatest, before)
}

// leaves is when the oldest number leaves a window that ends now, zero if that is not known.
func (q question) leaves(window time.Duration) time.Time {
	for _, w := range q.state.Wanted {
		if w.At.After(q.now.Add(-window)) {
			return w.At.Add(window)
		}
	}
	return time.Time{}
}

// isFree reports whether neither windows nor limits nor cooldowns hold it.
func (a Asked) isFree() bool { return a.byHand() || a.want() == WantWake }

// limit lets alerts add, or take away, no more than the label's number within its time;
// what people did by the scaler counts.
func limit(d Decision, q question) (Decision, bool) {
	up := d.Direction == signal.Up
	most := way(q.policy, up).Most
	if q.asked.isFree() || most.Number == 0 {
		return d, false
	}
	var used uint64
	var until time.Time
	for _, c := range q.state.Last.Since(q.now.Add(-most.Period)) {
		if isUp := c.To > c.From; isUp != up {
			continue
		}
		used += max(c.From, c.To) - min(c.From, c.To)
		if until.IsZero() {
			until = q.past(c.Time).Add(most.Period)
		}
	}
	room := most.Number - min(used, most.Number)
	if room == 0 {
		d.Until = until
		did := "added"
		if !up {
			did = "taken away"
		}
		return d.not(Held, CodeLimit, fmt.Sprintf("no more than %s may be %s", most, did)), true
	}
	if up {
		d.To = min(d.To, d.From+room)
	} else {
		d.To = max(d.To, d.From-min(room, d.From))
	}
	return d, false
}

// gate holds what must not be changed now: all while the operator has stopped it, a service
// that is switched off, what nobody renews, and a service whose update goes on.
func gate(d Decision, q question) (Decision, bool) {
	s := q.state
	if s.Stopped != "" && !q.asked.Force {
		return d.not(Held, CodeStopped, "the operator has stopped all scaling: "+s.Stopped), true
	}
	if q.policy.Off && !q.asked.Force {
		return d.not(Held, CodeOff, "com.df.scale=off: only a request by hand with force=true changes it"), true
	}
	if s.Blind && q.asked.isBlind() {
		return d.not(Held, CodeBlind, "neither Prometheus nor Alertmanager answers, so nobody would end what asks"), true
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
	return d, false
}

// unsettled holds, for all but persons, a service that is in motion or not well, because
// what is measured says little of it then.
func unsettled(d Decision, q question) (Decision, bool) {
	if q.asked.byHand() {
		return d, false
	}
	s, up := q.state, d.Direction == signal.Up
	last := s.Last
	if last != nil && !shows(s) && q.now.Sub(q.past(last.Time)) < q.policy.Patience && (!up || last.Direction != signal.Down) {
		d.Until = q.past(last.Time).Add(q.policy.Patience)
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
	return !s.Last.Converged.IsZero() || s.Last.Shows(s.Replicas, s.Running)
}

// cooling holds an alert until the cooldown of its direction has passed since the last
// step was decided, and until what the alert looks back at has passed since that step
// shows: what it measures is of the time before otherwise. After a step down a step up
// waits for its cooldown alone, and after a deploy for none. People wait for neither.
func cooling(d Decision, q question) (Decision, bool) {
	last := q.state.Last
	if q.asked.isFree() || last == nil {
		return d, false
	}
	if d.Direction == signal.Up && Want(last.Want) == WantDeploy {
		return sinceEarlier(d, q)
	}
	cooldown := q.policy.CooldownUp
	if d.Direction == signal.Down {
		cooldown = q.policy.CooldownDown
	}
	made := q.past(last.Time)
	d.Until = made.Add(cooldown)
	reason := fmt.Sprintf("cooldown of %s: the last scaling, from %d to %d, was at %s", cooldown, last.From, last.To, made.UTC().Format(time.RFC3339))
	if q.asked.Settle > 0 && (last.Direction != signal.Down || d.Direction == signal.Down) {
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

// sinceEarlier is cooling for a step up after a number came back: the cooldown that was
// running before goes on.
func sinceEarlier(d Decision, q question) (Decision, bool) {
	cooldown := q.policy.CooldownUp
	earlier := q.past(q.state.Last.Earlier)
	if until := earlier.Add(cooldown); q.now.Before(until) {
		d.Until = until
		return d.not(Held, CodeCooldown, fmt.Sprintf("cooldown of %s: the last scaling before a deploy was at %s", cooldown, earlier.UTC().Format(time.RFC3339))), true
	}
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
