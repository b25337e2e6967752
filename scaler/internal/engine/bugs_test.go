package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

func TestTheErrorOfOneServiceIsItsOwn(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		s.Create("a", 1, "scaleMax=9")
		s.Create("b", 1, "scaleMax=9")
	})
	i := s.start("x")
	i.fires("a", signal.Up)
	s.swarm.Before(func(id string) error {
		if id == swarmtest.ID("a") {
			return errors.New("secret db_password not found")
		}
		return nil
	})
	if _, err := i.Pass(t.Context()); err != nil {
		t.Errorf("the pass fails with %v, and the loop slows down for all", err)
	}
	i.fires("b", signal.Up)
	i.pass()
	s.wantChanges("b", 2)
}

func TestARequestThatWasNotGrantedIsNotToldAsGranted(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9") })
	i := s.start("a")
	i.asks("r1", "web", signal.Up)
	s.swarm.Before(func(string) error {
		s.swarm.Set("web", func(*engine.Scale) {}) // somebody changes a label, and our change is lost
		return errors.New("no answer within 5s")
	})
	_, _ = i.Pass(t.Context())
	s.swarm.Before(nil)
	i.pass()
	if d := i.answerTo("r1", "web"); d.Action == decide.Scaled && s.swarm.Replicas("web") != d.To {
		t.Errorf("the answer is %q, and the service has %d replicas", d.Message, s.swarm.Replicas("web"))
	}
}

func TestARequestDownThatWasGrantedIsToldAsGranted(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, "scaleMax=9 scaleCooldownDown=0") })
	i := s.start("a")
	i.asks("r1", "web", signal.Down)
	s.swarm.After(func(string) error { return errors.New("the answer was lost") })
	_, _ = i.Pass(t.Context())
	s.swarm.After(nil)
	i.fires("web", signal.Up)
	i.pass()
	if d := i.answerTo("r1", "web"); d.Action != decide.Scaled || d.To != 2 {
		t.Errorf("the answer is %s: %q, want what was done", d.Action, d.Message)
	}
}

func TestTheSameRefusalIsToldAgainAfterAWhile(t *testing.T) {
	s := newScene(t, func(*swarmtest.Swarm) {})
	i := s.start("a")
	refused := func(want int) {
		t.Helper()
		i.Refuse(decide.Decision{Service: "bad_request", Action: decide.Refused, Reason: "No service name in request", Time: s.clock()})
		if len(i.told) != want {
			t.Errorf("told %d times, want %d", len(i.told), want)
		}
	}
	refused(1)
	s.after(9 * time.Minute)
	refused(1)
	s.after(2 * time.Minute)
	refused(2)
}

func TestAStepThatCannotBeReadIsOneOfNow(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		s.Create("web", 2, "scaleMax=9")
		s.Create("api", 2, "scaleMax=9")
	})
	i := s.start("a")
	if _, err := s.bus.Connect("scaler").Bucket(bus.SignalsBucket).Put(t.Context(), "_step.id-web", []byte("{broken")); err != nil {
		t.Fatal(err)
	}
	i.fires("web", signal.Up)
	i.fires("api", signal.Up)
	if _, err := i.Pass(t.Context()); err != nil {
		t.Errorf("the pass fails with %v", err)
	}
	s.wantChanges("web")
	s.wantChanges("api", 3)
	s.after(31 * time.Second)
	_, _ = i.Pass(t.Context())
	s.wantChanges("web", 3)
}

// TestStandingAlertsThatCanDoNothingAskNothingOfDocker, however often they are delivered.
func TestStandingAlertsThatCanDoNothingAskNothingOfDocker(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		for n := range 20 {
			s.Create(fmt.Sprint("idle", n), 1, "scaleMax=5")
		}
	})
	i := s.start("a")
	for range 10 {
		for n := range 20 {
			i.fires(fmt.Sprint("idle", n), signal.Down)
		}
		i.pass()
		s.after(time.Minute)
	}
	if n := s.swarm.Looks(); n != 0 {
		t.Errorf("Docker was asked %d times", n)
	}
}

