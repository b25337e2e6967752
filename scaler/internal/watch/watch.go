// Package watch is the scaler's dead man's switch: it asks Prometheus and Alertmanager
// whether they are there. While neither answers, nobody would renew an alert or end it,
// and an alert is no evidence.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// every is how often both are asked, blindAfter how long neither has answered when
	// the scaler is blind.
	every      = 10 * time.Second
	blindAfter = time.Minute
	// timeout bounds one question.
	timeout = 5 * time.Second
)

// Options say who is asked.
type Options struct {
	// Prometheus and Alertmanager are their URLs, with a path prefix if they have one.
	// An empty one is not asked, and without both the scaler is never blind.
	Prometheus, Alertmanager string
	// Poke is called when the scaler becomes blind, and when it sees again.
	Poke     func()
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Watch remembers when somebody answered last.
type Watch struct {
	opts  Options
	asked []string
	gauge prometheus.Gauge

	// mu guards the rest, which those share who ask and who decide.
	mu    sync.Mutex
	heard time.Time
}

// New returns a Watch that has heard of them just now. The error is that of a wrong URL.
func New(o Options) (*Watch, error) {
	w := &Watch{opts: o, heard: o.Now(), gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "waggle", Subsystem: "scaler", Name: "blind",
		Help: "1 while neither Prometheus nor Alertmanager answers, so that alerts hold.",
	})}
	o.Registry.MustRegister(w.gauge)
	for _, peer := range []struct{ setting, base, path string }{
		// A Prometheus that still reads its log is there, and cannot be asked.
		{"prometheus-url", o.Prometheus, "/api/v1/query?query=vector(1)"},
		{"alertmanager-url", o.Alertmanager, "/api/v2/status"},
	} {
		if peer.base == "" {
			continue
		}
		u, err := url.Parse(peer.base)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("%s: want http://HOST:PORT", peer.setting)
		}
		w.asked = append(w.asked, strings.TrimSuffix(peer.base, "/")+peer.path)
	}
	return w, nil
}

// Blind reports whether nobody has answered for long. It may be called by any goroutine.
func (w *Watch) Blind(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked) > 0 && now.Sub(w.heard) >= blindAfter
}

// Run asks until the context ends.
func (w *Watch) Run(ctx context.Context) error {
	if len(w.asked) == 0 {
		return nil
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	was := false
	for {
		err := w.ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if is := w.Blind(w.opts.Now()); is != was {
			was = is
			w.tell(is, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *Watch) tell(blind bool, err error) {
	if blind {
		w.gauge.Set(1)
		w.opts.Log.Warn("blind: neither Prometheus nor Alertmanager answers, alerts hold", "error", err)
	} else {
		w.gauge.Set(0)
		w.opts.Log.Info("no longer blind")
	}
	w.opts.Poke()
}

// ask asks all at once, so that one who hangs keeps nobody from being heard. The error
// is why nobody answered.
func (w *Watch) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answers := make(chan error, len(w.asked))
	for _, target := range w.asked {
		go func() { answers <- answered(ctx, target) }()
	}
	var errs []error
	for range w.asked {
		err := <-answers
		if err == nil {
			w.mu.Lock()
			w.heard = w.opts.Now()
			w.mu.Unlock()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func answered(ctx context.Context, target string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)); err != nil {
		return err
	}
	if res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s: %s", target, res.Status)
	}
	return nil
}
