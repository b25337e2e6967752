// Package api is the scaler's HTTP interface: Alertmanager's webhook, requests by
// hand in the form of Docker Flow's scaler, and what was decided.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/clock"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
	"github.com/wagglehq/waggle/scaler/internal/webhook"
)

// maxBody is the largest delivery that is read: Alertmanager does not send again what is
// refused, and a group of ten thousand alerts takes some megabytes.
const maxBody = 8 << 20

// API holds what the handlers need.
type API struct {
	Token    app.Secret
	Snapshot func() (catalog.Snapshot, bool)
	Store    *store.Store
	Engine   *engine.Engine
	// Note takes who had what scaled by hand.
	Note func(audit.Entry)
	Now  func() time.Time
	Log  *slog.Logger
	// TooLarge counts the deliveries that were too large, and so lost.
	TooLarge prometheus.Counter
	// Patience is how long a request by hand waits for its decision, by Clock.
	Patience time.Duration
	Clock    clock.Clock
	// Prefix is a path under which everything answers besides.
	Prefix string
}

// answer is Docker Flow's form of an answer, with the decision added.
type answer struct {
	Status   string           `json:"status"`
	Message  string           `json:"message"`
	Decision *decide.Decision `json:"decision,omitempty"`
	// Request is the ID of a request by hand; the same ID again gets the same answer.
	Request string `json:"request,omitempty"`
}

// NewTooLarge returns the counter of deliveries that were too large, registered.
func NewTooLarge(reg prometheus.Registerer) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "waggle", Subsystem: "scaler", Name: "deliveries_too_large_total",
		Help: "Deliveries and requests above 8 MiB, which are refused and not sent again.",
	})
	reg.MustRegister(c)
	return c
}

// Routes adds the interface to a router.
func (a *API) Routes(r chi.Router) {
	for _, prefix := range slices.Compact([]string{"", a.Prefix}) {
		r.Route(prefix+"/v1", a.routes)
	}
}