// TestDockerThatDoesNotAnswerIsAskedOnce a pass, and not by each service, and not by a
// person who would have to wait.
func TestDockerThatDoesNotAnswerIsAskedOnce(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		for n := range 20 {
			s.Create(fmt.Sprint("busy", n), 1, "scaleMax=5")
		}
	})
	i := s.start("a")
	for n := range 20 {
		i.fires(fmt.Sprint("busy", n), signal.Up)
	}
	s.swarm.Fail(fmt.Errorf("%w: no answer within 5s", engine.ErrAway))
	if _, err := i.Pass(t.Context()); !errors.Is(err, engine.ErrAway) || s.swarm.Looks() != 1 {
		t.Errorf("Docker was asked %d times in one pass, error %v", s.swarm.Looks(), err)
	}
	if err := i.Away(); !errors.Is(err, engine.ErrAway) {
		t.Errorf("who asks by hand is not told: %v", err)
	}
	i.asks("r1", "busy1", signal.Up)
	_, _ = i.Pass(t.Context())
	if d := i.answerTo("r1", "busy1"); d.Code != decide.CodeDocker || s.swarm.Looks() != 1 {
		t.Errorf("%s after %d looks", d.Code, s.swarm.Looks())
	}
	s.swarm.Fail(nil)
	s.after(10 * time.Second)
	i.pass()
	s.wantChanges("busy1", 2)
	s.wantChanges("busy19", 2)
}

// TestTheNumberOfSomebodyElseIsAdopted: it is told, and starts a cooldown.
func TestTheNumberOfSomebodyElseIsAdopted(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		s.Create("web", 3, "scaleMax=9")
		s.Create("api", 3, "scaleMax=9")
	})
	a, b := s.start("a"), s.start("b")
	a.fires("web", signal.Up)
	a.pass()
	b.pass()
	s.wantChanges("web", 4)
	s.after(10 * time.Second)
	a.pass()
	for _, name := range []string{"web", "api"} {
		s.swarm.Set(name, func(svc *engine.Scale) { svc.Replicas, svc.Running = 2, 2 })
	}
	a.pass()
	b.pass()
	adopted := map[string]int{}
	for _, d := range append(slices.Clone(a.told), b.told...) {
		if d.Code == decide.CodeAdopted {
			adopted[fmt.Sprint(d.Service, " from ", d.From, " to ", d.To)]++
		}
	}
	if adopted["web from 4 to 2"] != 1 || adopted["api from 3 to 2"] != 1 || len(adopted) != 2 {
		t.Errorf("told %v", adopted)
	}
	s.after(29 * time.Second)
	a.pass()
	s.wantChanges("web", 4)
	s.after(2 * time.Second)
	a.pass()
	s.wantChanges("web", 4, 3)
	s.wantChanges("api")
}

// TestAStepConvergesOnce, also for an instance that is started later: a task that dies
// afterwards is another matter.
func TestAStepConvergesOnce(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, "scaleMax=9 scaleCooldownUp=2m") })
	a := s.start("a")
	a.fires("web", signal.Up)
	a.pass()
	s.after(5 * time.Second)
	a.pass()
	a.pass()
	s.swarm.Set("web", func(svc *engine.Scale) { svc.Running = 3 })
	s.after(116 * time.Second)
	b := s.start("b")
	b.pass()
	s.wantChanges("web", 4, 5)
}

