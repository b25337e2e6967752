package monitorcase

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// exporter is what serves metrics.
type exporter struct {
	// Type is the Content-Type, empty for none, and that of Prometheus' text if absent.
	Type *string `json:"type"`
	Body string  `json:"body"`
	// Samples are so many series sample{n="1"} 1.
	Samples int `json:"samples"`
	// Path is /metrics if empty.
	Path string `json:"path"`
	// Authorization is what the header of that name must be; others are answered 401.
	Authorization string `json:"authorization"`
}

// exporters are those of a case by address.
type exporters struct {
	mu sync.Mutex
	at map[string]exporter
}

// serve lets an exporter answer at an address from now on.
func (e *exporters) serve(ctx context.Context, address string, x exporter) error {
	if x.Path == "" {
		x.Path = "/metrics"
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.at == nil {
		e.at = map[string]exporter{}
	}
	_, known := e.at[address]
	e.at[address] = x
	if known {
		return nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	go func() {
		_ = (&http.Server{Handler: e.handler(address), ReadHeaderTimeout: 5 * time.Second}).Serve(ln) // the process's end is its end
	}()
	return nil
}

func (e *exporters) handler(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		x := e.at[address]
		e.mu.Unlock()
		if r.URL.Path != x.Path {
			http.NotFound(w, r)
			return
		}
		if x.Authorization != "" && r.Header.Get("Authorization") != x.Authorization {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		header := w.Header()
		switch {
		case x.Type == nil:
			header.Set("Content-Type", "text/plain; version=0.0.4")
		case *x.Type == "":
			header["Content-Type"] = nil
		default:
			header.Set("Content-Type", *x.Type)
		}
		body := x.Body
		if x.Samples > 0 {
			var b strings.Builder
			for n := range x.Samples {
				b.WriteString(`sample{n="` + strconv.Itoa(n+1) + "\"} 1\n")
			}
			body += b.String()
		}
		_, _ = w.Write([]byte(body)) // who asks may have gone
	}
}