func (a *API) routes(r chi.Router) {
	r.Group(func(r chi.Router) {
		r.Get("/ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
		r.Get("/decisions", a.decisions)
		r.Get("/stop", a.stopped)
		r.Get("/services", a.services)
		r.Get("/services/{name}", a.service)
		r.Group(func(r chi.Router) {
			r.Use(app.TellWrongToken(a.Token), app.RequireToken(a.Token))
			r.Post("/alerts", a.alerts)
			r.Post("/scale-service", a.scaleService)
			r.Put("/stop", a.stop)
			r.Delete("/stop", a.resume)
			r.Post("/reschedule-services", a.rescheduleAll)
			r.Post("/reschedule-service", a.rescheduleOne)
			r.Post("/scale-nodes", func(w http.ResponseWriter, _ *http.Request) {
				nok(w, http.StatusNotFound, "scale-nodes is not supported: only services are scaled")
			})
		})
	})
}

func ok(w http.ResponseWriter, message string) {
	app.WriteJSON(w, http.StatusOK, answer{Status: "OK", Message: message})
}

func nok(w http.ResponseWriter, status int, message string) {
	app.WriteJSON(w, status, answer{Status: "NOK", Message: message})
}

// refused answers with a decision that was made without a request.
func refused(w http.ResponseWriter, status int, d decide.Decision) {
	app.WriteJSON(w, status, answer{Status: "NOK", Message: d.Message, Decision: &d})
}

// alerts takes Alertmanager's webhook only.
func (a *API) alerts(w http.ResponseWriter, r *http.Request) { a.take(w, r, false) }

// scaleService takes Alertmanager's webhook and requests by hand.
func (a *API) scaleService(w http.ResponseWriter, r *http.Request) { a.take(w, r, true) }

func (a *API) take(w http.ResponseWriter, r *http.Request, byHand bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if errors.As(err, new(*http.MaxBytesError)) {
		a.TooLarge.Inc()
		nok(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("%v: %v", webhook.ErrBody, err))
		return
	}
	if err != nil {
		nok(w, http.StatusBadRequest, fmt.Sprintf("%v: %v", webhook.ErrBody, err))
		return
	}
	asked, err := webhook.Parse(body, r.URL.Query())
	if err == nil && asked.ByHand && !byHand {
		err = fmt.Errorf("%w: alerts and status are missing; requests by hand go to /v1/scale-service", webhook.ErrBody)
	}
	if err != nil {
		refused(w, http.StatusBadRequest, a.misread(&webhook.Fault{Service: webhook.BadRequest, Err: err}))
		return
	}
	if asked.ByHand {
		a.takeRequest(w, r, asked)
		return
	}
	if byHand {
		a.takeWishes(w, r, asked)
		return
	}
	a.takeAlerts(w, r, asked)
}

// takeAlerts makes the signals what the delivery says. It fails only if nothing
// of the delivery could be taken: Alertmanager delivers again what failed with
// 5xx, and logs what failed with 4xx.
func (a *API) takeAlerts(w http.ResponseWriter, r *http.Request, asked webhook.Request) {
	snapshot, complete := a.Snapshot()
	if !complete {
		nok(w, http.StatusServiceUnavailable, engine.ErrNotReady.Error())
		return
	}
	texts, status := a.faults(asked)
	taken := asked.Idle > 0
	var news []signal.News
	for _, ask := range asked.Asks {
		svc, err := a.find(snapshot, ask.Service)
		if err != nil && len(ask.Firing) > 0 {
			texts = append(texts, a.refuse(svc, ask, err).Message)
			status = max(status, code(err))
			continue
		}
		if errors.Is(err, policy.ErrUnknown) || errors.Is(err, policy.ErrAmbiguous) {
			// What has ended ends also for a service that was removed meanwhile.
			taken = true
			texts = append(texts, label.Show(ask.Service, false)+": nothing to end")
			continue
		}
		news = append(news, signal.News{
			ServiceID: svc.ID, Service: svc.Name, Direction: ask.Direction,
			Firing: ask.Firing, Resolved: ask.Resolved, AllResolved: ask.AllResolved,
		})
	}
	stored, err := a.store(r.Context(), news)
	if err != nil {
		nok(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	taken = taken || len(stored) > 0
	texts = append(texts, stored...)
	if !taken {
		nok(w, status, strings.Join(texts, "; "))
		return
	}
	ok(w, strings.Join(texts, "; "))
}

// storeAtOnce bounds how many signals are written at the same time.
const storeAtOnce = 16

// store makes the signals what they are by the news of one delivery, and returns a text for
// each. They are written at the same time, because each waits for the bus.
func (a *API) store(ctx context.Context, news []signal.News) ([]string, error) {
	now := a.Now()
	texts := make([]string, len(news))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(storeAtOnce)
	for i, n := range news {
		g.Go(func() error {
			sig, err := a.Store.Take(ctx, n, now)
			if err != nil {
				a.Log.Warn("signal not stored", "swarm_service", n.Service, "error", err)
				return fmt.Errorf("%s: the signal could not be stored: %w", n.Service, err)
			}
			texts[i] = fmt.Sprintf("%s: %d alerts ask for %s", n.Service, len(sig.Alerts), n.Direction)
			return nil
		})
	}
	return texts, g.Wait()
}

// faults records what was not understood, and returns the texts and the answer.
func (a *API) faults(asked webhook.Request) (texts []string, status int) {
	for _, f := range asked.Faults {
		texts = append(texts, a.misread(f).Message)
		status = max(status, code(f))
	}
	if asked.Idle > 0 {
		texts = append(texts, fmt.Sprintf("%d alerts ask for nothing", asked.Idle))
	}
	return texts, status
}

// takeWishes takes a delivery of alerts that is not remembered: what fires is asked for
// once. Of one service up goes before down.
func (a *API) takeWishes(w http.ResponseWriter, r *http.Request, asked webhook.Request) {
	snapshot, complete := a.Snapshot()
	if !complete {
		nok(w, http.StatusServiceUnavailable, engine.ErrNotReady.Error())
		return
	}
	texts, status := a.faults(asked)
	taken := asked.Idle > 0
	up := map[string]bool{}
	for _, one := range a.wishes(snapshot, asked.Asks) {
		svc, ask, err := one.svc, one.ask, one.err
		if len(ask.Firing) == 0 || ask.Direction == signal.Down && up[one.key()] {
			taken = true
			texts = append(texts, label.Show(ask.Service, false)+": nothing is asked for")
			continue
		}
		up[one.key()] = true
		if err != nil {
			texts = append(texts, a.refuse(svc, ask, err).Message)
			status = max(status, code(err))
			continue
		}
		if err := a.Engine.Away(); err != nil {
			nok(w, http.StatusServiceUnavailable, fmt.Sprintf("%s stays as it is: %v", svc.Name, err))
			return
		}
		d, code, text := a.ask(r.Context(), wish(svc, ask, a.Now()))
		if code >= http.StatusInternalServerError {
			nok(w, code, text)
			return
		}
		taken = true
		texts = append(texts, d.Message)
	}
	if !taken {
		nok(w, status, strings.Join(texts, "; "))
		return
	}
	ok(w, strings.Join(texts, "; "))
}

// wanted is what alerts of a delivery ask of a service, or why they may not.
type wanted struct {
	svc catalog.Service
	ask webhook.Ask
	err error
}

// key is the same for all that is about one service.
func (w wanted) key() string { return cmp.Or(w.svc.ID, w.ask.Service) }

// wishes finds the services of what is asked for, all that goes up first. Alerts may call a
// service by its name, by its ID or by what it is called: they are one wish all the same.
func (a *API) wishes(snapshot catalog.Snapshot, asks []webhook.Ask) []wanted {
	var out []wanted
	for _, direction := range []signal.Direction{signal.Up, signal.Down} {
		places := map[string]int{}
		for _, ask := range slices.Backward(asks) {
			if ask.Direction != direction {
				continue
			}
			one := wanted{ask: ask}
			one.svc, one.err = a.find(snapshot, ask.Service)
			if place, ok := places[one.key()]; ok {
				same := &out[place].ask
				same.Firing = append(same.Firing, ask.Firing...)
				continue
			}
			places[one.key()] = len(out)
			out = append(out, one)
		}
	}
	return out
}

// wish is what a delivery asks of a service: the greatest of its alerts.
func wish(svc catalog.Service, ask webhook.Ask, now time.Time) signal.Request {
	request := signal.Request{ID: rand.Text(), ServiceID: svc.ID, Service: svc.Name, Direction: ask.Direction, ReceivedAt: now}
	for _, one := range ask.Firing {
		request.By, request.Settle = max(request.By, one.By), max(request.Settle, one.Settle)
		if len(request.Alerts) < signal.MostAlerts {
			request.Alerts = append(request.Alerts, one.Fingerprint)
		}
	}
	return request
}

// takeRequest puts a request by hand and waits for its decision.
func (a *API) takeRequest(w http.ResponseWriter, r *http.Request, asked webhook.Request) {
	for _, f := range asked.Faults {
		refused(w, code(f), a.misread(f))
		return
	}
	snapshot, complete := a.Snapshot()
	if !complete {
		nok(w, http.StatusServiceUnavailable, engine.ErrNotReady.Error())
		return
	}
	ask := asked.Asks[0]
	svc, err := a.find(snapshot, ask.Service)
	if err != nil {
		refused(w, code(err), a.refuse(svc, ask, err))
		return
	}
	if err := a.Engine.Away(); err != nil {
		nok(w, http.StatusServiceUnavailable, fmt.Sprintf("%s stays as it is: %v", svc.Name, err))
		return
	}
	id := requestID(r)
	if len(id) > 128 {
		nok(w, http.StatusBadRequest, "the ID of a request may have 128 characters")
		return
	}
	d, status, message := a.ask(r.Context(), signal.Request{
		ID: id, ServiceID: svc.ID, Service: svc.Name, Direction: ask.Direction, By: ask.By, To: ask.To, Force: ask.Force, ReceivedAt: a.Now(),
	})
	if status == http.StatusConflict {
		nok(w, status, message)
		return
	}
	note := audit.Asked(r, audit.ScaledByHand, svc.Name)
	note.Detail = "no decision was heard of"
	if d != nil {
		note.From, note.To, note.Detail = &d.From, &d.To, d.Message
	}
	a.Note(note)
	out := answer{Status: "OK", Message: message, Decision: d}
	if status != http.StatusOK {
		out.Status = "NOK"
	}
	if d != nil {
		out.Request = id
	}
	app.WriteJSON(w, status, out)
}

// ask puts a request and waits for its decision. Without one the answer says why.
func (a *API) ask(ctx context.Context, r signal.Request) (d *decide.Decision, status int, message string) {
	request, err := a.Store.Ask(ctx, r)
	switch {
	case errors.Is(err, store.ErrDuplicate):
		return nil, http.StatusConflict, err.Error()
	case err != nil:
		a.Log.Warn("request not stored", "swarm_service", r.Service, "error", err)
		return nil, http.StatusServiceUnavailable, fmt.Sprintf("%s: the request could not be stored: %v", r.Service, err)
	}
	ctx, cancel := a.Clock.WithTimeout(ctx, a.Patience)
	defer cancel()
	data, err := a.Store.Wait(ctx, request.ServiceID, request.ID)
	if err != nil {
		return nil, http.StatusServiceUnavailable, fmt.Sprintf("%s: whether the request was granted is not known yet: %v; see /v1/decisions", r.Service, err)
	}
	if data == nil {
		return nil, http.StatusGatewayTimeout, fmt.Sprintf("%s: the request expired after %s without a decision; nothing was scaled", r.Service, a.Patience)
	}
	d = new(decide.Decision)
	if err := json.Unmarshal(data, d); err != nil {
		return nil, http.StatusInternalServerError, fmt.Sprintf("answer: %v", err)
	}
	message = d.Message
	if d.DryRun && d.Action == decide.Scaled {
		message += " (dry run: nothing was changed)"
	}
	if d.Code == decide.CodeDocker {
		return d, http.StatusServiceUnavailable, message
	}
	return d, http.StatusOK, message
}

// stop stops all scaling, until resume.
func (a *API) stop(w http.ResponseWriter, r *http.Request) {
	reason := label.Show(strings.TrimSpace(r.URL.Query().Get("reason")), false)
	if reason == "" {
		nok(w, http.StatusBadRequest, "want a reason, such as /v1/stop?reason=moving+the+storage")
		return
	}
	if err := a.Store.Stop(r.Context(), signal.Stop{Reason: reason, Since: a.Now().UTC()}); err != nil {
		nok(w, http.StatusServiceUnavailable, fmt.Sprintf("the stop could not be stored: %v", err))
		return
	}
	note := audit.Asked(r, audit.ScalingStopped, "all services")
	note.Detail = reason
	a.Note(note)
	ok(w, "all scaling is stopped: "+reason)
}

func (a *API) resume(w http.ResponseWriter, r *http.Request) {
	if err := a.Store.Resume(r.Context()); err != nil {
		nok(w, http.StatusServiceUnavailable, fmt.Sprintf("the end of the stop could not be stored: %v", err))
		return
	}
	a.Note(audit.Asked(r, audit.ScalingResumed, "all services"))
	ok(w, "scaling is not stopped")
}

// stopped says whether all scaling is stopped.
func (a *API) stopped(w http.ResponseWriter, r *http.Request) {
	stop, err := a.Store.Stopped(r.Context())
	if err != nil {
		app.WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	app.WriteJSON(w, http.StatusOK, struct {
		Stop *signal.Stop `json:"stop"`
	}{stop})
}

// requestID returns the ID that a client gave, so that it may ask again without
// being granted twice, or a new one.
func requestID(r *http.Request) string {
	if id := r.Header.Get("Idempotency-Key"); id != "" {
		return id
	}
	if id := r.URL.Query().Get("id"); id != "" {
		return id
	}
	return rand.Text()
}

// find returns the service that a request names. The error is that of
// policy.Find, with no service but the name, or that of policy.FromService.
func (a *API) find(snapshot catalog.Snapshot, name string) (catalog.Service, error) {
	svc, err := policy.Find(snapshot, name)
	if err != nil {
		return catalog.Service{Name: label.Show(name, false)}, err
	}
	return svc, a.Engine.Admits(svc)
}

// refuse records that a service is not scaled and returns the decision for whoever asked.
func (a *API) refuse(svc catalog.Service, ask webhook.Ask, err error) decide.Decision {
	d := decide.Refuse(svc.ID, svc.Name, decide.Asked{Direction: ask.Direction}, decide.Code(policy.Code(err)), policy.Why(err), a.Now())
	a.Engine.Refuse(d)
	return d
}

// misread records that a request was not understood and returns the decision for whoever asked.
func (a *API) misread(f *webhook.Fault) decide.Decision {
	d := decide.Refuse("", label.Show(f.Service, false), decide.Asked{Direction: f.Direction}, decide.CodeBadRequest, f.Error(), a.Now())
	d.Message = d.Reason
	a.Engine.Refuse(d)
	return d
}

// code is the answer to what was refused. It is never 5xx, so that Alertmanager
// does not deliver again what cannot be granted.
func code(err error) int {
	switch {
	case errors.Is(err, policy.ErrUnknown), errors.Is(err, webhook.ErrNodes):
		return http.StatusNotFound
	case errors.Is(err, policy.ErrAmbiguous), errors.Is(err, policy.ErrGlobal), errors.Is(err, policy.ErrJob):
		return http.StatusConflict
	case errors.Is(err, policy.ErrNotAsked), errors.Is(err, policy.ErrNotNotified), errors.Is(err, policy.ErrUnlabeled):
		return http.StatusForbidden
	case label.First(err) != nil, errors.As(err, new(*catalog.OversizeError)):
		return http.StatusUnprocessableEntity
	}
	return http.StatusBadRequest
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

func (a *API) decisions(w http.ResponseWriter, r *http.Request) {
	limit := defaultLimit
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			app.WriteError(w, http.StatusBadRequest, fmt.Errorf("limit=%q: want a whole number from 1 to %d", label.Show(text, false), maxLimit))
			return
		}
		limit = n
	}
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	all, err := a.Engine.Decisions(ctx, r.URL.Query().Get("service"), limit)
	if err != nil {
		app.WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	if r.URL.Query().Get("format") == "text" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text(all, r.URL.Query().Get("service") != "", a.Now()))
		return
	}
	app.WriteJSON(w, http.StatusOK, all)
}

func (a *API) services(w http.ResponseWriter, _ *http.Request) {
	all, err := a.Engine.Views()
	if err != nil {
		app.WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	app.WriteJSON(w, http.StatusOK, all)
}

func (a *API) service(w http.ResponseWriter, r *http.Request) {
	view, err := a.Engine.ViewOf(chi.URLParam(r, "name"))
	switch {
	case errors.Is(err, engine.ErrNotReady):
		app.WriteError(w, http.StatusServiceUnavailable, err)
	case err != nil:
		app.WriteError(w, code(err), fmt.Errorf("%s %w", label.Show(chi.URLParam(r, "name"), false), err))
	default:
		app.WriteJSON(w, http.StatusOK, view)
	}
}
