package api

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/proxy/internal/replicas"
)

// MountInstances adds /v1/instances: all replicas of the proxy, and whether they agree.
func MountInstances(r chi.Router, known func() []replicas.Replica) {
	r.Get("/v1/instances", func(w http.ResponseWriter, _ *http.Request) { app.WriteJSON(w, http.StatusOK, known()) })
}
