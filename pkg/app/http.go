package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MaxBody is the largest request body that an admin endpoint reads, in bytes.
const MaxBody = 1 << 20

// Router returns the admin router with /healthz and /metrics. healthy returns
// nil when the process turns and its first configuration is applied. All other paths, but for
// pings, which tell nothing, ask for one of the tokens in sh.Reads if there are any.
func Router(sh Shell, healthy func() error) chi.Router {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	if sh.Reads.First() != "" {
		r.Use(reading(sh.Reads))
	}
	r.Method(http.MethodGet, "/healthz", &healthz{healthy: healthy, startsUntil: time.Now().Add(startPeriod)})
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(sh.Registry, promhttp.HandlerOpts{}))
	r.NotFound(func(w http.ResponseWriter, req *http.Request) {
		WriteError(w, http.StatusNotFound, fmt.Errorf("no such path: %s", req.URL.Path))
	})
	return r
}

// reading lets through what anybody may know, and those who send one of the tokens.
func reading(tokens Secret) func(http.Handler) http.Handler {
	return exempt(RequireToken(tokens), "/healthz", "/metrics", "/v1/ping", "/v1/docker-flow-proxy/ping", listenerPing)
}

const listenerPing = "/v1/docker-flow-swarm-listener/ping"

// PingOr lets pings of Docker Flow Swarm Listener through, which tell nothing, and has all else
// asked by the middleware.
func PingOr(asks func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return exempt(asks, listenerPing)
}

// exempt is a middleware for all but some paths.
func exempt(asks func(http.Handler) http.Handler, paths ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		asked := asks(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if slices.Contains(paths, r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			asked.ServeHTTP(w, r)
		})
	}
}

// ServeOn serves handler on a listener, which it closes, until the context ends, then drains for
// at most 5 s. It returns nil after a clean end.
func ServeOn(ctx context.Context, ln net.Listener, handler http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       120 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(drain)
	if served := <-failed; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = served
	}
	return err
}

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client has gone; there is nobody to tell
}

// WriteError answers with {"error": text}.
func WriteError(w http.ResponseWriter, status int, err error) {
	WriteJSON(w, status, map[string]string{"error": err.Error()})
}

// ReadJSON decodes a request body of at most MaxBody bytes that holds one JSON value.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody))
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("body: more than one JSON value")
	}
	return nil
}
