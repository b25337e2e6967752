package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/webhook"
)

// rescheduleAll has the tasks of all services spread anew whose label says so.
func (a *API) rescheduleAll(w http.ResponseWriter, r *http.Request) {
	snapshot, complete := a.Snapshot()
	if !complete {
		nok(w, http.StatusServiceUnavailable, engine.ErrNotReady.Error())
		return
	}
	var services []catalog.Service
	for _, svc := range snapshot.Sorted() {
		if a.Engine.AdmitsMoves(svc) == nil {
			services = append(services, svc)
		}
	}
	if len(services) == 0 {
		ok(w, "No services to reschedule")
		return
	}
	a.reschedule(w, r, services)
}

// rescheduleOne has those of one service spread anew.
func (a *API) rescheduleOne(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("service")
	if name == "" {
		refused(w, http.StatusBadRequest, a.misread(&webhook.Fault{Service: webhook.BadRequest, Err: webhook.ErrNoService}))
		return
	}
	snapshot, complete := a.Snapshot()
	if !complete {
		nok(w, http.StatusServiceUnavailable, engine.ErrNotReady.Error())
		return
	}
	svc, err := policy.Find(snapshot, name)
	if err != nil {
		svc = catalog.Service{Name: label.Show(name, false)}
	} else {
		err = a.Engine.AdmitsMoves(svc)
	}
	if err != nil {
		d := decide.Refuse(svc.ID, svc.Name, decide.Asked{Want: decide.WantRebalance, Direction: signal.Up}, decide.Code(policy.Code(err)), policy.Why(err), a.Now())
		a.Engine.Refuse(d)
		refused(w, code(err), d)
		return
	}
	a.reschedule(w, r, []catalog.Service{svc})
}

func (a *API) reschedule(w http.ResponseWriter, r *http.Request, services []catalog.Service) {
	if err := a.Engine.Away(); err != nil {
		nok(w, http.StatusServiceUnavailable, fmt.Sprintf("nothing is rescheduled: %v", err))
		return
	}
	var names []string
	for _, svc := range services {
		if err := a.Store.AskMove(r.Context(), signal.Move{ServiceID: svc.ID, Service: svc.Name, Since: a.Now().UTC()}); err != nil {
			nok(w, http.StatusServiceUnavailable, fmt.Sprintf("%s: the request could not be stored: %v", svc.Name, err))
			return
		}
		names = append(names, svc.Name)
	}
	all := strings.Join(names, ", ")
	a.Note(audit.Asked(r, audit.Rescheduled, all))
	ok(w, "being rescheduled, see /v1/decisions: "+all)
}
