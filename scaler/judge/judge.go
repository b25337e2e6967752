// Package judge answers for a snapshot of the swarm what the scaler makes of each service:
// whether it would be scaled, within which bounds and how, and if not, why. It is pure, and
// the running scaler decides by the same functions.
package judge

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
)

// The settings by which labels are judged, by the names of their flags.
const (
	DefaultMin          = "default-min"
	DefaultMax          = "default-max"
	DefaultUpBy         = "default-up-by"
	DefaultDownBy       = "default-down-by"
	DefaultCooldownUp   = "default-cooldown-up"
	DefaultCooldownDown = "default-cooldown-down"
	Patience            = "patience"
	DryRun              = "dry-run"
)

// Codes of decisions that change nothing, for whoever tells what is odd from what is not.
const (
	AtMin        = string(decide.CodeAtMin)
	AtMax        = string(decide.CodeAtMax)
	Dry          = string(decide.CodeDryRun)
	Stopped      = string(decide.CodeStopped)
	Off          = string(decide.CodeOff)
	Blind        = string(decide.CodeBlind)
	NoData       = string(decide.CodeNoData)
	InUse        = string(decide.CodeInUse)
	Beaten       = string(decide.CodeBeaten)
	Update       = string(decide.CodeUpdate)
	UpdatePaused = string(decide.CodeUpdatePaused)
	Converging   = string(decide.CodeConverging)
	Failing      = string(decide.CodeFailing)
	Pending      = string(decide.CodePending)
	Cooldown     = string(decide.CodeCooldown)
	Stabilizing  = string(decide.CodeStabilizing)
	Limit        = string(decide.CodeLimit)
	Docker       = string(decide.CodeDocker)
	Unchanged    = string(decide.CodeUnchanged)
	// OfAlert is what a decision says of who asked, if alerts did.
	OfAlert = string(decide.WantAlert)
)

// Names are the names of those settings.
func Names() []string {
	return []string{DefaultMin, DefaultMax, DefaultUpBy, DefaultDownBy, DefaultCooldownUp, DefaultCooldownDown, Patience, DryRun}
}

// Question is what is judged, and by what.
type Question struct {
	// Snapshot is the swarm: services with their labels and numbers, and their tasks.
	Snapshot catalog.Snapshot
	// Accepted are the label sets that were last accepted, by service ID.
	Accepted map[string]catalog.Service
	// Settings are those that the scaler publishes in the record of each instance; one
	// that is missing has its default.
	Settings map[string]string
	// Now decides which windows are open.
	Now time.Time
}

// Answer is what becomes of one service.
type Answer struct {
	// Status says whether its labels are in force, and if not why, which label is at
	// fault and what would be right. What Docker refuses, and the operator's stop, are for a
	// running scaler to say.
	catalog.Status
	// Faults are all labels at fault, of which the status names the first.
	Faults []*label.Fault
	// Rules are nil if the service would not be scaled.
	Rules *Rules
}

// Rules are those by which a service would be scaled.
type Rules struct {
	// Min and Max are the bounds that are in force at the moment that is asked about.
	Min, Max uint64
	// Next is when others may be, zero for never.
	Next                     time.Time
	UpBy, DownBy             uint64
	CooldownUp, CooldownDown time.Duration
	// Windows are the texts of its windows, by index.
	Windows []string
	// Load is what the number follows, with its fallback, nil if there is none.
	Load     scaling.Load
	Fallback *uint64
	// Wake is what it gets when a request waits for it and it sleeps.
	Wake uint64
	// Off leaves the service alone; DryRun decides and tells, and changes nothing.
	Off, DryRun bool
}

// Services judges all services that have labels of the scaler, oldest first. The error is
// that of a setting.
func Services(q Question) ([]Answer, error) {
	defaults, isDryRun, err := ParseSettings(q.Settings)
	if err != nil {
		return nil, err
	}
	var out []Answer
	for _, o := range policy.All(q.Snapshot, q.Accepted, defaults) {
		a := Answer{Status: Status(o, q.Snapshot.RevisionOf(o.Service.ID)), Faults: o.Faults}
		if o.Policy.InForce() {
			a.Rules = rules(o.Policy, isDryRun, q.Now)
		}
		out = append(out, a)
	}
	return out, nil
}

// SpeaksOfMoves reports whether a service says if its tasks may be spread anew over the nodes
// when that is asked for.
func SpeaksOfMoves(svc catalog.Service) bool {
	_, says := svc.Labels[catalog.Prefix+policy.Reschedule]
	return svc.OptedIn() && says
}

// Status is what is told of what became of a service.
func Status(o policy.Outcome, revision catalog.Revision) catalog.Status {
	return catalog.Status{
		Component: "scaler", ServiceID: o.Service.ID, Service: o.Service.Name, State: catalog.State(o.State), Reason: sentence(o.Reason),
		Label: o.Label, Hint: o.Hint, Revision: revision,
	}
}

// sentence is a reason that stands alone: some are made to stand behind the name of the service.
func sentence(reason string) string {
	if strings.HasPrefix(reason, "is ") || strings.HasPrefix(reason, "has ") {
		return "it " + reason
	}
	return reason
}

func rules(p policy.Policy, isDryRun bool, now time.Time) *Rules {
	r := &Rules{
		Next: p.Next(now), UpBy: p.UpBy, DownBy: p.DownBy, CooldownUp: p.CooldownUp, CooldownDown: p.CooldownDown,
		Load: p.Load, Fallback: p.Fallback, Wake: p.Wake, Off: p.Off, DryRun: p.DryRun || isDryRun,
	}
	for _, t := range p.Times {
		r.Windows = append(r.Windows, t.Text)
	}
	p = p.At(now)
	r.Min, r.Max = p.Min, p.Max
	return r
}

// ParseSettings reads the settings that the scaler publishes: its defaults, and whether it
// only tries.
func ParseSettings(settings map[string]string) (policy.Defaults, bool, error) {
	d := policy.Standard()
	var isDryRun bool
	var errs []error
	number := func(name string, into *int) {
		if text, ok := settings[name]; ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %q: want a whole number", name, text))
			}
			*into = n
		}
	}
	span := func(name string, into *time.Duration) {
		if text, ok := settings[name]; ok {
			t, err := time.ParseDuration(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s %q: want a time such as 30s", name, text))
			}
			*into = t
		}
	}
	number(DefaultMin, &d.Min)
	number(DefaultMax, &d.Max)
	number(DefaultUpBy, &d.UpBy)
	number(DefaultDownBy, &d.DownBy)
	span(DefaultCooldownUp, &d.CooldownUp)
	span(DefaultCooldownDown, &d.CooldownDown)
	span(Patience, &d.Patience)
	if text, ok := settings[DryRun]; ok {
		var err error
		if isDryRun, err = strconv.ParseBool(text); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: want true or false", DryRun, text))
		}
	}
	return d, isDryRun, errors.Join(append(errs, d.Check())...)
}
