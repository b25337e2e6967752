package docker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

func TestADeadlineThatIsMissedGrows(t *testing.T) {
	swarm := dockertest.New(t)
	c := connect(t, swarm.Host(), docker.AllowRead, docker.Timeout(150*time.Millisecond))
	within := func(want string) {
		t.Helper()
		if _, err := c.List(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "within "+want) {
			t.Errorf("%v, want no answer within %s", err, want)
		}
	}
	swarm.Hang(dockertest.Services)
	within("150ms")
	within("300ms")
	within("600ms")
	within("600ms")
	swarm.Mend()
	// What other calls need is their own matter.
	swarm.Hang(dockertest.Nodes)
	within("150ms")
	swarm.Mend()
	for range 2 {
		if _, err := c.List(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	swarm.Hang(dockertest.Services)
	within("150ms")
}

func TestADeadlineThatIsNeededStays(t *testing.T) {
	swarm := dockertest.New(t)
	c := connect(t, swarm.Host(), docker.AllowRead, docker.Timeout(100*time.Millisecond))
	slow := func(took time.Duration) func() { return func() { <-time.After(took) } }
	swarm.Before(dockertest.Services, slow(150*time.Millisecond))
	if _, err := c.List(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a list of 150 ms within 100 ms: %v", err)
	}
	for range 3 {
		if _, err := c.List(t.Context()); err != nil {
			t.Errorf("a list of 150 ms after one that was given up: %v", err)
		}
	}
}

// TestACallOfALeaderThatHasGone: what was asked while the swarm had no leader is never answered, and
// the next leader is known long before the deadline.
func TestACallOfALeaderThatHasGone(t *testing.T) {
	swarm := dockertest.New(t)
	target := &url.URL{Scheme: "http", Host: strings.TrimPrefix(swarm.Host(), "tcp://")}
	onward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	var leaderless atomic.Bool
	var unanswered atomic.Int32
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if leaderless.Load() && !strings.HasSuffix(r.URL.Path, "/_ping") {
			unanswered.Add(1)
			<-r.Context().Done()
			return
		}
		onward.ServeHTTP(w, r)
	}))
	defer engine.Close()
	const deadline = 3 * time.Second
	c := connect(t, "tcp://"+strings.TrimPrefix(engine.URL, "http://"), docker.AllowRead, docker.Timeout(deadline))
	leaderless.Store(true)
	for range 2 { // the deadline does not grow, which would help nobody
		if _, err := c.List(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "within "+deadline.String()) {
			t.Fatalf("without a leader: %v", err)
		}
	}
	start, asked := time.Now(), unanswered.Load()
	time.AfterFunc(deadline/2, func() { leaderless.Store(false) })
	_, err := c.List(t.Context())
	if took := time.Since(start); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a list that was begun without a leader ended after %s of %s: %v", took, deadline, err)
	}
	if n := unanswered.Load() - asked; n > 6 {
		t.Errorf("%d calls to learn that", n)
	}
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestASlowListIsNotForgotten: a daemon that answers small questions, though not always, is let finish.
func TestASlowListIsNotForgotten(t *testing.T) {
	swarm := dockertest.New(t)
	c := connect(t, swarm.Host(), docker.AllowRead, docker.Timeout(time.Second))
	swarm.Before(dockertest.Services, func() { <-time.After(900 * time.Millisecond) })
	var n atomic.Int32
	swarm.Before(dockertest.Nodes, func() {
		if n.Add(1)%2 == 1 {
			<-time.After(250 * time.Millisecond)
		}
	})
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAStreamThatDoesNotOpenGetsMoreTimeToo(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Hang(dockertest.Events)
	c := connect(t, swarm.Host(), docker.AllowRead, docker.Timeout(20*time.Millisecond))
	bustest.Run(t, func(ctx context.Context) error { return c.Events(ctx, func(docker.Event) {}) })
	tooltest.Eventually(t, "the deadline is the longest", func() error {
		if _, err := c.Failing(); err == nil || !strings.Contains(err.Error(), "events: no answer from "+swarm.Host()+" within 80ms") {
			return fmt.Errorf("%w", errors.Join(errors.New("not yet"), err))
		}
		return nil
	})
}

func TestWhatDoesNotAnswerIsSaid(t *testing.T) {
	swarm := dockertest.New(t)
	registry := prometheus.NewRegistry()
	c := connect(t, swarm.Host(), docker.AllowRead, docker.Count(docker.Counters{Component: "listener", Registry: registry}))
	if since, err := c.Failing(); err != nil || !since.IsZero() {
		t.Errorf("before the first call: %s, %v", since, err)
	}
	start := time.Now()
	swarm.Fail(dockertest.Services, 500, "no leader")
	_, first := c.List(t.Context())
	since, err := c.Failing()
	if err == nil || err.Error() != first.Error() || since.Before(start) {
		t.Errorf("after %v: %s, %v", first, since, err)
	}
	swarm.Stop()
	_, _ = c.Tasks(t.Context())
	if again, err := c.Failing(); again != since || !strings.Contains(err.Error(), swarm.Host()) {
		t.Errorf("still failing since %s, and not %s: %v", since, again, err)
	}
	swarm.StartAgain()
	if _, _, err := c.Service(t.Context(), "nobody"); !errors.Is(err, docker.ErrNotFound) {
		t.Error(err)
	}
	if since, err := c.Failing(); err != nil || !since.IsZero() {
		t.Errorf("after an answer: %s, %v", since, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = c.List(gone)
	if _, err := c.Failing(); err != nil {
		t.Errorf("a call that its caller gave up: %v", err)
	}
	want := `
# HELP waggle_listener_docker_calls_total Calls of the Docker API by kind (ping, info, services, service, nodes, networks, tasks, events, update, version) and result (ok, failed, timeout).
# TYPE waggle_listener_docker_calls_total counter
waggle_listener_docker_calls_total{call="ping",result="ok"} 2
waggle_listener_docker_calls_total{call="service",result="ok"} 1
waggle_listener_docker_calls_total{call="services",result="failed"} 1
waggle_listener_docker_calls_total{call="tasks",result="failed"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestTheClusterIsThatOfTheEngineThatAnswers(t *testing.T) {
	one, other := dockertest.New(t), dockertest.New(t)
	other.Create(dockertest.Service{Name: "web", Replicas: 1})
	var behind atomic.Pointer[dockertest.Swarm]
	behind.Store(one)
	// A proxy before the socket keeps its connections while the engine behind it changes.
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: strings.TrimPrefix(behind.Load().Host(), "tcp://")})
	}})
	defer proxy.Close()
	c := connect(t, "tcp://"+strings.TrimPrefix(proxy.URL, "http://"), docker.AllowRead)
	for range 2 {
		if listing, err := c.List(t.Context()); err != nil || listing.Cluster != one.Cluster() {
			t.Fatalf("cluster %q, error %v, want %s", listing.Cluster, err, one.Cluster())
		}
	}
	if n := one.Calls(dockertest.Info); n != 1 {
		t.Errorf("the cluster was asked for %d times in one session, want 1", n)
	}
	behind.Store(other)
	if listing, err := c.List(t.Context()); err == nil {
		t.Errorf("what the other cluster has was told as that of %s: %v", listing.Cluster, listing.Snapshot.Services)
	}
	if listing, err := c.List(t.Context()); err != nil || listing.Cluster != other.Cluster() {
		t.Errorf("cluster %q, error %v, want %s", listing.Cluster, err, other.Cluster())
	}
	other.Fail(dockertest.Services, 500, "no leader")
	_, _ = c.List(t.Context())
	other.Mend()
	before := other.Calls(dockertest.Info)
	if _, err := c.List(t.Context()); err != nil || other.Calls(dockertest.Info) != before+1 {
		t.Errorf("after a list that failed the cluster was asked for %d times, error %v", other.Calls(dockertest.Info)-before, err)
	}
}

func TestAnEngineThatSpeaksNoVersionOfOurs(t *testing.T) {
	for name, c := range map[string]struct {
		least, most int
		want        []string
	}{
		"engine 20.10":            {least: 12, most: 41},
		"engine 29":               {least: 44, most: 52},
		"an engine of the future": {least: 60, most: 71, want: []string{"1.60 to 1.71", "1.24 to 1.51", "Waggle"}},
	} {
		t.Run(name, func(t *testing.T) {
			swarm := dockertest.New(t)
			swarm.Speaks(c.least, c.most)
			_, err := connect(t, swarm.Host(), docker.AllowRead).List(t.Context())
			if (err != nil) != (c.want != nil) || err != nil && !errors.Is(err, docker.ErrAPIVersion) {
				t.Errorf("error %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
		})
	}
}

// TestALookAtTasksFailsAsAListDoes: tasks are read beside the SDK, whose errors are of the
// same kinds, end the session for the same reasons and name the daemon.
func TestALookAtTasksFailsAsAListDoes(t *testing.T) {
	for name, c := range map[string]struct {
		trouble func(*dockertest.Swarm)
		is      error
		says    string
		pings   int
		gone    bool
	}{
		"a worker":              {trouble: func(s *dockertest.Swarm) { s.Leave("active") }, is: docker.ErrNotManager, says: "node.role == manager"},
		"no leader":             {trouble: (*dockertest.Swarm).NoLeader, says: "does not have a leader"},
		"another version":       {trouble: func(s *dockertest.Swarm) { s.Speaks(60, 71) }, is: docker.ErrAPIVersion, says: "1.60 to 1.71", pings: 1},
		"no answer":             {trouble: func(s *dockertest.Swarm) { s.Hang(dockertest.Services); s.Hang(dockertest.Tasks) }, is: context.DeadlineExceeded, says: "within 200ms", pings: 1},
		"the daemon is gone":    {trouble: func(s *dockertest.Swarm) { s.Stop() }, pings: 1, gone: true},
		"an answer that is cut": {trouble: func(s *dockertest.Swarm) { s.Truncate(dockertest.Services); s.Truncate(dockertest.Tasks) }, is: io.ErrUnexpectedEOF},
		"something else answers": {trouble: func(s *dockertest.Swarm) {
			s.Fail(dockertest.Services, 418, "teapot")
			s.Fail(dockertest.Tasks, 418, "teapot")
		}, says: "teapot"},
	} {
		t.Run(name, func(t *testing.T) {
			var id string
			for what, ask := range map[string]func(*docker.Client) error{
				"list":  func(c *docker.Client) error { _, err := c.List(t.Context()); return err },
				"tasks": func(c *docker.Client) error { _, err := c.Tasks(t.Context()); return err },
				"few":   func(c *docker.Client) error { _, err := c.TasksOf(t.Context(), id); return err },
			} {
				swarm := dockertest.New(t)
				id = swarm.Create(dockertest.Service{Name: "web", Replicas: 1})
				client := connect(t, swarm.Host(), docker.AllowRead, docker.Timeout(200*time.Millisecond))
				if err := ask(client); err != nil {
					t.Fatal(err)
				}
				c.trouble(swarm)
				err := ask(client)
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "filters=") {
					t.Errorf("%s: %v, want %v that says %q", what, err, c.is, c.says)
				}
				swarm.Mend()
				swarm.Speaks(12, 41)
				if c.gone {
					if !strings.Contains(err.Error(), swarm.Host()) {
						t.Errorf("%s: %v does not name %s", what, err, swarm.Host())
					}
					swarm.StartAgain()
				}
				before := swarm.Calls(dockertest.Ping)
				if err := ask(client); (err != nil) != errors.Is(c.is, docker.ErrNotManager) || swarm.Calls(dockertest.Ping)-before != c.pings {
					t.Errorf("%s: afterwards %v, %d sessions begun, want %d", what, err, swarm.Calls(dockertest.Ping)-before, c.pings)
				}
			}
		})
	}
}

func TestAStreamThatIsHalfDeadIsOpenedAgain(t *testing.T) {
	swarm := dockertest.New(t)
	c := connect(t, swarm.Host(), docker.AllowRead)
	c.ReopenEvents() // there is none yet
	events := make(chan docker.Event, 100)
	bustest.Run(t, func(ctx context.Context) error { return c.Events(ctx, func(e docker.Event) { events <- e }) })
	next := func(want docker.Event) {
		t.Helper()
		select {
		case got := <-events:
			if got != want {
				t.Errorf("told %+v, want %+v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%+v was not told", want)
		}
	}
	next(docker.Event{})
	swarm.DeafenEvents()
	id := swarm.Create(dockertest.Service{Name: "web", Replicas: 1})
	c.ReopenEvents()
	next(docker.Event{})
	if n := swarm.Calls(dockertest.Ping); n != 1 {
		t.Errorf("other calls lost their session too: %d were begun", n)
	}
	node := swarm.AddNode("w1", "worker")
	next(docker.Event{Kind: "node", ID: node})
	swarm.RemoveNode("w1")
	next(docker.Event{Kind: "node", ID: node, Removed: true})
	swarm.Remove("web")
	next(docker.Event{Kind: "service", ID: id, Removed: true})
}

func TestHostsThatCannotBeReached(t *testing.T) {
	for host, want := range map[string]string{
		"ssh://root@manager": "ssh is not supported",
		"npipe:////./pipe/x": "npipe is not supported",
		"https://manager":    "want unix:///path/of/socket or tcp://",
		"manager":            "want unix:///path/of/socket or tcp://",
	} {
		if _, err := docker.Connect(host, docker.AllowRead, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", host, err, want)
		}
	}
}
