package judge

import (
	"cmp"
	"errors"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
)

// Status says what became of the labels of a service, whose entry in the catalog has that
// revision: ignored, rejected, or accepted.
func Status(d claims.Verdict, revision catalog.Revision) catalog.Status {
	s := catalog.Status{
		Component: "proxy", ServiceID: d.Service.ID, Service: d.Service.Name, State: catalog.StateAccepted, Revision: revision,
		Warnings: d.Overtaken,
	}
	if d.Err == nil {
		return s
	}
	if errors.Is(d.Err, route.ErrNoRoute) {
		s.State, s.Reason = catalog.StateIgnored, d.Err.Error()
		return s
	}
	s.State, s.Reason = catalog.StateRejected, d.Err.Error()
	if f := label.First(d.Err); f != nil {
		s.Label, s.Hint = f.Label, "want "+f.Want
	}
	var (
		hinted   interface{ Hint() string }
		withheld *catalog.WithheldError
		conflict *route.ConflictError
		owned    *route.OwnerError
	)
	if errors.As(d.Err, &hinted) {
		s.Hint = hinted.Hint()
	}
	if errors.As(d.Err, &withheld) {
		s.Label = withheld.Labels[0]
	}
	if errors.As(d.Err, &conflict) {
		s.Label = catalog.Prefix + cmp.Or(conflict.Label, "servicePath")
	}
	if errors.As(d.Err, &owned) {
		s.Label = catalog.Prefix + owned.Label
	}
	if d.KeepsLast {
		s.Reason += " (the labels last accepted stay in force)"
	}
	return s
}
