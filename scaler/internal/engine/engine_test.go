package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// scene is a swarm and a bus, and a clock that moves when the test says so.
type scene struct {
	t     *testing.T
	bus   *bustest.Server
	swarm *swarmtest.Swarm
	list  *swarmtest.Listener

	// mu guards now, which instances on several goroutines read.
	mu  sync.Mutex
	now time.Time
}

const ttl = time.Hour

func newScene(t *testing.T, services func(*swarmtest.Swarm)) *scene {
	s := &scene{t: t, bus: bustest.Start(t), swarm: swarmtest.New(), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	services(s.swarm)
	s.list = s.swarm.Listen(t, s.bus.Prepared())
	return s
}

func (s *scene) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *scene) after(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// instance is one scaler whose passes the test calls.
type instance struct {
	*engine.Engine
	*store.Store
	s *scene
	// told are the decisions that it told of.
	told     []decide.Decision
	catalog  *bus.Catalog
	accepted *bus.Accepted
}

// ready waits until the instance has read everything.
func (i *instance) ready() {
	i.s.t.Helper()
	tooltest.Eventually(i.s.t, "the instance has read everything", func() error {
		_, complete := i.catalog.Snapshot()
		_, read := i.Asked(i.s.clock())
		_, remembered := i.accepted.Services()
		if !complete || !read || !remembered {
			return errors.New("not yet")
		}
		return nil
	})
}

func (s *scene) start(name string, change ...func(*engine.Options)) *instance {
	s.t.Helper()
	b := s.bus.Connect("scaler")
	i := &instance{s: s, Store: store.New(b, ttl, func() {}), catalog: b.Catalog(func() {}), accepted: b.Accepted(func() {})}
	statuses := b.Statuses(name, func() {})
	o := engine.Options{
		Bus: b, Catalog: i.catalog, Statuses: statuses, Accepted: i.accepted, Store: i.Store, Swarm: s.swarm, Poke: func() {},
		Notify:   func(d decide.Decision) { i.told = append(i.told, d) },
		Defaults: policy.Standard(), Instance: name, Now: s.clock, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	}
	for _, c := range change {
		c(&o)
	}
	i.Engine = engine.New(o)
	bustest.Run(s.t, i.Store.Run)
	bustest.Run(s.t, i.catalog.Run)
	bustest.Run(s.t, statuses.Run)
	bustest.Run(s.t, i.accepted.Run)
	i.ready()
	return i
}

// fires makes an alert stand for a service, and waits until the instance has heard of it.
func (i *instance) fires(service string, d signal.Direction) {
	i.s.t.Helper()
	_, err := i.Take(i.s.t.Context(), signal.News{
		ServiceID: swarmtest.ID(service), Service: service, Direction: d, Firing: []signal.Alert{{Fingerprint: "f-" + service}},
	}, i.s.clock())
	if err != nil {
		i.s.t.Fatal(err)
	}
	i.hears(service, d, true)
}

func (i *instance) resolves(service string, d signal.Direction) {
	i.s.t.Helper()
	_, err := i.Take(i.s.t.Context(), signal.News{
		ServiceID: swarmtest.ID(service), Service: service, Direction: d, Resolved: []signal.Alert{{Fingerprint: "f-" + service}},
	}, i.s.clock())
	if err != nil {
		i.s.t.Fatal(err)
	}
	i.hears(service, d, false)
}

func (i *instance) hears(service string, d signal.Direction, want bool) {
	i.s.t.Helper()
	tooltest.Eventually(i.s.t, "the instance hears of the alert", func() error {
		asked, _ := i.Asked(i.s.clock())
		if got := slices.ContainsFunc(asked.Signals, func(s signal.Signal) bool { return s.Service == service && s.Direction == d }); got != want {
			return fmt.Errorf("stands is %v", got)
		}
		return nil
	})
}

// asks puts a request by hand and waits until the instance has heard of it.
func (i *instance) asks(id, service string, d signal.Direction) {
	i.s.t.Helper()
	i.puts(signal.Request{ID: id, ServiceID: swarmtest.ID(service), Service: service, Direction: d, ReceivedAt: i.s.clock()})
}

// puts is asks of a request of any kind.
func (i *instance) puts(r signal.Request) {
	i.s.t.Helper()
	_, err := i.Ask(i.s.t.Context(), r)
	if err != nil {
		i.s.t.Fatal(err)
	}
	tooltest.Eventually(i.s.t, "the instance hears of the request", func() error {
		asked, _ := i.Asked(i.s.clock())
		if !slices.ContainsFunc(asked.Requests, func(known signal.Request) bool { return known.ID == r.ID }) {
			return errors.New("not yet")
		}
		return nil
	})
}

// pass is one of the loop's, after the listener has told what the swarm is.
func (i *instance) pass() time.Time {
	i.s.t.Helper()
	i.s.list.Publish()
	i.learns()
	next, err := i.Pass(i.s.t.Context())
	if err != nil {
		i.s.t.Fatal(err)
	}
	return next
}

// learns waits until the instance's catalog is the swarm.
func (i *instance) learns() {
	i.s.t.Helper()
	tooltest.Eventually(i.s.t, "the catalog is the swarm", func() error {
		have, _ := i.catalog.Snapshot()
		for id, svc := range i.s.swarm.Snapshot().Services {
			if got := have.Services[id]; got.Replicas != svc.Replicas || got.UpdateState != svc.UpdateState || got.Oversize == 0 && !maps.Equal(got.Labels, svc.Labels) || len(have.Tasks[id]) != len(i.s.swarm.Snapshot().Tasks[id]) {
				return fmt.Errorf("%s has %d replicas and %d tasks", svc.Name, got.Replicas, len(have.Tasks[id]))
			}
		}
		return nil
	})
}

// crashes is a pass that comes to an end where the test lets it.
func (i *instance) crashes() {
	i.s.t.Helper()
	if _, err := i.Pass(i.s.t.Context()); err != nil {
		i.s.t.Fatal(err)
	}
}

func (i *instance) answerTo(id, service string) decide.Decision {
	i.s.t.Helper()
	ctx, cancel := context.WithTimeout(i.s.t.Context(), 15*time.Second)
	defer cancel()
	data, err := i.Wait(ctx, swarmtest.ID(service), id)
	if err != nil {
		i.s.t.Fatal(err)
	}
	var d decide.Decision
	if err := json.Unmarshal(data, &d); err != nil {
		i.s.t.Fatal(err)
	}
	return d
}

func (s *scene) wantChanges(service string, want ...uint64) {
	s.t.Helper()
	if got := s.swarm.Changes(service); !slices.Equal(got, want) {
		s.t.Fatalf("%s was set to %v, want %v", service, got, want)
	}
}

// decisions returns action and service of what the stream holds, oldest first.
func (i *instance) decisions() []string {
	i.s.t.Helper()
	all, err := i.Decisions(i.s.t.Context(), "", 100)
	if err != nil {
		i.s.t.Fatal(err)
	}
	var out []string
	for _, d := range slices.Backward(all) {
		out = append(out, fmt.Sprintf("%s %s %s", d.Service, d.Action, d.Direction))
	}
	return out
}

func web(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMin=2 scaleMax=9 scaleCooldownUp=5m") }

func TestOneStepPerCooldownWhileTheAlertRepeats(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a")
	for range 30 { // S-28: every 30 s for 15 minutes, cooldown 5 minutes
		i.fires("web", signal.Up)
		i.pass()
		i.pass()
		s.after(30 * time.Second)
	}
	s.wantChanges("web", 3, 4, 5)
	want := []string{"web scaled up", "web held up", "web scaled up", "web held up", "web scaled up", "web held up"}
	if got := i.decisions(); !slices.Equal(got, want) {
		t.Errorf("decisions %q, want %q: an unchanged hold is told once", got, want)
	}
	if len(i.told) != 6 {
		t.Errorf("told of %d decisions, want 6", len(i.told))
	}
}

func TestPassSaysWhenTheNextIsDue(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a")
	if next := i.pass(); !next.IsZero() {
		t.Errorf("nothing is asked, and yet a pass is due at %s", next)
	}
	i.fires("web", signal.Up)
	i.pass()
	if next, want := i.pass(), s.clock().Add(5*time.Minute); !next.Equal(want) {
		t.Errorf("the next pass is due at %s, want the end of the cooldown %s", next, want)
	}
	s.swarm.Set("web", func(svc *engine.Scale) { svc.UpdateState = "updating" })
	s.after(10 * time.Minute)
	if next := i.pass(); next.IsZero() || next.Sub(s.clock()) > 10*time.Second {
		t.Errorf("during an update a pass is due soon, not at %s", next)
	}
}

func TestUpGoesBeforeDown(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, "scaleMax=5 scaleCooldownUp=0 scaleCooldownDown=0") })
	i := s.start("a")
	i.fires("web", signal.Down)
	i.fires("web", signal.Up)
	for range 20 {
		i.pass()
		s.after(time.Minute)
	}
	s.wantChanges("web", 4, 5)
	i.resolves("web", signal.Up)
	i.pass()
	s.wantChanges("web", 4, 5, 4)
}

