// Package judge answers for a snapshot of the swarm what becomes of each service in the
// proxy, and what would be routed. It is pure, and the running proxy decides by the same
// functions.
package judge

import (
	"errors"
	"maps"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/wish/names"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// Question is what is judged, and by what.
type Question struct {
	// Snapshot is the swarm: services with their labels and networks, and nodes.
	Snapshot catalog.Snapshot
	// Accepted are the label sets that were last accepted, by service ID.
	Accepted map[string]catalog.Service
	// Settings are those that the proxy publishes in the record of each instance; one that
	// is missing has its default.
	Settings map[string]string
	// Now decides which certificates have expired.
	Now time.Time
}

// Answer is what becomes of one service.
type Answer struct {
	// Status says whether its labels are in force, and if not why, which label is at
	// fault and what would be right. What would be in force is accepted: whether it is
	// applied and has tasks is for a running proxy to say.
	catalog.Status
	// Cause is the kind of fault for which it is rejected, empty if it is not.
	Cause Cause
	// Faults are all labels at fault, of which the status names the first.
	Faults []*label.Fault
	// Elsewhere is the name of the other proxy that it asks for, empty if it asks for this one.
	Elsewhere string
	// Shadowed are the claims that no request reaches, each with the service that takes
	// its requests.
	Shadowed []string
	// Obtains are the hosts for which certificates are obtained because of it.
	Obtains []string
	// Uncertified are the certificates that it asks for and that are not obtained, whatever an
	// authority says. The running proxy has them in its status, in the same words.
	Uncertified []Uncertified
	// Routes and Streams are the ways into it that would be in force.
	Routes  []Route
	Streams []Stream
}

// Uncertified says which label asks for what, and what would be right.
type Uncertified struct{ Label, Reason, Hint string }

// Services judges all services that opted in, sorted by name. The error is that of a
// setting.
func Services(q Question) ([]Answer, error) { return new(Judge).Services(q) }

// Judge is Services with a memory of labels that were read before, which makes it quick and does
// not show in the answers. It belongs to one goroutine, and answers must not be changed.
type Judge struct {
	settings map[string]string
	rules    Rules
	settler  *claims.Settler
}

// Services is the function of that name.
func (j *Judge) Services(q Question) ([]Answer, error) {
	desired, err := j.settle(q)
	if err != nil {
		return nil, err
	}
	wanted := names.Of(desired.Services, j.rules.Names)
	obtains := map[string][]string{}
	for _, n := range wanted.Names {
		if n.Below != "" {
			continue // the wildcard's service obtains it
		}
		for _, id := range n.Services {
			obtains[id] = append(obtains[id], n.Host)
		}
	}
	out := make([]Answer, 0, len(desired.Verdicts))
	ways := WaysOf(desired)
	for _, v := range desired.Verdicts {
		a := Answer{Status: Status(v, q.Snapshot.RevisionOf(v.Service.ID)), Shadowed: v.Shadowed}
		a.Cause, a.Faults = causeOf(v.Err)
		if elsewhere := (*route.ElsewhereError)(nil); errors.As(v.Err, &elsewhere) {
			a.Elsewhere = elsewhere.Asked
		}
		a.Routes, a.Streams = ways.Into(v.Service.ID)
		a.Obtains = obtains[v.Service.ID]
		for _, f := range wanted.Faults[v.Service.ID] {
			a.Uncertified = append(a.Uncertified, Uncertified{f.Label, f.Text, f.Fix})
		}
		out = append(out, a)
	}
	return out, nil
}

func settle(q Question) (claims.Desired, error) { return new(Judge).settle(q) }

func (j *Judge) settle(q Question) (claims.Desired, error) {
	if j.settler == nil || !maps.Equal(j.settings, q.Settings) {
		rules, err := ParseRules(q.Settings)
		if err != nil {
			return claims.Desired{}, err
		}
		j.settings, j.rules, j.settler = maps.Clone(q.Settings), rules, rules.Settler()
	}
	rules, settler := j.rules, j.settler
	settler.At(q.Now)
	settler.Reserve(rules.Reserved(InUse(q.Settings) || HasCertificate(q.Snapshot.Services, q.Accepted)))
	return settler.Settle(q.Snapshot.Sorted(), q.Accepted), nil
}

// HasCertificate reports whether a service that is still there was accepted with a
// certificate.
func HasCertificate(present, accepted map[string]catalog.Service) bool {
	for id, svc := range accepted {
		if _, ok := present[id]; ok && labels.BringsCertificate(svc) {
			return true
		}
	}
	return false
}

// Route is one way into a service.
type Route struct {
	Hosts   []string `json:"hosts,omitempty"`
	Paths   []string `json:"paths"`
	Backend string   `json:"backend"`
}

// Stream is one way into a service below HTTP.
type Stream struct {
	Port int `json:"port"`
	// Names are server names with the way they are compared ("end .acme.com").
	Names   []string `json:"names,omitempty"`
	Backend string   `json:"backend"`
}

// Ways are all that are in force, by the ID of their service.
type Ways map[string]route.Service

// WaysOf are the ways into the services that are in force.
func WaysOf(d claims.Desired) Ways {
	out := make(Ways, len(d.Services))
	for _, s := range d.Services {
		out[s.ID] = s
	}
	return out
}

// Into are the ways into one service, none if it is not in force.
func (w Ways) Into(id string) (routes []Route, streams []Stream) {
	for _, r := range w[id].Routes {
		routes = append(routes, Route{Hosts: r.Hosts, Paths: r.Paths, Backend: r.Backend})
	}
	for _, r := range w[id].Streams {
		stream := Stream{Port: r.Port, Backend: r.Backend}
		for _, n := range r.Names {
			stream.Names = append(stream.Names, string(n.Match)+" "+n.Value)
		}
		streams = append(streams, stream)
	}
	return routes, streams
}
