// Package policy turns the labels of a service into the rules by which it is
// scaled. It is pure: values in, values out.
package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/scaler/internal/window"
)

// Most is the greatest number that a bound, step or request may name.
const Most = 10000

// MaxCooldown is the longest cooldown.
const MaxCooldown = 24 * time.Hour

// Policy says within which bounds, by which steps and how often one service is scaled.
type Policy struct {
	ServiceID    string        `json:"serviceId"`
	Service      string        `json:"service"`
	Min          uint64        `json:"min"`
	Max          uint64        `json:"max"`
	UpBy         uint64        `json:"upBy"`
	DownBy       uint64        `json:"downBy"`
	CooldownUp   time.Duration `json:"cooldownUp"`
	CooldownDown time.Duration `json:"cooldownDown"`
	// Patience is how long a step may take to have all its tasks running before
	// the next one no longer waits for it.
	Patience time.Duration `json:"patience"`
	// Off leaves the service alone; DryRun decides and tells, and changes nothing.
	Off    bool `json:"off,omitempty"`
	DryRun bool `json:"dryRun,omitempty"`
	Pace   Pace `json:"pace,omitzero"`
	// Restore says when the number from before a deploy comes back; empty: as is best for it.
	Restore string `json:"restore,omitempty"`
	// Load is what the number follows. Without a value of it for a minute Fallback is
	// wanted at least, if it is not nil.
	Load     scaling.Load `json:"load,omitzero"`
	Fallback *uint64      `json:"fallback,omitempty"`
	// Times are the bounds of windows, by index. Min and Max are those outside of them.
	Times []Time `json:"times,omitempty"`
	// Wake is what a sleeping service gets when a request waits for it.
	Wake uint64 `json:"wake,omitempty"`
}

// Time is what the bounds are within a window.
type Time struct {
	// Text is that of the label.
	Text     string        `json:"text"`
	Window   window.Window `json:"-"`
	Min, Max uint64
}

// At is the policy with the bounds that are in force at a moment.
func (p Policy) At(now time.Time) Policy {
	isOpen := false
	least, most := uint64(0), uint64(0)
	for _, t := range p.Times {
		if t.Window.Open(now) {
			isOpen = true
			least, most = max(least, t.Min), max(most, t.Max)
		}
	}
	if isOpen {
		p.Min, p.Max = least, most
	}
	return p
}

// Next is when other bounds may be in force, zero for never.
func (p Policy) Next(now time.Time) time.Time {
	var next time.Time
	for _, t := range p.Times {
		if at := t.Window.Next(now); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// Pace says how steadily the number changes, either way.
type Pace struct {
	Up   Way `json:"up,omitzero"`
	Down Way `json:"down,omitzero"`
}

// Longest is the time within which changes count for a limit, 0 without one.
func (p Pace) Longest() time.Duration { return max(p.Up.Most.Period, p.Down.Most.Period) }

// Window is for how long back it counts what was wanted, 0 without a window.
func (p Pace) Window() time.Duration { return max(p.Up.Stabilize, p.Down.Stabilize) }

// Way is one direction.
type Way struct {
	// Stabilize is for how long something must have been wanted.
	Stabilize time.Duration `json:"stabilize,omitempty"`
	// Most bounds what is added, or taken away, within a time; the zero Rate is no limit.
	Most Rate `json:"most,omitzero"`
}

// Rate is a number of replicas within a time.
type Rate struct {
	Number uint64        `json:"number"`
	Period time.Duration `json:"period"`
}

// String is the text of a label.
func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.Number, r.Period) }

// Defaults hold where a service has no label.
type Defaults struct {
	Min, Max, UpBy, DownBy   int
	CooldownUp, CooldownDown time.Duration
	Patience                 time.Duration
}

// Standard returns the defaults that hold when the operator sets none.
func Standard() Defaults {
	return Defaults{
		Min: 1, Max: 5, UpBy: 1, DownBy: 1,
		CooldownUp: 30 * time.Second, CooldownDown: 120 * time.Second, Patience: 5 * time.Minute,
	}
}

