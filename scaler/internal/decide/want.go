package decide

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// Want is who wants something of a service.
type Want string

// The wants.
const (
	WantAlert     Want = "alert"
	WantTarget    Want = "target"
	WantSchedule  Want = "schedule"
	WantWake      Want = "wake"
	WantHand      Want = "hand"
	WantDeploy    Want = "deploy"
	WantPerson    Want = "person"
	WantRebalance Want = "rebalance"
)

// Asked is one thing that is wanted of a service.
type Asked struct {
	// Want is who wants it; empty: WantHand with a Request, else WantAlert.
	Want Want
	// Direction is that of alerts and of steps by hand; By is the step, 0 that of the policy.
	Direction signal.Direction
	By        uint64
	// To is the number that a person asks for, nil for a step.
	To *uint64
	// Load is the number that the load wants, unless it is Missing; Late says that it has
	// been for so long that the fallback counts.
	Load          float64
	Missing, Late bool
	// Since is when the first of the alerts began, as Alertmanager says; zero if it does not.
	Since time.Time
	// Settle is how far back the alerts that ask look.
	Settle time.Duration
	// Request is the ID of what is asked once, empty for what stands. Force lets a person go
	// past what others want, the operator's stop and the label scale=off.
	Request string
	Force   bool
	// Alerts are the fingerprints of the alerts that ask.
	Alerts []string
	// Rivals are what else is wanted at the same time.
	Rivals []Asked
}

func (a Asked) want() Want {
	switch {
	case a.Want != "":
		return a.Want
	case a.Request != "":
		return WantHand
	}
	return WantAlert
}

func (a Asked) byHand() bool { return a.want() == WantHand }

// isBlind reports whether it is no evidence while nobody renews or ends it.
func (a Asked) isBlind() bool { return a.want() == WantAlert || a.want() == WantTarget }

// tolerance is by how much of the present number the load may want another one.
const tolerance = 0.1

// slip is what may be wrong with a division of two numbers of the machine.
const slip = 1e-9

// number is what is wanted of a service with so many replicas, under a policy whose bounds
// are those in force, and whether anything is.
func (a Asked) number(p policy.Policy, replicas uint64) (uint64, bool) {
	switch a.want() {
	case WantTarget:
		return a.load(p, replicas), true
	case WantSchedule:
		n := min(max(replicas, p.Min), p.Max)
		return n, n != replicas
	case WantWake:
		return max(1, p.Wake), replicas == 0 && p.Min == 0
	}
	if a.To != nil {
		return min(max(*a.To, p.Min), p.Max), true
	}
	by := p.UpBy
	if a.Direction == signal.Down {
		by = p.DownBy
	}
	if a.By > 0 {
		by = a.By
	}
	if a.Direction == signal.Up {
		return replicas + by, true
	}
	return replicas - min(by, replicas), true
}

// load is the number that the load wants: the present one while it is not known, or
// within the tolerance.
func (a Asked) load(p policy.Policy, replicas uint64) uint64 {
	present := float64(replicas)
	switch {
	case a.Missing && a.Late && p.Fallback != nil:
		return max(replicas, *p.Fallback)
	case a.Missing, math.Abs(a.Load-present) <= tolerance*present+slip:
		return replicas
	}
	return uint64(math.Ceil(min(a.Load, policy.Most) - slip))
}

// direction is where a number leads.
func (a Asked) direction(replicas, number uint64) signal.Direction {
	switch {
	case a.To != nil && *a.To > replicas, number > replicas:
		return signal.Up
	case a.Direction != "":
		return a.Direction
	}
	return signal.Down
}

// Greatest is the greatest number that is wanted, the present one if nothing is.
func Greatest(p policy.Policy, asks []Asked, replicas uint64, now time.Time) uint64 {
	p = p.At(now)
	greatest, isWanted := replicas, false
	for _, a := range asks {
		if n, ok := a.number(p, replicas); ok && (!isWanted || n > greatest) {
			greatest, isWanted = n, true
		}
	}
	return greatest
}

