// Package api shows over HTTP what monitor wants, what is in force, and why.
package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/loop"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/monitor/internal/report"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Source is what the endpoints show.
type Source interface {
	View() *loop.View
}

// Prometheus tells how its targets are.
type Prometheus interface {
	Targets(context.Context) ([]prometheus.ShownTarget, error)
}

type handler struct {
	source Source
	prom   Prometheus
}

// Mount adds the endpoints under /v1 to a router.
func Mount(r chi.Router, source Source, prom Prometheus) {
	h := handler{source, prom}
	r.Get("/v1/services", h.services)
	r.Get("/v1/services/{name}", h.service)
	r.Get("/v1/targets", h.targets)
	r.Get("/v1/rules", h.rules)
}

// overview is the answer of /v1/services.
type overview struct {
	Revision catalog.Revision `json:"revision"`
	Hash     string           `json:"hash"`
	// Error says why the desired state is not in force.
	Error    string    `json:"error,omitempty"`
	Services []service `json:"services"`
}

type service struct {
	catalog.Status
	Jobs   []job  `json:"jobs,omitempty"`
	Alerts []rule `json:"alerts"`
	// Records are the rules that record.
	Records []rule `json:"records,omitempty"`
	// Load is what the scaler is told.
	Load    *rule    `json:"load,omitempty"`
	Targets []target `json:"targets"`
}

type job struct {
	Name     string `json:"name"`
	Port     int    `json:"port"`
	Path     string `json:"path"`
	Interval string `json:"interval"`
	Timeout  string `json:"timeout"`
}

type rule struct {
	Name        string            `json:"name"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type target struct {
	Address string `json:"address"`
	Node    string `json:"node,omitempty"`
	// Health and LastError are Prometheus' own words, and only for one service.
	Health    string `json:"health,omitempty"`
	LastError string `json:"lastError,omitempty"`
}

var errNoView = errors.New("the catalog has not been read completely yet; Prometheus runs on the last good configuration")

// view answers the request itself when there is nothing to show yet.
func (h handler) view(w http.ResponseWriter) *loop.View {
	v := h.source.View()
	if v == nil {
		app.WriteError(w, http.StatusServiceUnavailable, errNoView)
	}
	return v
}

func (h handler) services(w http.ResponseWriter, _ *http.Request) {
	v := h.view(w)
	if v == nil {
		return
	}
	out := overview{Revision: v.Revision, Hash: v.State.Hash, Error: v.Err, Services: []service{}}
	for i, svc := range v.State.Services {
		out.Services = append(out.Services, describe(svc, v.Statuses[i]))
	}
	app.WriteJSON(w, http.StatusOK, out)
}

func (h handler) service(w http.ResponseWriter, r *http.Request) {
	v := h.view(w)
	if v == nil {
		return
	}
	name := chi.URLParam(r, "name")
	i, bystander, ok := find(v, name)
	switch {
	case !ok:
		app.WriteError(w, http.StatusNotFound, fmt.Errorf("the swarm has no service %q; docker service ls shows the names", name))
		return
	case i < 0:
		app.WriteJSON(w, http.StatusOK, service{Status: report.Bystander(bystander), Alerts: []rule{}, Targets: []target{}})
		return
	}
	out := describe(v.State.Services[i], v.Statuses[i])
	shown, err := h.prom.Targets(r.Context())
	for i := range out.Targets {
		out.Targets[i].Health = "not known to Prometheus yet"
		if err != nil {
			out.Targets[i].Health = err.Error()
		}
		for _, s := range shown {
			if s.Labels["instance"] == out.Targets[i].Address {
				out.Targets[i].Health, out.Targets[i].LastError = s.Health, s.LastError
			}
		}
	}
	app.WriteJSON(w, http.StatusOK, out)
}

// find returns the service that a name stands for: its place among those that ask for something,
// or, if that is negative, one that asks for nothing. A full name comes before an ID, and both
// before what a service is called, since that may be another one's full name.
func find(v *loop.View, name string) (i int, bystander catalog.Service, ok bool) {
	for _, is := range []func(full, id, called string) bool{
		func(full, _, _ string) bool { return full == name },
		func(_, id, _ string) bool { return id == name },
		func(_, _, called string) bool { return called == name },
	} {
		i = slices.IndexFunc(v.State.Services, func(svc desired.Service) bool { return is(svc.Name, svc.ID, svc.Called) })
		if i >= 0 {
			return i, bystander, true
		}
		for _, svc := range (catalog.Snapshot{Services: v.Services}).Sorted() {
			if is(svc.Name, svc.ID, svc.CalledName()) {
				return -1, svc, true
			}
		}
	}
	return -1, bystander, false
}

func (h handler) targets(w http.ResponseWriter, _ *http.Request) {
	v := h.view(w)
	if v == nil {
		return
	}
	all, err := scrape.Render(v.State.Targets)
	if err != nil {
		app.WriteError(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(all) // the client has gone; there is nobody to tell
}

// rules gives the rules in force as a file, all or those of one service.
func (h handler) rules(w http.ResponseWriter, r *http.Request) {
	v := h.view(w)
	if v == nil {
		return
	}
	file := v.State.RulesFile
	if name := r.URL.Query().Get("service"); name != "" {
		i, _, _ := find(v, name)
		if i < 0 {
			app.WriteError(w, http.StatusNotFound, fmt.Errorf("no service %q asks for an alert", name))
			return
		}
		var err error
		if file, err = alert.RenderLimited(v.State.Services[i].Rules, v.State.AlertLimit); err != nil {
			app.WriteError(w, http.StatusInternalServerError, err)
			return
		}
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(file) // the client has gone; there is nobody to tell
}

func describe(svc desired.Service, st catalog.Status) service {
	out := service{Status: st, Alerts: []rule{}, Targets: []target{}}
	out.Component = "monitor"
	for _, r := range svc.Rules {
		one := show(r)
		switch {
		case r.Load():
			out.Load = &one
		case r.Record:
			out.Records = append(out.Records, one)
		default:
			out.Alerts = append(out.Alerts, one)
		}
	}
	for _, t := range svc.Targets {
		out.Targets = append(out.Targets, target{Address: t.Address(), Node: t.Labels["node"]})
	}
	for _, j := range svc.Jobs {
		out.Jobs = append(out.Jobs, job{Name: j.Name, Port: j.Port, Path: j.Path, Interval: j.Interval.String(), Timeout: j.Timeout.String()})
	}
	return out
}

func show(r alert.Rule) rule {
	return rule{Name: r.Name, Expr: r.Expr, For: r.For, Labels: r.Labels, Annotations: r.Annotations}
}