func TestRestartBetweenSignalAndDecision(t *testing.T) {
	s := newScene(t, web)
	first := s.start("first")
	first.fires("web", signal.Up)
	second := s.start("second")
	second.pass()
	s.wantChanges("web", 3)
	third := s.start("third")
	third.pass()
	s.wantChanges("web", 3)
}

func TestCrashBetweenClaimAndChange(t *testing.T) {
	s := newScene(t, web)
	first := s.start("first")
	first.fires("web", signal.Up)
	s.swarm.Before(func(string) error { return errors.New("the process died here") })
	first.crashes()
	s.wantChanges("web")
	s.swarm.Before(nil)
	second := s.start("second")
	second.pass()
	second.pass()
	s.wantChanges("web", 3)
}

func TestCrashBetweenChangeAndReport(t *testing.T) {
	s := newScene(t, web)
	first := s.start("first")
	first.fires("web", signal.Up)
	s.swarm.After(func(string) error { return errors.New("the process died here") })
	first.crashes()
	s.swarm.After(nil)
	second := s.start("second")
	second.pass()
	s.wantChanges("web", 3)
	s.after(5 * time.Minute)
	second.pass()
	s.wantChanges("web", 3, 4)
}

func TestCrashWhileARequestByHandIsGranted(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9 scaleCooldownUp=0") })
	first := s.start("first")
	first.asks("r1", "web", signal.Up)
	s.swarm.After(func(string) error { return errors.New("the process died here") })
	first.crashes()
	s.swarm.After(nil)
	second := s.start("second")
	second.pass()
	s.wantChanges("web", 3)
	d := second.answerTo("r1", "web")
	if d.Action != decide.Scaled || d.Message != "Scaling web from 2 to 3 replicas (min: 1, max: 9)" || d.Instance != "first" {
		t.Errorf("the answer must be what the first instance did: %+v", d)
	}
}

