package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

func service(id, name string, labels, container map[string]string) catalog.Service {
	return catalog.Service{ID: id, Name: name, Stack: "shop", Mode: catalog.Replicated, Replicas: 2, Labels: labels, ContainerLabels: container}
}

// fixture is a listener that has listed a few services, and the statuses of all components.
func fixture(t *testing.T) (*API, *publish.View, map[string]catalog.Status) {
	t.Helper()
	in := map[string]string{"com.df.notify": "true", "com.df.users": "me:secret", "com.df.userz": "me:secret"}
	services := map[string]catalog.Service{}
	for _, s := range []catalog.Service{
		service("1", "shop_web", in, nil), service("2", "shop_new", in, nil), service("3", "shop_db", nil, nil),
		service("4", "shop_out", map[string]string{"com.df.port": "1"}, nil), service("5", "other_web", in, nil),
		service("6", "shop_bad", in, map[string]string{"com.df.port": "2"}),
	} {
		services[s.ID] = s
	}
	view := &publish.View{
		Listed: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Hash: "cafe",
		Snapshot: catalog.Snapshot{
			Services: services, Nodes: map[string]catalog.Node{"n": {ID: "n"}},
			Tasks: map[string][]catalog.Task{"1": {{ID: "a", State: "running", Desired: "running"}, {ID: "b", State: "starting", Desired: "running"}}},
		},
	}
	statuses := map[string]catalog.Status{
		"proxy.1":    {Component: "proxy", ServiceID: "1", State: catalog.StateApplied},
		"monitor.1":  {Component: "monitor", ServiceID: "1", State: catalog.StateDegraded, Reason: "one target is down"},
		"scaler.1":   {Component: "scaler", ServiceID: "1", State: catalog.StateIgnored},
		"listener.1": {Component: "listener", ServiceID: "1", State: catalog.StateAccepted, Warnings: []string{"the label com.df.userz is not known"}},
		"listener.4": {Component: "listener", ServiceID: "4", State: catalog.StateIgnored, Reason: "it did not opt in"},
		"proxy.6":    {Component: "proxy", ServiceID: "6", State: catalog.StateRejected, Reason: "bad port", Label: "com.df.port"},
	}
	return &API{
		View:      func() publish.View { return *view },
		Revision:  func() (catalog.Revision, bool) { return catalog.Revision{Epoch: "e", Sequence: 7}, true },
		Connected: func() bool { return true },
		Table:     []label.Spec{{Name: "notify"}, {Name: "port"}, {Name: "users", Secret: true}},
		Statuses: func() (map[string]bus.Value, bool) {
			out := map[string]bus.Value{"instance.proxy.p1": {Data: []byte(`{"component":"proxy","instance":"p1","hash":"beef"}`)}, "proxy.x": {Data: []byte(`broken`)}}
			for key, s := range statuses {
				b, err := catalog.Encode(s)
				if err != nil {
					t.Error(err)
				}
				out[key] = bus.Value{Data: b}
			}
			return out, true
		},
	}, view, statuses
}

func get(t *testing.T, a *API, path string, into any) (int, string) {
	t.Helper()
	r := chi.NewRouter()
	a.Routes(r)
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %v in %s", path, err, w.Body)
	}
	return w.Code, w.Body.String()
}

func TestWhyIsMyServiceNotRouted(t *testing.T) {
	a, _, _ := fixture(t)
	for name, want := range map[string]string{
		"shop_web": "degraded by monitor: one target is down; applied by proxy; with warnings: 1",
		"shop_new": "published; no other component has answered yet",
		"shop_db":  "not Waggle's matter: it has no label under com.df.; to opt in, give it com.df.notify=true under deploy.labels",
		"shop_out": "ignored by listener: it did not opt in",
		"shop_bad": "rejected by proxy: bad port",
		"6":        "rejected by proxy: bad port",
	} {
		var got serviceAnswer
		if code, _ := get(t, a, "/v1/services/"+name, &got); code != http.StatusOK || got.Summary != want {
			t.Errorf("%s: %d %q, want %q", name, code, got.Summary, want)
		}
	}
	a.Connected = func() bool { return false }
	var got serviceAnswer
	if get(t, a, "/v1/services/shop_web", &got); !strings.Contains(got.Summary, "the bus is away") {
		t.Errorf("without a bus: %q", got.Summary)
	}
}

func TestServiceIsShownWithoutSecrets(t *testing.T) {
	a, _, _ := fixture(t)
	var got serviceAnswer
	_, body := get(t, a, "/v1/services/shop_web", &got)
	if got.Running != 1 || got.Replicas != 2 || len(got.Tasks) != 2 || len(got.Statuses) != 4 || got.CalledName != "shop_web" || !got.OptedIn {
		t.Errorf("%+v", got)
	}
	var all []serviceAnswer
	_, list := get(t, a, "/v1/services", &all)
	if len(all) != 6 || all[0].Name != "other_web" || all[5].Name != "shop_web" {
		t.Errorf("%+v", all)
	}
	if strings.Contains(body+list, "me:secret") || !strings.Contains(body, `"com.df.users": "(hidden)"`) || !strings.Contains(body, `"com.df.notify": "true"`) {
		t.Errorf("labels in %s", body)
	}
}

func TestAServiceThatIsNotThere(t *testing.T) {
	a, view, _ := fixture(t)
	var got struct{ Error string }
	if code, _ := get(t, a, "/v1/services/web", &got); code != http.StatusNotFound || got.Error != "there is no service web in the swarm: is other_web or shop_web meant?" {
		t.Errorf("%d %q", code, got.Error)
	}
	if code, _ := get(t, a, "/v1/services/nothing", &got); code != http.StatusNotFound || got.Error != "there is no service nothing in the swarm" {
		t.Errorf("%d %q", code, got.Error)
	}
	*view = publish.View{Failure: "docker: not a swarm manager"}
	if code, _ := get(t, a, "/v1/services/web", &got); code != http.StatusServiceUnavailable || !strings.Contains(got.Error, "not a swarm manager") {
		t.Errorf("%d %q", code, got.Error)
	}
}

func TestCatalog(t *testing.T) {
	a, view, _ := fixture(t)
	var got catalogAnswer
	if get(t, a, "/v1/catalog", &got); got.Bus != "connected" || got.Revision.Sequence != 7 || got.Services != 6 || got.OptedIn != 4 ||
		got.Nodes != 1 || got.Tasks != 2 || got.Hash != "cafe" || got.Listed == nil || len(got.Instances) != 1 || got.Instances[0].Hash != "beef" {
		t.Errorf("%+v", got)
	}
	*view = publish.View{Failure: "no leader"}
	got = catalogAnswer{}
	if get(t, a, "/v1/catalog", &got); got.Listed != nil || got.Failure != "no leader" {
		t.Errorf("%+v", got)
	}
}
