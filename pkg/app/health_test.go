package app

import (
	"errors"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestAHealthCheckGoesOnWhileAllIsWell(t *testing.T) {
	var sick atomic.Bool
	server := httptest.NewServer(&healthz{healthy: func() error {
		if sick.Load() {
			return errors.New("nothing is applied yet")
		}
		return nil
	}})
	defer server.Close()
	addr := server.Listener.Addr().String()
	const hold = 1200 * time.Millisecond
	check := func(what string, atLeast, atMost time.Duration, wrong string) {
		t.Helper()
		began := time.Now()
		err := checkHealth(t.Context(), addr, hold)
		took := time.Since(began)
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want %q", what, err, wrong)
		}
		if took < atLeast || took > atMost {
			t.Errorf("%s: took %s, want %s to %s", what, took, atLeast, atMost)
		}
	}
	const atOnce, ever = hold - 100*time.Millisecond, time.Minute

	sick.Store(true)
	check("at the start", 0, atOnce, "nothing is applied yet")
	sick.Store(false)
	check("as soon as it is healthy Docker is told", 0, atOnce, "")
	check("then a check lasts", hold, ever, "")
	time.AfterFunc(hold/4, func() { sick.Store(true) })
	check("until it is not", 0, ever, "nothing is applied yet")
	check("which is told without delay", 0, atOnce, "nothing is applied yet")
	sick.Store(false)
	// Whoever else asks, as a load balancer, tells Docker nothing.
	if err := tooltest.Get(t.Context(), tooltest.Request{URL: server.URL}, nil); err != nil {
		t.Error(err)
	}
	check("and its end too", 0, atOnce, "")
	server.Close()
	check("a process that has gone is missed at once", 0, atOnce, "refused")
}

func TestAHealthCheckWaitsForTheStart(t *testing.T) {
	var ready atomic.Bool
	h := &healthz{startsUntil: time.Now().Add(time.Hour), healthy: func() error {
		if !ready.Load() {
			return errors.New("nothing is applied yet")
		}
		return nil
	}}
	server := httptest.NewServer(h)
	defer server.Close()
	addr := server.Listener.Addr().String()

	if err := checkHealth(t.Context(), addr, 0); err == nil || !strings.Contains(err.Error(), "nothing is applied yet") {
		t.Errorf("a check that is not to last: %v", err)
	}
	if err := checkHealth(t.Context(), addr, 300*time.Millisecond); err == nil || !strings.Contains(err.Error(), "nothing is applied yet") {
		t.Errorf("a start that takes longer than the check: %v", err)
	}
	// The first answer that it is healthy ends the check, so that Docker knows.
	const lasts = time.Minute
	began := time.Now()
	time.AfterFunc(200*time.Millisecond, func() { ready.Store(true) })
	if err := checkHealth(t.Context(), addr, lasts); err != nil || time.Since(began) > lasts/2 {
		t.Errorf("a start that succeeds: %v after %s", err, time.Since(began))
	}
	// Whatever fails later has failed, and so has a start that takes too long.
	ready.Store(false)
	for _, what := range []string{"a failure after the start", "a start that takes too long"} {
		began := time.Now()
		if err := checkHealth(t.Context(), addr, lasts); err == nil || errors.Is(err, errStarting) || time.Since(began) > lasts/2 {
			t.Errorf("%s: %v after %s", what, err, time.Since(began))
		}
		h.settled.Store(false)
		h.startsUntil = time.Now()
	}
}