// TestChangedByOtherHandsMeanwhile, between the look at a service and its change: what a person
// did is taken over first, and what a deploy did is made good first.
func TestChangedByOtherHandsMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*engine.Scale)
		isHand bool
		set    []uint64
		told   string
	}{
		"a person, before an alert":       {person(5), false, []uint64{8}, "adopted from 8 to 5"},
		"a person, before a request":      {person(5), true, []uint64{8, 6}, "adopted from 8 to 5"},
		"a deploy, before an alert":       {deploy(3, bounds+" scaleCooldownDown=3m"), false, []uint64{8, 8}, "restored from 3 to 8"},
		"the file's number, before alert": {person(3), false, []uint64{8, 8}, "restored from 3 to 8"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 3, bounds) })
			i := s.start("a")
			i.rests()
			i.sets("web", 8)
			s.after(time.Hour)
			once := true
			s.swarm.Before(func(string) error {
				if once {
					once = false
					s.swarm.Set("web", c.change)
				}
				return nil
			})
			if c.isHand {
				i.asks("r1", "web", signal.Up)
			} else {
				i.fires("web", signal.Up)
			}
			i.pass()
			if !c.isHand {
				i.resolves("web", signal.Up)
			}
			i.pass()
			s.wantChanges("web", c.set...)
			if got := i.toldOfOthers(); got != c.told {
				t.Errorf("told %s, want %s", got, c.told)
			}
		})
	}
}

