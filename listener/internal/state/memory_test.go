package state_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/listener/internal/state"
	"github.com/wagglehq/waggle/pkg/docker"
)

// story tells a Memory what is listed, second by second.
type story struct {
	t      *testing.T
	memory state.Memory
	now    time.Time
}

func begin(t *testing.T) *story { return &story{t: t, now: time.Unix(1000, 0)} }

// span is a call that is made now and answered a tenth of a second later; the next is made a
// second after it.
func (s *story) span() docker.Span {
	span := docker.Span{Began: s.now, Ended: s.now.Add(100 * time.Millisecond)}
	s.now = s.now.Add(time.Second)
	return span
}

func (s *story) services(services ...docker.ServiceState) { s.memory.Services(s.span(), services) }
func (s *story) nodes(nodes ...docker.NodeState)          { s.memory.Nodes(s.span(), nodes) }

// all lists the tasks of all services, of which there is web alone; of lists those of web.
func (s *story) all(text string) {
	s.memory.Tasks(s.span(), nil, map[string][]docker.TaskState{"web": tasks(text)})
}

func (s *story) of(text string) {
	s.memory.Tasks(s.span(), []string{"web"}, map[string][]docker.TaskState{"web": tasks(text)})
}

// endedAll and ended list what Swarm has given up.
func (s *story) endedAll(text string) {
	s.memory.Ended(s.span(), nil, map[string][]docker.TaskState{"web": tasks(text)})
}

func (s *story) ended(text string) {
	s.memory.Ended(s.span(), []string{"web"}, map[string][]docker.TaskState{"web": tasks(text)})
}

// started is a swarm in which web has two tasks, and of which all has been listed.
func started(t *testing.T) *story {
	s := begin(t)
	s.services(service("web"))
	s.nodes(node("n1", "ready"), node("n2", "ready"))
	s.all("a n1 running, b n2 running")
	s.endedAll("old n1 failed shutdown")
	return s
}