// Follow decides what stands: the greatest number wins. It returns the decision about
// that, without an action if nothing is to be told of it, and those about what it beats.
func Follow(p policy.Policy, s State, asks []Asked, now time.Time) (won Decision, others []Decision) {
	bounds := p.At(now)
	var rivals []Asked
	for _, a := range asks {
		n, ok := a.number(bounds, s.Replicas)
		switch {
		case !ok:
		case !s.Blind || !a.isBlind():
			rivals = append(rivals, a)
		case n != s.Replicas || a.want() == WantAlert:
			// It says why it holds, and others go on.
			others = append(others, Decide(p, s, a, now))
		}
	}
	best, most := -1, uint64(0)
	for i, a := range rivals {
		if n, _ := a.number(bounds, s.Replicas); best < 0 || n > most {
			best, most = i, n
		}
	}
	if best < 0 {
		return Decision{}, others
	}
	for i, a := range rivals {
		n, _ := a.number(bounds, s.Replicas)
		if i != best && n < s.Replicas && most >= s.Replicas {
			others = append(others, beatenBy(blank(bounds, a, s.Replicas, n, now), rivals[best]))
		}
	}
	a := rivals[best]
	switch {
	case most != s.Replicas || a.want() == WantAlert:
		won = Decide(p, s, a, now)
	case a.Missing:
		won = blank(bounds, a, s.Replicas, most, now).not(Held, CodeNoData, "Prometheus has no value of its load, so that nothing goes down")
	}
	return won, others
}

func beatenBy(d Decision, winner Asked) Decision {
	why := "something else wants more"
	switch winner.want() {
	case WantAlert:
		why = "an alert asks for up at the same time, and up goes before down"
	case WantTarget:
		why = "its load wants more"
		if winner.Missing {
			why = "its load is not known, so that nothing goes down"
		}
	case WantSchedule:
		why = "its bounds want more"
	}
	return d.not(Held, CodeBeaten, why)
}

// beaten holds a request down while something wants more.
func beaten(d Decision, q question) (Decision, bool) {
	if d.Direction != signal.Down || q.asked.Force || q.asked.Request == "" {
		return d, false
	}
	least := max(d.To, min(q.policy.Min, d.From))
	for _, rival := range q.asked.Rivals {
		n, ok := rival.number(q.policy, d.From)
		if ok && n > least && (!q.state.Blind || !rival.isBlind()) {
			return beatenBy(d, rival), true
		}
	}
	return d, false
}

func (a Asked) why() string {
	by := ""
	if a.By > 0 {
		by = fmt.Sprintf(" by %d", a.By)
	}
	switch {
	case a.want() == WantTarget && a.Missing:
		return "its load has not been known for a minute: its fallback"
	case a.want() == WantTarget:
		return fmt.Sprintf("its load wants %.4g replicas", a.Load)
	case a.want() == WantSchedule:
		return "to the bounds that are in force now"
	case a.want() == WantWake:
		return "a request waits for it"
	case a.byHand() && a.To != nil:
		return fmt.Sprintf("asked for %d by hand", *a.To)
	case a.byHand():
		return fmt.Sprintf("asked for %s%s by hand", a.Direction, by)
	case len(a.Alerts) == 1:
		return fmt.Sprintf("1 alert asks for %s%s", a.Direction, by)
	}
	return fmt.Sprintf("%d alerts ask for %s%s", len(a.Alerts), a.Direction, by)
}

func blank(p policy.Policy, a Asked, replicas, number uint64, now time.Time) Decision {
	return Decision{
		Time: now, ServiceID: p.ServiceID, Service: p.Service, Direction: a.direction(replicas, number), Want: a.want(),
		From: replicas, To: number, Min: p.Min, Max: p.Max, Request: a.Request, Alerts: slices.Clone(a.Alerts), Since: a.Since, DryRun: p.DryRun,
	}
}
