// Package api answers what the listener knows, and why a service is not routed,
// scraped or scaled.
package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// API is what the handlers ask.
type API struct {
	// Catalog is what is on the bus, false while that is not known to be complete.
	Catalog func() (catalog.Snapshot, bool)
	// List is what was said of the last list, and whether there is one.
	List func() (catalog.List, bool)
	// State is what this listener knows of its own work.
	State func() publish.State
	// Holder is the listener that writes, as far as that is known.
	Holder func() (string, bool)
	// Hash is that of the catalog on the bus.
	Hash func() string
	// Statuses are the entries of the status bucket, and whether they are all.
	Statuses func() (map[string]bus.Value, bool)
	// Instances are those of all components that were heard of.
	Instances func() map[instances.Name]instances.Instance
	// Connected tells whether the bus is there.
	Connected func() bool
	// Table are all known labels.
	Table []label.Spec
	Now   func() time.Time

	// mu guards last, the last complete catalog, because requests come at once.
	mu   sync.Mutex
	last *catalog.Snapshot
}

// Routes adds the handlers.
func (a *API) Routes(r chi.Router) {
	r.Get("/v1/catalog", a.catalog)
	r.Get("/v1/services", a.services)
	r.Get("/v1/services/{name}", a.service)
}

// snapshot returns the last complete catalog, false if there never was one.
func (a *API) snapshot() (catalog.Snapshot, bool) {
	s, ok := a.Catalog()
	a.mu.Lock()
	defer a.mu.Unlock()
	if ok {
		a.last = &s
	}
	if a.last == nil {
		return catalog.Snapshot{}, false
	}
	return *a.last, true
}

// blind says why the swarm is not listed at present, empty if it is. What this listener
// cannot do is of no account while another one writes.
func (a *API) blind() string {
	state := a.State()
	_, isHeld := a.Holder()
	switch {
	case state.Foreign != nil:
		return state.Foreign.Error()
	case state.Failure == "" || isHeld && !state.Leads:
		return ""
	case state.Since.IsZero():
		return "the swarm has not been listed: " + state.Failure
	}
	return fmt.Sprintf("the swarm could not be listed since %s: %s", clock(a.Now(), state.Since), state.Failure)
}

