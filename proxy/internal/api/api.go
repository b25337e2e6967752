// Package api is the proxy's HTTP interface: what is in force, and why a service is not.
package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/judge"
)

// Service is what /v1/services says of one service.
type Service struct {
	catalog.Status
	Routes    []judge.Route  `json:"routes,omitempty"`
	Streams   []judge.Stream `json:"streams,omitempty"`
	Addresses []netip.Addr   `json:"addresses,omitempty"`
}

// State is the answer of /v1/services.
type State struct {
	Revision catalog.Revision `json:"revision"`
	Hash     string           `json:"hash"`
	// FromBus is false while the state of an earlier run is in force.
	FromBus  bool      `json:"fromBus"`
	Error    string    `json:"error,omitempty"`
	Services []Service `json:"services"`
}

// Mount adds the paths. view returns what became of the last pass, nil before the first.
func Mount(r chi.Router, view func() *controller.View) {
	r.Get("/v1/services", func(w http.ResponseWriter, _ *http.Request) {
		v := view()
		if v == nil {
			app.WriteError(w, http.StatusServiceUnavailable, errNothing)
			return
		}
		app.WriteJSON(w, http.StatusOK, state(v))
	})
	r.Get("/v1/services/{name}", func(w http.ResponseWriter, req *http.Request) {
		v := view()
		if v == nil {
			app.WriteError(w, http.StatusServiceUnavailable, errNothing)
			return
		}
		s, err := find(v, chi.URLParam(req, "name"))
		if err != nil {
			app.WriteError(w, http.StatusNotFound, err)
			return
		}
		app.WriteJSON(w, http.StatusOK, s)
	})
}

var errNothing = errors.New("no catalog has been read yet: is the listener running, and can this service reach it?")

func state(v *controller.View) State {
	out := State{Revision: v.Snapshot.Revision, Hash: v.Hash, FromBus: v.FromBus, Services: []Service{}}
	if v.Err != nil {
		out.Error = v.Err.Error()
	}
	ways := judge.WaysOf(v.Desired)
	for _, status := range v.Statuses() {
		out.Services = append(out.Services, service(v, ways, status))
	}
	return out
}

func service(v *controller.View, ways judge.Ways, status catalog.Status) Service {
	out := Service{Status: status, Addresses: v.Reached(status.ServiceID)}
	out.Routes, out.Streams = ways.Into(status.ServiceID)
	return out
}

// find answers "why is my service not routed?", also for one that did not opt in.
func find(v *controller.View, name string) (Service, error) {
	for _, status := range v.Statuses() {
		if status.Service == name {
			return service(v, judge.WaysOf(v.Desired), status), nil
		}
	}
	svc, ok := v.Snapshot.ByName(name)
	if !ok {
		return Service{}, fmt.Errorf("the swarm has no service named %s: the full name is needed, with the stack before it", name)
	}
	status := catalog.Status{Component: "proxy", ServiceID: svc.ID, Service: svc.Name, State: catalog.StateIgnored}
	absence := label.NotOptedIn(catalog.Notify, svc.Name, svc.Labels, svc.ContainerLabels)
	status.Label, status.Reason, status.Hint = absence.Label, absence.Reason, absence.Hint
	return Service{Status: status}, nil
}
