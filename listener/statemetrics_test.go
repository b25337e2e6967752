package listener

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// linesAt calls f with each line at an admin port's /metrics that begins with a text, and its value.
func linesAt(t *testing.T, admin, begin string, f func(series string, value float64)) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		at := strings.LastIndex(lines.Text(), " ")
		if !strings.HasPrefix(lines.Text(), begin) || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			return err
		}
		f(lines.Text()[:at], value)
	}
	return lines.Err()
}

// metricsAt returns the series of the swarm's state.
func metricsAt(t *testing.T, admin string) (map[string]float64, error) {
	t.Helper()
	out := map[string]float64{}
	err := linesAt(t, admin, "swarm_", func(series string, value float64) { out[series] = value })
	return out, err
}

// loopsAt returns the loops that are counted.
func loopsAt(t *testing.T, admin string) (map[string]bool, error) {
	t.Helper()
	out := map[string]bool{}
	err := linesAt(t, admin, "waggle_listener_desired_services{", func(series string, _ float64) {
		_, name, _ := strings.Cut(series, `loop="`)
		name, _, _ = strings.Cut(name, `"`)
		out[name] = true
	})
	return out, err
}

// shows waits until the series are these, written "NAME{LABELS} VALUE" or, where there must be
// none, "NAME{LABELS} none".
func shows(t *testing.T, admin, what string, want ...string) {
	t.Helper()
	tooltest.Within(t, time.Minute, what, func() error {
		got, err := metricsAt(t, admin)
		if err != nil {
			return err
		}
		for _, line := range want {
			at := strings.LastIndex(line, " ")
			value, ok := got[line[:at]]
			text := "none"
			if ok {
				text = strconv.FormatFloat(value, 'g', -1, 64)
			}
			if text != line[at+1:] {
				return fmt.Errorf("%s is %s, want %s", line[:at], text, line[at+1:])
			}
		}
		return nil
	})
}

func (h *house) shows(what string, want ...string) {
	h.t.Helper()
	shows(h.t, h.admin, what, want...)
}

// running is how many tasks of the service run.
func running(service string, n int) string {
	return fmt.Sprintf(`swarm_service_tasks{service=%q,state="running"} %d`, service, n)
}

// quiet is a service that has not opted in.
func quiet(name string, replicas uint64) dockertest.Service {
	return dockertest.Service{Name: name, Stack: "shop", Replicas: replicas, Networks: []string{"own"}}
}

func TestTheStateOfAServiceIsTold(t *testing.T) {
	h := newHouse(t).run()
	h.swarm.AddNode("w1", "worker")
	h.swarm.Create(quiet("shop_db", 3))
	h.shows("it runs", running("shop_db", 3), `swarm_service_replicas_desired{service="shop_db"} 3`,
		fmt.Sprintf(`swarm_service_info{image="app:1",mode="replicated",service="shop_db",service_id=%q,stack="shop"} 1`, h.swarm.ID("shop_db")),
		`swarm_service_update_state{service="shop_db",state="updating"} none`, `swarm_service_reserved_cpu_cores{service="shop_db"} 0`)

	h.swarm.SetTasks("shop_db", dockertest.Task{}, dockertest.Task{State: "preparing"},
		dockertest.Task{NoNode: true, State: "pending", Error: "no suitable node (insufficient resources on 2 nodes)"})
	h.swarm.Change("shop_db", func(spec map[string]any) {
		spec["TaskTemplate"].(map[string]any)["Resources"] = map[string]any{"Reservations": map[string]any{"NanoCPUs": 500_000_000, "MemoryBytes": 1 << 20}}
	})
	h.swarm.SetUpdateState("shop_db", "paused")
	h.shows("one waits, one is on its way", running("shop_db", 1), `swarm_service_tasks{service="shop_db",state="pending"} 1`,
		`swarm_service_tasks{service="shop_db",state="starting"} 1`, `swarm_service_tasks_unplaced{reason="resources",service="shop_db"} 1`,
		`swarm_service_update_state{service="shop_db",state="paused"} 1`, `swarm_service_update_state{service="shop_db",state="completed"} 0`,
		`swarm_service_reserved_cpu_cores{service="shop_db"} 0.5`, `swarm_service_reserved_memory_bytes{service="shop_db"} 1.048576e+06`)

	h.swarm.Remove("shop_db")
	h.shows("it is gone", `swarm_service_replicas_desired{service="shop_db"} none`, `swarm_service_tasks{service="shop_db",state="running"} none`)
}