func TestChangedByOtherHandsWithoutEnd(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a")
	i.fires("web", signal.Up)
	s.swarm.Before(func(string) error {
		s.swarm.Set("web", func(*engine.Scale) {})
		return nil
	})
	i.crashes()
	if d := i.told[len(i.told)-1]; d.Code != decide.CodeDocker || !strings.Contains(d.Reason, engine.ErrConflict.Error()) {
		t.Errorf("%s: %s, want a conflict after some attempts", d.Code, d.Reason)
	}
	s.wantChanges("web")
	s.swarm.Before(nil)
	s.after(2 * time.Second)
	i.pass()
	s.wantChanges("web") // whether the last attempt took place is not known, so the cooldown is kept
	s.after(5 * time.Minute)
	i.pass()
	s.wantChanges("web", 3)
}

func TestAnswerLostAndRepetitionRefused(t *testing.T) {
	// A client that repeats a change whose first answer it lost is told of a conflict.
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9 scaleCooldownUp=1s") })
	i := s.start("a")
	i.fires("web", signal.Up)
	s.swarm.After(func(string) error { return engine.ErrConflict })
	i.pass()
	s.wantChanges("web", 3)
}

func TestTwoInstancesMakeOneStep(t *testing.T) {
	const services = 12
	s := newScene(t, func(s *swarmtest.Swarm) {
		for n := range services {
			s.Create(fmt.Sprint("web", n), 1, "scaleMax=5")
		}
	})
	instances := []*instance{s.start("a"), s.start("b"), s.start("c")}
	for n := range services {
		instances[0].fires(fmt.Sprint("web", n), signal.Up)
	}
	for round := range uint64(3) {
		var wg sync.WaitGroup
		for _, i := range instances {
			wg.Go(func() {
				for range 3 {
					if _, err := i.Pass(t.Context()); err != nil {
						t.Errorf("%v", err)
					}
				}
			})
		}
		wg.Wait()
		for n := range services {
			name := fmt.Sprint("web", n)
			if got := s.swarm.Changes(name); len(got) != int(round)+1 || got[round] != round+2 {
				t.Fatalf("after %d rounds %s was set to %v, want one step a round", round+1, name, got)
			}
		}
		s.list.Publish()
		for _, i := range instances {
			i.learns()
		}
		s.after(time.Minute)
	}
}

