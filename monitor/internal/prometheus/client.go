package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// client speaks to one Prometheus.
type client struct {
	base string
	http *http.Client
}

func newClient(base string) *client {
	return &client{base: strings.TrimSuffix(base, "/"), http: &http.Client{Timeout: 15 * time.Second}}
}

// shownAlert is an alert as Prometheus shows it.
type shownAlert struct {
	State  string            `json:"state"`
	Labels map[string]string `json:"labels"`
}

func (c *client) alerts(ctx context.Context) ([]shownAlert, error) {
	var data struct {
		Alerts []shownAlert `json:"alerts"`
	}
	err := c.do(ctx, http.MethodGet, "/api/v1/alerts", &data)
	return data.Alerts, err
}

// refusedError is an answer of Prometheus that is not a success.
type refusedError struct {
	status int
	text   string
}

// Error is what Prometheus answered.
func (e *refusedError) Error() string { return fmt.Sprintf("%d: %s", e.status, e.text) }

// maxAnswer bounds what is read of an answer; 5000 targets take about 5 MB.
const maxAnswer = 64 << 20

func (c *client) do(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return &refusedError{status: res.StatusCode, text: short(strings.TrimSpace(string(body)))}
	}
	if into == nil {
		return nil
	}
	answer := struct {
		Data any `json:"data"`
	}{Data: into}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("answer of %s: %w", path, err)
	}
	return nil
}

// short cuts what is said in an error.
func short(text string) string {
	if len(text) > 500 {
		return strings.ToValidUTF8(text[:500], "") + "..."
	}
	return text
}

func (c *client) reload(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/-/reload", nil)
}

// recording is the type of a rule that does not alert.
const recording = "recording"

// shownRule is a rule as Prometheus shows it.
type shownRule struct {
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Query    string  `json:"query"`
	Duration float64 `json:"duration"`
	// KeepFiringFor is in seconds, like Duration.
	KeepFiringFor float64           `json:"keepFiringFor"`
	Labels        map[string]string `json:"labels"`
	Annotations   map[string]string `json:"annotations"`
	// Health is "ok", "err", or "unknown" before the first evaluation.
	Health    string `json:"health"`
	LastError string `json:"lastError"`
}

type shownGroup struct {
	Name  string      `json:"name"`
	File  string      `json:"file"`
	Rules []shownRule `json:"rules"`
}

func (c *client) rules(ctx context.Context) ([]shownGroup, error) {
	var data struct {
		Groups []shownGroup `json:"groups"`
	}
	err := c.do(ctx, http.MethodGet, "/api/v1/rules?exclude_alerts=true", &data)
	return data.Groups, err
}

// Up is the health of a target that is reached, Unscraped that before the first scrape.
const (
	Up        = "up"
	Unscraped = "unknown"
)

// ShownTarget is a target as Prometheus scrapes it.
type ShownTarget struct {
	Pool           string            `json:"scrapePool"`
	Labels         map[string]string `json:"labels"`
	ScrapeURL      string            `json:"scrapeUrl"`
	ScrapeInterval string            `json:"scrapeInterval"`
	ScrapeTimeout  string            `json:"scrapeTimeout"`
	// Health is "up", "down", or Unscraped.
	Health string `json:"health"`
	// LastError says nothing of what the target answered.
	LastError string `json:"lastError"`
}

func (c *client) targets(ctx context.Context) ([]ShownTarget, error) {
	var data struct {
		Active []ShownTarget `json:"activeTargets"`
	}
	err := c.do(ctx, http.MethodGet, "/api/v1/targets?state=active", &data)
	data.Active = slices.DeleteFunc(data.Active, func(t ShownTarget) bool { return t.Pool != Pool && !strings.HasPrefix(t.Pool, Pool+" (") })
	for i, target := range data.Active {
		data.Active[i].LastError = withoutAnswer(target.LastError)
	}
	return data.Active, err
}
