package docker_test

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
)

// seen lists the swarm and returns one service.
func seen(t *testing.T, c *docker.Client, swarm *dockertest.Swarm, name string) catalog.Service {
	t.Helper()
	listing, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return listing.Snapshot.Services[swarm.ID(name)]
}

func container(spec map[string]any) map[string]any {
	return spec["TaskTemplate"].(map[string]any)["ContainerSpec"].(map[string]any)
}

// TestADeployIsToldFromAChangeOfReplicas follows one service: what it was before tells
// whether somebody scaled it, or rolled something out.
func TestADeployIsToldFromAChangeOfReplicas(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(dockertest.Service{Name: "web", Replicas: 2, Labels: map[string]string{"com.df.notify": "true"}})
	c := connect(t, swarm.Host(), docker.AllowRead)
	first := seen(t, c, swarm, "web")
	if first.Previous != nil || first.Spec == "" || first.Image != "app:1" {
		t.Errorf("new: %+v", first)
	}
	now := first
	for _, step := range []struct {
		what            string
		change          func(spec map[string]any)
		byHand, another bool
	}{
		{what: "scaled by hand", byHand: true, change: func(spec map[string]any) {
			spec["Mode"] = map[string]any{"Replicated": map[string]any{"Replicas": 7}}
		}},
		{what: "the environment", another: true, change: func(spec map[string]any) { container(spec)["Env"] = []any{"A=1"} }},
		{what: "the image", another: true, change: func(spec map[string]any) { container(spec)["Image"] = "app:2" }},
		{what: "forced", another: true, change: func(spec map[string]any) { spec["TaskTemplate"].(map[string]any)["ForceUpdate"] = 1 }},
		{what: "labels alone", change: func(spec map[string]any) {
			spec["Labels"] = map[string]any{"com.df.notify": "true", "com.df.port": "80"}
		}},
		{what: "labels and replicas", change: func(spec map[string]any) {
			spec["Labels"] = map[string]any{"com.df.notify": "true"}
			spec["Mode"] = map[string]any{"Replicated": map[string]any{"Replicas": 2}}
		}},
	} {
		before := now
		swarm.Change("web", step.change)
		now = seen(t, c, swarm, "web")
		switch {
		case now.Previous == nil || now.Previous.Replicas != before.Replicas:
			t.Fatalf("%s: before it was %+v", step.what, now.Previous)
		case (now.Previous.Spec == now.Spec) != step.byHand:
			t.Errorf("%s: the hashes %s and %s", step.what, now.Previous.Spec, now.Spec)
		case (now.Spec != before.Spec) != step.another:
			t.Errorf("%s: the hash was %s and is %s", step.what, before.Spec, now.Spec)
		}
	}
	swarm.Redeploy("web")
	if now = seen(t, c, swarm, "web"); now.Previous != nil {
		t.Errorf("after a deploy that changed nothing: %+v", now.Previous)
	}
}

func TestAHashDoesNotLetTheEnvironmentBeGuessed(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(dockertest.Service{Name: "web", Replicas: 2})
	hashes := map[string]bool{}
	for _, key := range []string{"", "one secret", "another", "one secret"} {
		hashes[seen(t, connect(t, swarm.Host(), docker.AllowRead, docker.Key([]byte(key))), swarm, "web").Spec] = true
	}
	if len(hashes) != 3 {
		t.Errorf("three keys make the hashes %v", hashes)
	}
}

func TestTheSameServiceIsTheSameBytes(t *testing.T) {
	swarm := dockertest.New(t)
	var want []byte
	for i := range 20 {
		name := fmt.Sprintf("shop_%d", i)
		labels := map[string]string{}
		for j := range i {
			labels[fmt.Sprintf("com.df.port.%d", j)] = "80"
		}
		swarm.Create(dockertest.Service{Name: name, Replicas: 2, Labels: labels, ContainerLabels: labels, Networks: []string{"a", "b", "waggle"}})
		swarm.Scale(name, 3)
		swarm.SetUpdateState(name, "completed")
	}
	for range 3 {
		listing, err := connect(t, swarm.Host(), docker.AllowRead).List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, svc := range listing.Snapshot.Sorted() {
			text, err := catalog.Encode(svc)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, text...)
		}
		if want != nil && !bytes.Equal(got, want) {
			t.Errorf("first\n%s\nthen\n%s", want, got)
		}
		want = got
	}
}

func TestAnUpdateTellsWhatFollowsItsFailure(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.Create(dockertest.Service{Name: "web", Replicas: 2})
	swarm.Change("web", func(spec map[string]any) {
		spec["UpdateConfig"] = map[string]any{"FailureAction": "rollback"}
		spec["RollbackConfig"] = map[string]any{"FailureAction": "continue"}
	})
	c := connect(t, swarm.Host(), docker.AllowRead)
	for state, want := range map[string]string{
		"updating": "rollback", "completed": "rollback", "paused": "rollback",
		"rollback_started": "continue", "rollback_paused": "continue", "rollback_completed": "continue",
	} {
		swarm.SetUpdateState("web", state)
		got := seen(t, c, swarm, "web").Update
		if got == nil || got.State != state || got.Failure != want || got.Started.IsZero() || got.Started.Location().String() != "UTC" {
			t.Errorf("%s: %+v, want failure action %s", state, got, want)
		}
	}
}

