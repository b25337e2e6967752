package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

func service(id, name string, labels, container map[string]string) catalog.Service {
	return catalog.Service{ID: id, Name: name, Stack: "shop", Mode: catalog.Replicated, Replicas: 2, Labels: labels, ContainerLabels: container}
}

// fixture is what a listener knows, and the answers of all components.
type fixture struct {
	*API
	snapshot  catalog.Snapshot
	isListed  bool
	state     publish.State
	holder    string
	statuses  map[string]catalog.Status
	instances map[instances.Name]instances.Instance
}

var now = time.Date(2026, 1, 1, 14, 5, 0, 0, time.UTC)

func newFixture(t *testing.T) *fixture {
	t.Helper()
	in := map[string]string{"com.df.notify": "true", "com.df.userz": "me:secret"}
	f := &fixture{isListed: true, state: publish.State{Leads: true}, holder: "l1", instances: map[instances.Name]instances.Instance{}}
	f.snapshot = catalog.Snapshot{
		Revision: catalog.Revision{Epoch: "e", Sequence: 7}, Services: map[string]catalog.Service{}, Nodes: map[string]catalog.Node{"n": {ID: "n"}},
		Tasks:     map[string][]catalog.Task{"1": {{ID: "a", State: "running", Desired: "running"}, {ID: "b", State: "starting", Desired: "running"}}},
		Revisions: map[string]uint64{},
	}
	for i, s := range []catalog.Service{
		service("1", "shop_web", in, nil), service("2", "shop_new", in, nil), service("3", "shop_db", nil, nil),
		service("4", "shop_out", map[string]string{"com.df.port": "1"}, nil), service("5", "other_web", in, nil),
		service("6", "shop_bad", in, map[string]string{"com.df.port": "2"}),
	} {
		s.Withheld = map[string]string{"com.df.users": "mark"}
		if s.Name == "shop_db" {
			s.Withheld = nil
		}
		f.snapshot.Services[s.ID], f.snapshot.Revisions[s.ID] = s, uint64(i+1)
	}
	f.statuses = map[string]catalog.Status{
		"proxy.p1.1":    {State: catalog.StateApplied},
		"monitor.m1.1":  {State: catalog.StateDegraded, Reason: "one target is down"},
		"scaler.s1.1":   {State: catalog.StateIgnored},
		"listener.l1.1": {State: catalog.StateAccepted, Warnings: []string{"the label com.df.userz is not known"}},
		"listener.l1.4": {State: catalog.StateIgnored, Reason: "it did not opt in"},
		"proxy.p1.6":    {State: catalog.StateRejected, Reason: "bad port", Label: "com.df.port"},
	}
	for _, name := range []instances.Name{{Component: "proxy", Instance: "p1"}, {Component: "monitor", Instance: "m1"}, {Component: "scaler", Instance: "s1"}, {Component: "listener", Instance: "l1"}} {
		f.instances[name] = instances.Instance{Name: name, Said: catalog.Instance{Component: name.Component, Instance: name.Instance, Hash: "beef"}, Heard: now, Exact: true}
	}
	f.API = &API{
		Catalog:   func() (catalog.Snapshot, bool) { return f.snapshot, f.isListed },
		List:      func() (catalog.List, bool) { return catalog.List{Time: now, Writer: "l1", Cluster: "c"}, f.isListed },
		State:     func() publish.State { return f.state },
		Holder:    func() (string, bool) { return f.holder, f.holder != "" },
		Hash:      func() string { return "cafe" },
		Instances: func() map[instances.Name]instances.Instance { return f.instances },
		Connected: func() bool { return true },
		Table:     []label.Spec{{Name: "notify"}, {Name: "port"}, {Name: "users", Secret: true}},
		Now:       func() time.Time { return now },
		Statuses: func() (map[string]bus.Value, bool) {
			out := map[string]bus.Value{"instance.proxy.p1": {Data: []byte(`{"component":"proxy","instance":"p1","hash":"beef"}`)}, "proxy.p1.x": {Data: []byte(`broken`)}}
			for key, s := range f.statuses {
				words := strings.Split(key, ".")
				s.Component, s.Instance, s.ServiceID = words[0], words[1], words[2]
				b, err := catalog.Encode(s)
				if err != nil {
					t.Error(err)
				}
				out[key] = bus.Value{Data: b}
			}
			return out, true
		},
	}
	return f
}

// goes makes an instance one that was heard of so long ago.
func (f *fixture) goes(component, instance string, ago time.Duration) {
	name := instances.Name{Component: component, Instance: instance}
	f.instances[name] = instances.Instance{Name: name, Heard: now.Add(-ago), Exact: true, Away: true}
}

func get(t *testing.T, a *fixture, path string, into any) (int, string) {
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
	a := newFixture(t)
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
	a := newFixture(t)
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
	a := newFixture(t)
	var got struct{ Error string }
	if code, _ := get(t, a, "/v1/services/web", &got); code != http.StatusNotFound || got.Error != "there is no service web in the swarm: is other_web or shop_web meant?" {
		t.Errorf("%d %q", code, got.Error)
	}
	if code, _ := get(t, a, "/v1/services/nothing", &got); code != http.StatusNotFound || got.Error != "there is no service nothing in the swarm" {
		t.Errorf("%d %q", code, got.Error)
	}
	a.API.last, a.isListed, a.state = nil, false, publish.State{Failure: "docker: not a swarm manager"}
	if code, _ := get(t, a, "/v1/services/web", &got); code != http.StatusServiceUnavailable || !strings.Contains(got.Error, "not a swarm manager") {
		t.Errorf("%d %q", code, got.Error)
	}
}

