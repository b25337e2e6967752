// Package dockerflow is the HTTP interface of Docker Flow Monitor, for scripts and companions
// that call it. What it changes is wanted state on the bus, which outlives this process and
// its disk.
package dockerflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/loop"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/manual"
)

// Prefix starts every path.
const Prefix = "/v1/docker-flow-monitor"

// Patience is how long a request waits for its change to be in force: Prometheus before 3.12
// takes five seconds for new targets.
const Patience = 15 * time.Second

// API holds what the handlers need.
type API struct {
	Token app.Secret
	// Services and Nodes are kept apart.
	Services, Nodes manual.Writer
	// View returns what became of the last pass, nil before the first; Await returns when
	// a view is as it should be.
	View  func() *loop.View
	Await func(ctx context.Context, so func(*loop.View) bool) error
	// Check returns what is wrong with a service.
	Check func(catalog.Service) error
	// Patience is how long requests wait.
	Patience time.Duration
	// Note takes who changed what.
	Note func(audit.Entry)
	Log  *slog.Logger
}

// Response is Docker Flow Monitor's form of an answer.
type Response struct {
	Status      int
	Message     string
	ServiceName string            `json:"serviceName,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Alerts      []Alert           `json:",omitempty"`
	NodeID      string            `json:",omitempty"`
	NodeLabel   map[string]string `json:",omitempty"`
}

// Alert is one of a service's alerts.
type Alert struct {
	Name        string            `json:"AlertNameFormatted"`
	ServiceName string            `json:"serviceName"`
	If          string            `json:"alertIf"`
	For         string            `json:"alertFor"`
	Labels      map[string]string `json:"alertLabels"`
	Annotations map[string]string `json:"alertAnnotations"`
}

// Mount adds the paths. All but ping need the token.
func (a *API) Mount(r chi.Router) {
	empty := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
	}
	anyWay(r, "/ping", empty)
	r.Get(Prefix+"/", empty)
	r.Group(func(r chi.Router) {
		r.Use(app.RequireToken(a.Token))
		anyWay(r, "/reconfigure", a.form(a.reconfigure))
		anyWay(r, "/remove", a.form(a.remove))
		anyWay(r, "/node/reconfigure", a.form(a.nodeReconfigure))
		anyWay(r, "/node/remove", a.form(a.nodeRemove))
	})
}

// anyWay admits each method, and a slash at the end, as Docker Flow does.
func anyWay(r chi.Router, path string, handle http.HandlerFunc) {
	r.HandleFunc(Prefix+path, handle)
	r.HandleFunc(Prefix+path+"/", handle)
}

// form hands the parameters to a handler.
func (a *API) form(handle func(http.ResponseWriter, *http.Request, url.Values)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		form, status, err := manual.Form(w, r)
		if err != nil {
			write(w, status, Response{Message: err.Error()})
			return
		}
		handle(w, r, form)
	}
}

func write(w http.ResponseWriter, status int, answer Response) {
	answer.Status = status
	app.WriteJSON(w, status, answer)
}

// free answers the request itself unless a name can be asked for over HTTP.
func (a *API) free(w http.ResponseWriter, name string) bool {
	v := a.View()
	if v == nil {
		write(w, http.StatusServiceUnavailable, Response{ServiceName: name, Message: "the swarm is not known yet, and nothing was changed"})
		return false
	}
	if own, taken := Owner(v.Services, name); taken {
		write(w, http.StatusConflict, Response{ServiceName: name, Message: own.Name + " is a service of the swarm with labels of its own, which come before what is asked for over HTTP"})
		return false
	}
	return true
}

// reconfigure makes a service wanted, all of it, and answers when it is in force.
func (a *API) reconfigure(w http.ResponseWriter, r *http.Request, form url.Values) {
	svc, err := manual.Service(form, time.Now())
	if err == nil {
		err = a.Check(svc)
	}
	if err != nil {
		write(w, http.StatusBadRequest, Response{ServiceName: svc.Name, Message: err.Error()})
		return
	}
	if !a.free(w, svc.Name) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.Patience)
	defer cancel()
	if err := a.Services.Put(ctx, svc); err != nil {
		a.away(w, svc.Name, err)
		return
	}
	a.Note(audit.Asked(r, audit.ServiceAskedFor, svc.Name))
	var now desired.Service
	var st catalog.Status
	loaded := false
	err = a.Await(ctx, func(v *loop.View) bool {
		loaded = false
		if asked, ok := v.Asked.Services[svc.ID]; !ok || !maps.Equal(asked.Labels, svc.Labels) || v.Err != "" {
			return false
		}
		loaded = true
		for i, one := range v.State.Services {
			if one.ID == svc.ID {
				now, st = one, v.Statuses[i]
				return st.State != catalog.StateAccepted
			}
		}
		return true
	})
	answer := Response{ServiceName: svc.Name, Labels: plain(svc.Labels), Alerts: alerts(now.Rules)}
	switch {
	case err != nil && !loaded:
		answer.Message = a.late(err)
		write(w, http.StatusGatewayTimeout, answer)
	case len(now.Faults) > 0:
		answer.Message = st.Reason + "; it stays asked for, and is in force once nothing is in its way: remove takes it back"
		write(w, http.StatusConflict, answer)
	default:
		answer.Message = st.Reason
		write(w, http.StatusOK, answer)
	}
}

// remove makes a service no longer wanted, and answers when it is gone.
func (a *API) remove(w http.ResponseWriter, r *http.Request, form url.Values) {
	name, err := manual.Name(form)
	if err != nil {
		write(w, http.StatusBadRequest, Response{Message: err.Error()})
		return
	}
	if !a.free(w, name) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.Patience)
	defer cancel()
	if err := a.Services.Remove(ctx, name); err != nil {
		a.away(w, name, err)
		return
	}
	a.Note(audit.Asked(r, audit.ServiceRemoved, name))
	a.settled(ctx, w, Response{ServiceName: name}, func(v *loop.View) bool {
		_, there := v.Asked.Services[manual.ID(name)]
		return !there && v.Err == ""
	})
}

// nodeReconfigure says what labels a node has that the swarm does not know.
func (a *API) nodeReconfigure(w http.ResponseWriter, r *http.Request, form url.Values) {
	id := form.Get("id")
	node := maps.Clone(form)
	delete(node, "id")
	node.Set("serviceName", id)
	svc, err := manual.Service(node, time.Now())
	if id == "" {
		err = errors.New("the parameter id is mandatory")
	}
	if err != nil {
		write(w, http.StatusBadRequest, Response{NodeID: id, Message: strings.ReplaceAll(err.Error(), "serviceName", "id")})
		return
	}
	delete(svc.Labels, catalog.Notify)
	ctx, cancel := context.WithTimeout(r.Context(), a.Patience)
	defer cancel()
	if err := a.Nodes.Put(ctx, svc); err != nil {
		a.away(w, id, err)
		return
	}
	a.settled(ctx, w, Response{NodeID: id, NodeLabel: plain(svc.Labels)}, func(v *loop.View) bool {
		return maps.Equal(v.Asked.Nodes[svc.ID].Labels, svc.Labels) && v.Err == ""
	})
}

// nodeRemove forgets what was said of a node.
func (a *API) nodeRemove(w http.ResponseWriter, r *http.Request, form url.Values) {
	id := form.Get("id")
	if _, err := manual.Name(url.Values{"serviceName": {id}}); err != nil {
		write(w, http.StatusBadRequest, Response{NodeID: id, Message: strings.ReplaceAll(err.Error(), "serviceName", "id")})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.Patience)
	defer cancel()
	if err := a.Nodes.Remove(ctx, id); err != nil {
		a.away(w, id, err)
		return
	}
	a.settled(ctx, w, Response{NodeID: id}, func(v *loop.View) bool {
		_, there := v.Asked.Nodes[manual.ID(id)]
		return !there && v.Err == ""
	})
}

// settled answers when a view is as it should be.
func (a *API) settled(ctx context.Context, w http.ResponseWriter, answer Response, so func(*loop.View) bool) {
	if err := a.Await(ctx, so); err != nil {
		answer.Message = a.late(err)
		write(w, http.StatusGatewayTimeout, answer)
		return
	}
	write(w, http.StatusOK, answer)
}

func (a *API) away(w http.ResponseWriter, name string, err error) {
	a.Log.Warn("what was asked for over HTTP cannot be stored", "name", name, "error", err)
	message := "the bus is away, and nothing was changed: " + err.Error()
	if errors.Is(err, bus.ErrNotSynced) {
		message = "the bus has not been read yet, and nothing was changed"
	}
	write(w, http.StatusServiceUnavailable, Response{ServiceName: name, Message: message})
}

// late says that it was not seen to be in force in time, and why as far as it is known.
func (a *API) late(err error) string {
	text := fmt.Sprintf("not in force after %s: %v", a.Patience, err)
	if v := a.View(); v != nil && v.Err != "" {
		text += ": " + v.Err
	}
	return text
}

// plain are labels without their prefix.
func plain(labels map[string]string) map[string]string {
	out := map[string]string{}
	for full, text := range labels {
		if full != catalog.Notify {
			out[strings.TrimPrefix(full, catalog.Prefix)] = text
		}
	}
	return out
}

func alerts(rules []alert.Rule) []Alert {
	var out []Alert
	for _, r := range rules {
		if r.Record {
			continue
		}
		out = append(out, Alert{Name: r.Name, ServiceName: r.Service, If: r.Expr, For: r.For, Labels: r.Labels, Annotations: r.Annotations})
	}
	return out
}
