package scalercase

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/scaling"
)

// alert is one that Alertmanager was told.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
}

// alertmanager is a stand-in with API v2.
type alertmanager struct {
	mu   sync.Mutex // its own goroutines write what steps read
	told []alert
}

func (a *alertmanager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/api/v1/"):
		w.WriteHeader(http.StatusGone)
	case r.URL.Path == "/api/v2/status":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"cluster": {"status": "ready"}}`)
	case r.URL.Path == "/api/v2/alerts" && r.Method == http.MethodPost:
		var all []alert
		if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.told = append(a.told, all...)
	default:
		http.NotFound(w, r)
	}
}

// matching counts the alerts about decisions with these labels and summary, by their startsAt.
func (a *alertmanager) matching(want toldOptions) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	starts := map[time.Time]bool{}
	for _, one := range a.told {
		if one.Labels["alertname"] == "scale_service" && one.Labels["service"] == want.Service &&
			(want.Status == "" || one.Labels["status"] == want.Status) && contains(one.Annotations["summary"], want.Summary) {
			starts[one.StartsAt.UTC()] = true
		}
	}
	return len(starts)
}

// all is what it was told of a service.
func (a *alertmanager) all(service string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, one := range a.told {
		if one.Labels["service"] == service {
			out = append(out, fmt.Sprintf("%s %q", one.Labels["status"], one.Annotations["summary"]))
		}
	}
	return strings.Join(out, ", ")
}

// contains compares texts in any case of letters.
func contains(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}

// promQL is a stand-in for Prometheus' query API.
type promQL struct {
	mu      sync.Mutex // its own goroutines read what steps write
	values  map[string]string
	queries int
}

func (p *promQL) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/v1/query" {
		http.NotFound(w, r)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queries++
	result := []any{}
	if strings.Contains(r.FormValue("query"), scaling.Wanted) {
		for id, text := range p.values {
			result = append(result, map[string]any{
				"metric": map[string]string{"__name__": scaling.Wanted, scaling.WantedID: id}, "value": []any{1, text},
			})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // who asked has gone
		"status": "success", "data": map[string]any{"resultType": "vector", "result": result},
	})
}

func (p *promQL) set(id string, text *string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text == nil {
		delete(p.values, id)
		return
	}
	p.values[id] = *text
}

func (p *promQL) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queries
}