func TestCatalog(t *testing.T) {
	a := newFixture(t)
	a.snapshot.Cut = map[string]int{"1": 5000}
	var got catalogAnswer
	if get(t, a, "/v1/catalog", &got); got.Bus != "connected" || got.Revision.Sequence != 7 || got.Services != 6 || got.OptedIn != 4 ||
		got.Nodes != 1 || got.Tasks != 5000 || got.Hash != "cafe" || got.Listed == nil || got.Writer != "l1" || got.Leader != "l1" || !got.Leads ||
		got.Cluster != "c" || len(got.Instances) != 4 || got.Instances[2].Hash != "beef" || len(got.Away) > 0 || got.Blind != "" {
		t.Errorf("%+v", got)
	}
	a.goes("proxy", "p1", 40*time.Second)
	a.state = publish.State{Failure: "no leader", Since: now.Add(-2 * time.Minute)}
	a.holder = ""
	got = catalogAnswer{}
	if get(t, a, "/v1/catalog", &got); got.Failure != "no leader" || got.FailingSince == nil || got.Blind != "the swarm could not be listed since 14:03:00 UTC: no leader" ||
		len(got.Away) != 1 || got.Away[0] != "proxy" || !got.Instances[2].Away {
		t.Errorf("%+v", got)
	}
}

// TestWhatASummarySays changes one thing of the fixture at a time.
func TestWhatASummarySays(t *testing.T) {
	const fine = "degraded by monitor: one target is down; applied by proxy; with warnings: 1"
	for name, c := range map[string]struct {
		change func(*fixture)
		want   string
	}{
		"all is told": {func(*fixture) {}, fine},
		"the only proxy is gone": {func(f *fixture) { f.goes("proxy", "p1", 40*time.Second) },
			"proxy has not been heard of for 40s; its last word was applied; degraded by monitor: one target is down; with warnings: 1"},
		"it was gone before this listener began": {func(f *fixture) {
			name := instances.Name{Component: "proxy", Instance: "p1"}
			f.instances[name] = instances.Instance{Name: name, Away: true, Heard: now}
			f.statuses["proxy.p1.1"] = catalog.Status{State: catalog.StateRejected, Reason: "taken"}
		}, "proxy has not been heard of; its last word was rejected: taken; degraded by monitor: one target is down; with warnings: 1"},
		"another proxy took its place": {func(f *fixture) {
			f.goes("proxy", "p0", time.Minute)
			f.statuses["proxy.p0.1"] = catalog.Status{State: catalog.StateRejected, Reason: "an old tale"}
		}, fine},
		"two proxies disagree": {func(f *fixture) {
			f.instances[instances.Name{Component: "proxy", Instance: "p2"}] = instances.Instance{Heard: now, Exact: true}
			f.statuses["proxy.p2.1"] = catalog.Status{State: catalog.StateDegraded, Reason: "no task is reachable", Since: now.Add(-time.Minute)}
		}, "degraded by monitor: one target is down; degraded by proxy: no task is reachable, since 14:04:00 UTC (1 of 2 instances, such as p2); applied by proxy (1 of 2 instances, such as p1); with warnings: 1"},
		"two proxies agree": {func(f *fixture) {
			f.instances[instances.Name{Component: "proxy", Instance: "p2"}] = instances.Instance{Heard: now, Exact: true}
			f.statuses["proxy.p2.1"] = catalog.Status{State: catalog.StateApplied}
		}, fine},
		"the proxy has not judged the present labels": {func(f *fixture) {
			f.snapshot.Revisions["1"] = 9
			f.statuses["proxy.p1.1"] = catalog.Status{State: catalog.StateApplied, Revision: catalog.Revision{Epoch: "e", Sequence: 8}}
		}, "degraded by monitor: one target is down; applied by proxy (about earlier labels: the answer to the present ones is not there yet); with warnings: 1"},
		"it has": {func(f *fixture) {
			f.snapshot.Revisions["1"] = 9
			f.statuses["proxy.p1.1"] = catalog.Status{State: catalog.StateApplied, Revision: catalog.Revision{Epoch: "e", Sequence: 9}}
		}, fine},
		"the store was lost since": {func(f *fixture) {
			f.statuses["proxy.p1.1"] = catalog.Status{State: catalog.StateApplied, Revision: catalog.Revision{Epoch: "d", Sequence: 900}}
		}, "degraded by monitor: one target is down; applied by proxy (about earlier labels: the answer to the present ones is not there yet); with warnings: 1"},
		"Docker does not answer": {func(f *fixture) {
			f.state = publish.State{Leads: true, Failure: "no leader", Since: now.Add(-2 * time.Minute)}
		},
			"the swarm could not be listed since 14:03:00 UTC: no leader; " + fine},
		"it does not answer the other listener": {func(f *fixture) { f.state = publish.State{Failure: "no leader", Since: now} }, fine},
		"since yesterday": {func(f *fixture) {
			f.state = publish.State{Leads: true, Failure: "no leader", Since: now.Add(-20 * time.Hour)}
		},
			"the swarm could not be listed since 2025-12-31 18:05 UTC: no leader; " + fine},
		"the bus is another swarm's": {func(f *fixture) {
			f.state.Foreign = &publish.ForeignError{Theirs: "them", Ours: "us", Writer: "l9", Written: now}
		},
			(&publish.ForeignError{Theirs: "them", Ours: "us", Writer: "l9", Written: now}).Error() + "; " + fine},
		"the bus is away": {func(f *fixture) {
			f.Connected = func() bool { return false }
			f.goes("proxy", "p1", 40*time.Second) // of whom nothing can be heard
		}, fine + "; the bus is away, so this may be old"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.change(f)
			var got serviceAnswer
			if get(t, f, "/v1/services/shop_web", &got); got.Summary != c.want {
				t.Errorf("got  %s\nwant %s", got.Summary, c.want)
			}
		})
	}
}