// clock is a time for a person to read, in UTC.
func clock(now, t time.Time) string {
	now, t = now.UTC(), t.UTC()
	if now.Sub(t) < 12*time.Hour {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

type catalogAnswer struct {
	Bus      string           `json:"bus"`
	Revision catalog.Revision `json:"revision"`
	Hash     string           `json:"hash"`
	Services int              `json:"services"`
	OptedIn  int              `json:"optedIn"`
	Nodes    int              `json:"nodes"`
	Tasks    int              `json:"tasks"`
	// Listed is when the last list was written, and Writer who wrote it.
	Listed *time.Time `json:"listed,omitempty"`
	Writer string     `json:"writer,omitempty"`
	// Leads says whether this listener writes, Leader which one does.
	Leads   bool   `json:"leads"`
	Leader  string `json:"leader,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	// Failure says why this listener cannot list the swarm, if so, and FailingSince since when.
	Failure      string     `json:"failure,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty"`
	// Blind is set if nobody lists the swarm, and says why.
	Blind     string           `json:"blind,omitempty"`
	Instances []instanceAnswer `json:"instances,omitempty"`
	// Away are the components of which no instance is heard of.
	Away []string `json:"away,omitempty"`
}

type instanceAnswer struct {
	catalog.Instance
	Heard time.Time `json:"heard"`
	Away  bool      `json:"away,omitempty"`
}

func (a *API) catalog(w http.ResponseWriter, _ *http.Request) {
	snapshot, _ := a.snapshot()
	state := a.State()
	answer := catalogAnswer{
		Bus: "away", Revision: snapshot.Revision, Hash: a.Hash(), Services: len(snapshot.Services), Nodes: len(snapshot.Nodes),
		Leads: state.Leads, Failure: state.Failure, Blind: a.blind(),
	}
	answer.Leader, _ = a.Holder()
	if a.Connected() {
		answer.Bus = "connected"
	}
	for _, svc := range snapshot.Services {
		if svc.OptedIn() {
			answer.OptedIn++
		}
	}
	for id, tasks := range snapshot.Tasks {
		answer.Tasks += max(len(tasks), snapshot.Cut[id])
	}
	if list, ok := a.List(); ok {
		answer.Listed, answer.Writer, answer.Cluster = &list.Time, list.Writer, list.Cluster
	}
	if !state.Since.IsZero() {
		answer.FailingSince = &state.Since
	}
	all := a.Instances()
	for _, i := range instances.Sorted(all) {
		if i.Exact {
			answer.Instances = append(answer.Instances, instanceAnswer{i.Said, i.Heard, i.Away})
		}
		if !instances.Lives(all, i.Component) && !slices.Contains(answer.Away, i.Component) {
			answer.Away = append(answer.Away, i.Component)
		}
	}
	app.WriteJSON(w, http.StatusOK, answer)
}

// serviceAnswer is one service with the answers of all components.
type serviceAnswer struct {
	Name         string         `json:"name"`
	ID           string         `json:"id"`
	Summary      string         `json:"summary"`
	OptedIn      bool           `json:"optedIn"`
	Statuses     []statusAnswer `json:"statuses"`
	Stack        string         `json:"stack,omitempty"`
	CalledName   string         `json:"calledName"`
	Mode         catalog.Mode   `json:"mode"`
	Replicas     uint64         `json:"replicas"`
	Running      int            `json:"running"`
	Networks     []string       `json:"networks,omitempty"`
	EndpointMode string         `json:"endpointMode,omitempty"`
	UpdateState  string         `json:"updateState,omitempty"`
	Image        string         `json:"image,omitempty"`
	CreatedAt    time.Time      `json:"createdAt"`
	// Revision is that of the service's entry on the bus.
	Revision        uint64            `json:"revision,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	ContainerLabels map[string]string `json:"containerLabels,omitempty"`
	Oversize        int               `json:"oversize,omitempty"`
	Tasks           []catalog.Task    `json:"tasks,omitempty"`
	// TasksTotal is how many tasks there are, if they are too many to be told.
	TasksTotal int `json:"tasksTotal,omitempty"`
}

func (a *API) services(w http.ResponseWriter, _ *http.Request) {
	snapshot, _ := a.snapshot()
	said := a.said(snapshot)
	answers := make([]serviceAnswer, 0, len(snapshot.Services))
	for _, svc := range snapshot.Services {
		answers = append(answers, a.answer(svc, snapshot, said))
	}
	slices.SortFunc(answers, func(x, y serviceAnswer) int { return strings.Compare(x.Name, y.Name) })
	app.WriteJSON(w, http.StatusOK, answers)
}

func (a *API) service(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	snapshot, isListed := a.snapshot()
	svc, ok := snapshot.ByName(name)
	if !ok {
		svc, ok = snapshot.Services[name]
	}
	switch {
	case ok:
		answer := a.answer(svc, snapshot, a.said(snapshot))
		answer.Tasks, answer.TasksTotal = snapshot.Tasks[svc.ID], snapshot.Cut[svc.ID]
		app.WriteJSON(w, http.StatusOK, answer)
	case !isListed:
		app.WriteError(w, http.StatusServiceUnavailable, fmt.Errorf("the swarm has not been listed yet: %s", cmp.Or(a.State().Failure, "this takes a moment")))
	default:
		blind := a.blind()
		if blind != "" {
			blind = " (" + blind + ")"
		}
		app.WriteError(w, http.StatusNotFound, fmt.Errorf("there is no service %s in the swarm%s%s", label.Show(name, false), resembling(name, snapshot), blind))
	}
}

func (a *API) answer(svc catalog.Service, s catalog.Snapshot, said said) serviceAnswer {
	running := 0
	for _, t := range s.Tasks[svc.ID] {
		if t.Running() {
			running++
		}
	}
	labels := known.Show(svc.Labels, a.Table)
	for full := range svc.Withheld {
		labels[full] = known.Hidden
	}
	return serviceAnswer{
		Name: svc.Name, ID: svc.ID, Summary: said.summary(svc), OptedIn: svc.OptedIn(), Statuses: said.statuses(svc.ID),
		Stack: svc.Stack, CalledName: svc.CalledName(), Mode: svc.Mode, Replicas: svc.Replicas, Running: running,
		Networks: svc.Networks, EndpointMode: svc.EndpointMode, UpdateState: svc.UpdateState, Image: svc.Image, CreatedAt: svc.CreatedAt,
		Revision: s.Revisions[svc.ID], Labels: labels, ContainerLabels: known.Show(svc.ContainerLabels, a.Table), Oversize: svc.Oversize,
	}
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