// Check returns what is wrong with an operator's defaults, or nil.
func (d Defaults) Check() error {
	var errs []error
	between := func(name string, n, least int) {
		if n < least || n > Most {
			errs = append(errs, fmt.Errorf("%s=%d: want a whole number from %d to %d", name, n, least, Most))
		}
	}
	between("default-min", d.Min, 0)
	between("default-max", d.Max, 1)
	between("default-up-by", d.UpBy, 1)
	between("default-down-by", d.DownBy, 1)
	if d.Min > d.Max {
		errs = append(errs, fmt.Errorf("default-min=%d: want at most default-max, which is %d", d.Min, d.Max))
	}
	within := func(name string, t time.Duration) {
		if t < 0 || t > MaxCooldown {
			errs = append(errs, fmt.Errorf("%s=%s: want a time from 0s to %s", name, t, MaxCooldown))
		}
	}
	within("default-cooldown-up", d.CooldownUp)
	within("default-cooldown-down", d.CooldownDown)
	within("patience", d.Patience)
	return errors.Join(errs...)
}

// Why a service has no policy although its labels are free of faults.
var (
	// ErrNotAsked says that no label asks for scaling.
	ErrNotAsked = errors.New("has neither com.df.scaleMin nor com.df.scaleMax")
	// ErrNotNotified says that the service has not opted in.
	ErrNotNotified = errors.New("has not opted in: com.df.notify is not true")
	// ErrGlobal says that Swarm runs the service once on every node. The text is Docker Flow's.
	ErrGlobal = errors.New("is a global service (can not be scaled)")
	// ErrJob says that the service runs to its end.
	ErrJob = errors.New("is a job (can not be scaled)")
)

// FromService reads the policy of a service. The error is one of those above, an
// *catalog.OversizeError, or label.Faults that name every label at fault.
func FromService(s catalog.Service, d Defaults) (Policy, error) {
	r := label.NewReader(catalog.Prefix, s.Labels, Labels(), "")
	g := r.Service()
	switch {
	case s.Mode == catalog.Global:
		return Policy{}, ErrGlobal
	case s.Mode != catalog.Replicated:
		return Policy{}, ErrJob
	case !s.OptedIn():
		return Policy{}, ErrNotNotified
	case s.Fits() != nil:
		return Policy{}, s.Fits()
	case !g.Has(scaleMin) && !g.Has(scaleMax):
		return Policy{}, ErrNotAsked
	}
	least, most := g.Int(scaleMin, d.Min, 0, Most), g.Int(scaleMax, d.Max, 1, Most)
	p := Policy{
		ServiceID: s.ID, Service: s.Name,
		Min: uint64(least), Max: uint64(most),
		UpBy:         uint64(g.Int(scaleUpBy, d.UpBy, 1, Most)),
		DownBy:       uint64(g.Int(scaleDownBy, d.DownBy, 1, Most)),
		CooldownUp:   g.Seconds(scaleCooldownUp, d.CooldownUp, 0, MaxCooldown),
		CooldownDown: g.Seconds(scaleCooldownDown, d.CooldownDown, 0, MaxCooldown),
		Patience:     d.Patience,
	}
	p.Off, p.DryRun = switches(g)
	if g.Has(scaleRestore) {
		p.Restore = g.OneOf(scaleRestore, "", RestoreNow, RestoreAfter, RestoreOff)
	}
	p.Load = scaling.Read(g)
	p.Fallback = fallback(g)
	p.Wake = uint64(g.Int(scaleWake, 1, 1, Most))
	steady := time.Duration(0)
	if g.Has(scaling.Metric) {
		steady = steadyDown
	}
	p.Pace = Pace{
		Up:   Way{Stabilize: g.Seconds(scaleStabilizeUp, 0, 0, MaxCooldown), Most: rate(g, scaleUpMost)},
		Down: Way{Stabilize: g.Seconds(scaleStabilizeDown, steady, 0, MaxCooldown), Most: rate(g, scaleDownMost)},
	}
	switch {
	case r.Err() != nil || least <= most:
	case g.Has(scaleMin) && g.Has(scaleMax):
		g.Reject(scaleMin, fmt.Sprintf("at most %s%s, which is %d", catalog.Prefix, scaleMax, most))
	case g.Has(scaleMin):
		g.Reject(scaleMin, fmt.Sprintf("at most %d, the default of %s%s; or that label too", most, catalog.Prefix, scaleMax))
	default:
		g.Reject(scaleMax, fmt.Sprintf("at least %d, the default of %s%s; or that label too", least, catalog.Prefix, scaleMin))
	}
	p.Times = times(r, p)
	if err := r.Err(); err != nil {
		return Policy{}, err
	}
	return p, nil
}

