package dockerflow

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/manual"
	"github.com/wagglehq/waggle/proxy/internal/controller"
)

// shelf is a manual.Writer that is well, or not.
type shelf struct{ err error }

// Put does nothing.
func (s shelf) Put(context.Context, catalog.Service) error { return s.err }

// Remove does nothing.
func (s shelf) Remove(context.Context, string) error { return s.err }

// never is a proxy whose passes fail.
func never(store manual.Writer) *API {
	view := &controller.View{FromBus: true, Err: errors.New("HAProxy is gone"), Pass: 1}
	return &API{
		Token: "geheim", Store: store, View: func() *controller.View { return view },
		Await: func(ctx context.Context, so func(*controller.View) bool) error {
			if so(view) {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		},
		Reload: func(bool) uint64 { return 1 }, Check: func(catalog.Service) error { return nil },
		Stat:     func(context.Context) (string, error) { return "", errors.New("HAProxy is gone") },
		Patience: time.Millisecond, Note: func(audit.Entry) {}, Log: slog.New(slog.DiscardHandler),
	}
}

func answer(t *testing.T, a *API, r *http.Request) (int, Response) {
	t.Helper()
	router := chi.NewRouter()
	a.Mount(router)
	r.SetBasicAuth("any", "geheim")
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	var out Response
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil && w.Code != http.StatusMethodNotAllowed {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, out
}

func TestWhatGoesWrong(t *testing.T) {
	form := func(n int) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Prefix+"/reconfigure", strings.NewReader("serviceName=a&servicePath="+strings.Repeat("a", n)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	get := func(path string) *http.Request {
		return httptest.NewRequestWithContext(t.Context(), http.MethodGet, Prefix+path, nil)
	}
	away := shelf{errors.New("no connection")}
	for _, c := range []struct {
		name  string
		store manual.Writer
		r     *http.Request
		want  int
		says  string
	}{
		{"a pass that fails until patience ends", shelf{}, get("/reconfigure?serviceName=a&servicePath=/a&port=1"), http.StatusGatewayTimeout, "not in force"},
		{"the same for a removal", shelf{}, get("/remove?serviceName=a"), http.StatusGatewayTimeout, "HAProxy is gone"},
		{"the bus away", away, get("/reconfigure?serviceName=a&servicePath=/a&port=1"), http.StatusServiceUnavailable, "nothing was changed"},
		{"the bus away for a removal", away, get("/remove?serviceName=a"), http.StatusServiceUnavailable, "nothing was changed"},
		{"a reload that fails", shelf{}, get("/reload"), http.StatusInternalServerError, "HAProxy is gone"},
		{"statistics that cannot be had", shelf{}, get("/metrics"), http.StatusInternalServerError, "HAProxy is gone"},
		{"nothing in force yet", shelf{}, get("/successfulinitreload"), http.StatusInternalServerError, "no complete catalog"},
		{"a body that is too large", shelf{}, form(app.MaxBody), http.StatusRequestEntityTooLarge, "too large"},
		{"a query that is none", shelf{}, get("/reconfigure?serviceName=%zz"), http.StatusBadRequest, "cannot be read"},
		{"another method", shelf{}, httptest.NewRequestWithContext(t.Context(), http.MethodDelete, Prefix+"/reconfigure", nil), http.StatusMethodNotAllowed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := answer(t, never(c.store), c.r)
			if status != c.want || !strings.Contains(got.Message, c.says) {
				t.Errorf("%d %+v, want %d and %q", status, got, c.want, c.says)
			}
			if c.want != http.StatusMethodNotAllowed && got.Status != "NOK" {
				t.Errorf("status %q", got.Status)
			}
		})
	}
}

func TestSecretLabelsAreNotEchoed(t *testing.T) {
	got := shown(catalog.Service{Labels: map[string]string{"com.df.users": "joe:geheim", "com.df.users.1": "joe:geheim", "com.df.port": "80"}})
	headers := shown(catalog.Service{Labels: map[string]string{"com.df.setReqHeader": "X-A b,Authorization Basic geheim", "com.df.serviceHeader": "X-Api-Key:geheim", "com.df.addResHeader": "X-A b"}})
	if headers["setReqHeader"] != "(hidden)" || headers["serviceHeader"] != "(hidden)" || headers["addResHeader"] != "X-A b" {
		t.Errorf("%v", headers)
	}
	if got["users"] != "(hidden)" || got["users.1"] != "(hidden)" || got["port"] != "80" {
		t.Errorf("%v", got)
	}
}
