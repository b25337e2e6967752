// Package signal holds what alerts and persons ask of the scaler, as values. It is pure.
//
// An alert is state: it stands until it is resolved or not heard of again for
// the time to live. So it does not matter how often it is delivered.
package signal

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// Direction is where a scaling leads.
type Direction string

// The directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
)

// Alert is one firing alert.
type Alert struct {
	Fingerprint string    `json:"fingerprint"`
	Name        string    `json:"name,omitempty"`
	StartsAt    time.Time `json:"startsAt"`
	// By is the step that the alert asks for; 0 is that of the policy.
	By uint64 `json:"by,omitempty"`
	// Settle is how far back the alert's expression looks.
	Settle time.Duration `json:"settle,omitempty"`
	// ReceivedAt is when it was last heard of.
	ReceivedAt time.Time `json:"receivedAt"`
}

// Signal is what alerts ask of one service in one direction.
type Signal struct {
	ServiceID string    `json:"serviceId"`
	Service   string    `json:"service"`
	Direction Direction `json:"direction"`
	// By is the greatest step that an alert asks for; 0 is that of the policy.
	By uint64 `json:"by,omitempty"`
	// Settle is the longest time that one of the alerts looks back.
	Settle time.Duration `json:"settle,omitempty"`
	// Alerts are those that fire, by fingerprint. Ended are those that were resolved,
	// as long as a delivery that is late could still say that they fire.
	Alerts     []Alert   `json:"alerts"`
	Ended      []Alert   `json:"ended,omitempty"`
	ReceivedAt time.Time `json:"receivedAt"`
}

// Stands reports whether an alert of the signal is still in force.
func (s Signal) Stands() bool { return len(s.Alerts) > 0 }

// Fingerprints returns those of the alerts, sorted.
func (s Signal) Fingerprints() []string {
	out := make([]string, len(s.Alerts))
	for i, a := range s.Alerts {
		out[i] = a.Fingerprint
	}
	return out
}

// Began is when the first of the alerts began, zero if one does not say.
func (s Signal) Began() time.Time {
	if len(s.Alerts) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(s.Alerts, func(a, b Alert) int { return a.StartsAt.Compare(b.StartsAt) }).StartsAt
}

// Alive returns the signal with the alerts, and the ended ones, that were heard of less
// than ttl ago.
func (s Signal) Alive(now time.Time, ttl time.Duration) Signal {
	s.Alerts, s.Ended = recent(s.Alerts, now, ttl), recent(s.Ended, now, ttl)
	s.By, s.Settle = 0, 0
	for _, a := range s.Alerts {
		s.By, s.Settle = max(s.By, a.By), max(s.Settle, a.Settle)
	}
	return s
}

func recent(alerts []Alert, now time.Time, ttl time.Duration) []Alert {
	out := make([]Alert, 0, len(alerts))
	for _, a := range alerts {
		if now.Sub(a.ReceivedAt) < ttl {
			out = append(out, a)
		}
	}
	return out
}

// News is what one delivery says about one service and direction.
type News struct {
	ServiceID string
	Service   string
	Direction Direction
	// Firing are the alerts that fire; Resolved those that no longer do.
	Firing, Resolved []Alert
	// AllResolved says that nothing fires any more, whatever was known.
	AllResolved bool
}

// Take returns the signal after the news. A service created anew under an old
// name begins without the alerts of its predecessor. A firing that is no later than the
// end of the same alert is one that was delivered late, and passed over; one that does
// not say when it began counts.
func Take(old Signal, n News, now time.Time, ttl time.Duration) Signal {
	if old.ServiceID != n.ServiceID {
		old = Signal{}
	}
	old = old.Alive(now, ttl)
	alerts, ended := byFingerprint(old.Alerts), byFingerprint(old.Ended)
	resolved := n.Resolved
	if n.AllResolved {
		resolved = append(slices.Clone(resolved), old.Alerts...)
	}
	for _, a := range resolved {
		if known := ended[a.Fingerprint]; known.StartsAt.After(a.StartsAt) {
			a.StartsAt = known.StartsAt
		}
		a.ReceivedAt = now
		if stands := alerts[a.Fingerprint]; !stands.StartsAt.After(a.StartsAt) || a.StartsAt.IsZero() {
			delete(alerts, a.Fingerprint)
		}
		if !a.StartsAt.IsZero() {
			ended[a.Fingerprint] = a
		}
	}
	for _, a := range n.Firing {
		a.ReceivedAt = now
		if over, ok := ended[a.Fingerprint]; ok && !a.StartsAt.IsZero() && !a.StartsAt.After(over.StartsAt) {
			over.ReceivedAt = now
			ended[a.Fingerprint] = over
			continue
		}
		alerts[a.Fingerprint] = a
	}
	s := Signal{ServiceID: n.ServiceID, Service: n.Service, Direction: n.Direction, ReceivedAt: now, Alerts: few(alerts), Ended: few(ended)}
	return s.Alive(now, ttl)
}

