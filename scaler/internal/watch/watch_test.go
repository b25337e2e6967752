package watch_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/clock"
	"github.com/wagglehq/waggle/scaler/internal/watch"
)

// peers answer, or do not, in the place of the network, by their host names.
type peers struct{ away, hangs map[string]*atomic.Bool }

func newPeers(names ...string) peers {
	p := peers{map[string]*atomic.Bool{}, map[string]*atomic.Bool{}}
	for _, n := range names {
		p.away[n], p.hangs[n] = &atomic.Bool{}, &atomic.Bool{}
	}
	return p
}

func (p peers) RoundTrip(r *http.Request) (*http.Response, error) {
	name := r.URL.Hostname()
	if p.hangs[name].Load() {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if p.away[name].Load() {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
}

func TestBlindWhileNeitherAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeers("prometheus", "alertmanager")
		was := http.DefaultClient.Transport
		http.DefaultClient.Transport = p
		defer func() { http.DefaultClient.Transport = was }()
		pokes := 0
		w, err := watch.New(watch.Options{
			Prometheus: "http://prometheus:9090", Alertmanager: "http://alertmanager:9093/", Poke: func() { pokes++ },
			Clock: clock.Real(), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		after := func(d time.Duration, want bool, why string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := w.Blind(time.Now()); got != want {
				t.Errorf("%s: blind is %v", why, got)
			}
		}
		after(5*time.Minute, false, "both answer")
		p.away["prometheus"].Store(true)
		after(5*time.Minute, false, "Alertmanager answers")
		p.hangs["alertmanager"].Store(true)
		after(45*time.Second, false, "neither answers, for less than a minute")
		after(30*time.Second, true, "neither answers")
		if pokes != 1 {
			t.Errorf("%d pokes when it became blind, want 1", pokes)
		}
		p.away["prometheus"].Store(false)
		after(15*time.Second, false, "Prometheus answers again")
		if pokes != 2 {
			t.Errorf("%d pokes when it sees again, want 2", pokes)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWhoHasNobodyToAskIsNeverBlind(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	w, err := watch.New(watch.Options{Clock: clock.Real(), Registry: prometheus.NewRegistry()})
	if err != nil || w.Blind(now.Add(time.Hour)) {
		t.Errorf("blind, or %v", err)
	}
	if err := w.Run(t.Context()); err != nil {
		t.Error(err)
	}
	_, err = watch.New(watch.Options{Prometheus: "prometheus:9090", Clock: clock.Real(), Registry: prometheus.NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "prometheus-url: want http://HOST:PORT") {
		t.Errorf("error %v", err)
	}
}