// TestDecisionsOfOneServiceAreFoundBehindThoseOfOthers.
func TestDecisionsOfOneServiceAreFoundBehindThoseOfOthers(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a")
	i.fires("web", signal.Up)
	i.pass()
	i.pass()
	b := s.bus.Connect("scaler")
	for n := range 1100 {
		if err := b.Publish(t.Context(), bus.DecisionsStream, "noise", fmt.Appendf(nil, `{"service":"noise","from":%d}`, n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"web", "id-web"} {
		all, err := i.Decisions(t.Context(), name, 100)
		if err != nil || len(all) != 2 || all[1].Code != decide.CodeScaled || all[0].Code != decide.CodeCooldown {
			t.Errorf("%s: %+v, %v", name, all, err)
		}
	}
	if all, err := i.Decisions(t.Context(), "noise", 3); err != nil || len(all) != 3 || all[0].From != 1099 || all[2].From != 1097 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestABlindScalerFollowsPeopleAlone, and alerts again when it sees.
func TestABlindScalerFollowsPeopleAlone(t *testing.T) {
	blind := true
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9 scaleCooldownUp=0") })
	i := s.start("a", func(o *engine.Options) { o.Blind = func(time.Time) bool { return blind } })
	i.fires("web", signal.Up)
	i.pass()
	s.wantChanges("web")
	if d := i.told[0]; d.Code != decide.CodeBlind {
		t.Errorf("%s: %s", d.Code, d.Reason)
	}
	i.asks("r1", "web", signal.Up)
	i.pass()
	s.wantChanges("web", 3)
	blind = false
	i.pass()
	s.wantChanges("web", 3, 4)
}

// TestAPausedUpdateIsToldInTheStatus, with the command that ends it.
func TestAPausedUpdateIsToldInTheStatus(t *testing.T) {
	s := newScene(t, web)
	s.swarm.Set("web", func(svc *engine.Scale) { svc.UpdateState = "paused" })
	i := s.start("a")
	i.fires("web", signal.Up)
	i.pass()
	v, err := i.ViewOf("web")
	if err != nil || v.State != policy.Degraded || !strings.Contains(v.Reason, "its update is paused") || !strings.Contains(v.Hint, "docker service rollback web") {
		t.Errorf("%+v, %v", v, err)
	}
	if d := i.told[0]; d.Code != decide.CodeUpdatePaused {
		t.Errorf("%s: %s", d.Code, d.Reason)
	}
}

// TestWhatDockerRefusesIsToldAndTriedAgain at least every ten seconds.
func TestWhatDockerRefusesIsToldAndTriedAgain(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a")
	i.fires("web", signal.Up)
	s.swarm.Before(func(string) error { return errors.New("secret db_password not found") })
	for range 6 {
		i.pass()
		s.after(10 * time.Second)
	}
	v, err := i.ViewOf("web")
	if err != nil || v.State != policy.Degraded || !strings.Contains(v.Reason, "secret db_password not found") {
		t.Errorf("%+v, %v", v, err)
	}
	if n := len(i.told); n != 1 || i.told[0].Code != decide.CodeDocker {
		t.Errorf("told %d times: %+v", n, i.told)
	}
	s.swarm.Before(nil)
	i.pass()
	s.wantChanges("web", 3)
	if v, err := i.ViewOf("web"); err != nil || v.State != policy.Applied {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestInstancesThatAgreeTellOneHash: where labels are that lead to pointers, too.
func TestInstancesThatAgreeTellOneHash(t *testing.T) {
	s := newScene(t, func(w *swarmtest.Swarm) {
		w.Create("web", 2, "scaleMin=1 scaleMax=9 scaleMetric=@requests scaleTarget=5 scaleFallback=3")
		w.Set("web", func(svc *engine.Scale) {
			svc.Labels["com.df.scaleWhen.1"], svc.Labels["com.df.scaleMin.1"] = "Mon-Fri 07:30-19:00 Europe/Berlin", "2"
		})
	})
	one, two := s.start("one"), s.start("two")
	one.pass()
	two.pass()
	hash, desired, _ := one.Policies()
	if other, _, _ := two.Policies(); hash != other || desired != 1 {
		t.Errorf("hashes %s and %s of %d services, want one of 1", hash, other, desired)
	}
	w := s.swarm
	w.Set("web", func(svc *engine.Scale) { svc.Labels["com.df.scaleFallback"] = "4" })
	one.pass()
	if other, _, _ := one.Policies(); other == hash {
		t.Error("another fallback, and the same hash")
	}
}