// shows compares the series whose names contain a text.
func (s *story) shows(what, containing string, want ...string) {
	s.t.Helper()
	r, _ := s.memory.Reading()
	if got := shown(r.Series(), containing); !slices.Equal(got, want) {
		s.t.Errorf("%s:\ngot  %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// counts compares the numbers of web.
func (s *story) counts(what, want string) {
	s.t.Helper()
	r, ok := s.memory.Reading()
	if got := counts(r.Series()); !ok || got != want {
		s.t.Errorf("%s: %s (%v), want %s", what, got, ok, want)
	}
}

func (s *story) failures(what string, failed, rejected int) {
	s.t.Helper()
	s.shows(what, "failures", fmt.Sprintf(`swarm_service_task_failures_total{service="web",reason="failed"} %d`, failed),
		fmt.Sprintf(`swarm_service_task_failures_total{service="web",reason="rejected"} %d`, rejected))
}

// changed is web with another specification, of so many replicas.
func changed(version, replicas uint64) docker.ServiceState {
	return service("web", func(s *docker.ServiceState) { s.Version, s.Replicas = version, replicas })
}

func TestNothingIsToldBeforeAllHasBeenListed(t *testing.T) {
	s := begin(t)
	silent := func(what string) {
		t.Helper()
		if _, ok := s.memory.Reading(); ok {
			t.Errorf("%s: something is told", what)
		}
	}
	silent("at first")
	s.services(service("web"))
	silent("services")
	s.nodes(node("n1", "ready"))
	silent("services and nodes")
	s.all("a n1 running")
	silent("all but what has ended, which would count as new later")
	s.endedAll("")
	s.counts("all", "desired=2 running=1")
}

// TestAChangedServiceWaitsForItsTasks: a list that fails in part changes nothing, and number
// and tasks belong together.
func TestAChangedServiceWaitsForItsTasks(t *testing.T) {
	s := started(t)
	s.services(changed(2, 3))
	s.counts("its tasks are those of before", "desired=2 running=2")
	s.of("a n1 running, b n2 running, c n1 preparing")
	s.counts("its tasks have been listed", "desired=3 running=2 starting=1")
	s.services(changed(3, 0))
	s.all("")
	s.counts("scaled to none", "")
}

func TestANewServiceWaitsForItsTasks(t *testing.T) {
	s := begin(t)
	s.services()
	s.nodes(node("n1", "ready"))
	s.all("")
	s.endedAll("")
	s.services(service("web"))
	s.shows("its tasks are not known", "swarm_service_")
	s.of("a n1 running, b n1 failed")
	s.counts("they are", "desired=2 running=1")
	s.failures("the first of them counts", 1, 0)
	s.services()
	s.shows("it is gone", "swarm_service_")
	s.services(changed(9, 2))
	s.of("c n1 running")
	s.failures("another of its name begins anew", 0, 0)
}

func TestALostNode(t *testing.T) {
	s := started(t)
	s.nodes(node("n1", "ready"), node("n2", "down"))
	s.counts("it is down, and its tasks have not been listed since", "desired=2 running=2")
	s.of("a n1 running, c n1 starting")
	s.counts("those of one service have", "desired=2 running=1 starting=1")
	s.all("a n1 running, c n1 running")
	s.counts("they have been replaced", "desired=2 running=2")
	s.shows("it is told to be down", `swarm_node_state`, `swarm_node_state{node="host-n1",node_id="n1",state="ready"} 1`,
		`swarm_node_state{node="host-n1",node_id="n1",state="down"} 0`, `swarm_node_state{node="host-n1",node_id="n1",state="unknown"} 0`,
		`swarm_node_state{node="host-n1",node_id="n1",state="disconnected"} 0`, `swarm_node_state{node="host-n2",node_id="n2",state="ready"} 0`,
		`swarm_node_state{node="host-n2",node_id="n2",state="down"} 1`, `swarm_node_state{node="host-n2",node_id="n2",state="unknown"} 0`,
		`swarm_node_state{node="host-n2",node_id="n2",state="disconnected"} 0`)
	s.nodes(node("n1", "ready"), node("n2", "ready"))
	s.counts("it is back", "desired=2 running=2")
	s.all("a n1 running, c n1 running")
	s.ended("old n1 failed shutdown, b n2 failed shutdown")
	s.counts("its task has ended", "desired=2 running=2")
	s.failures("which is no failure of the service", 0, 0)
}

// TestATaskThatLivedThroughTheLossOfItsNode is one of a global service, say.
func TestATaskThatLivedThroughTheLossOfItsNode(t *testing.T) {
	s := started(t)
	s.nodes(node("n1", "ready"), node("n2", "down"))
	s.all("a n1 running, b n2 running")
	s.nodes(node("n1", "ready"), node("n2", "ready"))
	s.all("a n1 running, b n2 running")
	s.now = s.now.Add(time.Minute)
	s.all("a n1 running, b n2 running")
	s.all("a n1 running, b n2 failed")
	s.failures("it fails long after", 1, 0)
}

func TestEachFailureCountsOnce(t *testing.T) {
	s := started(t)
	s.failures("what is there at the start is history", 0, 0)
	s.all("a n1 running, b n2 failed")
	s.failures("seen before it was replaced", 1, 0)
	s.all("a n1 running, c n2 running")
	s.ended("old n1 failed shutdown, b n2 failed shutdown")
	s.failures("and after", 1, 0)
	s.ended("old n1 failed shutdown, b n2 failed shutdown, d n2 failed shutdown, e n2 rejected shutdown")
	s.failures("seen after it was replaced", 2, 1)
	s.all("a n1 running, f n2 running")
	s.ended("e n2 rejected shutdown")
	s.failures("Swarm has forgotten some", 2, 1)
	for range 4 {
		s.endedAll("e n2 rejected shutdown")
	}
	s.failures("and what is remembered is no news", 2, 1)
	s.all("a n1 running, g n2 running")
	s.ended("f n2 shutdown shutdown")
	s.failures("an update is no failure", 2, 1)
}

// TestAnOlderListChangesNothing: lists come from several who ask at the same time.
func TestAnOlderListChangesNothing(t *testing.T) {
	s := started(t)
	old := s.span()
	s.services(changed(2, 4))
	s.nodes(node("n1", "ready"), node("n2", "ready"), node("n3", "ready"))
	s.all("a n1 running, b n2 running, c n1 running, d n2 running")
	s.memory.Services(old, nil)
	s.memory.Nodes(old, []docker.NodeState{node("n1", "down")})
	s.memory.Tasks(old, nil, nil)
	s.memory.Tasks(old, []string{"web"}, nil)
	s.counts("", "desired=4 running=4")
}

// TestTheTimeIsThatOfTheOldestList: all that is told is at least as new.
func TestTheTimeIsThatOfTheOldestList(t *testing.T) {
	s := started(t) // at 1000, 1001, 1002 and 1003
	at := func(what string, want int64) {
		t.Helper()
		r, _ := s.memory.Reading()
		if r.At.Unix() != want {
			t.Errorf("%s: %d, want %d", what, r.At.Unix(), want)
		}
	}
	at("services", 1000)
	s.services(service("web"))
	at("nodes", 1001)
	s.nodes(node("n1", "ready"))
	at("tasks", 1002)
	s.of("a n1 running")
	at("tasks of one are not those of all", 1002)
	s.all("a n1 running")
	at("services again", 1004)
}

func TestWhatIsAskedForAndWhen(t *testing.T) {
	s := begin(t)
	due := func(what, want string) {
		t.Helper()
		d, wait := s.memory.Due(s.now)
		if got := fmt.Sprintf("%+v", d); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
		if !d.Any() && (wait <= 0 || wait > 10*time.Second) {
			t.Errorf("%s: in %s", what, wait)
		}
	}
	due("at first", "{Lists:true All:true Tasks:[] EndedAll:false Ended:[]}")
	s.services(service("web"))
	s.nodes(node("n1", "ready"), node("n2", "ready"))
	due("tasks", "{Lists:false All:true Tasks:[] EndedAll:true Ended:[]}")
	s.all("a n1 running, b n2 running")
	due("what has ended", "{Lists:false All:false Tasks:[] EndedAll:true Ended:[]}")
	s.endedAll("")
	due("nothing", "{Lists:false All:false Tasks:[] EndedAll:false Ended:[]}")

	s.memory.Heard(s.now)
	due("others may list", "{Lists:false All:false Tasks:[] EndedAll:false Ended:[]}")
	s.now = s.now.Add(time.Second)
	due("they did not", "{Lists:true All:false Tasks:[] EndedAll:false Ended:[]}")
	s.services(changed(2, 3))
	due("the tasks of what has changed", "{Lists:false All:false Tasks:[web] EndedAll:false Ended:[]}")
	s.of("a n1 running, b n2 running, c n1 running")
	due("what it had before, though not too often", "{Lists:false All:false Tasks:[] EndedAll:false Ended:[]}")
	s.now = s.now.Add(time.Second)
	due("now", "{Lists:false All:false Tasks:[] EndedAll:false Ended:[web]}")
	s.ended("z n1 running shutdown")
	due("it is being stopped", "{Lists:false All:false Tasks:[] EndedAll:false Ended:[]}")
	s.now = s.now.Add(4 * time.Second)
	due("it has had time", "{Lists:false All:true Tasks:[] EndedAll:false Ended:[web]}")
	s.services(changed(2, 3))
	s.all("a n1 running, b n2 running, c n1 running")
	s.nodes(node("n1", "ready"), node("n2", "down"))
	due("the tasks of all, because of the node", "{Lists:false All:true Tasks:[] EndedAll:false Ended:[web]}")
	s.all("a n1 running, c n1 running, d n1 running")
	s.ended("z n1 shutdown shutdown, b n2 running shutdown")
	due("nothing", "{Lists:false All:false Tasks:[] EndedAll:false Ended:[]}")
	s.now = s.now.Add(5 * time.Minute)
	due("after long", "{Lists:true All:true Tasks:[] EndedAll:true Ended:[]}")
}
