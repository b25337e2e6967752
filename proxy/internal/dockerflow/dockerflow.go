// Package dockerflow is the HTTP interface of Docker Flow Proxy, for scripts and
// companions that call it. What it changes is wanted state on the bus, which every
// replica reads, so nothing needs to be distributed.
package dockerflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/manual"
	"github.com/wagglehq/waggle/proxy/internal/api"
	"github.com/wagglehq/waggle/proxy/internal/controller"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/claims"
	"github.com/wagglehq/waggle/proxy/internal/wish/route/labels"
)

// Prefix starts every path.
const Prefix = "/v1/docker-flow-proxy"

// Patience is how long a request waits for its change to be in force.
const Patience = 10 * time.Second

// API holds what the handlers need.
type API struct {
	Token app.Secret
	// From are networks whose requests need no token.
	From  []netip.Prefix
	Store manual.Writer
	// View returns what became of the last pass, nil before the first; Await returns
	// when a view is as it should be.
	View  func() *controller.View
	Await func(ctx context.Context, so func(*controller.View) bool) error
	// Reload asks for a pass, with forget for one that loads everything anew, and
	// returns its number.
	Reload func(forget bool) uint64
	// Check returns what is wrong with the labels of a service.
	Check func(catalog.Service) error
	// Stat returns HAProxy's statistics as CSV.
	Stat func(context.Context) (string, error)
	// Certs is the interface to certificates.
	Certs api.Certs
	// Patience is how long requests wait.
	Patience time.Duration
	// Note takes who changed what.
	Note func(audit.Entry)
	Log  *slog.Logger
}

// Response is Docker Flow Proxy's form of an answer. Service holds the labels of the
// service without their prefix; secret ones are hidden.
type Response struct {
	Status      string
	Message     string
	ServiceName string            `json:",omitempty"`
	Service     map[string]string `json:",omitempty"`
}

// Mount adds the paths. All but ping and certs need the token.
func (a *API) Mount(r chi.Router) {
	r.Get(Prefix+"/ping", func(w http.ResponseWriter, _ *http.Request) {
		app.WriteJSON(w, http.StatusOK, Response{Status: "OK"})
	})
	r.Group(func(r chi.Router) {
		r.Use(app.RequireTokenUnless(a.Token, a.From))
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			r.Method(method, Prefix+"/reconfigure", a.form(a.reconfigure))
			r.Method(method, Prefix+"/remove", a.form(a.remove))
			r.Method(method, Prefix+"/reload", a.form(a.reload))
		}
		r.Delete(Prefix+"/remove", a.form(a.remove))
		r.Get(Prefix+"/config", a.config)
		r.Get(Prefix+"/metrics", a.metrics)
		r.Get(Prefix+"/successfulinitreload", a.initialised)
		r.Put(Prefix+"/cert", func(w http.ResponseWriter, r *http.Request) { a.Certs.Upload(w, r, r.URL.Query().Get("certName")) })
	})
	r.Get(Prefix+"/certs", a.Certs.List)
}

// form hands the parameters to a handler.
func (a *API) form(handle func(http.ResponseWriter, *http.Request, url.Values)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		form, status, err := manual.Form(w, r)
		if err != nil {
			nok(w, status, Response{Message: err.Error()})
			return
		}
		handle(w, r, form)
	}
}

func nok(w http.ResponseWriter, status int, answer Response) {
	answer.Status = "NOK"
	app.WriteJSON(w, status, answer)
}

// reconfigure makes a service wanted, and answers when it is in force here.
func (a *API) reconfigure(w http.ResponseWriter, r *http.Request, form url.Values) {
	svc, err := manual.Service(form, time.Now())
	answer := Response{ServiceName: svc.Name, Service: shown(svc)}
	if err == nil {
		err = a.Check(svc)
	}
	if err != nil {
		answer.Message = err.Error()
		status := http.StatusBadRequest
		if errors.Is(err, route.ErrNoRoute) {
			status = http.StatusConflict
		}
		nok(w, status, answer)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.Patience)
	defer cancel()
	if err := a.Store.Put(ctx, svc); err != nil {
		a.away(w, answer, err)
		return
	}
	a.Note(audit.Asked(r, audit.ServiceAskedFor, svc.Name))
	var refused error
	err = a.Await(ctx, func(v *controller.View) bool {
		var settled bool
		settled, refused = judge(v, svc)
		return settled
	})
	switch {
	case err != nil:
		answer.Message = a.late(err)
		nok(w, http.StatusGatewayTimeout, answer)
	case refused != nil:
		answer.Message = refused.Error() + "; it stays asked for, and is in force once nothing is in its way: remove takes it back"
		nok(w, http.StatusConflict, answer)
	default:
		answer.Status = "OK"
		if a.awaitTask(ctx, svc.ID) != nil {
			answer.Message = "no task can be reached yet, requests are answered 503"
		}
		app.WriteJSON(w, http.StatusOK, answer)
	}
}

// taskPatience is how long the first address of a service is awaited: it is asked for
// when its routes are settled, and may come just after they are in force.
const taskPatience = time.Second

// awaitTask returns when a service in force has an address.
func (a *API) awaitTask(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, taskPatience)
	defer cancel()
	return a.Await(ctx, func(v *controller.View) bool { return len(v.Reached(id)) > 0 })
}

// judge tells whether it is settled what became of a service, and why it is not in force.
func judge(v *controller.View, svc catalog.Service) (settled bool, refused error) {
	if !v.FromBus {
		return false, nil
	}
	for _, d := range v.Desired.Verdicts {
		if d.Service.ID == svc.ID && maps.Equal(d.Service.Labels, svc.Labels) {
			return d.Err != nil || v.Err == nil, d.Err
		}
	}
	return false, nil
}

