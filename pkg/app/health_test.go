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
