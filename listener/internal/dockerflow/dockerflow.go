// Package dockerflow answers what Docker Flow Swarm Listener answered over HTTP.
package dockerflow

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"
	"github.com/wagglehq/waggle/listener/internal/notify"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// API is what the handlers ask.
type API struct {
	// Snapshot is the last complete catalog, false before the first list.
	Snapshot func() (catalog.Snapshot, bool)
	Rules    notify.Rules
	// All answers services that do not run yet, too.
	All bool
	// Version is Swarm's version of a node.
	Version func(id string) uint64
	// Again makes all services due to all receivers.
	Again func()
	// Failed counts an answer that could not be given.
	Failed func(operation string)
}

// Routes adds the handlers, which answer any method as they always did.
func (a API) Routes(r chi.Router) {
	r.Route("/v1/docker-flow-swarm-listener", func(r chi.Router) {
		r.HandleFunc("/ping", func(w http.ResponseWriter, _ *http.Request) { ok(w) })
		r.HandleFunc("/notify-services", func(w http.ResponseWriter, _ *http.Request) {
			a.Again()
			ok(w)
		})
		r.HandleFunc("/get-services", a.services)
		r.HandleFunc("/get-nodes", a.nodes)
	})
}

func ok(w http.ResponseWriter) { app.WriteJSON(w, http.StatusOK, map[string]string{"Status": "OK"}) }

// services answers the parameters of all services that run.
func (a API) services(w http.ResponseWriter, _ *http.Request) {
	snapshot, isListed := a.Snapshot()
	if !isListed {
		a.fail(w, notify.ServeServices)
		return
	}
	out := []map[string]string{}
	for _, n := range a.Rules.Services(snapshot) {
		if a.All || n.Running {
			out = append(out, n.Parameters())
		}
	}
	answer(w, out, "serviceName")
}

// nodes answers the parameters of all nodes, of those that are down as well.
func (a API) nodes(w http.ResponseWriter, _ *http.Request) {
	snapshot, isListed := a.Snapshot()
	if !isListed {
		a.fail(w, notify.ServeNodes)
		return
	}
	out := []map[string]string{}
	for id, node := range snapshot.Nodes {
		out = append(out, notify.NodeParameters(node, a.Version(id)))
	}
	answer(w, out, "id")
}

func answer(w http.ResponseWriter, all []map[string]string, by string) {
	slices.SortFunc(all, func(x, y map[string]string) int { return cmp.Compare(x[by], y[by]) })
	app.WriteJSON(w, http.StatusOK, all)
}

// fail answers as the original did when Docker had not answered it.
func (a API) fail(w http.ResponseWriter, operation string) {
	a.Failed(operation)
	app.WriteJSON(w, http.StatusInternalServerError, []string{})
}
