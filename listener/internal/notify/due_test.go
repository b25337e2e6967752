package notify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/listener/internal/notify"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// receiver is the one of some URLs.
func receiver(t *testing.T, create, remove string) notify.Receiver {
	t.Helper()
	all, err := notify.Receivers(
		notify.List{Variable: "CREATE", Kind: notify.Service, URLs: create}, notify.List{Variable: "REMOVE", Kind: notify.Service, URLs: remove, Removes: true},
	)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	return all[0]
}

// present is what there is to tell of a service with this path.
func present(path string, rules notify.Rules, tasks ...string) *notify.Name {
	rules.Label = catalog.Notify
	n := rules.Services(swarm(tasks, web(func(s *catalog.Service) { s.Labels["com.df.servicePath"] = path })))["shop_web"]
	return &n
}

// story follows what a receiver was told about one name.
type story struct {
	t    *testing.T
	r    notify.Receiver
	told *notify.Told
}

// due names the messages that are due.
func (s *story) due(present *notify.Name) string {
	var out []string
	for _, step := range notify.Due(s.r, notify.Service, "shop_web", present, s.told) {
		switch {
		case step.URL == nil:
			out = append(out, "note")
		case step.IsRemove:
			out = append(out, "remove "+step.Parameters["servicePath"])
		case step.Parameters["nodeInfo"] != "":
			out = append(out, "create "+step.Parameters["servicePath"]+" with nodeInfo")
		default:
			out = append(out, "create "+step.Parameters["servicePath"])
		}
	}
	return strings.Join(out, ", ")
}

// send sends the first message that is due; it is acknowledged or not.
func (s *story) send(present *notify.Name, acknowledged bool) {
	s.t.Helper()
	steps := notify.Due(s.r, notify.Service, "shop_web", present, s.told)
	if len(steps) == 0 {
		s.t.Fatal("nothing is due")
	}
	if s.told = steps[0].After; !acknowledged {
		s.told = steps[0].Before
	}
}

func (s *story) want(present *notify.Name, want string) {
	s.t.Helper()
	if got := s.due(present); got != want {
		s.t.Errorf("due is %q, want %q", got, want)
	}
}

func TestWhatWasAcknowledgedIsNotDue(t *testing.T) {
	s := &story{t: t, r: receiver(t, "http://a/create", "http://a/remove")}
	one, two := present("/one", notify.Rules{}), present("/two", notify.Rules{})
	s.want(nil, "")
	s.want(one, "create /one")
	s.send(one, true)
	s.want(one, "")
	s.want(two, "create /two")
	s.send(two, false)
	s.want(one, "create /one") // who knows whether the other one was taken in
	s.want(nil, "remove /two")
}

func TestARemoveThatMayHaveArrivedMakesTheCreateDueAgain(t *testing.T) {
	s := &story{t: t, r: receiver(t, "http://a/create", "http://a/remove")}
	one := present("/one", notify.Rules{})
	s.send(one, true)
	s.send(nil, false)
	s.want(one, "create /one")
	s.send(nil, true)
	s.want(nil, "")
	if s.told != nil {
		t.Errorf("%v stays on the bus", s.told)
	}
}

func TestEachURLOfOneHostGetsItsMessages(t *testing.T) {
	s := &story{t: t, r: receiver(t, "http://a/create,http://a:80/second", "http://A/remove,http://a/second/remove")}
	one := present("/one", notify.Rules{})
	s.want(one, "create /one, create /one")
	s.send(one, true)
	s.want(one, "create /one")
	s.send(one, true)
	s.want(one, "")
	s.send(nil, true)
	s.want(nil, "remove /one")
	s.want(one, "create /one, create /one")
	s.send(nil, true)
	s.want(nil, "")
}

func TestAReceiverOfRemovesAlone(t *testing.T) {
	s := &story{t: t, r: receiver(t, "", "http://a/remove")}
	one, two := present("/one", notify.Rules{}), present("/two", notify.Rules{})
	s.want(nil, "")
	s.send(one, true)
	s.want(one, "")
	s.want(two, "note")
	s.send(two, true)
	s.want(nil, "remove /two")
}

func TestAReceiverOfCreatesAloneIsForgottenSilently(t *testing.T) {
	s := &story{t: t, r: receiver(t, "http://a/create", "")}
	s.send(present("/one", notify.Rules{}), true)
	s.want(nil, "note")
	s.send(nil, true)
	s.want(nil, "")
}

func TestNodeInfoFollowsOnceTheTasksRun(t *testing.T) {
	s := &story{t: t, r: receiver(t, "http://a/create", "http://a/remove")}
	rules := notify.Rules{NodeInfo: true, Addresses: true, Immediately: true}
	starting, runs := present("/one", rules, "running", "starting"), present("/one", rules, "running", "running")
	s.want(starting, "create /one")
	s.send(starting, false)
	s.want(starting, "create /one")
	s.send(starting, true)
	s.want(starting, "")
	s.want(runs, "create /one with nodeInfo")
	s.send(runs, true)
	s.want(starting, "") // a task that died takes nothing back
	s.want(present("/two", rules, "running", "starting"), "create /two")
	rules.Immediately = false
	s.want(present("/two", rules, "running", "starting"), "")
}

func TestReceivers(t *testing.T) {
	for text, want := range map[string]string{
		"proxy:8080/create":         "CREATE",
		"/create":                   "CREATE",
		"http://":                   "CREATE",
		"ftp://proxy/create":        "CREATE",
		"http://proxy/create, x y ": "x y",
	} {
		_, err := notify.Receivers(notify.List{Variable: "CREATE", Kind: notify.Service, URLs: text})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "http://proxy:8080/v1") {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, err := notify.Receivers(notify.List{Variable: "CREATE", Kind: notify.Service, Secret: "df_create", SecretURLs: "token@proxy"})
	if err == nil || !strings.Contains(err.Error(), "df_create") || strings.Contains(err.Error(), "token") {
		t.Errorf("%v", err)
	}
	if _, err := notify.Receivers(notify.List{Variable: "CREATE", URLs: "http://a", Methods: "GET,P T"}); err == nil {
		t.Error("a method with a space is no method")
	}
	if got := notify.Shown("http://user:secret@a:1/create?token=secret, https://b"); strings.Contains(got, "secret") || !strings.Contains(got, "a:1/create") {
		t.Errorf("shown as %s", got)
	}
}

func TestPausesGrowAndEnd(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999} {
		last := time.Duration(0)
		for failed := 1; failed < 50; failed++ {
			pause := notify.Pause(time.Second, failed, random)
			if failed == 1 && (pause < time.Second || pause > 1250*time.Millisecond) {
				t.Errorf("the first pause is %v", pause)
			}
			// The next one may have no jitter where this one had all of it, or the reverse.
			if most := 2 * notify.Pause(time.Second, failed-1, 0); failed > 1 && pause > most || pause > 30*time.Second || pause < last {
				t.Errorf("pause %d is %v after %v", failed, pause, last)
			}
			last = pause
		}
		if last != 30*time.Second {
			t.Errorf("at last the pause is %v", last)
		}
	}
	if got := notify.Pause(time.Minute, 1, 0); got != 30*time.Second {
		t.Errorf("%v", got)
	}
}