func TestTwoInstancesAnswerOneRequestOnce(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=100 scaleCooldownUp=0") })
	a, b := s.start("a"), s.start("b")
	for n := range uint64(20) {
		id := fmt.Sprint("r", n)
		a.asks(id, "web", signal.Up)
		b.asks(id, "web", signal.Up)
		var wg sync.WaitGroup
		for _, i := range []*instance{a, b} {
			wg.Go(func() {
				if _, err := i.Pass(t.Context()); err != nil {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		d := b.answerTo(id, "web")
		if got := s.swarm.Replicas("web"); got != n+2 || d.Action != decide.Scaled || d.To != n+2 {
			t.Fatalf("after %d requests %d replicas, answer %+v", n+1, got, d)
		}
	}
}

func TestAnExpiredRequestIsNotGrantedLater(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a")
	i.asks("r1", "web", signal.Up)
	s.after(31 * time.Second)
	i.pass()
	s.wantChanges("web")
}

func TestARequestWithdrawnWhileItIsDecidedIsNotGranted(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a", func(o *engine.Options) {
		read := o.Swarm
		o.Swarm = reading{read, func() {
			if err := s.bus.Connect("scaler").Bucket(bus.SignalsBucket).Delete(t.Context(), "_request.r1"); err != nil {
				t.Error(err)
			}
		}}
	})
	i.asks("r1", "web", signal.Up)
	i.pass()
	s.wantChanges("web")
}

// reading does something whenever a service is read.
type reading struct {
	engine.Swarm
	do func()
}

func (r reading) Scale(ctx context.Context, id string) (engine.Scale, error) {
	r.do()
	return r.Swarm.Scale(ctx, id)
}

func TestBusThatLostItsStoreDoesNotShortenACooldown(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a")
	i.fires("web", signal.Up)
	i.pass()
	s.wantChanges("web", 3)
	s.bus.Stop()
	if _, err := i.Pass(t.Context()); err == nil {
		t.Error("without the bus nothing can be decided, and the pass must say so")
	}
	s.bus.LoseStore()
	s.bus.StartAgain()
	s.bus.Prepared()
	tooltest.Eventually(t, "the alert can be told again", func() error {
		_, err := i.Take(t.Context(), signal.News{
			ServiceID: swarmtest.ID("web"), Service: "web", Direction: signal.Up, Firing: []signal.Alert{{Fingerprint: "told again"}},
		}, s.clock())
		return err
	})
	s.swarm.Create("later", 1, "scaleMax=2") // what was read before the loss does not have it
	tooltest.Eventually(t, "the catalog and the alert are there again", func() error {
		s.list.Publish()
		snapshot, complete := i.catalog.Snapshot()
		asked, read := i.Asked(s.clock())
		if _, ok := snapshot.ByName("later"); !ok || !complete || !read || len(asked.Signals) != 1 || asked.Signals[0].Alerts[0].Fingerprint != "told again" {
			return errors.New("not yet")
		}
		return nil
	})
	if next, want := i.pass(), s.clock().Add(5*time.Minute); !next.Equal(want) {
		t.Errorf("the next pass is due at %s, want the end of the cooldown %s", next, want)
	}
	s.wantChanges("web", 3)
	s.after(5 * time.Minute)
	i.pass()
	s.wantChanges("web", 3, 4)
}

func TestLabelsOfThisMomentDecide(t *testing.T) {
	// The catalog may be behind; what the swarm says counts.
	s := newScene(t, web)
	i := s.start("a")
	i.fires("web", signal.Up)
	for _, c := range []struct {
		name   string
		change func(*engine.Scale)
		reason string
	}{
		{"opted out", func(svc *engine.Scale) { svc.Labels["com.df.notify"] = "false" }, "has not opted in: com.df.notify is not true"},
		{"at its bound", func(svc *engine.Scale) { svc.Labels["com.df.scaleMax"] = "2" }, "already at the maximum of 2 replicas"},
		{"no longer", func(svc *engine.Scale) { svc.Labels = nil }, "has not opted in: com.df.notify is not true"},
		{"at fault, so at the bound last accepted", func(svc *engine.Scale) { svc.Labels["com.df.scaleMax"], svc.Replicas = "lots", 9 }, "already at the maximum of 9 replicas"},
		{"at its bound again", func(svc *engine.Scale) { svc.Labels["com.df.scaleMax"] = "2" }, "already at the maximum of 2 replicas"},
	} {
		t.Run(c.name, func(t *testing.T) {
			web(s.swarm)
			s.swarm.Set("web", c.change)
			i.crashes() // before the listener tells
			s.wantChanges("web")
			all, err := i.Decisions(t.Context(), "web", 1)
			if err != nil || len(all) != 1 || all[0].Action != decide.Refused || all[0].Reason != c.reason {
				t.Errorf("decided %+v, %v; want refused: %s", all, err, c.reason)
			}
		})
	}
	s.swarm.Remove("web")
	i.crashes()
	s.wantChanges("web")
}

func TestOneServiceThatFailsDoesNotHarmAnother(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		s.Create("a", 1, "scaleMax=3")
		s.Create("b", 1, "scaleMax=3")
		s.Create("c", 1, "scaleMax=3")
	})
	i := s.start("x")
	for _, name := range []string{"a", "b", "c"} {
		i.fires(name, signal.Up)
	}
	broken := errors.New("broken")
	s.swarm.Before(func(id string) error {
		if id == swarmtest.ID("b") {
			return broken
		}
		return nil
	})
	i.pass()
	s.wantChanges("a", 2)
	s.wantChanges("b")
	s.wantChanges("c", 2)
}

