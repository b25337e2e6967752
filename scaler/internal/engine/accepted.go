package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/policy"
)

// believe adds to what the bus says was accepted what it has lost with its store: labels
// that are in force here, of services that are still there.
func (e *Engine) believe(accepted map[string]catalog.Service, present catalog.Snapshot) map[string]catalog.Service {
	out := maps.Clone(accepted)
	for id, svc := range e.acceptedNow() {
		_, known := out[id]
		if _, ok := present.Services[id]; ok && !known {
			out[id] = svc
		}
	}
	return out
}

// hold makes what a pass found the labels in force.
func (e *Engine) hold(outcomes []policy.Outcome) {
	accepted, oversize := map[string]catalog.Service{}, map[string]int{}
	for _, o := range outcomes {
		svc := o.Service
		if svc.Oversize > 0 {
			oversize[svc.ID] = svc.Oversize
		}
		if o.Accepted != nil {
			accepted[svc.ID] = catalog.Service{
				ID: svc.ID, Name: svc.Name, Stack: svc.Stack, Mode: svc.Mode, CreatedAt: svc.CreatedAt, Labels: o.Accepted,
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.accepted, e.oversize = accepted, oversize
}

// record keeps the labels in force on the bus.
func (e *Engine) record(ctx context.Context) error {
	err := e.opts.Accepted.Record(ctx, e.acceptedNow())
	if err != nil && !errors.Is(err, bus.ErrNotSynced) {
		return fmt.Errorf("accepted labels: %w", err)
	}
	return nil // whoever reads them pokes when it has
}

// acceptedNow returns the services with the labels in force, by ID.
func (e *Engine) acceptedNow() map[string]catalog.Service {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.accepted
}

// judges reads the policy of a service whose labels last accepted are known.
type judges func(s catalog.Service, last map[string]string, d policy.Defaults) (policy.Policy, error)

// policyOf returns the policy of a service as Swarm describes it at this moment, by
// policy.Judge unless another function is given. Whether its labels are too large only the
// catalog tells.
func (e *Engine) policyOf(s Scale, judge judges) (policy.Policy, error) {
	if judge == nil {
		judge = policy.Judge
	}
	e.mu.Lock()
	last, oversize := e.accepted[s.ID].Labels, e.oversize[s.ID]
	e.mu.Unlock()
	p, err := judge(catalog.Service{ID: s.ID, Name: s.Name, Labels: s.Labels, Mode: s.Mode, Oversize: oversize}, last, e.opts.Defaults)
	p.DryRun = p.DryRun || e.opts.DryRun
	return p, err
}

// judge returns the policy of a service of the catalog.
func (e *Engine) judge(svc catalog.Service) (policy.Policy, error) {
	p, err := policy.Judge(svc, e.acceptedNow()[svc.ID].Labels, e.opts.Defaults)
	p.DryRun = p.DryRun || e.opts.DryRun
	return p, err
}

// Admits returns nil if a service of the catalog has a policy, and otherwise why not:
// an error of policy.FromService. It may be called by any goroutine.
func (e *Engine) Admits(svc catalog.Service) error {
	p, err := e.judge(svc)
	if p.InForce() {
		return nil
	}
	return err
}
