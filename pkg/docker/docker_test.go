package docker_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func connect(t *testing.T, host string, allow docker.Allow, options ...docker.Option) *docker.Client {
	t.Helper()
	c, err := docker.Connect(host, allow, nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestRecordedAnswers reads what a real engine (20.10, API 1.41) answered: a stack
// of a replicated and a global service, a service made by hand, a job, a
// finished update. The tasks are those that it has for what Tasks asks for.
func TestRecordedAnswers(t *testing.T) {
	recorded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		name := strings.TrimPrefix(r.URL.Path, "/v1.41/")
		if name == "/_ping" {
			return
		}
		body, err := os.ReadFile(filepath.Join("testdata", filepath.Base(name)+".json"))
		if err != nil {
			t.Errorf("unexpected call %s", r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	server := httptest.NewServer(recorded)
	defer server.Close()
	c := connect(t, "tcp://"+strings.TrimPrefix(server.URL, "http://"), docker.AllowRead)

	listing, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if listing.Snapshot.Tasks, err = c.Tasks(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(map[string]any{
		"services": listing.Snapshot.Services, "nodes": listing.Snapshot.Nodes, "tasks": listing.Snapshot.Tasks,
		"versions": listing.Versions, "cluster": listing.Cluster,
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "catalog.golden")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the recorded answers become\n%s\nwant\n%s", got, want)
	}
}

func TestListReadsWhatTheLabelsSay(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.LabelNode("m1", map[string]string{"com.df.zone": "a", "com.df.disk": "ssd", "other": "x"}, map[string]string{"com.df.zone": "engine", "com.df.gpu": "1"})
	swarm.Create(dockertest.Service{
		Name: "shop_web", Stack: "shop", Replicas: 2, Networks: []string{"waggle", "back"},
		Labels:          map[string]string{"com.df.notify": "true", "com.df.servicePath": "/web", "other": "x"},
		ContainerLabels: map[string]string{"com.df.port": "8080", "other": "y"},
	})
	swarm.Create(dockertest.Service{Name: "agent", Global: true, EndpointMode: "vip"})
	swarm.SetUpdateState("agent", "paused")
	c := connect(t, swarm.Host(), docker.AllowRead)

	listing, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := listing.Snapshot
	web, agent := got.Services[swarm.ID("shop_web")], got.Services[swarm.ID("agent")]
	web.CreatedAt, agent.CreatedAt = time.Time{}, time.Time{}
	for _, want := range []struct{ got, want catalog.Service }{
		{web, catalog.Service{
			ID: swarm.ID("shop_web"), Name: "shop_web", Stack: "shop", Mode: catalog.Replicated, Replicas: 2,
			Labels:          map[string]string{"com.df.notify": "true", "com.df.servicePath": "/web"},
			ContainerLabels: map[string]string{"com.df.port": "8080"},
			Networks:        []string{"back", "waggle"}, EndpointMode: "dnsrr", Image: "app:1", Spec: web.Spec,
		}},
		{agent, catalog.Service{
			ID: swarm.ID("agent"), Name: "agent", Mode: catalog.Global, EndpointMode: "vip", UpdateState: "paused", Image: "app:1", Spec: agent.Spec,
			Update: &catalog.Update{State: "paused", Started: agent.Update.Started, Failure: "pause", Message: "paused"},
		}},
	} {
		if !reflect.DeepEqual(want.got, want.want) {
			t.Errorf("service\n%+v\nwant\n%+v", want.got, want.want)
		}
	}
	for _, n := range got.Nodes {
		if want := map[string]string{"com.df.zone": "a", "com.df.disk": "ssd", "com.df.gpu": "1"}; !reflect.DeepEqual(n.Labels, want) {
			t.Errorf("labels of the node %v, want %v", n.Labels, want)
		}
	}
	before := listing.Versions[catalog.ServiceKey(swarm.ID("agent"))]
	swarm.SetUpdateState("agent", "completed")
	if listing, err = c.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	if state := listing.Snapshot.Services[swarm.ID("agent")].UpdateState; state != "" {
		t.Errorf("a completed update is told as %q", state)
	}
	if after := listing.Versions[catalog.ServiceKey(swarm.ID("agent"))]; after <= before {
		t.Errorf("version %d after %d", after, before)
	}
}

func TestNetworksAreListedOnlyWhenOneIsNew(t *testing.T) {
	swarm := dockertest.New(t)
	c := connect(t, swarm.Host(), docker.AllowRead)
	list := func(service, want string) {
		t.Helper()
		listing, err := c.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Join(listing.Snapshot.Services[swarm.ID(service)].Networks, " "); n != want {
			t.Errorf("networks of %s are %q, want %q", service, n, want)
		}
	}
	swarm.Create(dockertest.Service{Name: "a", Networks: []string{"waggle"}})
	list("a", "waggle")
	list("a", "waggle")
	if n := swarm.Calls(dockertest.Networks); n != 1 {
		t.Errorf("listed %d times for one network, want 1", n)
	}
	swarm.Create(dockertest.Service{Name: "b", Networks: []string{"waggle", "new"}})
	list("b", "new waggle")
	if n := swarm.Calls(dockertest.Networks); n != 2 {
		t.Errorf("listed %d times for two networks, want 2", n)
	}
	swarm.Change("a", func(spec map[string]any) {
		spec["TaskTemplate"].(map[string]any)["Networks"] = []any{map[string]any{"Target": "gone"}}
	})
	list("a", "")
	list("a", "")
	if n := swarm.Calls(dockertest.Networks); n != 3 {
		t.Errorf("listed %d times with a network that is gone, want 3", n)
	}
}

func TestAFailedOrPartialListIsAnError(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(dockertest.Service{Name: "web", Replicas: 1, Networks: []string{"waggle"}})
	for name, broken := range map[string]func(){
		"services truncated":         func() { swarm.Truncate(dockertest.Services) },
		"nodes truncated":            func() { swarm.Truncate(dockertest.Nodes) },
		"networks truncated":         func() { swarm.Truncate(dockertest.Networks) },
		"tasks truncated":            func() { swarm.Truncate(dockertest.Tasks) },
		"services fail":              func() { swarm.Fail(dockertest.Services, 500, "context deadline exceeded") },
		"nodes fail":                 func() { swarm.Fail(dockertest.Nodes, 500, "context deadline exceeded") },
		"networks fail":              func() { swarm.Fail(dockertest.Networks, 500, "context deadline exceeded") },
		"an answer that is no list":  func() { swarm.Replace(dockertest.Services, `{"message":"proxy says hello"}`) },
		"no node, which cannot be":   func() { swarm.Replace(dockertest.Nodes, `[]`) },
		"the swarm has no leader":    swarm.NoLeader,
		"services hang":              func() { swarm.Hang(dockertest.Services) },
		"nodes hang":                 func() { swarm.Hang(dockertest.Nodes) },
		"the daemon answers no ping": func() { swarm.Hang(dockertest.Ping) },
		"no word of the cluster": func() {
			swarm.Replace(dockertest.Info, `{"Swarm":{"LocalNodeState":"active","ControlAvailable":true,"Error":"no leader"}}`)
		},
		"info fails":               func() { swarm.Fail(dockertest.Info, 500, "context deadline exceeded") },
		"ping from something else": func() { swarm.Replace(dockertest.Ping, "hello") },
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, swarm.Host(), docker.AllowRead, docker.Timeout(100*time.Millisecond))
			broken()
			listing, err := c.List(t.Context())
			if _, taskErr := c.Tasks(t.Context()); err == nil && taskErr == nil {
				t.Error("no error")
			}
			if err != nil && !reflect.DeepEqual(listing, catalog.Listing{}) {
				t.Errorf("an error came with a part of the list: %+v", listing)
			}
			swarm.Mend()
			if listing, err := c.List(t.Context()); err != nil || len(listing.Snapshot.Services) != 1 {
				t.Errorf("afterwards %d services, error %v", len(listing.Snapshot.Services), err)
			}
		})
	}
}

func TestNotAManagerSaysWhatToDo(t *testing.T) {
	for state, want := range map[string]string{"active": "node.role == manager", "inactive": "docker swarm init", "locked": "docker swarm unlock"} {
		swarm := dockertest.New(t)
		swarm.Leave(state)
		c := connect(t, swarm.Host(), docker.AllowScale)
		_, err := c.List(t.Context())
		_, scaleErr := c.Scale(t.Context(), "web")
		for _, err := range []error{err, scaleErr, c.SetReplicas(t.Context(), "web", 1, 2)} {
			if !errors.Is(err, docker.ErrNotManager) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want ErrNotManager that says %q", state, err, want)
			}
		}
	}
}

func TestConnectingDoesNotNeedTheDaemon(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Stop()
	c := connect(t, swarm.Host(), docker.AllowRead)
	if _, err := c.List(t.Context()); err == nil || !strings.Contains(err.Error(), swarm.Host()) {
		t.Errorf("error %v, want one that names %s", err, swarm.Host())
	}
	swarm.StartAgain()
	if _, err := c.List(t.Context()); err != nil {
		t.Errorf("after the daemon came: %v", err)
	}
	if _, err := docker.Connect("localhost", docker.AllowRead, nil); err == nil || !strings.Contains(err.Error(), "unix:///") {
		t.Errorf("a host without a scheme: %v", err)
	}
}

func TestTasksAreThoseThatRunOrWill(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.AddNode("w1", "worker")
	swarm.AddNode("w2", "worker")
	swarm.Create(dockertest.Service{Name: "web", Networks: []string{"waggle"}})
	swarm.SetTasks("web",
		dockertest.Task{Slot: 1, Node: "w1", Addresses: map[string]string{"waggle": "10.0.0.1", "back": "10.1.0.1"}},
		dockertest.Task{Slot: 2, Node: "w2", Addresses: map[string]string{"waggle": "10.0.0.2"}},
		dockertest.Task{Slot: 3, Node: "w1", State: "preparing", Desired: "ready", Addresses: map[string]string{"waggle": "fd00::1"}},
		dockertest.Task{Slot: 3, Node: "w1", State: "failed", Desired: "running"},
		dockertest.Task{Slot: 4, Node: "w1", State: "running", Desired: "shutdown"},
		dockertest.Task{Slot: 5, Node: "w1", State: "shutdown", Desired: "shutdown"},
	)
	swarm.SetNode("w2", "down", "active")
	c := connect(t, swarm.Host(), docker.AllowRead)
	got, err := c.Tasks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tasks := got[swarm.ID("web")]
	var texts []string
	for _, task := range tasks {
		b, err := json.Marshal([]any{task.Slot, task.State, task.Desired, task.Addresses})
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	want := `[1,"running","running",{"back":["10.1.0.1"],"waggle":["10.0.0.1"]}]
[3,"preparing","ready",null]`
	if got := strings.Join(texts, "\n"); got != want {
		t.Errorf("tasks\n%s\nwant\n%s", got, want)
	}
	swarm.Create(dockertest.Service{Name: "api", Networks: []string{"waggle"}})
	swarm.SetTasks("api", dockertest.Task{Slot: 1, Node: "w1"})
	if all, err := c.Tasks(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("tasks of %d services, error %v, want 2", len(all), err)
	}
	if few, err := c.TasksOf(t.Context(), swarm.ID("web")); err != nil || len(few) != 1 || !reflect.DeepEqual(few[swarm.ID("web")], tasks) {
		t.Errorf("of one service: %v, error %v, want those of web", few, err)
	}
	scale, err := c.Scale(t.Context(), "web")
	if err != nil || scale.Running != 1 {
		t.Errorf("running %d, error %v, want 1: only what runs on a node that is not down counts", scale.Running, err)
	}
}

func TestEventsPoke(t *testing.T) {
	swarm := dockertest.New(t)
	c := connect(t, swarm.Host(), docker.AllowRead, docker.Timeout(200*time.Millisecond))
	var pokes atomic.Int64
	stop := bustest.Run(t, func(ctx context.Context) error { return c.Events(ctx, func(docker.Event) { pokes.Add(1) }) })
	expect := func(what string, want int64) {
		t.Helper()
		tooltest.Eventually(t, what, func() error {
			if n := pokes.Load(); n != want {
				return errors.New(strings.Repeat("|", int(n)))
			}
			return nil
		})
	}
	expect("one poke when the stream is open", 1)
	swarm.Create(dockertest.Service{Name: "web", Replicas: 1})
	expect("one for a service that is created", 2)
	swarm.Relabel("web", map[string]string{"com.df.notify": "true"})
	expect("one for a change", 3)
	swarm.SetNode("m1", "ready", "drain")
	expect("one for a node", 4)
	swarm.CutEvents()
	expect("one after the stream was cut", 5)
	swarm.Stop()
	swarm.Remove("web")
	swarm.Hang(dockertest.Events)
	swarm.StartAgain()
	tooltest.Eventually(t, "a stream that does not begin is given up", func() error {
		if swarm.Calls(dockertest.Events) < 4 {
			return errors.New("not yet")
		}
		return nil
	})
	expect("none meanwhile", 5)
	swarm.Mend()
	expect("one when the daemon is back", 6)
	stop()
	if n := swarm.Listeners(); n > 1 {
		t.Errorf("%d streams are left open", n)
	}
}

func optedIn(name string, replicas uint64) dockertest.Service {
	return dockertest.Service{Name: name, Replicas: replicas, Labels: map[string]string{"com.df.notify": "true", "com.df.scaleMax": "9", "other": "x"}}
}

func TestScale(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(optedIn("web", 3))
	swarm.SetUpdateState("web", "updating")
	c := connect(t, swarm.Host(), docker.AllowScale)
	got, err := c.Scale(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	_, version := swarm.Spec("web")
	want := docker.Scale{
		ID: swarm.ID("web"), Name: "web", Version: version, Replicas: 3, Running: 3, UpdateState: "updating",
		Labels: map[string]string{"com.df.notify": "true", "com.df.scaleMax": "9"}, Mode: catalog.Replicated, Before: 3, Failure: "pause",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := c.Scale(t.Context(), "nobody"); !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("a service that is not there: %v", err)
	}
}

func TestSetReplicasChangesNothingElse(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(optedIn("web", 3))
	swarm.Change("web", func(spec map[string]any) {
		spec["FieldOfTomorrow"] = map[string]any{"A": []any{"<b>", nil, 1.5}}
		spec["TaskTemplate"].(map[string]any)["ContainerSpec"].(map[string]any)["Novelty"] = "kept"
		spec["Mode"].(map[string]any)["Replicated"].(map[string]any)["Pace"] = "slow"
	})
	before, version := swarm.Spec("web")
	c := connect(t, swarm.Host(), docker.AllowScale)
	if err := c.SetReplicas(t.Context(), "web", version, 5); err != nil {
		t.Fatal(err)
	}
	sent := swarm.Updates()
	if len(sent) != 1 {
		t.Fatalf("%d updates, want 1", len(sent))
	}
	var was, is map[string]any
	if err := errors.Join(json.Unmarshal(before, &was), json.Unmarshal(sent[0], &is)); err != nil {
		t.Fatal(err)
	}
	was["Mode"].(map[string]any)["Replicated"].(map[string]any)["Replicas"] = 5.0
	if !reflect.DeepEqual(was, is) {
		t.Errorf("sent\n%v\nwant\n%v", is, was)
	}
	_, version = swarm.Spec("web")
	if err := c.SetReplicas(t.Context(), "web", version, 5); err != nil {
		t.Error(err)
	}
	if n := len(swarm.Updates()); n != 1 {
		t.Errorf("a number that is there already was set again (%d updates)", n)
	}
}

func TestSetReplicasRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*dockertest.Swarm)
		allow   docker.Allow
		stale   bool
		service string
		want    error
	}{
		"a version that is no longer the present one": {allow: docker.AllowScale, stale: true, want: docker.ErrConflict},
		"a change between reading and writing": {
			allow: docker.AllowScale, want: docker.ErrConflict,
			prepare: func(s *dockertest.Swarm) { s.Before(dockertest.Update, func() { s.Redeploy("web") }) },
		},
		"a service that is not there": {allow: docker.AllowScale, service: "nobody", want: docker.ErrNotFound},
		"a name that is a path":       {allow: docker.AllowScale, service: "web/../../containers", want: docker.ErrNotFound},
		"a service removed between reading and writing": {
			allow: docker.AllowScale, want: docker.ErrNotFound,
			prepare: func(s *dockertest.Swarm) { s.Before(dockertest.Update, func() { s.Remove("web") }) },
		},
		"a global service": {
			allow: docker.AllowScale, want: docker.ErrNotReplicated,
			prepare: func(s *dockertest.Swarm) {
				s.Change("web", func(spec map[string]any) { spec["Mode"] = map[string]any{"Global": map[string]any{}} })
			},
		},
		"a service that did not opt in": {
			allow: docker.AllowScale, want: docker.ErrNotOptedIn,
			prepare: func(s *dockertest.Swarm) { s.Relabel("web", map[string]string{"com.df.notify": "false"}) },
		},
		"a client that may only read": {allow: docker.AllowRead, want: docker.ErrNotAllowed},
		"a daemon that does not answer": {
			allow: docker.AllowScale, want: context.DeadlineExceeded,
			prepare: func(s *dockertest.Swarm) { s.Hang(dockertest.Update) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			swarm := dockertest.New(t)
			swarm.Create(optedIn("web", 3))
			if c.prepare != nil {
				c.prepare(swarm)
			}
			_, version := swarm.Spec("web")
			if c.stale {
				swarm.Redeploy("web")
			}
			if c.service == "" {
				c.service = "web"
			}
			client := connect(t, swarm.Host(), c.allow, docker.Timeout(200*time.Millisecond))
			if err := client.SetReplicas(t.Context(), c.service, version, 5); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if n := len(swarm.Updates()); n != 0 {
				t.Errorf("%d updates came through", n)
			}
		})
	}
}

func TestADaemonOfAnotherVersionIsFollowed(t *testing.T) {
	api := "1.44"
	var paths atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", api)
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/v"+api+"/") {
			w.WriteHeader(http.StatusBadRequest) // what an engine says to a client that is too new or too old
			return
		}
		paths.Store(r.URL.Path)
		_, _ = w.Write([]byte(`[]`))
	}))
	defer server.Close()
	c := connect(t, "tcp://"+strings.TrimPrefix(server.URL, "http://"), docker.AllowRead)
	list := func() { _, _ = c.List(t.Context()) } // fails for want of nodes; only the paths matter
	list()
	if got := paths.Load(); got != "/v1.44/nodes" {
		t.Errorf("asked %v, want the version of the daemon", got)
	}
	api = "1.48"
	list()
	list()
	if got := paths.Load(); got != "/v1.48/nodes" {
		t.Errorf("asked %v after the daemon was upgraded", got)
	}
}
