package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// How often a health check that goes on asks, also while the service starts, and how long it
// waits for an answer.
const (
	healthEvery         = time.Second
	healthEveryStarting = 100 * time.Millisecond
	healthPatience      = 1500 * time.Millisecond
)

// startPeriod is for how long a service may be unhealthy at its start without having failed.
// Docker's own start_period would delay the first check: engines from 25 on make it after
// start_interval, which is 5 s where the stack file does not say otherwise, and Docker's clients
// take that word from no stack file that engines before 25 know.
const startPeriod = 30 * time.Second

// probeHeader marks the question of a health check, which Docker is told the answer of. In the
// answer it says that the service is starting.
const (
	probeHeader = "Waggle-Health-Check"
	starting    = "starting"
)

// errStarting is the answer of a service that has not been healthy yet, in its start period.
var errStarting = errors.New("it is starting")

// health is the answer of a healthy service.
type health struct {
	Status string `json:"status"`
	// Known says that a health check has heard this before, and nothing else since.
	Known bool `json:"known,omitempty"`
}

// healthz answers GET /healthz.
type healthz struct {
	healthy func() error
	// startsUntil is the end of the start period.
	startsUntil time.Time
	known       atomic.Bool
	// settled says that it has been healthy, so that it starts no longer.
	settled atomic.Bool
}

func (h *healthz) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.healthy(); err != nil {
		h.known.Store(false)
		if !h.settled.Load() && time.Now().Before(h.startsUntil) {
			w.Header().Set(probeHeader, starting)
		}
		WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	h.settled.Store(true)
	answer := health{Status: "healthy"}
	if r.Header.Get(probeHeader) != "" {
		answer.Known = h.known.Swap(true)
	}
	WriteJSON(w, http.StatusOK, answer)
}

// checkHealth asks the running process. If there is time to hold, it goes on asking while the
// process starts, and once a check has heard that it is healthy: Docker starts a process for each
// check, which costs far more than a question.
func checkHealth(ctx context.Context, addr string, hold time.Duration) error {
	end := time.NewTimer(hold)
	defer end.Stop()
	for {
		answer, err := askHealth(ctx, addr)
		pause := healthEvery
		switch {
		case hold == 0:
			return err
		case errors.Is(err, errStarting):
			pause = healthEveryStarting
		case err != nil || !answer.Known:
			return err
		}
		again := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		case <-end.C:
			again.Stop()
			return err
		case <-again.C:
		}
	}
}

// askHealth asks once.
func askHealth(ctx context.Context, addr string) (health, error) {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+local(addr)+"/healthz", nil)
	if err != nil {
		return health{}, err
	}
	req.Header.Set(probeHeader, "1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return health{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return health{}, err
	}
	if res.StatusCode != http.StatusOK {
		err := fmt.Errorf("unhealthy: %s", strings.TrimSpace(string(body)))
		if res.Header.Get(probeHeader) == starting {
			err = fmt.Errorf("%w: %w", errStarting, err)
		}
		return health{}, err
	}
	var answer health
	if err := json.Unmarshal(body, &answer); err != nil {
		return health{}, fmt.Errorf("answer of /healthz: %w", err)
	}
	return answer, nil
}
