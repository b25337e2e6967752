package controller

import (
	"cmp"
	"errors"
	"slices"

	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/owners"
)

// Trail finds in one view after the other what an audit notes of what labels and the swarm did:
// the hosts that an owner gained, what was refused because it is another's, and addresses that
// are another's. It belongs to one goroutine.
type Trail struct {
	owners *owners.Owners
	// hosts are the owners of the last view, nil before the first: what a proxy finds when it
	// starts nobody has just gained.
	hosts map[string]string
	// told are the refusals of the last view.
	told map[audit.Entry]bool
}

// NewTrail returns a Trail. Without a file of owners nobody gains hosts.
func NewTrail(file *owners.Owners) *Trail { return &Trail{owners: file} }

// Entries returns what is new in a view, sorted.
func (t *Trail) Entries(v *View) []audit.Entry {
	if v == nil || !v.FromBus {
		return nil
	}
	out := t.gained(v)
	told := map[audit.Entry]bool{}
	refuse := func(action audit.Action, object, detail string) {
		e := audit.Entry{Action: action, Object: object, Detail: detail}
		if told[e] = true; !t.told[e] {
			out = append(out, e)
		}
	}
	for _, d := range v.Desired.Verdicts {
		if owned := (*route.OwnerError)(nil); errors.As(d.Err, &owned) {
			refuse(audit.HostRefused, d.Service.Name, owned.Error())
		}
		for _, why := range v.Refused[d.Service.ID] {
			refuse(audit.AddressRefused, d.Service.Name, why)
		}
	}
	t.told = told
	slices.SortFunc(out, func(a, b audit.Entry) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Detail, b.Detail))
	})
	return out
}

// gained are the hosts that have another owner than in the last view.
func (t *Trail) gained(v *View) (out []audit.Entry) {
	if t.owners == nil {
		return nil
	}
	hosts := map[string]string{}
	for _, s := range v.Desired.Services {
		owner := t.owners.Of(v.Desired.Accepted[s.ID])
		for _, r := range s.Routes {
			for _, c := range r.Claims {
				if c.Kind == route.ClaimRest || r.HostMatch != "" || c.Host == "" || hosts[c.Host] != "" {
					continue
				}
				hosts[c.Host] = owner
				if had := t.hosts[c.Host]; t.hosts != nil && had != owner {
					detail := owner + " has it by the service " + s.Name
					if had != "" {
						detail += "; it was " + had + "'s"
					}
					out = append(out, audit.Entry{Action: audit.HostGained, Object: c.Host, Detail: detail})
				}
			}
		}
	}
	t.hosts = hosts
	return out
}