// switches says whether the service is left alone, and whether its decisions are only told.
func switches(g label.Group) (isOff, isDryRun bool) {
	mode := g.OneOf(scale, on, on, off, dryRun)
	return mode == off, mode == dryRun
}

// steadyDown is the window of stabilization of a service whose number follows a load, which
// is never quite the same.
const steadyDown = 5 * time.Minute

func fallback(g label.Group) *uint64 {
	if !g.Has(scaleFallback) {
		return nil
	}
	if !g.Has(scaling.Metric) {
		g.Reject(scaleFallback, "it together with "+scaling.Metric+", which it stands in for")
		return nil
	}
	n := uint64(g.Int(scaleFallback, 0, 0, Most))
	return &n
}

// times reads the windows and their bounds.
func times(r *label.Reader, p Policy) []Time {
	var out []Time
	for _, g := range r.Groups(scaleWhen, scaleMin, scaleMax) {
		if g.Index == 0 {
			if g.Has(scaleWhen) {
				g.Reject(scaleWhen, "it with an index, such as "+scaleWhen+".1, that of its bounds")
			}
			continue
		}
		isMin, isMax := g.Own(scaleMin), g.Own(scaleMax)
		switch {
		case !g.Own(scaleWhen) && isMin:
			g.Reject(scaleMin, fmt.Sprintf("it together with %s.%d", scaleWhen, g.Index))
			continue
		case !g.Own(scaleWhen):
			g.Reject(scaleMax, fmt.Sprintf("it together with %s.%d", scaleWhen, g.Index))
			continue
		case !isMin && !isMax:
			g.Reject(scaleWhen, fmt.Sprintf("it together with %s.%d or %s.%d", scaleMin, g.Index, scaleMax, g.Index))
			continue
		}
		t := Time{Text: strings.Join(strings.Fields(g.Text(scaleWhen, "")), " "), Min: p.Min, Max: p.Max}
		var err error
		if t.Window, err = window.Parse(t.Text); err != nil {
			g.Reject(scaleWhen, "[DAYS] HH:MM-HH:MM [ZONE], such as Mon-Fri 07:30-19:00 Europe/Berlin: "+err.Error())
		}
		if isMin {
			t.Min = uint64(g.Int(scaleMin, 0, 0, Most))
		}
		if isMax {
			t.Max = uint64(g.Int(scaleMax, Most, 0, Most))
		}
		switch {
		case t.Min <= t.Max:
		case isMin:
			g.Reject(scaleMin, fmt.Sprintf("at most %d, which is %s there", t.Max, scaleMax))
		default:
			g.Reject(scaleMax, fmt.Sprintf("at least %d, which is %s there", t.Min, scaleMin))
		}
		out = append(out, t)
	}
	return out
}

// rate reads a text such as 4/1m.
func rate(g label.Group, name string) Rate {
	text := strings.TrimSpace(g.Text(name, ""))
	if text == "" {
		return Rate{}
	}
	number, period, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 32)
	if _, err := strconv.ParseUint(period, 10, 32); err == nil {
		period += "s"
	}
	d, errPeriod := time.ParseDuration(period)
	if err != nil || errPeriod != nil || n < 1 || n > Most || d <= 0 || d > MaxCooldown {
		g.Reject(name, fmt.Sprintf("a number from 1 to %d, / and a time up to %s, such as 4/1m", Most, MaxCooldown))
		return Rate{}
	}
	return Rate{Number: n, Period: d}
}

