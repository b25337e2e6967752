package listener

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/listener/internal/known"
	"github.com/wagglehq/waggle/listener/internal/publish"
	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// house is a swarm, a bus, and what a consumer sees of the catalog.
type house struct {
	t       *testing.T
	swarm   *dockertest.Swarm
	server  *bustest.Server
	catalog *bus.Catalog
	consume *bus.Bus
	admin   string
	// reads is the token for reading.
	reads app.Secret
	stop  func()
}

const resyncOfTests = 30 * time.Second

// newHouse starts everything but the listener.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, swarm: dockertest.New(t), server: bustest.Start(t)}
	h.consume = h.server.Connect("proxy")
	h.catalog = h.consume.Catalog(func() {})
	bustest.Run(t, h.catalog.Run)
	return h
}

// run starts the listener; changes may alter its Config.
func (h *house) run(changes ...func(*Config)) *house {
	h.t.Helper()
	c := Config{DockerHost: h.swarm.Host(), NATSURL: h.server.URL(), NATSReplicas: 1, Resync: resyncOfTests, Instance: "l1", StateMetrics: true}
	for _, change := range changes {
		change(&c)
	}
	h.admin = fmt.Sprintf("127.0.0.1:%d", tooltest.FreePort(h.t))
	h.stop = start(h.t, c, h.admin, h.reads)
	return h
}

func start(t *testing.T, c Config, admin string, reads app.Secret) (stop func()) {
	t.Helper()
	sh := shellOfTests(t, admin, reads)
	return bustest.Run(t, func(ctx context.Context) error { return Run(ctx, c, sh) })
}

func shellOfTests(t *testing.T, admin string, reads app.Secret) app.Shell {
	t.Helper()
	return app.Shell{
		Name: "listener", Version: "test", Admin: admin, Reads: reads, Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// sees waits until the consumer's complete snapshot is what check wants.
func (h *house) sees(what string, check func(catalog.Snapshot) bool) catalog.Snapshot {
	h.t.Helper()
	var last catalog.Snapshot
	tooltest.Eventually(h.t, what, func() error {
		s, ok := h.catalog.Snapshot()
		if !ok {
			return errors.New("the catalog is not complete")
		}
		if last = s; !check(s) {
			return fmt.Errorf("the catalog is %+v, tasks %v", slices.Collect(maps.Values(s.Services)), s.Tasks)
		}
		return nil
	})
	return last
}

// seesServices waits until these services are on the bus, and no other.
func (h *house) seesServices(names ...string) catalog.Snapshot {
	h.t.Helper()
	return h.sees(fmt.Sprintf("the services are %v", names), func(s catalog.Snapshot) bool {
		var got []string
		for _, svc := range s.Services {
			got = append(got, svc.Name)
		}
		slices.Sort(got)
		slices.Sort(names)
		return slices.Equal(got, names)
	})
}

func (h *house) get(path string, into any) (status int) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+h.admin+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0 // it does not listen yet
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			h.t.Fatalf("%v in %s", err, body)
		}
	}
	return res.StatusCode
}

