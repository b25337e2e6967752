package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
)

// usualAudit and mostAudit are how many entries are told.
const usualAudit, mostAudit = 100, 1000

// auditors are the components that do something which is noted.
func auditors() []string { return []string{"proxy", "monitor", "scaler"} }

// Audit is the interface to the audit of all components.
type Audit struct {
	// Last returns the newest entries, oldest first, at most n: those of one component, or of
	// all if it is empty.
	Last func(ctx context.Context, component string, n int) ([]bus.Message, error)
}

// Routes adds the handler.
func (a Audit) Routes(r chi.Router) { r.Get("/v1/audit", a.newest) }

// newest answers with the newest entries, the newest first.
func (a Audit) newest(w http.ResponseWriter, r *http.Request) {
	n := usualAudit
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > mostAudit {
			app.WriteError(w, http.StatusBadRequest, fmt.Errorf("limit=%q: want a number from 1 to %d", text, mostAudit))
			return
		}
	}
	component := r.URL.Query().Get("component")
	if component != "" && !slices.Contains(auditors(), component) {
		app.WriteError(w, http.StatusBadRequest, fmt.Errorf("component=%q: want %s", component, strings.Join(auditors(), " or ")))
		return
	}
	entries, err := a.Last(r.Context(), component, n)
	if err != nil {
		app.WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	out := make([]json.RawMessage, 0, len(entries))
	for i := len(entries) - 1; i >= 0; i-- {
		// What a component has written that is no JSON would spoil the whole answer.
		if json.Valid(entries[i].Value) {
			out = append(out, entries[i].Value)
		}
	}
	app.WriteJSON(w, http.StatusOK, map[string]any{"entries": out})
}
