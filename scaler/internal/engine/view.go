package engine

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// View is what is known of one service: why it is, or is not, scaled.
type View struct {
	Service  string         `json:"service"`
	ID       string         `json:"id"`
	State    policy.State   `json:"state"`
	Reason   string         `json:"reason,omitempty"`
	Label    string         `json:"label,omitempty"`
	Hint     string         `json:"hint,omitempty"`
	Replicas uint64         `json:"replicas"`
	Policy   *policyView    `json:"policy,omitempty"`
	LastStep *signal.Step   `json:"lastStep,omitempty"`
	Signals  []signalView   `json:"signals,omitempty"`
	Latest   []decisionView `json:"decisions,omitempty"`
	// Stopped is why the operator has stopped all scaling.
	Stopped string `json:"stopped,omitempty"`
}

type policyView struct {
	Min          uint64 `json:"min"`
	Max          uint64 `json:"max"`
	UpBy         uint64 `json:"upBy"`
	DownBy       uint64 `json:"downBy"`
	CooldownUp   string `json:"cooldownUp"`
	CooldownDown string `json:"cooldownDown"`
}

type signalView struct {
	Direction  signal.Direction `json:"direction"`
	Alerts     []signal.Alert   `json:"alerts"`
	ReceivedAt time.Time        `json:"receivedAt"`
}

type decisionView struct {
	Want      decide.Want      `json:"want"`
	Direction signal.Direction `json:"direction"`
	Action    decide.Action    `json:"action"`
	Code      decide.Code      `json:"code"`
	Message   string           `json:"message"`
	Since     time.Time        `json:"since"`
	Until     time.Time        `json:"until,omitzero"`
}

// ErrNotReady says that the catalog or the signals have not been read yet.
var ErrNotReady = errors.New("the catalog has not been read yet; is the bus there?")

// Views returns every service that has labels of the scaler, by name. It may be
// called by any goroutine.
func (e *Engine) Views() ([]View, error) {
	snapshot, ok := e.opts.Catalog.Snapshot()
	asked, read := e.opts.Store.Asked(e.opts.Now())
	if !ok || !read {
		return nil, ErrNotReady
	}
	out := []View{}
	for _, o := range policy.All(snapshot, e.acceptedNow(), e.opts.Defaults) {
		out = append(out, e.view(e.explain(o), asked))
	}
	slices.SortFunc(out, func(a, b View) int { return strings.Compare(a.Service, b.Service) })
	return out, nil
}

// ViewOf returns one service, with or without labels of the scaler. The errors are
// ErrNotReady and those of policy.Find. It may be called by any goroutine.
func (e *Engine) ViewOf(name string) (View, error) {
	snapshot, ok := e.opts.Catalog.Snapshot()
	asked, read := e.opts.Store.Asked(e.opts.Now())
	if !ok || !read {
		return View{}, ErrNotReady
	}
	svc, err := policy.Find(snapshot, name)
	if err != nil {
		return View{}, err
	}
	o := policy.Explain(svc, snapshot.Tasks[svc.ID], e.acceptedNow()[svc.ID].Labels, e.opts.Defaults)
	return e.view(e.explain(o), asked), nil
}

func (e *Engine) view(o policy.Outcome, asked store.Asked) View {
	v := View{
		Service: o.Service.Name, ID: o.Service.ID, State: o.State, Reason: o.Reason, Label: o.Label, Hint: o.Hint,
		Replicas: o.Service.Replicas,
	}
	if step, _, err := e.opts.Store.KnownStep(o.Service.ID); err == nil {
		v.LastStep = step.Alone()
	}
	if p := o.Policy; p.InForce() {
		v.Policy = &policyView{p.Min, p.Max, p.UpBy, p.DownBy, p.CooldownUp.String(), p.CooldownDown.String()}
	}
	for _, s := range asked.Signals {
		if s.ServiceID == o.Service.ID {
			v.Signals = append(v.Signals, signalView{s.Direction, s.Alerts, s.ReceivedAt})
		}
	}
	if asked.Stop != nil {
		v.Stopped = asked.Stop.Reason
	}
	e.told.mu.Lock()
	defer e.told.mu.Unlock()
	latest := e.told.latest[o.Service.ID]
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		d := latest[key]
		v.Latest = append(v.Latest, decisionView{d.Want, d.Direction, d.Action, d.Code, d.Message, d.Time, d.Until})
	}
	return v
}
