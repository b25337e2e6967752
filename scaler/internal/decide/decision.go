package decide

import (
	"fmt"
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
	// Adopted takes over a number that somebody else has set.
	Adopted Action = "adopted"
	// Held changes nothing now; the same request may be granted later.
	Held Action = "held"
	// Refused changes nothing, and waiting alone does not change that.
	Refused Action = "refused"
)

// Code says why, in a word that stays the same from one version of Waggle to the next.
type Code string

// The codes. Those of services that have no policy are policy.Code's.
const (
	CodeScaled       Code = "scaled"
	CodeRestored     Code = "restored"
	CodeRebalanced   Code = "rebalanced"
	CodeAdopted      Code = "adopted"
	CodeDryRun       Code = "dry_run"
	CodeStopped      Code = "stopped"
	CodeBeaten       Code = "beaten"
	CodeNoData       Code = "no_data"
	CodeInUse        Code = "in_use"
	CodeOff          Code = "off"
	CodeBlind        Code = "blind"
	CodeUpdate       Code = "update"
	CodeUpdatePaused Code = "update_paused"
	CodeConverging   Code = "converging"
	CodeFailing      Code = "failing"
	CodePending      Code = "pending"
	CodeCooldown     Code = "cooldown"
	CodeStabilizing  Code = "stabilizing"
	CodeLimit        Code = "limit"
	CodeDocker       Code = "docker"
	CodeAtMax        Code = "at_max"
	CodeAtMin        Code = "at_min"
	CodeAboveMax     Code = "above_max"
	CodeBelowMin     Code = "below_min"
	CodeUnchanged    Code = "unchanged"
	CodeBadRequest   Code = "bad_request"
)

// done is the code of a change of the number that somebody wants.
func (w Want) done() Code {
	switch w {
	case WantDeploy:
		return CodeRestored
	case WantRebalance:
		return CodeRebalanced
	}
	return CodeScaled
}

// Decision is the answer.
type Decision struct {
	Time      time.Time        `json:"time"`
	ServiceID string           `json:"serviceId,omitempty"`
	Service   string           `json:"service"`
	Direction signal.Direction `json:"direction"`
	Action    Action           `json:"action"`
	Code      Code             `json:"code"`
	Want      Want             `json:"want,omitempty"`
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
	// Since is when the first of the alerts began, zero if that is not known.
	Since time.Time `json:"-"`
	// Version is that of the service before the change, or after one by others.
	Version uint64 `json:"-"`
	// Uneven says how unevenly tasks were spread before the move of which it is a part.
	Uneven uint64 `json:"-"`
}

// Same reports whether two decisions say the same, apart from when and by whom.
func (d Decision) Same(other Decision) bool {
	return d.Want == other.Want && d.ServiceID == other.ServiceID && d.Service == other.Service && d.Direction == other.Direction && d.Action == other.Action &&
		d.Code == other.Code && d.From == other.From && d.To == other.To && d.Reason == other.Reason && d.Request == other.Request &&
		d.DryRun == other.DryRun
}

// Refuse is the decision about a request that no policy allows. The reason is
// made to stand behind the name of the service.
func Refuse(serviceID, service string, a Asked, code Code, reason string, now time.Time) Decision {
	d := blank(policy.Policy{ServiceID: serviceID, Service: service}, a.stepping(), 0, 0, now)
	d.Action, d.Code, d.Reason, d.Message = Refused, code, reason, service+" "+reason
	return d
}

// Unreachable is the decision about what cannot be looked at or done now, because
// Docker refuses it or does not answer.
func Unreachable(serviceID, service string, a Asked, why error, until, now time.Time) Decision {
	d := blank(policy.Policy{ServiceID: serviceID, Service: service}, a.stepping(), 0, 0, now)
	d.Action, d.Code, d.Until = Held, CodeDocker, until
	d.Reason = "Docker does not do it: " + why.Error()
	d.Message = fmt.Sprintf("%s stays as it is: %s", service, d.Reason)
	return d
}

// stepping is what is asked without a number, which nobody can tell of a service that is
// not known.
func (a Asked) stepping() Asked {
	if a.To != nil {
		a.Direction, a.To = signal.Up, nil
	}
	return a
}
