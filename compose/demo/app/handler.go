package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// maxPaths is how many paths get a time series of their own; anybody can ask for
// any path.
const maxPaths = 20

// handler serves requests with a fixed number of places.
type handler struct {
	name     string
	places   chan struct{}
	work     func(context.Context)
	duration *prometheus.HistogramVec
	waiting  prometheus.Gauge
	served   prometheus.Gauge

	mu    sync.Mutex // paths is written by every request
	paths map[string]struct{}
}

// newHandler serves every path but /healthz and /metrics by doing work, in
// concurrency places. The name stands in the answers.
func newHandler(name string, concurrency int, work func(context.Context), reg *prometheus.Registry) http.Handler {
	h := &handler{
		name:   name,
		places: make(chan struct{}, concurrency),
		work:   work,
		paths:  map[string]struct{}{},
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_server_resp_time",
			Help:    "Time until a request was answered, waiting included, in seconds.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"code", "method", "path"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "demo_requests_waiting",
			Help: "Requests that wait for a place.",
		}),
		served: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "demo_requests_served",
			Help: "Requests that have a place.",
		}),
	}
	reg.MustRegister(h.duration, h.waiting, h.served)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "healthy") })
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.Handle("/", h)
	return mux
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	code := http.StatusOK
	defer func() {
		h.duration.WithLabelValues(strconv.Itoa(code), r.Method, h.path(r.URL.Path)).Observe(time.Since(began).Seconds())
	}()
	h.waiting.Inc()
	select {
	case h.places <- struct{}{}:
		h.waiting.Dec()
	case <-r.Context().Done():
		h.waiting.Dec()
		code = 499 // as others count a client that has gone
		return
	}
	waited := time.Since(began)
	h.served.Inc()
	h.work(r.Context())
	h.served.Dec()
	<-h.places
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Replica", h.name)
	fmt.Fprintf(w, "hello from %s at %s, after waiting %d ms\n", h.name, r.URL.Path, waited.Milliseconds())
}

// path bounds the number of time series.
func (h *handler) path(p string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.paths[p]; known {
		return p
	}
	if len(h.paths) == maxPaths {
		return "other"
	}
	h.paths[p] = struct{}{}
	return p
}