func TestDryRunTellsAndChangesNothing(t *testing.T) {
	s := newScene(t, web)
	i := s.start("a", func(o *engine.Options) { o.DryRun = true })
	i.fires("web", signal.Up)
	for range 5 {
		i.pass()
		s.after(10 * time.Minute)
	}
	s.wantChanges("web")
	if got := i.decisions(); !slices.Equal(got, []string{"web scaled up"}) {
		t.Errorf("decisions %q, want one", got)
	}
	wet := s.start("b")
	wet.pass()
	s.wantChanges("web", 3)
}

func TestStatuses(t *testing.T) {
	s := newScene(t, func(s *swarmtest.Swarm) {
		s.Create("good", 1, "scaleMax=3")
		s.Create("bad", 1, "scaleMax=3 scaleUpBy=-1")
		s.Create("small", 1, "scaleMin=2")
		s.Create("other", 1, "port=80")
	})
	i := s.start("a")
	b := s.bus.Connect("proxy").Bucket(bus.StatusBucket)
	tooltest.Eventually(t, "the statuses are there", func() error {
		i.pass()
		_, _, err := b.Get(t.Context(), bus.StatusKey("scaler", "a", "id-good"))
		return err
	})
	for name, want := range map[string]catalog.Status{
		"good":  {State: catalog.StateApplied},
		"bad":   {State: catalog.StateRejected, Label: "com.df.scaleUpBy", Hint: "want a whole number from 1 to 10000", Reason: `com.df.scaleUpBy="-1": want a whole number from 1 to 10000`},
		"small": {State: catalog.StateApplied, Reason: "asks for 1 replicas, below scaleMin 2", Hint: "the next request up raises it to scaleMin; nothing does so without a request"},
	} {
		data, _, err := b.Get(t.Context(), bus.StatusKey("scaler", "a", "id-"+name))
		if err != nil {
			t.Fatal(err)
		}
		var got catalog.Status
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Revision.Sequence == 0 || got.Since.IsZero() {
			t.Errorf("%s: judged was %+v, since %s", name, got.Revision, got.Since)
		}
		want.Component, want.Instance, want.Service, want.ServiceID = "scaler", "a", name, "id-"+name
		want.Revision, want.Since = got.Revision, got.Since
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %+v\nwant %+v", name, got, want)
		}
	}
	if _, _, err := b.Get(t.Context(), bus.StatusKey("scaler", "a", "id-other")); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("a service that asks for nothing has no status: %v", err)
	}
	if hash, desired, rejected := i.Policies(); hash == "" || desired != 2 || rejected != 1 {
		t.Errorf("policies %s %d %d", hash, desired, rejected)
	}
}

// TestARejectedServiceIsScaledWithinItsFormerBounds also by an instance that knows them
// from the bus alone, and not beyond them, whatever its present labels say.
func TestARejectedServiceIsScaledWithinItsFormerBounds(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*catalog.Service)
		labels string
	}{
		{"labels too large", func(s *catalog.Service) {
			s.Oversize, s.Labels = 70000, map[string]string{catalog.Notify: "true"}
		}, "scaleMax=9"},
		{"a label at fault", func(s *catalog.Service) { s.Labels = swarmtest.Labels("scaleMax=lots") }, "scaleMax=lots"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=3 scaleCooldownUp=0") })
			s.start("a").pass()
			s.swarm.Create("web", 2, c.labels)
			s.list.PublishFrom(func() catalog.Snapshot {
				all := s.swarm.Snapshot()
				svc := all.Services["id-web"]
				c.change(&svc)
				all.Services["id-web"] = svc
				return all
			})
			b := s.start("b")
			b.fires("web", signal.Up)
			b.pass()
			s.after(time.Minute)
			b.pass()
			s.wantChanges("web", 3)
			if all, err := b.Views(); err != nil || len(all) != 1 || all[0].State != policy.Rejected || all[0].Policy == nil || all[0].Policy.Max != 3 {
				t.Errorf("%+v, %v", all, err)
			}
			if err := b.Admits(catalog.Service{ID: "id-web", Mode: catalog.Replicated, Labels: swarmtest.Labels("scaleMax=lots")}); err != nil {
				t.Errorf("a request by hand is refused: %v", err)
			}
		})
	}
}
