// Package watch asks Prometheus and Alertmanager every ten seconds. From Prometheus it
// learns how many replicas the loads of services want, with one query for all of them. And
// it is the scaler's dead man's switch: while neither answers, nobody would renew an alert
// or end it, and an alert is no evidence.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/clock"
	"github.com/wagglehq/waggle/pkg/scaling"
)

const (
	// every is how often both are asked, blindAfter how long neither has answered when
	// the scaler is blind.
	every      = 10 * time.Second
	blindAfter = time.Minute
	// timeout bounds one question.
	timeout = 5 * time.Second
	// mostAnswer bounds an answer: a thousand services take 200 kB.
	mostAnswer = 16 << 20
)

// Options say who is asked.
type Options struct {
	// Prometheus and Alertmanager are their URLs, with a path prefix if they have one.
	// An empty one is not asked, and without both the scaler is never blind.
	Prometheus, Alertmanager string
	// Poke is called when the scaler becomes blind, when it sees again, and when
	// something else is wanted than before.
	Poke     func()
	Clock    clock.Clock
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// peer is one who is asked.
type peer struct {
	target string
	// take takes the answer.
	take func(io.Reader) error
	// lost is called when there is none.
	lost func()
}

// Watch remembers when somebody answered last, and what.
type Watch struct {
	opts  Options
	peers []peer
	gauge prometheus.Gauge
	// begun is how many were asked once.
	begun atomic.Int64

	// mu guards the rest, which those share who ask and who decide.
	mu      sync.Mutex
	heard   time.Time
	isBlind bool
	why     map[string]error
	// wanted is what Prometheus said last, nil if it said nothing.
	wanted map[string]float64
}

// New returns a Watch that has heard of them just now. The error is that of a wrong URL.
func New(o Options) (*Watch, error) {
	w := &Watch{opts: o, heard: o.Clock.Now(), why: map[string]error{}, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "waggle", Subsystem: "scaler", Name: "blind",
		Help: "1 while neither Prometheus nor Alertmanager answers, so that alerts and targets hold.",
	})}
	o.Registry.MustRegister(w.gauge)
	query := "/api/v1/query?" + url.Values{"query": {scaling.Wanted}}.Encode()
	for _, p := range []struct {
		setting, base string
		peer          peer
	}{
		// A Prometheus that still reads its log is there, and cannot be asked.
		{"prometheus-url", o.Prometheus, peer{query, w.learn, func() { w.want(nil) }}},
		{"alertmanager-url", o.Alertmanager, peer{"/api/v2/status", func(io.Reader) error { return nil }, func() {}}},
	} {
		if p.base == "" {
			continue
		}
		u, err := url.Parse(p.base)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("%s: want http://HOST:PORT", p.setting)
		}
		p.peer.target = strings.TrimSuffix(p.base, "/") + p.peer.target
		w.peers = append(w.peers, p.peer)
	}
	return w, nil
}

// Blind reports whether nobody has answered for long. It may be called by any goroutine.
func (w *Watch) Blind(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.blind(now)
}

func (w *Watch) blind(now time.Time) bool {
	return len(w.peers) > 0 && now.Sub(w.heard) >= blindAfter
}

// Wanted returns how many replicas the load of each service wants, by its ID, as far as
// Prometheus said so when it was asked last. It may be called by any goroutine.
func (w *Watch) Wanted() map[string]float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wanted
}

// Begun reports whether everybody was asked once. It may be called by any goroutine.
func (w *Watch) Begun() bool { return w.begun.Load() >= int64(len(w.peers)) }

// Run asks until the context ends.
func (w *Watch) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, p := range w.peers {
		all.Go(func() { w.follow(ctx, p) })
	}
	all.Wait()
	return nil
}

// follow asks one, who may hang without keeping the other from being heard.
func (w *Watch) follow(ctx context.Context, p peer) {
	timer := w.opts.Clock.Timer(0)
	defer timer.Stop()
	next := w.opts.Clock.Now()
	for first := true; ; first = false {
		err := w.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		w.note(p, err)
		if first {
			w.begun.Add(1)
		}
		now := w.opts.Clock.Now()
		for next = next.Add(every); !next.After(now); next = next.Add(every) {
			continue // it took so long that it would have been asked again
		}
		timer.Reset(next.Sub(now))
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
	}
}

// note takes in whether somebody answered.
func (w *Watch) note(p peer, err error) {
	if err != nil {
		p.lost()
	}
	now := w.opts.Clock.Now()
	w.mu.Lock()
	if err == nil {
		w.heard = now
	}
	w.why[p.target] = err
	was := w.isBlind
	w.isBlind = w.blind(now)
	is := w.isBlind
	var why []error
	for _, err := range w.why {
		why = append(why, err)
	}
	w.mu.Unlock()
	switch {
	case is == was:
		return
	case is:
		w.gauge.Set(1)
		w.opts.Log.Warn("blind: neither Prometheus nor Alertmanager answers, alerts and targets hold", "error", errors.Join(why...))
	default:
		w.gauge.Set(0)
		w.opts.Log.Info("no longer blind")
	}
	w.opts.Poke()
}

// ask asks one. What is answered with a refusal is an answer, too.
func (w *Watch) ask(ctx context.Context, p peer) error {
	ctx, cancel := w.opts.Clock.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.target, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%s: %s", p.target, res.Status)
	}
	body := io.LimitReader(res.Body, mostAnswer)
	if res.StatusCode == http.StatusOK {
		if err := p.take(body); err != nil {
			p.lost()
			w.opts.Log.Debug("what Prometheus answers is not understood", "error", err)
		}
	} else {
		p.lost()
	}
	_, err = io.Copy(io.Discard, body)
	return err
}

// learn reads what the loads of services want.
func (w *Watch) learn(body io.Reader) error {
	values, err := parse(body)
	if err != nil {
		return err
	}
	w.want(values)
	return nil
}

func (w *Watch) want(values map[string]float64) {
	w.mu.Lock()
	isNews := !maps.Equal(w.wanted, values)
	w.wanted = values
	w.mu.Unlock()
	if isNews {
		w.opts.Poke()
	}
}
