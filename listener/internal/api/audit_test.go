package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/bus"
)

// TestAudit: the newest first, as it was written, and what is no entry is left out.
func TestAudit(t *testing.T) {
	stream := []bus.Message{{Value: []byte(`{"action":"old"}`)}, {Value: []byte("no JSON")}, {Value: []byte(`{"action":"new"}`)}}
	var err error
	r := chi.NewRouter()
	Audit{Last: func(_ context.Context, component string, n int) ([]bus.Message, error) {
		if component != "" {
			return []bus.Message{{Value: []byte(`{"action":"of the ` + component + `"}`)}}, err
		}
		return stream[max(0, len(stream)-n):], err
	}}.Routes(r)
	ask := func(query string) (int, string) {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/audit"+query, nil))
		return w.Code, strings.Join(strings.Fields(w.Body.String()), "")
	}
	for query, want := range map[string]string{
		"":                  `{"entries":[{"action":"new"},{"action":"old"}]}`,
		"?limit=1":          `{"entries":[{"action":"new"}]}`,
		"?component=scaler": `{"entries":[{"action":"ofthescaler"}]}`,
		"?component=nobody": `{"error":"component=\"nobody\":wantproxyormonitororscaler"}`,
		"?limit=0":          `{"error":"limit=\"0\":wantanumberfrom1to1000"}`,
	} {
		if _, got := ask(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	err = errors.New("the bus is away")
	if code, got := ask(""); code != http.StatusServiceUnavailable || !strings.Contains(got, "thebusisaway") {
		t.Errorf("%d %s", code, got)
	}
}
