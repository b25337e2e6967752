package main

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// part is one of Waggle's services and where the demo's stack file publishes it.
type part struct{ name, port, health string }

func parts() []part {
	return []part{
		{"listener", "8081", "/healthz"},
		{"proxy", "8082", "/healthz"},
		{"monitor", "8083", "/healthz"},
		{"scaler", "8084", "/healthz"},
		{"alertmanager", "9093", "/-/ready"},
		{"console", consolePort, "/healthz"},
		{"monitor", "9090", "/-/ready"},
	}
}

// get returns the body of a 200 answer of one of Waggle's parts.
func (s *story) get(ctx context.Context, port, path string) ([]byte, error) {
	var body string
	err := tooltest.Get(ctx, tooltest.Request{URL: "http://" + s.host + ":" + port + path}, &body)
	return []byte(body), err
}

// metric returns the lines of a metric of one of Waggle's parts, sorted.
func (s *story) metric(ctx context.Context, name, metric string) (string, error) {
	i := slices.IndexFunc(parts(), func(p part) bool { return p.name == name })
	body, err := s.get(ctx, parts()[i].port, "/metrics")
	if err != nil {
		return "", err
	}
	return samples(string(body), metric), nil
}

// samples returns the sorted lines of one metric.
func samples(page, metric string) string {
	var lines []string
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, metric); ok && strings.ContainsAny(rest[:1], " {") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// statuses returns what all components say of a service, as the listener joins it.
func (s *story) statuses(ctx context.Context, service string) ([]map[string]any, error) {
	body, err := s.get(ctx, "8081", "/v1/services/"+url.PathEscape(service))
	if err != nil {
		return nil, err
	}
	return objects(body, "component", "state")
}

// objects returns all JSON objects in body, at any depth, that have these fields.
func objects(body []byte, fields ...string) ([]map[string]any, error) {
	var all any
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	var found []map[string]any
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if !slices.ContainsFunc(fields, func(f string) bool { return v[f] == nil }) {
				found = append(found, v)
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(all)
	return found, nil
}

// target is one of Prometheus' targets.
type target struct {
	Labels map[string]string `json:"labels"`
	URL    string            `json:"scrapeUrl"`
	Health string            `json:"health"`
	Error  string            `json:"lastError"`
}

func (s *story) targets(ctx context.Context, service string) ([]target, error) {
	body, err := s.get(ctx, "9090", "/api/v1/targets?state=active")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Active []target `json:"activeTargets"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answer.Data.Active, func(t target) bool { return t.Labels["service"] != service }), nil
}

// rule is one of Prometheus' alerts.
type rule struct {
	Name   string            `json:"name"`
	Query  string            `json:"query"`
	State  string            `json:"state"`
	Labels map[string]string `json:"labels"`
}

func (s *story) rules(ctx context.Context, service string) ([]rule, error) {
	body, err := s.get(ctx, "9090", "/api/v1/rules?type=alert")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []rule `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	var found []rule
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.Labels["service"] == service {
				found = append(found, r)
			}
		}
	}
	slices.SortFunc(found, func(a, b rule) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// watcher tells of alerts, decisions and replicas as they change.
type watcher struct {
	s    *story
	done chan struct{}

	mu        sync.Mutex // the story reads what the watcher sees
	now, most int
}

// watch watches the demo service until the context ends.
func (s *story) watch(ctx context.Context) *watcher {
	w := &watcher{s: s, done: make(chan struct{})}
	since := time.Now()
	w.count(ctx)
	go func() {
		defer close(w.done)
		states := map[string]string{}
		told := map[string]bool{}
		for tooltest.Pause(ctx, 200*time.Millisecond) == nil {
			w.alerts(ctx, states)
			w.decisions(ctx, since, told)
			w.count(ctx)
		}
	}()
	return w
}

func (w *watcher) wait() { <-w.done }

// replicas is how many the service is to have at present.
func (w *watcher) replicas() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// top is the most that it had.
func (w *watcher) top() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// alerts tells when an alert begins or ends to fire. What cannot be asked at the
// moment is asked again at the next turn.
func (w *watcher) alerts(ctx context.Context, states map[string]string) {
	rules, err := w.s.rules(ctx, demo)
	if err != nil {
		return
	}
	for _, r := range rules {
		before := states[r.Name]
		states[r.Name] = r.State
		switch {
		case r.State == before:
		case r.State == "firing":
			w.s.say("Prometheus: %s fires", r.Name)
		case before == "firing":
			w.s.say("Prometheus: %s fires no longer", r.Name)
		}
	}
}

// decisions tells each decision of the scaler once that changed something. Why
// it waits in between is to be read at /v1/decisions.
func (w *watcher) decisions(ctx context.Context, since time.Time, told map[string]bool) {
	body, err := w.s.get(ctx, "8084", "/v1/decisions?service="+demo)
	if err != nil {
		return
	}
	found, err := objects(body, "time", "direction", "action")
	if err != nil {
		return
	}
	slices.Reverse(found) // the latest comes first
	for _, d := range found {
		text, _ := d["time"].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || at.Before(since) || told[text] {
			continue
		}
		told[text] = true
		if d["action"] != "scaled" {
			continue
		}
		w.s.say("scaler: %v %v, %v -> %v: %v", d["action"], d["direction"], d["from"], d["to"], d["reason"])
	}
}

func (w *watcher) count(ctx context.Context) {
	out, err := docker(ctx, "service", "inspect", "--format", "{{.Spec.Mode.Replicated.Replicas}}", demo)
	if err != nil {
		return
	}
	n, err := strconv.Atoi(out)
	if err != nil {
		return
	}
	w.mu.Lock()
	before := w.now
	w.now, w.most = n, max(w.most, n)
	w.mu.Unlock()
	if before != 0 && before != n {
		w.s.say("replicas: %d -> %d", before, n)
	}
}
