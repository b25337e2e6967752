package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// How often a health check that goes on asks, and how long it waits for an answer.
const (
	healthEvery    = time.Second
	healthPatience = 1500 * time.Millisecond
)

// probeHeader marks the question of a health check, which Docker is told the answer of.
const probeHeader = "Waggle-Health-Check"

// health is the answer of a healthy service.
type health struct {
	Status string `json:"status"`
	// Known says that a health check has heard this before, and nothing else since.
	Known bool `json:"known,omitempty"`
}

// healthz answers GET /healthz.
type healthz struct {
	healthy func() error
	known   atomic.Bool
}

func (h *healthz) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.healthy(); err != nil {
		h.known.Store(false)
		WriteError(w, http.StatusServiceUnavailable, err)
		return
	}
	answer := health{Status: "healthy"}
	if r.Header.Get(probeHeader) != "" {
		answer.Known = h.known.Swap(true)
	}
	WriteJSON(w, http.StatusOK, answer)
}

// checkHealth asks the running process. If a check has heard already that it is healthy,
// it goes on asking for the time to hold: Docker starts a process for each check, which
// costs far more than a question.
func checkHealth(ctx context.Context, addr string, hold time.Duration) error {
	end := time.NewTimer(hold)
	defer end.Stop()
	again := time.NewTicker(healthEvery)
	defer again.Stop()
	for {
		answer, err := askHealth(ctx, addr)
		if err != nil || !answer.Known || hold == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
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
		return health{}, fmt.Errorf("unhealthy: %s", strings.TrimSpace(string(body)))
	}
	var answer health
	if err := json.Unmarshal(body, &answer); err != nil {
		return health{}, fmt.Errorf("answer of /healthz: %w", err)
	}
	return answer, nil
}
