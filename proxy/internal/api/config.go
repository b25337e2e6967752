package api

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/controller"
)

// MountConfig adds /v1/config: the configuration in force without its passwords, for
// those who have the token.
func MountConfig(r chi.Router, token app.Secret, view func() *controller.View) {
	r.With(app.RequireToken(token)).Get("/v1/config", func(w http.ResponseWriter, _ *http.Request) { WriteConfig(w, view()) })
}

// WriteConfig answers with the configuration of a view.
func WriteConfig(w http.ResponseWriter, v *controller.View) {
	if v == nil || v.Hash == "" {
		app.WriteError(w, http.StatusServiceUnavailable, errNothing)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(v.File.Shown())) // the client has gone; there is nobody to tell
}