func (h *house) healthy(want bool) {
	h.t.Helper()
	tooltest.Eventually(h.t, fmt.Sprintf("healthy: %t", want), func() error {
		if status := h.get("/healthz", nil); (status == http.StatusOK) != want || status == 0 {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
}

// status waits for the listener's status of a service.
func (h *house) status(service string, check func(catalog.Status) bool) {
	h.t.Helper()
	var got struct{ Statuses []catalog.Status }
	tooltest.Eventually(h.t, "the status of "+service, func() error {
		if h.get("/v1/services/"+service, &got); slices.ContainsFunc(got.Statuses, check) {
			return nil
		}
		return fmt.Errorf("statuses %+v", got.Statuses)
	})
}

func web(labels ...string) dockertest.Service {
	s := dockertest.Service{
		Name: "shop_web", Stack: "shop", Replicas: 2, Networks: []string{"waggle"},
		Labels: map[string]string{"com.df.notify": "true", "com.df.servicePath": "/web", "com.df.port": "8080"},
	}
	for i := 0; i < len(labels); i += 2 {
		s.Labels["com.df."+labels[i]] = labels[i+1]
	}
	return s
}

func only(s catalog.Snapshot) catalog.Service {
	for _, svc := range s.Services {
		return svc
	}
	return catalog.Service{}
}

func TestTheLifeOfAService(t *testing.T) {
	h := newHouse(t).run()
	h.seesServices()
	h.healthy(true)

	id := h.swarm.Create(web())
	got := only(h.seesServices("shop_web"))
	want := catalog.Service{
		ID: id, Name: "shop_web", Stack: "shop", Mode: catalog.Replicated, Replicas: 2, EndpointMode: "dnsrr", Networks: []string{"waggle"},
		Labels:    map[string]string{"com.df.notify": "true", "com.df.servicePath": "/web", "com.df.port": "8080"},
		CreatedAt: got.CreatedAt, Image: "app:1", Spec: got.Spec,
	}
	if !reflect.DeepEqual(got, want) || got.CreatedAt.IsZero() {
		t.Errorf("created as %+v, want %+v", got, want)
	}
	h.sees("its tasks", func(s catalog.Snapshot) bool {
		return len(s.Tasks[id]) == 2 && len(s.Tasks[id][0].Addresses["waggle"]) == 1 && s.Tasks[id][0].Running()
	})

	h.swarm.Relabel("shop_web", map[string]string{"com.df.notify": "true", "com.df.servicePath": "/new", "com.df.shortName": "true"})
	h.sees("the new labels, all of them", func(s catalog.Snapshot) bool {
		_, old := only(s).Labels["com.df.port"]
		return only(s).Labels["com.df.servicePath"] == "/new" && !old && only(s).CalledName() == "web"
	})
	h.swarm.Scale("shop_web", 5)
	h.sees("five replicas, and their tasks", func(s catalog.Snapshot) bool { return only(s).Replicas == 5 && len(s.Tasks[id]) == 5 })
	h.swarm.Scale("shop_web", 0)
	h.sees("none, which is not a removal", func(s catalog.Snapshot) bool {
		tasks, ok := s.Tasks[id]
		return len(s.Services) == 1 && only(s).Replicas == 0 && ok && len(tasks) == 0
	})
	h.swarm.SetUpdateState("shop_web", "paused")
	h.sees("an update that was stopped", func(s catalog.Snapshot) bool { return only(s).UpdateState == "paused" })

	h.swarm.Relabel("shop_web", map[string]string{"com.df.notify": "false"})
	h.sees("an opt-out", func(s catalog.Snapshot) bool {
		_, tasks := s.Tasks[id]
		return !only(s).OptedIn() && len(s.Services) == 1 && !tasks
	})
	h.swarm.Relabel("shop_web", map[string]string{"com.df.notify": "TRUE"})
	h.sees("the way back", func(s catalog.Snapshot) bool { _, tasks := s.Tasks[id]; return only(s).OptedIn() && tasks })
	h.swarm.Relabel("shop_web", nil)
	h.sees("an opt-out by removal", func(s catalog.Snapshot) bool { _, tasks := s.Tasks[id]; return !only(s).OptedIn() && !tasks })
	h.swarm.Remove("shop_web")
	h.seesServices()

	node := h.swarm.AddNode("w1", "worker")
	h.sees("another node", func(s catalog.Snapshot) bool { return s.Nodes[node].Hostname == "w1" })
	h.swarm.SetNode("w1", "down", "drain")
	h.sees("that it is down", func(s catalog.Snapshot) bool {
		return s.Nodes[node].State == "down" && s.Nodes[node].Availability == "drain"
	})
	h.swarm.RemoveNode("w1")
	h.sees("that it is gone", func(s catalog.Snapshot) bool { return len(s.Nodes) == 1 })

	tooltest.Eventually(t, "the events are told in order", func() error {
		messages, err := h.consume.Last(t.Context(), bus.EventsStream, 100)
		var kinds, nodes []string
		for _, m := range messages {
			var e struct{ Kind, Service string }
			if err := json.Unmarshal(m.Value, &e); err != nil {
				return err
			}
			if e.Service != "" {
				kinds = append(kinds, e.Kind)
			} else {
				nodes = append(nodes, e.Kind)
			}
		}
		if want := []string{"created", "created", "changed", "removed"}; !slices.Equal(nodes, want) {
			return fmt.Errorf("events of nodes %v, error %v, want %v", nodes, err, want)
		}
		if want := []string{"created", "changed", "changed", "changed", "changed", "changed", "changed", "changed", "removed"}; !slices.Equal(kinds, want) {
			return fmt.Errorf("events %v, error %v, want %v", kinds, err, want)
		}
		return nil
	})
}

func TestTasksAreFollowedWithoutEvents(t *testing.T) {
	h := newHouse(t)
	svc := web()
	svc.Pending = true
	id := h.swarm.Create(svc)
	h.run()
	h.sees("tasks that start", func(s catalog.Snapshot) bool { return len(s.Tasks[id]) == 2 && s.Tasks[id][0].State == "starting" })
	h.swarm.Settle("shop_web")
	h.sees("tasks that run", func(s catalog.Snapshot) bool { return len(s.Tasks[id]) == 2 && s.Tasks[id][0].Running() })
	h.swarm.SetTasks("shop_web", dockertest.Task{Addresses: map[string]string{"waggle": "10.0.9.9"}})
	h.sees("a task that moved", func(s catalog.Snapshot) bool {
		return len(s.Tasks[id]) == 1 && slices.Equal(s.Tasks[id][0].Addresses["waggle"], []string{"10.0.9.9"})
	})
}

func TestAListThatFailsChangesNothing(t *testing.T) {
	for name, broken := range map[string]func(*dockertest.Swarm){
		"no leader":                   (*dockertest.Swarm).NoLeader,
		"services cut off":            func(s *dockertest.Swarm) { s.Truncate(dockertest.Services) },
		"nodes cut off":               func(s *dockertest.Swarm) { s.Truncate(dockertest.Nodes) },
		"no nodes":                    func(s *dockertest.Swarm) { s.Replace(dockertest.Nodes, "[]") },
		"tasks cut off":               func(s *dockertest.Swarm) { s.Truncate(dockertest.Tasks) },
		"the daemon is a mere worker": func(s *dockertest.Swarm) { s.Leave("active") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			id := h.swarm.Create(web())
			h.swarm.Create(dockertest.Service{Name: "db", Replicas: 1})
			h.run()
			before := h.sees("services and tasks", func(s catalog.Snapshot) bool { return len(s.Services) == 2 && len(s.Tasks[id]) == 2 })

			broken(h.swarm)
			lists, tasks := h.swarm.Calls(dockertest.Services), h.swarm.Calls(dockertest.Tasks)
			h.swarm.SetNode("m1", "ready", "active") // an event
			tooltest.Eventually(t, "a few lists failed", func() error {
				if h.swarm.Calls(dockertest.Services) < lists+1 || name == "tasks cut off" && h.swarm.Calls(dockertest.Tasks) < tasks+2 {
					return errors.New("not yet")
				}
				return nil
			})
			if name != "tasks cut off" {
				tooltest.Eventually(t, "the failure is told", func() error {
					var got struct{ Failure string }
					if h.get("/v1/catalog", &got); got.Failure == "" {
						return errors.New("not yet")
					}
					return nil
				})
			}
			after, ok := h.catalog.Snapshot()
			if !ok || !reflect.DeepEqual(before.Services, after.Services) || !reflect.DeepEqual(before.Tasks, after.Tasks) || len(after.Nodes) != len(before.Nodes) {
				t.Errorf("complete %t, before\n%+v\nafter\n%+v", ok, before, after)
			}
			h.healthy(true)
		})
	}
}

func TestWhatHappensWhileTheEventsAreCutIsSeenAfterwards(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	h.swarm.Create(dockertest.Service{Name: "gone", Replicas: 1})
	h.swarm.Create(dockertest.Service{Name: "stays", Replicas: 1})
	h.run()
	h.seesServices("shop_web", "gone", "stays")

	h.swarm.Stop()
	h.swarm.Remove("gone")
	h.swarm.Relabel("shop_web", map[string]string{"com.df.notify": "true", "com.df.servicePath": "/new"})
	h.swarm.Create(dockertest.Service{Name: "made", Replicas: 1})
	h.swarm.StartAgain()
	back := time.Now()
	h.seesServices("shop_web", "made", "stays")
	h.sees("the new label", func(s catalog.Snapshot) bool {
		svc, _ := s.ByName("shop_web")
		return svc.Labels["com.df.servicePath"] == "/new"
	})
	// The stream is opened again within 2 s; the resync of 30 s was not needed.
	if took := time.Since(back); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}

	tooltest.Eventually(t, "the stream is open again", func() error {
		if h.swarm.Listeners() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	h.swarm.CutEvents()
	h.swarm.Remove("stays")
	h.seesServices("shop_web", "made")
}

func TestAStreamThatIsHalfDeadIsMadeUpForByTheResync(t *testing.T) {
	h := newHouse(t).run(func(c *Config) { c.Resync = time.Second })
	h.seesServices()
	tooltest.Eventually(t, "the stream is open", func() error {
		if h.swarm.Listeners() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	h.swarm.DeafenEvents()
	h.swarm.Create(web())
	h.seesServices("shop_web")
}

func TestDockerMayComeLater(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	h.swarm.Stop()
	h.run()
	h.healthy(false)
	if _, ok := h.catalog.Snapshot(); ok {
		t.Error("a catalog is complete that nobody listed")
	}
	h.swarm.StartAgain()
	h.seesServices("shop_web")
	h.healthy(true)
}

func TestTheBusMayComeLaterAndGo(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	h.server.Stop()
	h.run()
	h.healthy(false)
	h.server.StartAgain()
	h.seesServices("shop_web")
	h.healthy(true)

	h.server.Stop()
	h.swarm.Create(dockertest.Service{Name: "meanwhile", Replicas: 1})
	h.swarm.Remove("shop_web")
	h.healthy(true)
	h.server.StartAgain()
	h.seesServices("meanwhile")
}

func TestABusThatLostItsStoreIsFilledAgain(t *testing.T) {
	h := newHouse(t)
	id := h.swarm.Create(web("unheardOf", "1"))
	h.run()
	before := h.sees("services and tasks", func(s catalog.Snapshot) bool { return len(s.Services) == 1 && len(s.Tasks[id]) == 2 })
	h.server.Stop()
	h.server.LoseStore()
	h.server.StartAgain()
	after := h.sees("the catalog of another epoch", func(s catalog.Snapshot) bool {
		return s.Revision.Epoch != before.Revision.Epoch && len(s.Tasks[id]) == 2
	})
	if !reflect.DeepEqual(before.Services, after.Services) || !reflect.DeepEqual(before.Nodes, after.Nodes) {
		t.Errorf("before\n%+v\nafter\n%+v", before, after)
	}
	h.status("shop_web", func(s catalog.Status) bool { return s.Component == "listener" && len(s.Warnings) == 1 })
}

// revisions returns the revision of every entry but the list key.
func (h *house) revisions() map[string]uint64 {
	h.t.Helper()
	m := h.consume.Bucket(bus.CatalogBucket).Mirror(">", func() {})
	stop := bustest.Run(h.t, m.Run)
	defer stop()
	out := map[string]uint64{}
	tooltest.Eventually(h.t, "the bucket is read", func() error {
		values, ok := m.Values()
		for key, v := range values {
			if key != catalog.ListKey {
				out[key] = v.Revision
			}
		}
		if !ok {
			return errors.New("not yet")
		}
		return nil
	})
	return out
}

func TestADeployThatChangesNothingWritesNothing(t *testing.T) {
	h := newHouse(t)
	id := h.swarm.Create(web())
	h.swarm.Create(dockertest.Service{Name: "db", Replicas: 1})
	h.run()
	h.sees("services and tasks", func(s catalog.Snapshot) bool { return len(s.Services) == 2 && len(s.Tasks[id]) == 2 })
	before := h.revisions()
	h.swarm.Redeploy("shop_web")
	h.swarm.Redeploy("db")
	other := h.swarm.Create(dockertest.Service{Name: "after", Replicas: 1})
	h.seesServices("shop_web", "db", "after")
	after := h.revisions()
	delete(after, catalog.ServiceKey(other))
	if !maps.Equal(before, after) {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestAnotherEnvironmentIsAnotherSpecification(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web())
	h.run()
	before := only(h.seesServices("shop_web"))
	h.swarm.Change("shop_web", func(spec map[string]any) {
		spec["TaskTemplate"].(map[string]any)["ContainerSpec"].(map[string]any)["Env"] = []any{"A=1"}
	})
	h.sees("another hash, and the one before", func(s catalog.Snapshot) bool {
		svc := only(s)
		return svc.Spec != before.Spec && svc.Previous != nil && *svc.Previous == catalog.Previous{Replicas: 2, Spec: before.Spec}
	})
	h.swarm.SetUpdateState("shop_web", "completed")
	h.sees("that the update is complete, which is no state to wait for", func(s catalog.Snapshot) bool {
		svc := only(s)
		return svc.UpdateState == "" && svc.Update != nil && svc.Update.State == "completed"
	})
}

func TestABurstOfEventsIsAFewLists(t *testing.T) {
	h := newHouse(t).run()
	h.seesServices()
	before := h.swarm.Calls(dockertest.Services)
	for i := range 100 {
		h.swarm.Create(dockertest.Service{Name: fmt.Sprint("s", i), Replicas: 1})
	}
	h.sees("all of them", func(s catalog.Snapshot) bool { return len(s.Services) == 100 })
	if lists := h.swarm.Calls(dockertest.Services) - before; lists > 30 {
		t.Errorf("%d lists for a burst of 100 events", lists)
	}
}

func TestLabelsThatHaveNoEffectAreSaid(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(web("servicePth", "/typo", "letsencrypt.host", "a.b", "users", "me:secret"))
	misplaced := dockertest.Service{Name: "misplaced", Replicas: 1, ContainerLabels: map[string]string{"com.df.notify": "true", "com.df.servicePath": "/x"}}
	h.swarm.Create(misplaced)
	h.swarm.Create(dockertest.Service{Name: "shy", Replicas: 1, Labels: map[string]string{"com.df.servicePath": "/x"}})
	h.swarm.Create(dockertest.Service{Name: "plain", Replicas: 1})
	large := dockertest.Service{Name: "large", Replicas: 1, Labels: map[string]string{"com.df.notify": "true", "com.df.servicePath": strings.Repeat("/x", catalog.MaxValue/2)}}
	h.swarm.Create(large)
	h.run()
	h.status("shop_web", func(s catalog.Status) bool {
		return s.State == catalog.StateAccepted && len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], "com.df.servicePth") && strings.Contains(s.Warnings[0], "is com.df.servicePath meant?")
	})
	h.status("misplaced", func(s catalog.Status) bool {
		return s.State == catalog.StateIgnored && strings.Contains(s.Reason, "stands on the container") && strings.Contains(s.Hint, "deploy.labels")
	})
	h.status("shy", func(s catalog.Status) bool {
		return s.State == catalog.StateIgnored && s.Label == "com.df.notify" && strings.Contains(s.Hint, "--label-add com.df.notify=true shy")
	})
	h.status("large", func(s catalog.Status) bool {
		return s.State == catalog.StateRejected && strings.Contains(s.Reason, "65536")
	})
	var plain struct {
		Summary  string
		Statuses []catalog.Status
	}
	if h.get("/v1/services/plain", &plain); len(plain.Statuses) > 0 || !strings.Contains(plain.Summary, "no label under com.df.") {
		t.Errorf("%+v", plain)
	}
	if published, _ := h.seesServices("shop_web", "misplaced", "shy", "plain", "large").ByName("large"); !published.OptedIn() || len(published.Labels) != 1 || published.Oversize <= catalog.MaxValue {
		t.Errorf("the large service is published as %+v", published)
	}

	// Mended and removed services leave no status behind.
	misplaced.Labels, misplaced.ContainerLabels = misplaced.ContainerLabels, nil
	h.swarm.Remove("misplaced")
	h.swarm.Create(misplaced)
	h.swarm.Remove("shy")
	h.swarm.Remove("large")
	m := h.consume.Bucket(bus.StatusBucket).Mirror("listener.>", func() {})
	bustest.Run(t, m.Run)
	tooltest.Eventually(t, "one status is left", func() error {
		values, ok := m.Values()
		if _, isWeb := values[bus.StatusKey("listener", "l1", h.swarm.ID("shop_web"))]; !ok || len(values) != 1 || !isWeb {
			return fmt.Errorf("%d statuses", len(values))
		}
		return nil
	})
}

func TestStatusesOfAllComponentsAreJoined(t *testing.T) {
	h := newHouse(t)
	id := h.swarm.Create(web())
	h.run()
	h.seesServices("shop_web")
	proxy := h.consume.Statuses("p1", func() {})
	bustest.Run(t, proxy.Run)
	tooltest.Eventually(t, "the proxy says what it did", func() error {
		return proxy.Publish(t.Context(), []catalog.Status{{ServiceID: id, Service: "shop_web", State: catalog.StateRejected, Reason: "the path is taken by old_web"}})
	})
	h.status("shop_web", func(s catalog.Status) bool { return s.Component == "proxy" && s.State == catalog.StateRejected })
	var got struct{ Summary string }
	if h.get("/v1/services/shop_web", &got); !strings.HasPrefix(got.Summary, "rejected by proxy: the path is taken by old_web, since ") {
		t.Errorf("summary %q", got.Summary)
	}
	var about struct {
		Bus       string
		Services  int
		Revision  catalog.Revision
		Instances []catalog.Instance
	}
	tooltest.Eventually(t, "the instance is announced", func() error {
		if h.get("/v1/catalog", &about); len(about.Instances) != 1 || about.Instances[0].Instance != "l1" {
			return fmt.Errorf("%+v", about)
		}
		return nil
	})
	if about.Bus != "connected" || about.Services != 1 || about.Revision.Epoch == "" || about.Revision.Sequence == 0 {
		t.Errorf("%+v", about)
	}
}

func TestTheListenersOwnBus(t *testing.T) {
	swarm := dockertest.New(t)
	id := swarm.Create(web())
	port := tooltest.FreePort(t)
	c := Config{
		DockerHost: swarm.Host(), Resync: 30 * time.Second, NATSReplicas: 1, DataDir: t.TempDir(), NATSHost: "127.0.0.1", NATSPort: port,
		KeyListener: "the-secret-of-the-listener", KeyProxy: "the-secret-of-the-proxy", KeyMonitor: "the-secret-of-the-monitor", KeyScaler: "the-secret-of-the-scaler",
	}
	connect := func(component, key string) *bus.Bus {
		b, err := bus.Connect(bus.Options{URL: fmt.Sprintf("tls://127.0.0.1:%d", port), Component: component, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	h := &house{t: t, swarm: swarm, admin: fmt.Sprintf("127.0.0.1:%d", tooltest.FreePort(t))}
	proxy := connect("proxy", "the-secret-of-the-proxy")
	h.catalog = proxy.Catalog(func() {})
	bustest.Run(t, h.catalog.Run)
	stranger := connect("proxy", "the-secret-of-nobody")

	h.stop = start(t, c, h.admin, h.reads)
	before := h.sees("services and tasks", func(s catalog.Snapshot) bool { return len(s.Services) == 1 && len(s.Tasks[id]) == 2 })
	h.healthy(true)
	if stranger.Connected() {
		t.Error("a stranger was let in")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := proxy.Bucket(bus.CatalogBucket).Put(ctx, "service.x", []byte("{}")); err == nil {
		t.Error("the proxy may write the catalog")
	}

	h.stop()
	swarm.Remove("shop_web")
	swarm.Create(dockertest.Service{Name: "new", Replicas: 1})
	h.stop = start(t, c, h.admin, h.reads)
	after := h.seesServices("new")
	if after.Revision.Epoch != before.Revision.Epoch {
		t.Error("the store was lost over a restart")
	}
}

// The proxy's secret is replaced as compose/rotate does it: whoever is started anew at each
// step, and the other lives on with the bus.
func TestAKeyIsReplacedInThreeSteps(t *testing.T) {
	const former, next = "the-former-secret-of-the-proxy", "the-next-secret-of-the-proxy"
	swarm := dockertest.New(t)
	port := tooltest.FreePort(t)
	c := Config{
		DockerHost: swarm.Host(), Resync: 30 * time.Second, NATSReplicas: 1, DataDir: t.TempDir(), NATSHost: "127.0.0.1", NATSPort: port,
		KeyListener: "the-secret-of-the-listener", KeyProxy: former, KeyMonitor: "the-secret-of-the-monitor", KeyScaler: "the-secret-of-the-scaler",
	}
	h := &house{t: t, swarm: swarm, admin: fmt.Sprintf("127.0.0.1:%d", tooltest.FreePort(t))}
	proxy := func(key string, log *slog.Logger) *bus.Bus {
		b, err := bus.Connect(bus.Options{URL: fmt.Sprintf("tls://127.0.0.1:%d", port), Component: "proxy", Key: key, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		return b
	}
	times := 0
	works := func(who string, b *bus.Bus) {
		t.Helper()
		times++
		tooltest.Eventually(t, who+" reads and writes", func() error {
			// What is asked at the moment of a restart has no answer.
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if _, _, err := b.Bucket(bus.CatalogBucket).Get(ctx, catalog.ListKey); err != nil {
				return err
			}
			_, err := b.Bucket(bus.StatusBucket).Put(ctx, fmt.Sprint("proxy.x", times), []byte("{}"))
			return err
		})
	}
	restart := func(key, other app.Secret) {
		t.Helper()
		if h.stop != nil {
			h.stop()
		}
		c.KeyProxy, c.OtherProxy = key, other
		h.stop = start(t, c, h.admin, h.reads)
	}

	restart(former, "")
	old := proxy(former, nil)
	works("the proxy", old)
	restart(former, next) // 1. the listener learns the next one
	works("the proxy that was there", old)
	replaced := proxy(next, nil) // 2. the proxy gets it
	works("the proxy that came", replaced)
	restart(former, next) // the listener starts anew in the middle
	works("the proxy that was there", old)
	works("the proxy that came", replaced)
	restart(next, former) // the two change places, as after a rotation that was begun again
	works("the proxy that was there", old)
	works("the proxy that came", replaced)
	restart(next, "") // 3. the listener forgets the former one
	works("the proxy that came", replaced)
	var log tooltest.Log
	stale := proxy(former, slog.New(slog.NewTextHandler(&log, nil)))
	tooltest.Eventually(t, "the former key opens nothing, and the listener has none that it would be known by", func() error {
		if !strings.Contains(log.String(), "bus passed over") || stale.Connected() || old.Connected() {
			return errors.New(log.String())
		}
		return nil
	})

	// The listener's own is its alone: one step, and nobody else notices.
	c.KeyListener = "the-next-secret-of-the-listener"
	restart(next, "")
	works("the proxy", replaced)
}

func TestConfigIsChecked(t *testing.T) {
	key := app.Secret("a-secret-that-is-long-enough")
	fine := Config{DockerHost: "unix:///nowhere", Resync: time.Minute, NATSReplicas: 1, KeyListener: key, KeyProxy: key, KeyMonitor: key, KeyScaler: key}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a key is missing":            {func(c *Config) { c.KeyMonitor, c.KeyScaler = "", "" }, "nats-key-monitor, nats-key-scaler: not set"},
		"a further key is not enough": {func(c *Config) { c.KeyProxy, c.OtherProxy = "", key }, "nats-key-proxy: not set"},
		"open and closed":             {func(c *Config) { c.NATSOpen = true }, "do not go together"},
		"no time to rest":             {func(c *Config) { c.Resync = 0 }, "resync=0s"},
		"three copies on one server":  {func(c *Config) { c.NATSReplicas = 3 }, "nats-replicas=3"},
		"no copies":                   {func(c *Config) { c.NATSReplicas, c.NATSURL = 0, "nats://x" }, "nats-replicas=0"},
		"a host that is none":         {func(c *Config) { c.DockerHost = "nowhere" }, `docker: host "nowhere"`},
		"a store that cannot be used": {func(c *Config) { c.DataDir, c.NATSPort = "/dev/null/x", -1 }, "embedded NATS"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := fine
			c.change(&changed)
			sh := app.Shell{Admin: "127.0.0.1:0", Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}
			if err := Run(t.Context(), changed, sh); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestHealthWithoutABus(t *testing.T) {
	h := newHouse(t)
	h.server.Stop()
	b, err := bus.Connect(bus.Options{URL: h.server.URL(), Component: "listener"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	now := time.Now()
	healthy := health(publish.New(publish.Options{}), b.Catalog(func() {}), b, func() error { return nil }, func() time.Time { return now })
	if err := healthy(); err == nil {
		t.Error("healthy at once")
	}
	now = now.Add(withoutOthers)
	if err := healthy(); err != nil {
		t.Errorf("after 20 s, when a restart would not help: %v", err)
	}
}

// TestHealthWithoutDocker pins that the bus is not taken from everybody by restarts that
// would not bring Docker back.
func TestHealthWithoutDocker(t *testing.T) {
	h := newHouse(t)
	b := h.server.Prepared()
	swarm, err := docker.Connect(h.swarm.Host(), docker.AllowRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.swarm.Stop()
	now := time.Now()
	writer := b.CatalogWriter(func() {})
	bustest.Run(t, writer.Run)
	p := publish.New(publish.Options{Swarm: swarm, Catalog: writer, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	healthy := health(p, b.Catalog(func() {}), b, func() error { return nil }, func() time.Time { return now })
	tooltest.Eventually(t, "a list fails", func() error {
		if err := p.ListPass(t.Context()); err != nil {
			return nil
		}
		return errors.New("not yet")
	})
	if err := healthy(); err == nil || !strings.Contains(err.Error(), "docker") {
		t.Errorf("at once: %v", err)
	}
	now = now.Add(withoutOthers)
	if err := healthy(); err != nil {
		t.Errorf("after 20 s, when a restart would not help: %v", err)
	}
}

func TestLabelsAreKnown(t *testing.T) {
	table, err := known.Table()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Labels() {
		if !slices.ContainsFunc(table, func(k label.Spec) bool { return k.Name == s.Name }) {
			t.Errorf("%s is not in labels.txt", s.Name)
		}
	}
	if docker.DefaultHost != "unix:///var/run/docker.sock" {
		t.Errorf("the daemon is looked for at %s", docker.DefaultHost)
	}
}