// remove makes a service no longer wanted, and answers when it is gone here.
func (a *API) remove(w http.ResponseWriter, r *http.Request, form url.Values) {
	name, err := manual.Name(form)
	answer := Response{ServiceName: name}
	if err != nil {
		answer.Message = err.Error()
		nok(w, http.StatusBadRequest, answer)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.Patience)
	defer cancel()
	if err := a.Store.Remove(ctx, name); err != nil {
		a.away(w, answer, err)
		return
	}
	a.Note(audit.Asked(r, audit.ServiceRemoved, name))
	id := manual.ID(name)
	elsewhere := false
	err = a.Await(ctx, func(v *controller.View) bool {
		elsewhere = slices.ContainsFunc(v.Desired.Verdicts, func(d claims.Verdict) bool { return d.Service.Name == name && d.Service.ID != id })
		return v.Err == nil && !slices.ContainsFunc(v.Desired.Verdicts, func(d claims.Verdict) bool { return d.Service.ID == id })
	})
	switch {
	case err != nil:
		answer.Message = a.late(err)
		nok(w, http.StatusGatewayTimeout, answer)
	case elsewhere:
		answer.Message = name + " has labels of its own, or variables of the proxy: it is theirs to take it out"
		nok(w, http.StatusConflict, answer)
	default:
		answer.Status = "OK"
		app.WriteJSON(w, http.StatusOK, answer)
	}
}

// reload makes a pass now. Where the catalog comes from makes no difference.
func (a *API) reload(w http.ResponseWriter, r *http.Request, form url.Values) {
	forget, err := boolean(form, "recreate")
	if err != nil {
		nok(w, http.StatusBadRequest, Response{Message: err.Error()})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.Patience)
	defer cancel()
	pass := a.Reload(forget)
	note := audit.Asked(r, audit.Reloaded, "")
	if forget {
		note.Detail = "everything anew"
	}
	a.Note(note)
	if err := a.Await(ctx, func(v *controller.View) bool { return v.Pass >= pass && v.Err == nil }); err != nil {
		if v := a.View(); v != nil && v.Err != nil {
			nok(w, http.StatusInternalServerError, Response{Message: v.Err.Error()})
			return
		}
		nok(w, http.StatusGatewayTimeout, Response{Message: a.late(err)})
		return
	}
	app.WriteJSON(w, http.StatusOK, Response{Status: "OK"})
}

func boolean(form url.Values, name string) (bool, error) {
	text := form.Get(name)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s=%q: want true or false", name, label.Show(text, false))
	}
	return b, nil
}

// config tells the configuration, or as JSON the services in force with their labels.
func (a *API) config(w http.ResponseWriter, r *http.Request) {
	v := a.View()
	if v == nil || !strings.EqualFold(r.URL.Query().Get("type"), "json") {
		api.WriteConfig(w, v)
		return
	}
	out := map[string]map[string]string{}
	for _, svc := range v.Desired.Accepted {
		out[svc.Name] = shown(svc)
	}
	app.WriteJSON(w, http.StatusOK, out)
}

// metrics tells HAProxy's statistics in its own form.
func (a *API) metrics(w http.ResponseWriter, r *http.Request) {
	text, err := a.Stat(r.Context())
	if err != nil {
		nok(w, http.StatusInternalServerError, Response{Message: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the client has gone; there is nobody to tell
}

// initialised tells whether a complete catalog is in force.
func (a *API) initialised(w http.ResponseWriter, _ *http.Request) {
	if v := a.View(); v == nil || v.Hash == "" || !v.FromBus {
		nok(w, http.StatusInternalServerError, Response{Message: "no complete catalog is in force yet"})
		return
	}
	app.WriteJSON(w, http.StatusOK, Response{Status: "OK"})
}

func (a *API) away(w http.ResponseWriter, answer Response, err error) {
	a.Log.Warn("what was asked for over HTTP cannot be stored", "name", answer.ServiceName, "error", err)
	answer.Message = "the bus is away, and nothing was changed: " + err.Error()
	if errors.Is(err, bus.ErrNotSynced) {
		answer.Message = "the bus has not been read yet, and nothing was changed"
	}
	nok(w, http.StatusServiceUnavailable, answer)
}

// late says that it was not seen to be in force in time, and why as far as it is known.
func (a *API) late(err error) string {
	text := fmt.Sprintf("not in force after %s: %v", a.Patience, err)
	if v := a.View(); v != nil && v.Err != nil {
		text += ": " + v.Err.Error()
	}
	return text
}

// shown are the labels of a service without their prefix, secret ones hidden, and
// those that put a secret into a header.
func shown(svc catalog.Service) map[string]string {
	if len(svc.Labels) == 0 {
		return nil
	}
	secret := map[string]bool{}
	for _, spec := range slices.Concat(labels.Table(), labels.Unsupported()) {
		secret[spec.Name] = spec.Secret
	}
	out := make(map[string]string, len(svc.Labels))
	for key, text := range svc.Labels {
		name := strings.TrimPrefix(key, catalog.Prefix)
		base, _ := label.SplitIndex(name)
		if secret[base] || strings.HasSuffix(base, "Header") && slices.ContainsFunc(strings.FieldsFunc(text, between), file.SecretHeader) {
			text = label.Show(text, true)
		}
		out[name] = text
	}
	return out
}

// between reports what may stand between the name of a header and other words.
func between(r rune) bool { return strings.ContainsRune(" \t,;|:", r) }