// Judge is FromService for a service whose labels last accepted are those, nil if none
// are. A service that is rejected has the policy of these all the same, with the error
// that tells why; without them, or if it does not ask to be scaled, it has none.
func Judge(s catalog.Service, last map[string]string, d Defaults) (Policy, error) {
	p, err := FromService(s, d)
	if err == nil || last == nil || !rejects(err) {
		return p, err
	}
	s.Labels, s.Oversize = last, 0
	if p, errLast := FromService(s, d); errLast == nil {
		return p, err
	}
	return Policy{}, err
}

// InForce reports whether it is the policy of a service.
func (p Policy) InForce() bool { return p.ServiceID != "" }

// rejects reports whether an error of FromService is about labels that are not as they
// should be, and not about a service that does not ask, or cannot be scaled at all.
func rejects(err error) bool {
	var large *catalog.OversizeError
	return label.First(err) != nil || errors.As(err, &large)
}

// Why words an error of FromService so that it stands behind the name of the service.
func Why(err error) string {
	switch {
	case label.First(err) != nil:
		return "is not scaled, for a label is at fault: " + err.Error()
	case rejects(err):
		return "is not scaled: " + err.Error()
	}
	return err.Error()
}

// Code is the stable word for an error of FromService or Find.
func Code(err error) string {
	switch {
	case errors.Is(err, ErrNotAsked), errors.Is(err, ErrUnlabeled):
		return "not_asked"
	case errors.Is(err, ErrNotNotified):
		return "not_opted_in"
	case errors.Is(err, ErrGlobal):
		return "global"
	case errors.Is(err, ErrJob):
		return "job"
	case errors.Is(err, ErrUnknown):
		return "unknown_service"
	case errors.Is(err, ErrAmbiguous):
		return "ambiguous"
	}
	return "label_fault"
}

// State is what becomes of a service's wish to be scaled; the words are those
// of the statuses on the bus.
type State string

// The states of a service.
const (
	Applied  State = "applied"
	Degraded State = "degraded"
	Rejected State = "rejected"
	Ignored  State = "ignored"
)

// Outcome is what becomes of one service, and why.
type Outcome struct {
	Service catalog.Service
	State   State
	// Reason is for a person to read, empty when all is well.
	Reason string
	// Label is the full name of the label at fault, if one is.
	Label string
	// Hint says what to do.
	Hint string
	// Faults are all labels at fault, of which Label is the first.
	Faults label.Faults
	// Policy is in force when the state is Applied or Degraded, and when the labels last
	// accepted hold although the present ones are rejected.
	Policy Policy
	// Accepted are the labels, of the scaler's, that are in force; nil if none are.
	Accepted map[string]string
	// Sum is the same wherever the same labels of the same service are in force.
	Sum [sha256.Size]byte
}

// Explain says what becomes of a service whose tasks are these and whose labels last
// accepted are last. Tasks that are nil are not known, labels that are nil are none.
func Explain(s catalog.Service, tasks []catalog.Task, last map[string]string, d Defaults) Outcome {
	return explain(s, tasks, last, d, specs())
}

