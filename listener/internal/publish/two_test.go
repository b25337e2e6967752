package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wagglehq/waggle/listener/internal/motion"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
)

// another returns a further listener on the same bucket, with its own view of the swarm.
func another(w *house, view *swarm, change ...func(*Options)) *Publisher {
	o := Options{Swarm: view, Catalog: w.bucket, Changed: func() {}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	return New(o)
}

func mustList(t *testing.T, p *Publisher) {
	t.Helper()
	if err := p.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustLook(t *testing.T, p *Publisher) {
	t.Helper()
	if _, err := p.TaskPass(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A listener that has not listed yet what another has published takes nothing back.
func TestAPassWritesWhatBelongsToItAlone(t *testing.T) {
	w, first, _ := newWorld(optIn("a", "web"))
	second := another(w, w.swarm)
	mustList(t, first)
	mustList(t, second)
	relabelled := optIn("a", "web")
	relabelled.Labels["com.df.port"] = "80"
	w.set(relabelled, 8)
	w.set(optIn("b", "api"), 9)
	mustList(t, second)
	w.writes = nil
	mustLook(t, first)
	w.wrote(t, "put tasks.a")
	mustLook(t, second)
	w.wrote(t, "put tasks.b")
}

// A list that took so long that another was written meanwhile is not written.
func TestAListThatWasOvertakenIsMadeAnew(t *testing.T) {
	w, slow, _ := newWorld(optIn("a", "web"))
	quick := another(w, w.swarm.past())
	mustList(t, slow)
	w.writes = nil
	w.listing = func() {
		w.listing = nil
		newer := optIn("a", "web")
		newer.Labels["com.df.port"] = "80"
		w.set(newer, 8)
		view := w.swarm.past()
		quick.o.Swarm = view
		mustList(t, quick)
		w.wrote(t, "put service.a")
	}
	w.set(func() catalog.Service { s := optIn("a", "web"); s.Replicas = 7; return s }(), 7)
	mustList(t, slow)
	w.wrote(t)
	if w.lists != 3 {
		t.Errorf("%d lists, want one that was overtaken and one after it", w.lists-1)
	}
}

// TestAManagerThatAnswersThePast has a listener take over whose manager was cut off before
// the last changes, for as long as such a manager answers.
func TestAManagerThatAnswersThePast(t *testing.T) {
	w, healthy, _ := newWorld(optIn("a", "web"), optIn("b", "api"), optIn("gone", "gone"))
	mustList(t, healthy)
	old := w.swarm.past()
	now := time.Now()
	cut := another(w, old, func(o *Options) { o.Now = func() time.Time { return now } })

	relabelled := optIn("a", "web")
	relabelled.Labels["com.df.port"] = "80"
	w.set(relabelled, 10)
	w.remove("gone")
	w.set(optIn("new", "new"), 11)
	mustList(t, healthy)
	w.writes = nil
	for range 15 {
		mustList(t, cut)
		if _, err := cut.TaskPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	if i := slices.IndexFunc(w.writes, func(s string) bool { return !strings.HasPrefix(s, "put tasks.") }); i >= 0 {
		t.Errorf("it wrote the past: %v", w.writes)
	}
}

// TestAListenerOfAnotherVersionDoesNotFight has two listeners of which one writes a
// field more, and of which one leads.
func TestAListenerOfAnotherVersionDoesNotFight(t *testing.T) {
	w, _, _ := newWorld(optIn("a", "web"))
	more := w.swarm.past()
	svc := optIn("a", "web")
	svc.Image = "web:1" // what the older version does not know
	more.set(svc, w.versions["service.a"])
	leader := "old"
	old := another(w, w.swarm, func(o *Options) { o.Leads = func() bool { return leader == "old" } })
	newer := another(w, more, func(o *Options) { o.Leads = func() bool { return leader == "new" } })
	passes := func() {
		for range 5 {
			for _, p := range []*Publisher{old, newer} {
				if _, err := p.look(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustLook(t, p)
			}
		}
	}
	passes()
	w.wrote(t, "put node.n", "put service.a", "put tasks.a")
	leader = "new"
	passes()
	w.wrote(t, "put service.a")
}

func TestWhoDoesNotLeadAsksNowAndThenAndSaysNothing(t *testing.T) {
	w, _, _ := newWorld(optIn("a", "web"))
	now := time.Now()
	p := another(w, w.swarm, func(o *Options) {
		o.Leads, o.Now = func() bool { return false }, func() time.Time { return now }
	})
	if p.Willing() {
		t.Error("it is willing before it knows whether Docker answers")
	}
	for range 100 {
		if _, err := p.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Heard(docker.Event{Kind: "service", ID: "a"})
		now = now.Add(time.Second)
	}
	if w.lists < 10 || w.lists > 12 || !p.Willing() {
		t.Errorf("%d lists in 100 s, willing %t", w.lists, p.Willing())
	}
	w.wrote(t)
	if all, ok := p.Statuses(); !ok || len(all) > 0 {
		t.Errorf("it says %v", all)
	}
	w.listErr = errors.New("no leader")
	now = now.Add(probeEvery)
	if _, err := p.look(t.Context()); err == nil || p.Willing() {
		t.Errorf("error %v, willing %t without Docker", err, p.Willing())
	}
}

func TestALeaderWhoseListsFailLetsGo(t *testing.T) {
	w, _, _ := newWorld(optIn("a", "web"))
	now, leads := time.Now(), true
	p := another(w, w.swarm, func(o *Options) {
		o.Leads, o.Now = func() bool { return leads }, func() time.Time { return now }
	})
	mustList(t, p)
	w.listErr = errors.New("no leader")
	for at := 0; at <= 5; at++ {
		if err := p.ListPass(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if want := at < 5; p.Willing() != want {
			t.Errorf("after %d s it is willing: %t", at, !want)
		}
		if got := p.State(); got.Failure != "no leader" || now.Sub(got.Since) != time.Duration(at)*time.Second {
			t.Errorf("after %d s: %+v", at, got)
		}
		now = now.Add(time.Second)
	}
	leads = false
	if _, err := p.look(t.Context()); err == nil || p.Willing() {
		t.Error("it is willing again before a list succeeded")
	}
	w.listErr = nil
	if _, err := p.look(t.Context()); err != nil || !p.Willing() {
		t.Errorf("error %v, willing %t when a list has succeeded", err, p.Willing())
	}
}

func TestTheStoreOfAnotherSwarmIsLeftAlone(t *testing.T) {
	w, theirs, _ := newWorld(optIn("a", "web"))
	w.cluster = "theirs"
	theirs.o.Instance = "l1"
	mustList(t, theirs)
	mustLook(t, theirs)
	w.writes = nil
	view := w.swarm.past()
	view.cluster = "ours"
	view.remove("a")
	view.set(optIn("b", "api"), 99)
	leads := true
	ours := another(w, view, func(o *Options) { o.Leads = func() bool { return leads } })
	err := ours.ListPass(t.Context())
	if _, lookErr := ours.TaskPass(t.Context()); lookErr != nil {
		t.Error(lookErr)
	}
	w.wrote(t)
	var foreign *ForeignError
	if !errors.As(err, &foreign) || foreign.Theirs != "theirs" || foreign.Ours != "ours" || foreign.Writer != "l1" || !strings.Contains(err.Error(), "cluster theirs") {
		t.Errorf("error %v", err)
	}
	if got := ours.State(); got.Foreign == nil || got.Failure != err.Error() || ours.Willing() {
		t.Errorf("%+v, willing %t", got, ours.Willing())
	}
	leads = false
	if _, err := ours.look(t.Context()); err == nil || ours.Willing() {
		t.Error("it is willing to lead those of another swarm")
	}
}

func TestWhatTheBusRefusesHarmsNobodyElse(t *testing.T) {
	w, p, _ := newWorld(optIn("a", "web"), optIn("b", "api"), optIn("c", "db"))
	w.refused = map[string]error{"service.a": errors.New("too large"), "tasks.b": errors.New("too large as well")}
	mustList(t, p)
	mustLook(t, p)
	w.wrote(t, "put node.n", "put service.b", "put service.c", "put tasks.c")
	said := func() string {
		all, ok := p.Statuses()
		var words []string
		for _, s := range all {
			if s.Reason != "" {
				words = append(words, fmt.Sprintf("%s %s: %s", s.Service, s.State, s.Reason))
			}
		}
		return fmt.Sprint(ok, " ", strings.Join(words, "; "))
	}
	if got, want := said(), "true web rejected: the bus did not take the service: too large; api degraded: the bus did not take the list of its tasks: too large as well"; got != want {
		t.Errorf("it says %s\nwant %s", got, want)
	}
	w.refused = nil
	w.set(optIn("a", "web"), 20)
	mustList(t, p)
	mustLook(t, p)
	if got := said(); got != "true " {
		t.Errorf("afterwards it says %s", got)
	}
}

func TestTasksThatAreTooManyAreCut(t *testing.T) {
	w, p, changed := newWorld(optIn("a", "web"), optIn("b", "api"))
	for i := range 4000 {
		w.tasks["a"] = append(w.tasks["a"], catalog.Task{
			ID: fmt.Sprintf("task%021d", i), State: "running", Desired: "running", Node: strings.Repeat("n", 25),
			Addresses: map[string][]string{"waggle": {"10.0.0.1"}},
		})
	}
	mustList(t, p)
	*changed = 0
	mustLook(t, p)
	w.wrote(t, "put node.n", "put service.a", "put service.b", "put tasks.a", "put tasks.b")
	if n := len(w.bucket.bucket["tasks.a"]); n > catalog.MaxTasks {
		t.Errorf("a value of %d bytes", n)
	}
	all, _ := p.Statuses()
	if *changed != 1 || len(all) < 1 || all[0].State != catalog.StateDegraded || !strings.Contains(all[0].Reason, "its 4001 tasks") || all[0].Hint == "" {
		t.Errorf("told %d times: %+v", *changed, all)
	}
	w.set(optIn("c", "new"), 9)
	mustList(t, p)
	w.wrote(t, "put service.c")
}

func TestWhatLandedIsToldAlthoughTheWriteFailed(t *testing.T) {
	w, p, changed := newWorld(optIn("a", "web"), optIn("b", "api"))
	w.writeErr, w.lands = errors.New("no answer in time"), 2
	if err := p.ListPass(t.Context()); !errors.Is(err, w.writeErr) {
		t.Fatalf("error %v", err)
	}
	if !p.State().Listed.IsZero() || *changed != 1 {
		t.Errorf("listed %s, told of a change %d times", p.State().Listed, *changed)
	}
	w.writeErr = nil
	mustList(t, p)
	if err := p.EventPass(t.Context(), w.bucket); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, text := range w.told {
		kinds = append(kinds, strings.Fields(text)[1])
	}
	if want := []string{"listener.node.n", "listener.service.a", "listener.service.b"}; !slices.Equal(kinds, want) {
		t.Errorf("told of %v, want each once: %v", kinds, want)
	}
}

// A service that opts in while tasks are listed has no tasks yet, which is not the same
// as none.
func TestTasksOfWhoOptsInMeanwhileAreNotKnown(t *testing.T) {
	w, p, _ := newWorld(optIn("a", "web"), catalog.Service{ID: "b", Name: "late"})
	w.tasks["b"] = nil
	mustList(t, p)
	w.looking = func() {
		w.set(optIn("b", "late"), 8)
		mustList(t, p)
		w.writes = nil
	}
	mustLook(t, p)
	w.wrote(t, "put tasks.a")
}

func TestTasksOfWagglesOwnServicesArePublished(t *testing.T) {
	own := catalog.Service{ID: "l", Name: "waggle_listener", Stack: "waggle", Mode: catalog.Replicated, Replicas: 1}
	w, p, _ := newWorld(own, catalog.Service{ID: "x", Name: "other_x", Stack: "other"})
	p.o.Control.Stack = "waggle"
	mustList(t, p)
	w.writes = nil
	mustLook(t, p)
	w.wrote(t, "put tasks.l")
	mustList(t, p)
	w.wrote(t)
}

func TestManyThatMoveAreLookedAtAloneWhileTheyAreFew(t *testing.T) {
	w, p, _ := newWorld()
	for i := range 1000 {
		w.set(optIn(fmt.Sprintf("s%04d", i), "web"), uint64(i)+2)
	}
	now := time.Now()
	p.o.Now = func() time.Time { return now }
	look := func() {
		for id := range w.snapshot.Services {
			if id < "s0030" {
				w.tasks[id] = []catalog.Task{{ID: now.String(), State: "starting", Desired: "running"}}
			}
		}
		mustLook(t, p)
		now = now.Add(250 * time.Millisecond)
	}
	mustList(t, p)
	look()
	now = now.Add(15 * time.Second)
	look()
	w.looked, w.few = nil, nil
	for range 40 {
		look()
	}
	if len(w.looked) != 40 || len(w.few) != 39 || len(strings.Fields(w.few[0])) != 30 {
		t.Errorf("%d looks, %d of them at a few (%d)", len(w.looked), len(w.few), len(strings.Fields(w.few[0])))
	}
}

// settled returns a world of two services that are calm, and a clock to set.
func settled(t *testing.T) (w *house, p *Publisher, now *time.Time) {
	w, p, _ = newWorld(optIn("a", "web"), optIn("b", "api"))
	now = new(time.Time)
	*now = time.Now()
	p.o.Now = func() time.Time { return *now }
	mustList(t, p)
	mustLook(t, p)
	*now = now.Add(motion.Quiet)
	mustLook(t, p)
	w.writes, w.looked, w.few = nil, nil, nil
	return w, p, now
}

func TestTasksThatTheBusDidNotTakeAreWrittenSoon(t *testing.T) {
	w, p, now := settled(t)
	*now = now.Add(motion.Quiet)
	w.tasks["a"] = nil
	mustLook(t, p) // a moves from now on
	*now = now.Add(motion.Quiet)
	w.writes = nil
	w.tasks["b"] = []catalog.Task{{ID: "other", State: "running", Desired: "running"}}
	w.writeErr = errors.New("bus away")
	if _, err := p.TaskPass(t.Context()); !errors.Is(err, w.writeErr) {
		t.Errorf("error %v", err)
	}
	*now = now.Add(motion.Fast)
	w.writeErr = nil
	mustLook(t, p)
	w.wrote(t, "put tasks.b")
	if !slices.Equal(w.few, []string{"a b"}) {
		t.Errorf("looked alone at %q, want a and b", w.few)
	}
}

// A node may go down after Swarm has said which tasks run, and before they are written.
func TestANodeThatGoesDownWhileAllAreLookedAt(t *testing.T) {
	w, p, now := settled(t)
	*now = now.Add(motion.Quiet)
	w.tasks["a"] = nil // moves from now on
	w.looking = func() {
		w.looking = nil
		w.snapshot.Nodes, w.versions["node.n"] = map[string]catalog.Node{"n": {ID: "n", State: "down"}}, 12
		mustList(t, p)
	}
	mustLook(t, p)
	*now = now.Add(motion.Fast)
	w.few = nil
	mustLook(t, p)
	if len(w.looked) != 2 || len(w.few) > 0 {
		t.Errorf("%d looks, alone at %q, want two at all", len(w.looked), w.few)
	}
}

// A service that others took off the bus is left alone until a list brings it back.
func TestTasksOfAServiceThatIsNotOnTheBusAreNotWritten(t *testing.T) {
	w, p, now := settled(t)
	svc := optIn("a", "web")
	svc.Replicas = 2
	w.set(svc, 7)
	mustList(t, p)
	mustLook(t, p) // a moves
	delete(w.bucket.bucket, "service.a")
	w.tasks["a"] = append(w.tasks["a"], catalog.Task{ID: "new", State: "running", Desired: "running"})
	w.writes = nil
	*now = now.Add(motion.Fast)
	mustLook(t, p)
	w.wrote(t)
	mustList(t, p)
	mustLook(t, p)
	w.wrote(t, "put service.a", "put tasks.a")
}

// TestSecretTextsLieApart follows a label that is withheld.
func TestSecretTextsLieApart(t *testing.T) {
	svc := optIn("a", "web")
	svc.Labels["com.df.users"] = "me:secret"
	w, p, _ := newWorld(svc)
	p.o.IsSecret = func(label string) bool { return label == "com.df.users" }
	p.o.Mark = func(text string) string { return fmt.Sprint("mark ", len(text)) }
	mustList(t, p)
	w.wrote(t, "put node.n", "put secret.a", "put service.a")
	if text := string(w.bucket.bucket["service.a"]); strings.Contains(text, "me:secret") || !strings.Contains(text, `"withheld":{"com.df.users":"mark 9"}`) {
		t.Error(text)
	}
	svc = optIn("a", "web")
	svc.Labels["com.df.users"] = "me:longer secret"
	w.set(svc, 5)
	if !p.Hint(t.Context(), "a") {
		t.Error("not written")
	}
	w.wrote(t, "put secret.a", "put service.a")
	w.set(optIn("a", "web"), 6)
	if !p.Hint(t.Context(), "a") {
		t.Error("not written")
	}
	w.wrote(t, "put service.a", "delete secret.a")
}

// TestASilentStreamOfEventsIsOpenedAgain has changes of which no event tells.
func TestASilentStreamOfEventsIsOpenedAgain(t *testing.T) {
	w, p, _ := newWorld(optIn("a", "web"))
	now, reopened := time.Now(), 0
	p.o.Now, p.o.Reopen = func() time.Time { return now }, func() { reopened++ }
	list := func(after time.Duration) {
		t.Helper()
		now = now.Add(after)
		if _, err := p.look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list(0)
	p.Heard(docker.Event{}) // the stream is open
	list(time.Second)
	w.set(optIn("b", "api"), 7)
	p.Heard(docker.Event{Kind: "service", ID: "b"})
	list(30 * time.Second)
	list(grace)
	w.set(optIn("c", "late"), 8)
	list(30 * time.Second)
	p.Heard(docker.Event{Kind: "service", ID: "c"}) // it comes a little later
	list(time.Second)
	list(grace)
	if reopened != 0 {
		t.Fatalf("opened again %d times although all was told", reopened)
	}
	w.set(optIn("d", "silent"), 9)
	list(30 * time.Second)
	list(grace)
	if reopened != 1 {
		t.Errorf("opened again %d times after a change of which nobody told", reopened)
	}
	if n := testutil.ToFloat64(p.metrics.missed); n != 1 {
		t.Errorf("the metric tells %v changes of which nobody told", n)
	}
	p.Heard(docker.Event{})
	w.set(optIn("e", "meanwhile"), 10)
	list(30 * time.Second)
	list(grace)
	if reopened != 1 {
		t.Errorf("opened again %d times although it had just been", reopened-1)
	}
}

func TestTheNextListWaitsAsLongAsTheLastTook(t *testing.T) {
	w, p, _ := newWorld(optIn("a", "web"))
	now := time.Now()
	p.o.Now = func() time.Time { return now }
	w.listing = func() { now = now.Add(80 * time.Millisecond) }
	if _, err := p.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(30 * time.Millisecond)
	p.Heard(docker.Event{Kind: "node", ID: "n"})
	if wait, err := p.look(t.Context()); err != nil || wait != 50*time.Millisecond || w.lists != 1 {
		t.Errorf("the next list in %s, error %v, %d lists", wait, err, w.lists)
	}
	now = now.Add(50 * time.Millisecond)
	if _, err := p.look(t.Context()); err != nil || w.lists != 2 {
		t.Errorf("error %v, %d lists", err, w.lists)
	}
}

// TestHintsAreNoLists pins what the time of the last list means.
func TestHintsAreNoLists(t *testing.T) {
	w, p, _ := newWorld(optIn("a", "web"))
	now := time.Now()
	p.o.Now = func() time.Time { return now }
	mustList(t, p)
	listed := p.State().Listed
	now = now.Add(time.Minute)
	w.listErr = errors.New("no list, but single services")
	p.Heard(docker.Event{Kind: "service", ID: "a"})
	p.o.Swarm = inspects{w.swarm}
	if next, err := p.look(t.Context()); err != nil || next != confirmAfter {
		t.Errorf("next %s, error %v", next, err)
	}
	w.isSynced = false
	mustList(t, p)
	if got := p.State().Listed; !got.Equal(listed) {
		t.Errorf("listed at %s, want %s", got, listed)
	}
	if at := testutil.ToFloat64(p.metrics.listed); int64(at) != listed.Unix() {
		t.Errorf("the metric tells %v, want %v", at, listed.Unix())
	}
}

// inspects is a swarm that cannot be listed, but answers about single services.
type inspects struct{ *swarm }

func (i inspects) Service(_ context.Context, id string) (catalog.Service, uint64, error) {
	return i.snapshot.Services[id], i.versions[catalog.ServiceKey(id)], nil
}
