package docker_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
)

// TestASpecificationIsReadAndSentInTheDaemonsOwnVersion: in an older one the daemon leaves
// fields out, and takes them away.
func TestASpecificationIsReadAndSentInTheDaemonsOwnVersion(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Speaks(40, 71)
	id := swarm.Create(optedIn("web", 1))
	var mu sync.Mutex
	var paths []string
	back, err := url.Parse("http://" + strings.TrimPrefix(swarm.Host(), "tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.In.Method+" "+r.In.URL.Path)
		r.SetURL(back)
	}})
	defer front.Close()
	c := connect(t, "tcp://"+strings.TrimPrefix(front.URL, "http://"), docker.AllowScale)
	scale, err := c.Scale(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetReplicas(t.Context(), id, scale.Version, 2); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"GET /v1.71/services/" + id, "POST /v1.71/services/" + id + "/update"} {
		if !slices.Contains(paths, want) {
			t.Errorf("no %s among %q", want, paths)
		}
	}
}

// TestANetworkThatIsGoneIsNotAServiceThatIsGone: the daemon answers both with 404.
func TestANetworkThatIsGoneIsNotAServiceThatIsGone(t *testing.T) {
	swarm := dockertest.New(t)
	id := swarm.Create(optedIn("web", 1))
	c := connect(t, swarm.Host(), docker.AllowScale)
	scale, err := c.Scale(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	swarm.Fail(dockertest.Update, http.StatusNotFound, "network backend not found")
	err = c.SetReplicas(t.Context(), id, scale.Version, 2)
	if err == nil || errors.Is(err, docker.ErrNotFound) || !strings.Contains(err.Error(), "network backend not found") {
		t.Errorf("error %v", err)
	}
	swarm.Mend()
	swarm.Remove("web")
	if err := c.SetReplicas(t.Context(), id, scale.Version, 2); !errors.Is(err, docker.ErrNotFound) {
		t.Errorf("error %v, want ErrNotFound", err)
	}
}

// TestTasksOfAnotherSpecification are those of a deploy of which Swarm has not said a word.
func TestTasksOfAnotherSpecification(t *testing.T) {
	swarm := dockertest.New(t)
	id := swarm.Create(optedIn("web", 2))
	c := connect(t, swarm.Host(), docker.AllowScale)
	silent := func(want bool, why string) {
		t.Helper()
		if scale, err := c.Scale(t.Context(), id); err != nil || scale.Silent != want || scale.Running != 2 {
			t.Errorf("%s: %+v, %v, want silent %v", why, scale, err, want)
		}
	}
	silent(false, "tasks of the specification")
	before := tasksNow(t, swarm)
	swarm.Change("web", func(spec map[string]any) { container(spec)["Image"] = "app:2" })
	silent(false, "tasks that were replaced")
	swarm.Replace(dockertest.Tasks, before)
	silent(true, "tasks of the former image")
	swarm.SetUpdateState("web", "updating")
	silent(false, "Swarm has said that it replaces them")
	swarm.SetUpdateState("web", "")
	swarm.Change("web", func(spec map[string]any) {
		container(spec)["Image"] = "app:1"
		spec["TaskTemplate"].(map[string]any)["Placement"] = map[string]any{"Constraints": []string{"node.role == worker"}}
	})
	silent(false, "where they may run is no reason to replace them")
}

func tasksNow(t *testing.T, swarm *dockertest.Swarm) string {
	t.Helper()
	target := fmt.Sprintf("http://%s/v1.41/tasks", strings.TrimPrefix(swarm.Host(), "tcp://"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