func TestTheTasksOfAJobAreThoseThatCompleteToo(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.AddNode("w1", "worker")
	swarm.Create(dockertest.Service{Name: "job"})
	swarm.SetTasks("job",
		dockertest.Task{Slot: 1, State: "running", Desired: "complete"},
		dockertest.Task{Slot: 2, State: "complete", Desired: "complete", Node: "w1"},
		dockertest.Task{Slot: 3, State: "failed", Desired: "shutdown"},
		dockertest.Task{Slot: 4, State: "complete", Desired: "remove"},
	)
	swarm.SetNode("w1", "down", "active")
	tasks, err := connect(t, swarm.Host(), docker.AllowRead).Tasks(t.Context())
	var got []string
	for _, task := range tasks[swarm.ID("job")] {
		got = append(got, fmt.Sprint(task.Slot, task.State, task.Running()))
	}
	if want := []string{"1runningfalse", "2completefalse"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, error %v, want %v", got, err, want)
	}
}

func TestTasksOfManyServicesAreFewCalls(t *testing.T) {
	swarm := dockertest.New(t)
	var ids []string
	for i := range 250 {
		ids = append(ids, swarm.Create(dockertest.Service{Name: fmt.Sprint("s", i), Replicas: 20}))
	}
	c := connect(t, swarm.Host(), docker.AllowRead)
	all, err := c.ListTasks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, nodes := swarm.Calls(dockertest.Tasks), swarm.Calls(dockertest.Nodes)
	some, err := c.ListTasks(t.Context(), ids...)
	if err != nil || !reflect.DeepEqual(all, some) || len(some.Tasks) != 250 {
		t.Errorf("tasks of %d services, error %v; of all they are those of %d", len(some.Tasks), err, len(all.Tasks))
	}
	if n, m := swarm.Calls(dockertest.Tasks)-before, swarm.Calls(dockertest.Nodes)-nodes; n != 3 || m != 1 {
		t.Errorf("%d lists of tasks and %d of nodes for 250 services, want 3 and 1", n, m)
	}
	if none, err := c.TasksOf(t.Context()); err != nil || len(none) != 0 {
		t.Errorf("tasks of no service: %v, error %v", none, err)
	}
	swarm.Remove("s7")
	if _, err := c.TasksOf(t.Context(), ids...); err == nil || !strings.Contains(err.Error(), ids[7]) {
		t.Errorf("one is gone: %v", err)
	}
}

// Who looks at some tasks often does not list all nodes as often, and knows at once when one
// goes down.
func TestNodesAreListedWhenAnEventSpeaksOfOne(t *testing.T) {
	swarm := dockertest.New(t)
	swarm.AddNode("w1", "worker")
	id := swarm.Create(dockertest.Service{Name: "web"})
	swarm.SetTasks("web", dockertest.Task{Slot: 1, Node: "w1"})
	c := connect(t, swarm.Host(), docker.AllowRead)
	look := func(what string, tasks, nodes int) {
		t.Helper()
		before := swarm.Calls(dockertest.Nodes)
		for range 3 {
			if some, err := c.TasksOf(t.Context(), id); err != nil || len(some[id]) != tasks {
				t.Errorf("%s: tasks %v, error %v, want %d", what, some[id], err, tasks)
			}
		}
		if n := swarm.Calls(dockertest.Nodes) - before; n != nodes {
			t.Errorf("%s: nodes were listed %d times in three looks, want %d", what, n, nodes)
		}
	}
	look("without a stream of events", 1, 3)
	events := make(chan docker.Event, 100)
	bustest.Run(t, func(ctx context.Context) error { return c.Events(ctx, func(e docker.Event) { events <- e }) })
	<-events
	look("with a stream of events", 1, 1)
	look("later", 1, 0)
	swarm.SetNode("w1", "down", "active")
	<-events
	look("a node is down", 0, 1)
	swarm.SetNode("w1", "ready", "active")
	<-events
	look("it is there again", 1, 1)
	swarm.Relabel("web", map[string]string{"com.df.port": "80"})
	<-events
	look("after an event of a service", 1, 0)
	swarm.SetNode("w1", "down", "active")
	<-events
	if all, err := c.Tasks(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("all tasks: %v, error %v, want none", all, err)
	}
	look("all have been looked at meanwhile", 0, 0)
}

func TestTheVersionOfTasksIsTheHighest(t *testing.T) {
	swarm := dockertest.New(t)
	id := swarm.Create(dockertest.Service{Name: "web", Replicas: 3})
	c := connect(t, swarm.Host(), docker.AllowRead)
	swarm.CrashLoop("web")
	var last uint64
	var states []string
	for range 7 {
		listing, err := c.ListTasks(t.Context(), id)
		if err != nil || listing.Versions[id] != swarm.Index() || listing.Versions[id] <= last {
			t.Fatalf("version %d after %d, index %d, error %v", listing.Versions[id], last, swarm.Index(), err)
		}
		last = listing.Versions[id]
		states = append(states, listing.Tasks[id][0].State)
	}
	if got := strings.Join(states, " "); got != "preparing starting running preparing starting running preparing" {
		t.Errorf("a crash loop is seen as %q", got)
	}
}
