// Package api answers what the listener knows, and why a service is not routed,
// scraped or scaled.
package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// API is what the handlers ask.
type API struct {
	View func() publish.View
	// Revision is that of the catalog on the bus; false while it is not known.
	Revision func() (catalog.Revision, bool)
	// Statuses are the entries of the status bucket, and whether they are all.
	Statuses func() (map[string]bus.Value, bool)
	// Connected tells whether the bus is there.
	Connected func() bool
	// Table are all known labels.
	Table []label.Spec
}

// Routes adds the handlers.
func (a *API) Routes(r chi.Router) {
	r.Get("/v1/catalog", a.catalog)
	r.Get("/v1/services", a.services)
	r.Get("/v1/services/{name}", a.service)
}

type catalogAnswer struct {
	Bus       string             `json:"bus"`
	Revision  catalog.Revision   `json:"revision"`
	Hash      string             `json:"hash"`
	Services  int                `json:"services"`
	OptedIn   int                `json:"optedIn"`
	Nodes     int                `json:"nodes"`
	Tasks     int                `json:"tasks"`
	Listed    *time.Time         `json:"listed,omitempty"`
	Failure   string             `json:"failure,omitempty"`
	Instances []catalog.Instance `json:"instances,omitempty"`
}

func (a *API) catalog(w http.ResponseWriter, _ *http.Request) {
	view := a.View()
	answer := catalogAnswer{Bus: "away", Hash: view.Hash, Services: len(view.Snapshot.Services), Nodes: len(view.Snapshot.Nodes), Failure: view.Failure}
	if a.Connected() {
		answer.Bus = "connected"
	}
	answer.Revision, _ = a.Revision()
	for _, svc := range view.Snapshot.Services {
		if svc.OptedIn() {
			answer.OptedIn++
		}
	}
	for _, tasks := range view.Snapshot.Tasks {
		answer.Tasks += len(tasks)
	}
	if !view.Listed.IsZero() {
		answer.Listed = &view.Listed
	}
	values, _ := a.Statuses()
	instances := bus.Under(values, "instance.")
	for _, key := range slices.Sorted(maps.Keys(instances)) {
		var i catalog.Instance
		if err := json.Unmarshal(instances[key].Data, &i); err == nil {
			answer.Instances = append(answer.Instances, i)
		}
	}
	app.WriteJSON(w, http.StatusOK, answer)
}

// serviceAnswer is one service with the answers of all components.
type serviceAnswer struct {
	Name            string            `json:"name"`
	ID              string            `json:"id"`
	Summary         string            `json:"summary"`
	OptedIn         bool              `json:"optedIn"`
	Statuses        []catalog.Status  `json:"statuses"`
	Stack           string            `json:"stack,omitempty"`
	CalledName      string            `json:"calledName"`
	Mode            catalog.Mode      `json:"mode"`
	Replicas        uint64            `json:"replicas"`
	Running         int               `json:"running"`
	Networks        []string          `json:"networks,omitempty"`
	EndpointMode    string            `json:"endpointMode,omitempty"`
	UpdateState     string            `json:"updateState,omitempty"`
	CreatedAt       time.Time         `json:"createdAt"`
	Labels          map[string]string `json:"labels,omitempty"`
	ContainerLabels map[string]string `json:"containerLabels,omitempty"`
	Tasks           []catalog.Task    `json:"tasks,omitempty"`
}

func (a *API) services(w http.ResponseWriter, _ *http.Request) {
	view := a.View()
	statuses, complete := a.byService()
	answers := make([]serviceAnswer, 0, len(view.Snapshot.Services))
	for _, svc := range view.Snapshot.Services {
		answers = append(answers, a.answer(svc, view, statuses[svc.ID], complete))
	}
	slices.SortFunc(answers, func(x, y serviceAnswer) int { return strings.Compare(x.Name, y.Name) })
	app.WriteJSON(w, http.StatusOK, answers)
}

