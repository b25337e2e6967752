package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/desired"
	"github.com/wagglehq/waggle/monitor/internal/loop"
	"github.com/wagglehq/waggle/monitor/internal/prometheus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// seen is a view that stays as it is, and a Prometheus without targets.
type seen loop.View

func (s *seen) View() *loop.View { return (*loop.View)(s) }

func (*seen) Targets(context.Context) ([]prometheus.ShownTarget, error) { return nil, nil }

// TestAFullNameStandsForItsService: a service may be called as another one's full name is; whoever
// asks by that name asks for the other one.
func TestAFullNameStandsForItsService(t *testing.T) {
	var world seen
	world.Services = map[string]catalog.Service{}
	for _, one := range []struct {
		id, name, called string
		asks             bool
	}{{"1", "a_web", "web", true}, {"2", "web", "web", true}, {"3", "a_db", "db", true}, {"4", "db", "db", false}, {"5", "1", "1", true}} {
		world.Services[one.id] = catalog.Service{ID: one.id, Name: one.name}
		if one.asks {
			world.State.Services = append(world.State.Services, desired.Service{
				ID: one.id, Name: one.name, Called: one.called, Rules: []alert.Rule{{Name: one.id + "_rule", Expr: "up", Service: one.name}},
			})
			world.Statuses = append(world.Statuses, catalog.Status{ServiceID: one.id, Service: one.name})
		}
	}
	router := chi.NewRouter()
	Mount(router, &world, &world)
	ask := func(path string) (int, string) {
		answer := httptest.NewRecorder()
		router.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return answer.Code, answer.Body.String()
	}
	for name, id := range map[string]string{"web": "2", "a_web": "1", "db": "4", "a_db": "3", "1": "5", "2": "2", "nobody": ""} {
		var got catalog.Status
		code, body := ask("/v1/services/" + name)
		if err := json.Unmarshal([]byte(body), &got); err != nil || (code == http.StatusOK) != (id != "") || got.ServiceID != id {
			t.Errorf("%s stands for %q (%d, %v), want %q", name, got.ServiceID, code, err, id)
		}
	}
	for name, rule := range map[string]string{"web": "2_rule", "a_web": "1_rule", "db": "", "1": "5_rule"} {
		if code, body := ask("/v1/rules?service=" + name); (code == http.StatusOK) != (rule != "") || !strings.Contains(body, rule) {
			t.Errorf("the rules of %s: %d %s, want %q", name, code, body, rule)
		}
	}
}
