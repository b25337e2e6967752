package state_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/listener/internal/state"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
)

// service is a replicated one of this name, which is its ID as well.
func service(name string, change ...func(*docker.ServiceState)) docker.ServiceState {
	s := docker.ServiceState{
		ID: name, Name: name, Mode: catalog.Replicated, Replicas: 2, Image: "app:1", Created: time.Unix(100, 0), Version: 1,
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// job makes a service one that completes as many tasks, two at a time.
func job(completions uint64) func(*docker.ServiceState) {
	return func(s *docker.ServiceState) {
		s.Mode, s.Replicas, s.Job = catalog.ReplicatedJob, 2, &docker.Job{Completions: completions, Run: 7}
	}
}

func global(mode catalog.Mode) func(*docker.ServiceState) {
	return func(s *docker.ServiceState) {
		s.Mode, s.Replicas = mode, 0
		if mode == catalog.GlobalJob {
			s.Job = &docker.Job{}
		}
	}
}

// node is a worker of this ID.
func node(id, state string) docker.NodeState {
	return docker.NodeState{
		Node:   catalog.Node{ID: id, Hostname: "host-" + id, Role: "worker", State: state, Availability: "active"},
		Engine: "20.10.24", OS: "linux", Arch: "x86_64", Capacity: docker.Resources{NanoCPUs: 2e9, MemoryBytes: 4e9},
	}
}

// tasks reads "ID NODE STATE DESIRED", separated by commas; DESIRED may be left out, and NODE be "-".
func tasks(text string) []docker.TaskState {
	var out []docker.TaskState
	for one := range strings.SplitSeq(text, ",") {
		words := append(strings.Fields(one), "running")
		if len(words) < 4 {
			continue
		}
		t := docker.TaskState{Task: catalog.Task{ID: words[0], Node: strings.TrimPrefix(words[1], "-"), State: words[2], Desired: words[3]}}
		out = append(out, t)
	}
	return out
}

// shown writes series as Prometheus does, those whose names contain a text.
func shown(series []state.Series, containing string) []string {
	metrics := state.Metrics()
	var out []string
	for _, s := range series {
		m := metrics[s.Metric]
		if !strings.Contains(m.Name, containing) {
			continue
		}
		if len(s.Labels) != len(m.Labels) {
			return []string{fmt.Sprintf("%s has the labels %v and the texts %v", m.Name, m.Labels, s.Labels)}
		}
		var labels []string
		for i, name := range m.Labels {
			labels = append(labels, fmt.Sprintf("%s=%q", name, s.Labels[i]))
		}
		out = append(out, fmt.Sprintf("%s{%s} %v", m.Name, strings.Join(labels, ","), s.Value))
	}
	return out
}

// counts are the numbers that are not 0, of desired and of tasks by phase.
func counts(series []state.Series) string {
	all := map[string]float64{}
	for _, s := range series {
		switch m := state.Metrics()[s.Metric]; m.Name {
		case "swarm_service_replicas_desired":
			all["desired"] = s.Value
		case "swarm_service_tasks", "swarm_service_tasks_unplaced":
			all[s.Labels[1]] = s.Value
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] != 0 {
			out = append(out, fmt.Sprintf("%s=%v", name, all[name]))
		}
	}
	return strings.Join(out, " ")
}

func TestWhatIsWantedAndWhatRuns(t *testing.T) {
	for _, c := range []struct {
		name    string
		service docker.ServiceState
		tasks   string
		want    string
	}{
		{"all run", service("web"), "a n1 running, b n2 running", "desired=2 running=2"},
		{"on their way", service("web"), "a n1 preparing, b n1 assigned, c n1 accepted, d n1 starting, e n1 ready ready", "desired=2 starting=5"},
		{"without a node", service("web"), "a - new, b - pending, c n1 running", "desired=2 pending=2 running=1"},
		{"Swarm has given up two", service("web"), "a n1 running shutdown, b n2 running remove, c n1 running", "desired=2 running=1"},
		{"one has just ended", service("web"), "a n1 failed, b n2 running", "desired=2 running=1"},
		{"a node is down", service("web"), "a n1 running, b dead running", "desired=2 running=1"},
		{"a node is not heard of", service("web"), "a n1 running, b unsure running", "desired=2 running=2"},
		{"a node is down, and what ran there has been replaced", service("web"), "a n1 running, b dead running shutdown, c n1 running", "desired=2 running=2"},
		{"scaled to none", service("web", func(s *docker.ServiceState) { s.Replicas = 0 }), "", ""},

		{"global", service("agent", global(catalog.Global)), "a n1 running, b n2 running", "desired=2 running=2"},
		{"global, one waits to be started again", service("agent", global(catalog.Global)), "a n1 running, b n2 ready ready", "desired=2 running=1 starting=1"},
		{"global, one has just died", service("agent", global(catalog.Global)), "a n1 running, b n2 failed", "desired=2 running=1"},
		{"global, one is replaced where it runs", service("agent", global(catalog.Global)), "a n1 running, b n1 ready ready", "desired=1 running=1 starting=1"},
		{"global, a node is down", service("agent", global(catalog.Global)), "a n1 running, b dead running", "desired=1 running=1"},

		{"a job has just been made", service("night", job(5)), "", ""},
		{"a job runs", service("night", job(5)), "a n1 running complete, b n1 running complete", "desired=2 running=2"},
		{"a job nears its end", service("night", job(5)), "a n1 complete complete, b n1 complete complete, c n1 complete complete, d n1 complete complete, e n1 running complete", "desired=1 running=1"},
		{"a job is done", service("night", job(2)), "a n1 complete complete, b n1 complete complete", ""},
		{"a global job", service("night", global(catalog.GlobalJob)), "a n1 complete complete, b n2 running complete, c dead running complete", "desired=1 running=1"},
		{"a global job is done", service("night", global(catalog.GlobalJob)), "a n1 complete complete, b n2 failed complete", ""},
	} {
		r := state.Reading{
			Services: []docker.ServiceState{c.service}, Tasks: map[string][]docker.TaskState{c.service.ID: tasks(c.tasks)},
			Nodes: []docker.NodeState{node("n1", "ready"), node("n2", "ready"), node("dead", "down"), node("unsure", "unknown")},
		}
		if got := counts(r.Series()); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestTheLastRunOfAJobDoesNotCount: Swarm remembers what completed in it.
func TestTheLastRunOfAJobDoesNotCount(t *testing.T) {
	list := tasks("a n1 complete complete, b n1 complete complete, c n1 running complete")
	list[0].Run, list[1].Run, list[2].Run = 3, 3, 7
	r := state.Reading{Services: []docker.ServiceState{service("night", job(2))}, Tasks: map[string][]docker.TaskState{"night": list}}
	if got, want := counts(r.Series()), "desired=2 running=1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestWhyATaskHasNoNode takes Swarm's words apart.
func TestWhyATaskHasNoNode(t *testing.T) {
	for text, want := range map[string]string{
		"": "desired=2 pending=1",
		"no suitable node (insufficient resources on 2 nodes)":                                                         "desired=2 pending=1 resources=1",
		"no suitable node (scheduling constraints not satisfied on 1 node; host-mode port already in use on 1 node)":   "constraints=1 desired=2 pending=1 ports=1",
		"no suitable node (max replicas per node limit exceed; 1 node not available for new tasks)":                    "desired=2 max_replicas=1 pending=1 unavailable=1",
		"no suitable node (unsupported platform on 1 node; missing plugin on 2 nodes)":                                 "desired=2 pending=1 platform=1 plugin=1",
		"no suitable node (cannot fulfill requested CSI volume mounts on 1 node; 2 nodes not available for new tasks)": "desired=2 pending=1 unavailable=1 volumes=1",
		"no suitable node":                "desired=2 other=1 pending=1",
		"something that Swarm never said": "desired=2 other=1 pending=1",
	} {
		list := tasks("a - pending, b n1 preparing")
		list[0].Error, list[1].Error = text, "insufficient resources, once"
		r := state.Reading{Services: []docker.ServiceState{service("web")}, Tasks: map[string][]docker.TaskState{"web": list}}
		if got, want := counts(r.Series()), sorted(want+" starting=1"); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func sorted(words string) string {
	list := strings.Fields(words)
	slices.Sort(list)
	return strings.Join(list, " ")
}

// TestAllSeries is a swarm of one service on two nodes.
func TestAllSeries(t *testing.T) {
	web := service("shop_web", func(s *docker.ServiceState) {
		s.Stack, s.Image, s.Reserved = "shop", "registry:5000/web:1.4@sha256:00ff", docker.Resources{NanoCPUs: 5e8, MemoryBytes: 1e6}
		s.Update = &catalog.Update{State: "rollback_paused", Started: time.Unix(300, 0)}
	})
	list := tasks("a n1 running, b n1 running, c n2 running")
	for i := range list {
		list[i].Created, list[i].Reserved = time.Unix(int64(200+i), 0), web.Reserved
	}
	manager, lost := node("n1", "ready"), node("n2", "down")
	manager.Role, manager.Manager = "manager", &docker.Manager{Leader: true, Reachable: true}
	lost.Availability = "drain"
	r := state.Reading{
		Services: []docker.ServiceState{web}, Nodes: []docker.NodeState{lost, manager}, Tasks: map[string][]docker.TaskState{"shop_web": list},
		Failures: map[string]state.Failures{"shop_web": {Failed: 3, Rejected: 1}}, At: time.Unix(400, 0),
	}
	want := `swarm_service_info{service="shop_web",service_id="shop_web",stack="shop",image="registry:5000/web:1.4",mode="replicated"} 1
swarm_service_created_timestamp_seconds{service="shop_web"} 100
swarm_service_replicas_desired{service="shop_web"} 2
swarm_service_tasks{service="shop_web",state="pending"} 0
swarm_service_tasks{service="shop_web",state="starting"} 0
swarm_service_tasks{service="shop_web",state="running"} 2
swarm_service_newest_task_timestamp_seconds{service="shop_web"} 201
swarm_service_task_failures_total{service="shop_web",reason="failed"} 3
swarm_service_task_failures_total{service="shop_web",reason="rejected"} 1
swarm_service_update_state{service="shop_web",state="updating"} 0
swarm_service_update_state{service="shop_web",state="paused"} 0
swarm_service_update_state{service="shop_web",state="completed"} 0
swarm_service_update_state{service="shop_web",state="rollback_started"} 0
swarm_service_update_state{service="shop_web",state="rollback_paused"} 1
swarm_service_update_state{service="shop_web",state="rollback_completed"} 0
swarm_service_update_started_timestamp_seconds{service="shop_web"} 300
swarm_service_reserved_cpu_cores{service="shop_web"} 0.5
swarm_service_reserved_memory_bytes{service="shop_web"} 1e+06
swarm_node_info{node="host-n1",node_id="n1",engine_version="20.10.24",os="linux",arch="x86_64",role="manager"} 1
swarm_node_state{node="host-n1",node_id="n1",state="ready"} 1
swarm_node_state{node="host-n1",node_id="n1",state="down"} 0
swarm_node_state{node="host-n1",node_id="n1",state="unknown"} 0
swarm_node_state{node="host-n1",node_id="n1",state="disconnected"} 0
swarm_node_availability{node="host-n1",node_id="n1",availability="active"} 1
swarm_node_availability{node="host-n1",node_id="n1",availability="pause"} 0
swarm_node_availability{node="host-n1",node_id="n1",availability="drain"} 0
swarm_node_leader{node="host-n1",node_id="n1"} 1
swarm_node_reachable{node="host-n1",node_id="n1"} 1
swarm_node_capacity_cpu_cores{node="host-n1",node_id="n1"} 2
swarm_node_capacity_memory_bytes{node="host-n1",node_id="n1"} 4e+09
swarm_node_reserved_cpu_cores{node="host-n1",node_id="n1"} 1
swarm_node_reserved_memory_bytes{node="host-n1",node_id="n1"} 2e+06
swarm_node_tasks{node="host-n1",node_id="n1"} 2
swarm_node_info{node="host-n2",node_id="n2",engine_version="20.10.24",os="linux",arch="x86_64",role="worker"} 1
swarm_node_state{node="host-n2",node_id="n2",state="ready"} 0
swarm_node_state{node="host-n2",node_id="n2",state="down"} 1
swarm_node_state{node="host-n2",node_id="n2",state="unknown"} 0
swarm_node_state{node="host-n2",node_id="n2",state="disconnected"} 0
swarm_node_availability{node="host-n2",node_id="n2",availability="active"} 0
swarm_node_availability{node="host-n2",node_id="n2",availability="pause"} 0
swarm_node_availability{node="host-n2",node_id="n2",availability="drain"} 1
swarm_node_capacity_cpu_cores{node="host-n2",node_id="n2"} 2
swarm_node_capacity_memory_bytes{node="host-n2",node_id="n2"} 4e+09
swarm_node_reserved_cpu_cores{node="host-n2",node_id="n2"} 0
swarm_node_reserved_memory_bytes{node="host-n2",node_id="n2"} 0
swarm_node_tasks{node="host-n2",node_id="n2"} 0
swarm_state_timestamp_seconds{} 400`
	if got := strings.Join(shown(r.Series(), ""), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestAServiceHasAtMostTwentySeries, and one more for each reason why it cannot be placed; a
// node has at most twenty.
func TestAServiceHasAtMostTwentySeries(t *testing.T) {
	web := service("web", func(s *docker.ServiceState) { s.Update = &catalog.Update{State: "updating", Started: time.Unix(1, 0)} })
	list := tasks("a - pending, b n1 running")
	list[0].Error = "insufficient resources; missing plugin"
	list[1].Created = time.Unix(1, 0)
	manager := node("n1", "ready")
	manager.Manager = &docker.Manager{}
	r := state.Reading{Services: []docker.ServiceState{web}, Nodes: []docker.NodeState{manager}, Tasks: map[string][]docker.TaskState{"web": list}}
	if n := len(shown(r.Series(), "swarm_service_")); n > 20+2 {
		t.Errorf("%d series of a service", n)
	}
	if n := len(shown(r.Series(), "swarm_node_")); n > 20 {
		t.Errorf("%d series of a node", n)
	}
}

// TestTwoServicesOfOneNameAreNoTwoSeries: one has just been removed, and made again.
func TestTwoServicesOfOneNameAreNoTwoSeries(t *testing.T) {
	again := service("web", func(s *docker.ServiceState) { s.ID, s.Created = "younger", time.Unix(200, 0) })
	r := state.Reading{Services: []docker.ServiceState{service("web"), again}}
	got := shown(r.Series(), "created")
	if want := `swarm_service_created_timestamp_seconds{service="web"} 200`; len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