func explain(s catalog.Service, tasks []catalog.Task, last map[string]string, d Defaults, known map[string]label.Spec) Outcome {
	o := Outcome{Service: s}
	p, err := Judge(s, last, d)
	if err != nil {
		o.refuse(err, known)
		if p.InForce() {
			o.hold(p, last)
			o.Reason += " (the labels last accepted stay in force)"
		}
		return o
	}
	o.hold(p, own(s.Labels, known))
	o.State = Applied
	switch {
	case paused(s.UpdateState):
		o.State = Degraded
		o.Reason = pausedSince(s) + ", so it is not scaled"
		o.Hint = EndPaused(s.Name) + " ends that"
	case s.Replicas > 0 && noneRuns(tasks):
		o.State = Degraded
		o.Reason = fmt.Sprintf("none of its %d tasks runs", s.Replicas)
		o.Hint = "it is not scaled until at least one runs; see docker service ps " + s.Name
	case len(p.Times) > 0: // it is kept within the bounds in force
	case s.Replicas < p.Min:
		o.Reason = fmt.Sprintf("asks for %d replicas, below scaleMin %d", s.Replicas, p.Min)
		o.Hint = "the next request up raises it to scaleMin; nothing does so without a request"
	case s.Replicas > p.Max:
		o.Reason = fmt.Sprintf("asks for %d replicas, above scaleMax %d", s.Replicas, p.Max)
		o.Hint = "the next request down lowers it to scaleMax; nothing does so without a request"
	}
	return o
}

// hold makes a policy the one in force, with the labels that it was read from.
func (o *Outcome) hold(p Policy, accepted map[string]string) {
	o.Policy, o.Accepted = p, accepted
	text := fmt.Appendf(nil, "%q %q", p.ServiceID, p.Service)
	for _, name := range slices.Sorted(maps.Keys(accepted)) {
		text = fmt.Appendf(text, " %q %q", name, accepted[name])
	}
	o.Sum = sha256.Sum256(text)
}

// noneRuns reports whether tasks are known, and none of them runs.
func noneRuns(tasks []catalog.Task) bool {
	return tasks != nil && !slices.ContainsFunc(tasks, catalog.Task.Running)
}

// paused reports whether Swarm's word says that an update waits for a person. A change
// of the number would resume it.
func paused(updateState string) bool {
	return updateState == "paused" || updateState == "rollback_paused"
}

func pausedSince(s catalog.Service) string {
	text := "its update is " + strings.ReplaceAll(s.UpdateState, "_", " ")
	if s.Update != nil && !s.Update.Started.IsZero() {
		text += ", which began at " + s.Update.Started.UTC().Format(time.RFC3339)
	}
	return text
}

// EndPaused is the command by which a person ends the paused update of a service.
func EndPaused(service string) string {
	return fmt.Sprintf("docker service update --image IMAGE %[1]s (or docker service rollback %[1]s)", service)
}

func (o *Outcome) refuse(err error, known map[string]label.Spec) {
	o.State, o.Reason = Rejected, err.Error()
	isAsked := wants(o.Service.Labels, known)
	switch {
	case errors.Is(err, ErrNotAsked):
		o.State = Ignored
		o.Hint = "set com.df.scaleMin or com.df.scaleMax on the service"
	case errors.Is(err, ErrNotNotified):
		absence := label.NotOptedIn(catalog.Notify, o.Service.Name, o.Service.Labels, o.Service.ContainerLabels)
		o.State, o.Label, o.Reason, o.Hint = Ignored, absence.Label, absence.Reason, absence.Hint
	case errors.Is(err, ErrGlobal), errors.Is(err, ErrJob):
		// Nobody asked, so nothing is refused.
		if !isAsked || !o.Service.OptedIn() {
			o.State = Ignored
		}
		o.Hint = "only a service with mode replicated is scaled"
	}
	if fault := label.First(err); fault != nil {
		o.Label, o.Hint = fault.Label, "want "+fault.Want
		errors.As(err, &o.Faults)
	}
	if large := (*catalog.OversizeError)(nil); errors.As(err, &large) {
		o.Hint = large.Hint()
	}
	if !isAsked && wants(o.Service.ContainerLabels, known) {
		absence := label.OnContainer(slices.Sorted(maps.Keys(own(o.Service.ContainerLabels, known)))[0])
		o.State, o.Label, o.Reason, o.Hint = Ignored, absence.Label, absence.Reason, absence.Hint
	}
}