func byFingerprint(alerts []Alert) map[string]Alert {
	out := map[string]Alert{}
	for _, a := range alerts {
		out[a.Fingerprint] = a
	}
	return out
}

func sorted(alerts map[string]Alert) []Alert {
	return slices.SortedFunc(maps.Values(alerts), func(a, b Alert) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
}

// MostAlerts is how many alerts of a service and direction are kept, and how many that have
// ended: with all of ten thousand a signal would be too large for the bus, and none would count.
const MostAlerts = 1000

// few returns at most MostAlerts of the alerts, sorted, among them one with the greatest step
// and one that looks back furthest, so that they ask for what all do. While others fire they
// are delivered again, and take the place of those that have ended.
func few(alerts map[string]Alert) []Alert {
	all := sorted(alerts)
	if len(all) <= MostAlerts {
		return all
	}
	slices.SortStableFunc(all, func(a, b Alert) int { return cmp.Compare(b.Settle, a.Settle) })
	furthest, rest := all[0], all[1:]
	slices.SortStableFunc(rest, func(a, b Alert) int { return cmp.Compare(b.By, a.By) })
	return sorted(byFingerprint(append(rest[:MostAlerts-1:MostAlerts-1], furthest)))
}

// Expires is when the next alert, heard of for the last time, stands no longer; zero if none
// stands.
func (s Signal) Expires(ttl time.Duration) time.Time {
	var next time.Time
	for _, a := range s.Alerts {
		if at := a.ReceivedAt.Add(ttl); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Stop is the operator's stop of all scaling.
type Stop struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Patience is how long a request by hand waits for its decision.
const Patience = 30 * time.Second

// Request is what a person asks for once.
type Request struct {
	ID        string    `json:"id"`
	ServiceID string    `json:"serviceId"`
	Service   string    `json:"service"`
	Direction Direction `json:"direction"`
	// By is the step asked for; 0 is that of the policy.
	By uint64 `json:"by,omitempty"`
	// To is the number asked for; nil asks for a step.
	To *uint64 `json:"to,omitempty"`
	// Force lets it go past what others want, the operator's stop and the label scale=off.
	Force bool `json:"force,omitempty"`
	// Alerts are the fingerprints of a delivery that is one wish, and no person's; Settle is
	// theirs.
	Alerts     []string      `json:"alerts,omitempty"`
	Settle     time.Duration `json:"settle,omitempty"`
	ReceivedAt time.Time     `json:"receivedAt"`
	// Answer is the decision, once there is one, as JSON for whoever asked.
	Answer []byte `json:"answer,omitempty"`
}

// Open reports whether the request still waits for its decision.
func (r Request) Open(now time.Time) bool {
	return len(r.Answer) == 0 && now.Sub(r.ReceivedAt) < Patience
}

// Same reports whether two requests ask for the same.
func (r Request) Same(other Request) bool {
	isSameTo := r.To == nil && other.To == nil || r.To != nil && other.To != nil && *r.To == *other.To
	return isSameTo && r.ServiceID == other.ServiceID && r.Direction == other.Direction && r.By == other.By && r.Force == other.Force &&
		slices.Equal(r.Alerts, other.Alerts)
}

// Earlier orders requests by time, then by ID.
func Earlier(a, b Request) int {
	return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), strings.Compare(a.ID, b.ID))
}

// Step is a change of the number of one service. One of the scaler's own is written
// before it is done, so that a crash in between cannot lead to a second one: it took
// place if the service is no longer at Version. Once that is seen it is confirmed.
type Step struct {
	ServiceID string    `json:"serviceId"`
	Service   string    `json:"service"`
	Direction Direction `json:"direction"`
	From      uint64    `json:"from"`
	To        uint64    `json:"to"`
	// Version is that of the service before the step.
	Version uint64    `json:"version"`
	Time    time.Time `json:"time"`
	// Request is the ID of the request by hand that it answers, if any.
	Request  string `json:"request,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Want and Reason are those of its decision, for whoever tells of it if the one who made
	// it cannot.
	Want   string `json:"want,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Began is when the alert began of which it is the first step; zero if that is not known.
	Began time.Time `json:"began,omitzero"`
	// Confirmed says that it took place and was told of, Converged since when all of its tasks run, as
	// far as that was seen.
	Confirmed bool      `json:"confirmed,omitempty"`
	Converged time.Time `json:"converged,omitzero"`
	// Earlier is, of a number that came back after a deploy, when the step before was decided:
	// of steps up it starts no cooldown, and ends none.
	Earlier time.Time `json:"earlier,omitzero"`
	// Recent are the steps of the scaler's own that count for a limit, this one included.
	Recent []Change `json:"recent,omitempty"`
	// Granted are the steps before this one that requests by hand led to, as long as such a
	// request may still wait for its answer.
	Granted []Step `json:"granted,omitempty"`
	// Uneven says how unevenly tasks were spread before a move, of which this is a part.
	Uneven uint64 `json:"uneven,omitempty"`
	// Before is the step before, which still counts if this one did not take place.
	Before *Step `json:"before,omitempty"`
}

// Change is what a step did to the number.
type Change struct {
	Time time.Time `json:"time"`
	From uint64    `json:"from"`
	To   uint64    `json:"to"`
}

// Since returns the recent changes after a moment.
func (s *Step) Since(t time.Time) []Change {
	if s == nil {
		return nil
	}
	var out []Change
	for _, c := range s.Recent {
		if c.Time.After(t) {
			out = append(out, c)
		}
	}
	return out
}

// Done returns the last step that took place, if the service is now at version;
// nil if there was none.
func (s *Step) Done(version uint64) *Step {
	for s != nil && !s.Confirmed && s.Version == version {
		s = s.Before
	}
	return s
}

// grantedFor is longer than a request by hand is known, also where clocks differ.
const grantedFor = 4 * Patience

// Grants returns the step that a request by hand led to, if it is this one or one before it;
// nil if none did.
func (s *Step) Grants(request string) *Step {
	switch {
	case s == nil || request == "":
		return nil
	case s.Confirmed && s.Request == request:
		return s
	}
	for i := range s.Granted {
		if s.Granted[i].Request == request {
			return &s.Granted[i]
		}
	}
	return nil
}

// HasGrantedAt reports whether a request by hand is known to have had the change of a version.
func (s *Step) HasGrantedAt(version uint64) bool {
	isAt := func(g Step) bool { return g.Version == version }
	return s.Confirmed && s.Request != "" && isAt(*s) || slices.ContainsFunc(s.Granted, isAt)
}

// With returns the step with one before it that a request by hand led to.
func (s *Step) With(granted Step) Step {
	out := *s
	granted.Before, granted.Recent, granted.Granted = nil, nil, nil
	out.Granted = append(slices.Clone(s.Granted), granted)
	return out
}

// AllGranted returns what a step after this one has to know as granted.
func (s *Step) AllGranted(now time.Time) []Step {
	if s == nil {
		return nil
	}
	var out []Step
	for _, g := range s.Granted {
		if now.Sub(g.Time) < grantedFor {
			out = append(out, g)
		}
	}
	if s.Confirmed && s.Request != "" {
		return (&Step{Granted: out}).With(*s).Granted
	}
	return out
}

// CoolsUp is since when the cooldown of steps up is counted after a step, zero if it is not.
func (s *Step) CoolsUp() time.Time {
	switch {
	case s == nil:
		return time.Time{}
	case s.Want == wantDeploy:
		return s.Earlier
	}
	return s.Time
}

// wantDeploy is the want of a number that came back after a deploy.
const wantDeploy = "deploy"

// Alone returns the step without those before it.
func (s *Step) Alone() *Step {
	if s == nil {
		return nil
	}
	alone := *s
	alone.Before = nil
	return &alone
}
