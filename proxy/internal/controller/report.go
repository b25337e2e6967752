package controller

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
)

// Statuses says what became of every service that opted in.
func (v *View) Statuses() []catalog.Status {
	out := make([]catalog.Status, 0, len(v.Desired.Verdicts))
	covered := v.covered()
	for _, verdict := range v.Desired.Verdicts {
		out = append(out, v.status(verdict, covered))
	}
	return out
}

func (v *View) status(d claims.Verdict, covered map[string]bool) catalog.Status {
	s := catalog.Status{
		Component: "proxy", ServiceID: d.Service.ID, Service: d.Service.Name, State: catalog.StateApplied,
		Revision: v.Snapshot.RevisionOf(d.Service.ID),
	}
	var (
		hinted   interface{ Hint() string }
		withheld *catalog.WithheldError
		conflict *route.ConflictError
	)
	switch {
	case errors.Is(d.Err, route.ErrNoRoute):
		s.State, s.Reason = catalog.StateIgnored, d.Err.Error()
		return s
	case d.Err != nil:
		s.State, s.Reason = catalog.StateRejected, d.Err.Error()
		if f := label.First(d.Err); f != nil {
			s.Label, s.Hint = f.Label, "want "+f.Want
		}
		if errors.As(d.Err, &hinted) {
			s.Hint = hinted.Hint()
		}
		if errors.As(d.Err, &withheld) {
			s.Label = withheld.Labels[0]
		}
		if errors.As(d.Err, &conflict) {
			s.Label = catalog.Prefix + cmp.Or(conflict.Label, "servicePath")
		}
		if d.KeepsLast {
			s.Reason += " (the labels last accepted stay in force)"
		}
		return s
	case v.Err != nil:
		s.State, s.Reason = catalog.StateAccepted, "not applied yet: "+v.Err.Error()
	case len(d.Shadowed) > 0:
		s.State, s.Reason = catalog.StateDegraded, "routes that no request reaches: "+strings.Join(d.Shadowed, ", ")
		s.Hint = "another service comes first in the order of routes, see docs/labels.md"
	case len(v.Addresses[d.Service.ID]) == 0:
		s.State = catalog.StateDegraded
		s.Reason = "no task can be reached, requests are answered 503"
		if covered[d.Service.ID] {
			s.Reason = "no task can be reached, the others of its com.df.serviceGroup get its share"
		}
		s.Hint = fmt.Sprintf("docker service ps %s says whether its tasks run", d.Service.Name)
		if d.Service.Mode == catalog.Replicated && d.Service.Replicas == 0 {
			s.Hint = "the service is scaled to 0"
		}
	}
	return s
}

// covered returns the services without tasks, by ID, in all of whose backends others
// have some.
func (v *View) covered() map[string]bool {
	reached, covered := map[string]bool{}, map[string]bool{}
	for _, s := range v.Desired.Services {
		for _, b := range s.Backends {
			reached[b.Name] = reached[b.Name] || len(v.Addresses[s.ID]) > 0
		}
	}
	for _, s := range v.Desired.Services {
		if len(v.Addresses[s.ID]) == 0 {
			covered[s.ID] = !slices.ContainsFunc(s.Backends, func(b route.Backend) bool { return !reached[b.Name] })
		}
	}
	return covered
}