func (a *API) service(w http.ResponseWriter, r *http.Request) {
	name, view := chi.URLParam(r, "name"), a.View()
	svc, ok := view.Snapshot.ByName(name)
	if !ok {
		svc, ok = view.Snapshot.Services[name]
	}
	switch {
	case ok:
		statuses, complete := a.byService()
		answer := a.answer(svc, view, statuses[svc.ID], complete)
		answer.Tasks = view.Snapshot.Tasks[svc.ID]
		app.WriteJSON(w, http.StatusOK, answer)
	case view.Listed.IsZero():
		app.WriteError(w, http.StatusServiceUnavailable, fmt.Errorf("the swarm has not been listed yet: %s", or(view.Failure, "this takes a moment")))
	default:
		app.WriteError(w, http.StatusNotFound, fmt.Errorf("there is no service %s in the swarm%s", label.Show(name, false), resembling(name, view.Snapshot)))
	}
}

func (a *API) answer(svc catalog.Service, view publish.View, statuses []catalog.Status, complete bool) serviceAnswer {
	running := 0
	for _, t := range view.Snapshot.Tasks[svc.ID] {
		if t.Running() {
			running++
		}
	}
	if statuses == nil {
		statuses = []catalog.Status{} // an empty list is easier to read than null
	}
	return serviceAnswer{
		Name: svc.Name, ID: svc.ID, Summary: summary(svc, statuses, complete && a.Connected()), OptedIn: svc.OptedIn(), Statuses: statuses,
		Stack: svc.Stack, CalledName: svc.CalledName(), Mode: svc.Mode, Replicas: svc.Replicas, Running: running,
		Networks: svc.Networks, EndpointMode: svc.EndpointMode, UpdateState: svc.UpdateState, CreatedAt: svc.CreatedAt,
		Labels: known.Show(svc.Labels, a.Table), ContainerLabels: known.Show(svc.ContainerLabels, a.Table),
	}
}

// byService returns the statuses of all components by service ID, each sorted by component.
func (a *API) byService() (map[string][]catalog.Status, bool) {
	values, complete := a.Statuses()
	out := map[string][]catalog.Status{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		var s catalog.Status
		if strings.HasPrefix(key, "instance.") || json.Unmarshal(values[key].Data, &s) != nil {
			continue
		}
		out[s.ServiceID] = append(out[s.ServiceID], s)
	}
	return out, complete
}

// summary says in one line what became of a service, the worst first.
func summary(svc catalog.Service, statuses []catalog.Status, complete bool) string {
	if len(svc.Labels) == 0 && len(svc.ContainerLabels) == 0 {
		return fmt.Sprintf("not Waggle's matter: it has no label under %s; to opt in, give it %s=true under deploy.labels", catalog.Prefix, catalog.Notify)
	}
	var parts, fine []string
	for _, state := range []catalog.State{catalog.StateRejected, catalog.StateDegraded, catalog.StateIgnored} {
		for _, s := range statuses {
			if s.State == state && (state != catalog.StateIgnored || s.Reason != "") {
				parts = append(parts, fmt.Sprintf("%s by %s: %s", s.State, s.Component, s.Reason))
			}
		}
	}
	warnings := 0
	for _, s := range statuses {
		warnings += len(s.Warnings)
		if s.Component != "listener" && (s.State == catalog.StateApplied || s.State == catalog.StateAccepted) {
			fine = append(fine, fmt.Sprintf("%s by %s", s.State, s.Component))
		}
	}
	parts = append(parts, fine...)
	if !complete {
		parts = append(parts, "the bus is away, so this may be old")
	} else if svc.OptedIn() && len(parts) == 0 {
		parts = append(parts, "published; no other component has answered yet")
	}
	if warnings > 0 {
		parts = append(parts, fmt.Sprintf("with warnings: %d", warnings))
	}
	return strings.Join(parts, "; ")
}

// resembling names services that may be meant.
func resembling(name string, s catalog.Snapshot) string {
	var found []string
	for _, svc := range s.Services {
		if strings.HasSuffix(svc.Name, "_"+name) || strings.EqualFold(svc.Name, name) || svc.CalledName() == name {
			found = append(found, svc.Name)
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return ": is " + strings.Join(found[:min(len(found), 5)], " or ") + " meant?"
}

func or(text, def string) string {
	if text == "" {
		return def
	}
	return text
}