// TestTasksThatNoEventTellsOf are those of a service that has not opted in, which nobody but
// the metrics asks for.
func TestTasksThatNoEventTellsOf(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(quiet("shop_db", 2))
	h.run()
	h.shows("it runs", running("shop_db", 2))
	h.swarm.SetTasks("shop_db", dockertest.Task{}, dockertest.Task{State: "failed", Desired: "shutdown"}, dockertest.Task{State: "starting"})
	h.shows("one has died", running("shop_db", 1), `swarm_service_tasks{service="shop_db",state="starting"} 1`,
		`swarm_service_task_failures_total{reason="failed",service="shop_db"} 1`)
}

func TestALostNodeIsNoRunningTask(t *testing.T) {
	h := newHouse(t).run()
	id := h.swarm.AddNode("w1", "worker")
	h.swarm.Create(quiet("shop_db", 2))
	h.swarm.SetTasks("shop_db", dockertest.Task{ID: "one", Node: "m1"}, dockertest.Task{ID: "two", Node: "w1"})
	node := func(state string, value int) string {
		return fmt.Sprintf(`swarm_node_state{node="w1",node_id=%q,state=%q} %d`, id, state, value)
	}
	h.shows("both run", running("shop_db", 2), node("ready", 1), fmt.Sprintf(`swarm_node_tasks{node="w1",node_id=%q} 1`, id),
		fmt.Sprintf(`swarm_node_leader{node="w1",node_id=%q} none`, id))
	h.swarm.SetNode("w1", "unknown", "active")
	h.shows("nobody knows", running("shop_db", 2), node("unknown", 1))
	h.swarm.SetNode("w1", "down", "active")
	h.shows("one is lost", running("shop_db", 1), node("down", 1), node("ready", 0))
	h.swarm.SetTasks("shop_db", dockertest.Task{ID: "one", Node: "m1"}, dockertest.Task{ID: "two", Node: "w1", Desired: "shutdown"}, dockertest.Task{ID: "three", Slot: 2, Node: "m1"})
	h.shows("it has been replaced", running("shop_db", 2))
	h.swarm.SetNode("w1", "ready", "active")
	h.shows("the node is back", node("ready", 1), running("shop_db", 2))
	h.swarm.SetTasks("shop_db", dockertest.Task{ID: "one", Node: "m1"}, dockertest.Task{ID: "two", Node: "w1", State: "failed", Desired: "shutdown"},
		dockertest.Task{ID: "three", Slot: 2, Node: "m1"}, dockertest.Task{ID: "four", Node: "m1", State: "failed", Desired: "shutdown"}, dockertest.Task{ID: "five", Node: "m1"})
	h.swarm.Redeploy("shop_db")
	h.shows("one that ended otherwise is a failure, and the lost one is none", running("shop_db", 3), `swarm_service_task_failures_total{reason="failed",service="shop_db"} 1`)
}