// wants reports whether any label of the scaler is among labels, rightly written or not.
func wants(labels map[string]string, known map[string]label.Spec) bool {
	for full := range labels {
		if isOwn(full, known) {
			return true
		}
	}
	return false
}

// own returns those of the labels by which a service is scaled.
func own(labels map[string]string, known map[string]label.Spec) map[string]string {
	out := map[string]string{}
	for full, text := range labels {
		if full == catalog.Notify || isOwn(full, known) {
			out[full] = text
		}
	}
	return out
}

// specs are those of Labels, by name.
func specs() map[string]label.Spec {
	out := map[string]label.Spec{}
	for _, spec := range Labels() {
		out[spec.Name] = spec
	}
	return out
}

// isOwn reports whether a label, with its prefix, is one of the scaler's.
func isOwn(full string, specs map[string]label.Spec) bool {
	name, ok := strings.CutPrefix(full, catalog.Prefix)
	if !ok {
		return false
	}
	base, index := label.SplitIndex(name)
	spec, ok := specs[base]
	return ok && (index == 0 || spec.Indexed)
}

// All explains every service of a snapshot that has labels of the scaler, on
// the service or on its containers, or may have some, oldest first. accepted are the
// services with the labels last accepted, by ID.
func All(s catalog.Snapshot, accepted map[string]catalog.Service, d Defaults) []Outcome {
	return NewMemo(d).All(s, accepted)
}

// Memo is All for whoever asks again and again: of a service that is as it was, and whose
// labels have no fault, it knows the outcome. It is for one goroutine.
type Memo struct {
	defaults Defaults
	known    map[string]label.Spec
	outcomes map[string]remembered
}

// remembered is the outcome of a service none of whose tasks ran, or some did.
type remembered struct {
	outcome  Outcome
	noneRuns bool
}

// NewMemo returns a Memo that knows nothing yet.
func NewMemo(d Defaults) *Memo { return &Memo{defaults: d, known: specs()} }

// All is the function of that name.
func (m *Memo) All(s catalog.Snapshot, accepted map[string]catalog.Service) []Outcome {
	var out []Outcome
	outcomes := make(map[string]remembered, len(m.outcomes))
	for _, svc := range s.Sorted() {
		tasks := s.Tasks[svc.ID]
		r, ok := m.outcomes[svc.ID]
		if !ok || r.noneRuns != noneRuns(tasks) || !r.outcome.Service.Equal(svc) {
			if !wants(svc.Labels, m.known) && !wants(svc.ContainerLabels, m.known) && (svc.Fits() == nil || !svc.OptedIn()) {
				continue
			}
			r = remembered{explain(svc, tasks, accepted[svc.ID].Labels, m.defaults, m.known), noneRuns(tasks)}
		}
		out = append(out, r.outcome)
		if r.outcome.State == Applied || r.outcome.State == Degraded {
			outcomes[svc.ID] = r // of others it depends on what was accepted
		}
	}
	m.outcomes = outcomes
	return out
}

// How a service was not found.
var (
	ErrUnknown   = errors.New("is not a service of this swarm")
	ErrAmbiguous = errors.New("is what several services are called; use a full name")
)

// Find finds the service that a request names: by its full name, by its ID, or
// by what it is called (com.df.shortName). The errors are ErrUnknown and
// ErrAmbiguous; as those above they are made to stand behind a name.
func Find(s catalog.Snapshot, name string) (catalog.Service, error) {
	if svc, ok := s.ByName(name); ok {
		return svc, nil
	}
	if svc, ok := s.Services[name]; ok {
		return svc, nil
	}
	var found []catalog.Service
	for _, svc := range s.Sorted() {
		if svc.CalledName() == name {
			found = append(found, svc)
		}
	}
	switch len(found) {
	case 0:
		return catalog.Service{}, ErrUnknown
	case 1:
		return found[0], nil
	}
	names := make([]string, len(found))
	for i, svc := range found {
		names[i] = svc.Name
	}
	return catalog.Service{}, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(names, ", "))
}