// TestWithoutALeaderTheNumbersStay, and the time of the reading stands still.
func TestWithoutALeaderTheNumbersStay(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(quiet("shop_db", 2))
	h.run()
	h.shows("it runs", running("shop_db", 2))
	h.swarm.NoLeader()
	inVain := func(times int) {
		t.Helper()
		already := h.swarm.Calls(dockertest.Services)
		tooltest.Within(t, time.Minute, "Docker is asked in vain", func() error {
			if n := h.swarm.Calls(dockertest.Services) - already; n < times {
				return fmt.Errorf("%d times", n)
			}
			return nil
		})
	}
	inVain(2) // what was asked for before has been answered
	before, err := metricsAt(t, h.admin)
	tooltest.Must(t, err)
	inVain(5)
	after, err := metricsAt(t, h.admin)
	tooltest.Must(t, err)
	if len(before) == 0 || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("got\n%v\nwant\n%v", after, before)
	}
	h.swarm.Mend()
	h.swarm.Scale("shop_db", 3)
	h.shows("there is a leader", running("shop_db", 3))
	tooltest.Within(t, time.Minute, "all has been listed again", func() error {
		last, err := metricsAt(t, h.admin)
		if err == nil && last["swarm_state_timestamp_seconds"] <= after["swarm_state_timestamp_seconds"] {
			err = fmt.Errorf("the reading is of %f", last["swarm_state_timestamp_seconds"])
		}
		return err
	})
}

func TestARestartCountsNoHistory(t *testing.T) {
	h := newHouse(t)
	dead := dockertest.Task{ID: "dead", State: "failed", Desired: "shutdown"}
	h.swarm.Create(quiet("shop_db", 1))
	h.swarm.SetTasks("shop_db", dead, dockertest.Task{ID: "lives"})
	h.run()
	failures := func(n int) string {
		return fmt.Sprintf(`swarm_service_task_failures_total{reason="failed",service="shop_db"} %d`, n)
	}
	h.shows("history", running("shop_db", 1), failures(0), `swarm_service_task_failures_total{reason="rejected",service="shop_db"} 0`)
	h.swarm.SetTasks("shop_db", dead, dockertest.Task{ID: "lives", State: "failed", Desired: "shutdown"}, dockertest.Task{ID: "next"})
	h.shows("one more", running("shop_db", 1), failures(1))
	h.stop()
	h.run()
	h.shows("a new process", running("shop_db", 1), failures(0))
}

// TestAllListenersTellTheSame: the one that writes and the one that waits.
func TestAllListenersTellTheSame(t *testing.T) {
	h := newHouse(t).run()
	h.leads("l1")
	other, _ := h.beside("l2")
	id := h.swarm.AddNode("w1", "worker")
	h.swarm.Create(quiet("shop_db", 2))
	h.swarm.SetTasks("shop_db", dockertest.Task{Node: "m1"}, dockertest.Task{Node: "w1"})
	h.swarm.Redeploy("shop_db")
	for _, admin := range []string{h.admin, other} {
		shows(t, admin, "both run", running("shop_db", 2), fmt.Sprintf(`swarm_node_tasks{node="w1",node_id=%q} 1`, id))
	}
	h.swarm.SetNode("w1", "down", "active")
	for _, admin := range []string{h.admin, other} {
		shows(t, admin, "one runs", running("shop_db", 1), fmt.Sprintf(`swarm_node_tasks{node="w1",node_id=%q} 0`, id))
	}
}

// TestWithoutABusTheStateIsToldAllTheSame, from the start.
func TestWithoutABusTheStateIsToldAllTheSame(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(quiet("shop_db", 2))
	h.run(func(c *Config) { c.NATSURL = fmt.Sprintf("nats://127.0.0.1:%d", tooltest.FreePort(t)) })
	h.shows("it runs", running("shop_db", 2))
}

func TestStateMetricsCanBeSwitchedOff(t *testing.T) {
	h := newHouse(t)
	h.swarm.Create(quiet("shop_db", 2))
	h.run(func(c *Config) { c.StateMetrics = false })
	h.seesServices("shop_db")
	loops, err := loopsAt(t, h.admin)
	tooltest.Must(t, err)
	if !loops["lists"] || loops["state"] {
		t.Errorf("there are the loops %v", loops)
	}
	if got, err := metricsAt(t, h.admin); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
}
