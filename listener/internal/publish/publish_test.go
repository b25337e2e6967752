package publish

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wagglehq/waggle/listener/internal/motion"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// world is a swarm to list and a bucket to write, in memory: what is wanted here
// is control over when each of them fails.
type world struct {
	snapshot          catalog.Snapshot
	tasks             map[string][]catalog.Task
	listErr, writeErr error
	listing           func()

	bucket   catalog.Entries
	isSynced bool
	writes   []string
	told     []string
	tellErr  error
	looked   []time.Duration
	// few are the services looked at alone, those of one look in one text.
	few   []string
	start time.Time
}

func (w *world) List(context.Context) (catalog.Listing, error) {
	if w.listing != nil {
		w.listing()
	}
	if w.listErr != nil {
		return catalog.Listing{}, w.listErr
	}
	return catalog.Listing{Snapshot: w.snapshot}, nil
}

func (w *world) Tasks(context.Context) (map[string][]catalog.Task, error) {
	w.looked = append(w.looked, time.Since(w.start))
	return w.tasks, w.listErr
}

func (w *world) TasksOf(_ context.Context, ids ...string) (map[string][]catalog.Task, error) {
	w.looked, w.few = append(w.looked, time.Since(w.start)), append(w.few, strings.Join(ids, " "))
	out := map[string][]catalog.Task{}
	for _, id := range ids {
		if _, ok := w.snapshot.Services[id]; !ok {
			return nil, errors.New("no such service")
		}
		out[id] = w.tasks[id]
	}
	return out, w.listErr
}

func (w *world) Service(_ context.Context, id string) (catalog.Service, uint64, error) {
	svc, ok := w.snapshot.Services[id]
	if !ok {
		return svc, 0, errors.New("no such service")
	}
	return svc, 7, w.listErr
}

func (w *world) State() (catalog.Entries, catalog.Revision, bool) {
	return maps.Clone(w.bucket), catalog.Revision{}, w.isSynced
}

func (w *world) Write(_ context.Context, want catalog.Entries, _ map[string]uint64) (catalog.Changes, error) {
	if w.writeErr != nil {
		return catalog.Changes{}, w.writeErr
	}
	changes := catalog.Diff(w.bucket, want)
	for _, e := range changes.Put {
		w.writes = append(w.writes, "put "+e.Key)
	}
	for _, key := range changes.Delete {
		w.writes = append(w.writes, "delete "+key)
	}
	w.bucket = maps.Clone(want)
	return changes, nil
}

func (w *world) Publish(_ context.Context, stream, tokens string, value []byte, _ ...bus.PutOption) error {
	if w.tellErr == nil {
		w.told = append(w.told, strings.Join([]string{stream, tokens, string(value)}, " "))
	}
	return w.tellErr
}

func (w *world) wrote(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.writes, want) {
		t.Errorf("wrote %v, want %v", w.writes, want)
	}
	w.writes = nil
}

func optIn(id, name string) catalog.Service {
	return catalog.Service{ID: id, Name: name, Mode: catalog.Replicated, Replicas: 1, Labels: map[string]string{"com.df.notify": "true"}}
}

func newWorld(services ...catalog.Service) (*world, *Publisher, *int) {
	w := &world{
		snapshot: catalog.Snapshot{Services: map[string]catalog.Service{}, Nodes: map[string]catalog.Node{"n": {ID: "n"}}},
		bucket:   catalog.Entries{}, isSynced: true, tasks: map[string][]catalog.Task{}, start: time.Now(),
	}
	for _, s := range services {
		w.snapshot.Services[s.ID] = s
		w.tasks[s.ID] = []catalog.Task{{ID: "t" + s.ID, State: "running", Desired: "running"}}
	}
	changed := new(int)
	return w, New(Options{Swarm: w, Catalog: w, Changed: func() { *changed++ }, Now: time.Now, Log: slog.New(slog.DiscardHandler)}), changed
}

func TestHintsPublishWhatIsKnownAndNothingElse(t *testing.T) {
	w, p, changed := newWorld(optIn("a", "web"), optIn("b", "db"))
	if err := p.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wrote(t, "put node.n", "put service.a", "put service.b")
	relabelled := optIn("a", "web")
	relabelled.Labels["com.df.servicePath"] = "/new"
	w.snapshot.Services["a"] = relabelled
	p.Hint(t.Context(), "a")
	w.wrote(t, "put service.a")
	if *changed != 2 {
		t.Errorf("told of a change %d times, want 2: the first list and the hint", *changed)
	}
	p.Hint(t.Context(), "a")
	w.snapshot.Services["c"] = optIn("c", "new")
	p.Hint(t.Context(), "c")
	delete(w.snapshot.Services, "b")
	p.Hint(t.Context(), "b")
	relabelled = optIn("a", "web")
	w.snapshot.Services["a"] = relabelled
	w.listErr = errors.New("the daemon does not answer")
	p.Hint(t.Context(), "a")
	w.wrote(t)
	w.listErr = nil
	if err := p.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wrote(t, "put service.a", "put service.c", "delete service.b")
}

func TestPasses(t *testing.T) {
	w, p, changed := newWorld(optIn("a", "web"), catalog.Service{ID: "b", Name: "db"})
	ctx := t.Context()
	list := func() {
		t.Helper()
		if err := p.ListPass(ctx); err != nil {
			t.Error(err)
		}
	}
	look := func() time.Duration {
		t.Helper()
		next, err := p.TaskPass(ctx)
		if err != nil {
			t.Error(err)
		}
		return next
	}
	if next := look(); next != motion.Quiet || len(w.looked) > 0 {
		t.Errorf("tasks were listed before the first list: %v", w.looked)
	}
	list()
	w.wrote(t, "put node.n", "put service.a", "put service.b")
	if next := look(); next != motion.Fast {
		t.Errorf("look again in %s after the first tasks", next)
	}
	w.wrote(t, "put tasks.a")
	list()
	look()
	w.wrote(t)
	if *changed != 1 {
		t.Errorf("told of a change %d times, want 1", *changed)
	}

	w.listErr = errors.New("no leader")
	for range 2 {
		if err := p.ListPass(ctx); !errors.Is(err, w.listErr) {
			t.Errorf("error %v", err)
		}
		if _, err := p.TaskPass(ctx); !errors.Is(err, w.listErr) {
			t.Errorf("error %v", err)
		}
	}
	w.wrote(t)
	if got := p.View(); got.Failure != "no leader" || len(got.Snapshot.Services) != 2 {
		t.Errorf("during a failure: %+v", got)
	}
	w.listErr = nil

	w.tasks["a"] = nil
	look()
	w.wrote(t, "put tasks.a")
	if got := string(w.bucket["tasks.a"]); got != `{"tasks":[],"total":0}` {
		t.Errorf("no tasks are %s", got)
	}
	a := w.snapshot.Services["a"]
	a.Labels = map[string]string{"com.df.notify": "false"}
	w.snapshot.Services = map[string]catalog.Service{"a": a, "b": w.snapshot.Services["b"]}
	list()
	w.wrote(t, "put service.a", "delete tasks.a")
	w.snapshot.Services = map[string]catalog.Service{"b": w.snapshot.Services["b"]}
	list()
	w.wrote(t, "delete service.a")
	if got := p.View(); got.Failure != "" || got.Hash == "" {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestTasksSurviveARestart(t *testing.T) {
	w, before, _ := newWorld(optIn("a", "web"), optIn("b", "api"))
	for _, pass := range []func(context.Context) error{before.ListPass, func(ctx context.Context) error { _, err := before.TaskPass(ctx); return err }} {
		if err := pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.writes = nil
	delete(w.snapshot.Services, "b")
	after := New(before.o)
	if err := after.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wrote(t, "delete service.b", "delete tasks.b") // and not tasks.a, which are not known yet
}

func TestAWriteThatFailedIsMadeUpFor(t *testing.T) {
	w, p, changed := newWorld(optIn("a", "web"))
	w.isSynced = false
	if err := p.ListPass(t.Context()); err != nil || p.View().Failure == "" {
		t.Errorf("error %v and failure %q before the bucket is known", err, p.View().Failure)
	}
	w.isSynced, w.writeErr = true, errors.New("bus away")
	if err := p.ListPass(t.Context()); !errors.Is(err, w.writeErr) {
		t.Errorf("error %v", err)
	}
	if _, ok := p.Statuses(); ok || *changed > 0 || !p.View().Listed.IsZero() {
		t.Error("something counts as listed that is not on the bus")
	}
	w.writeErr = nil
	if err := p.ListPass(t.Context()); err != nil || *changed != 1 {
		t.Errorf("error %v, changed %d times", err, *changed)
	}
	w.wrote(t, "put node.n", "put service.a")
}

// A list may be under way while tasks are written: what was listed later wins.
func TestTasksDoNotWaitForAList(t *testing.T) {
	w, p, _ := newWorld(optIn("a", "web"))
	if err := p.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.writes = nil
	w.listing = func() {
		if _, err := p.TaskPass(t.Context()); err != nil {
			t.Error(err)
		}
		w.wrote(t, "put tasks.a")
	}
	if err := p.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wrote(t)
}

func TestEventsAreToldOnce(t *testing.T) {
	w, p, _ := newWorld(optIn("a", "web"))
	list := func() {
		t.Helper()
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list()
	w.tellErr = errors.New("bus away")
	if err := p.EventPass(t.Context(), w); !errors.Is(err, w.tellErr) {
		t.Errorf("error %v", err)
	}
	w.tellErr = nil
	svc := w.snapshot.Services["a"]
	svc.Replicas = 2
	w.snapshot.Services["a"] = svc
	list()
	delete(w.snapshot.Services, "a")
	list()
	for range 2 {
		if err := p.EventPass(t.Context(), w); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`waggle_events listener.service.a {"kind":"created","serviceId":"a","service":"web"}`,
		`waggle_events listener.service.a {"kind":"changed","serviceId":"a","service":"web"}`,
		`waggle_events listener.service.a {"kind":"removed","serviceId":"a","service":"web"}`,
	}
	if !slices.Equal(w.told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(w.told, "\n"), strings.Join(want, "\n"))
	}
}

func TestEventsThatWaitAreBounded(t *testing.T) {
	j := journal{limit: 2}
	for _, id := range []string{"a", "b", "c"} {
		j.note(nil, catalog.Changes{Put: []catalog.Entry{{Key: "service." + id, Value: []byte(`{}`)}, {Key: "node.n"}}}, nil)
	}
	if first, _ := j.next(); first.ServiceID != "b" || len(j.waiting) != 2 || j.lost() != 1 || j.lost() != 0 {
		t.Errorf("%+v", j.waiting)
	}
}

func TestStatuses(t *testing.T) {
	large := optIn("b", "big")
	large.Labels["com.df.servicePath"] = strings.Repeat("x", catalog.MaxValue)
	w, p, _ := newWorld(optIn("a", "web"), large)
	if err := p.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, ok := p.Statuses()
	// The table of this test is empty, so that notify itself is not known.
	if !ok || len(all) != 2 || all[0].State != catalog.StateAccepted || all[1].State != catalog.StateRejected || all[1].Service != "big" {
		t.Errorf("%+v, %t", all, ok)
	}
	if _, desired, rejected := p.Applied(); desired != 2 || rejected != 1 {
		t.Errorf("desired %d, rejected %d", desired, rejected)
	}
	var published catalog.Service
	b := catalog.NewBuilder()
	if err := b.Put("service.b", w.bucket["service.b"], 1); err != nil {
		t.Fatal(err)
	}
	published = b.Snapshot(0).Services["b"]
	if want := catalog.Stripped(large, published.Oversize); !reflect.DeepEqual(published, want) || want.Oversize <= catalog.MaxValue {
		t.Errorf("published %+v, want %+v", published, want)
	}
}

// TestAFewThatMoveAreLookedAtAlone runs passes in fake time, four in a second.
func TestAFewThatMoveAreLookedAtAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _ := newWorld(optIn("1", "web"), optIn("2", "api"), optIn("3", "db"))
		passes := func(n int) {
			t.Helper()
			for range n {
				if _, err := p.TaskPass(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(motion.Fast)
			}
		}
		want := func(what string, looks int, few ...string) {
			t.Helper()
			if got := slices.Compact(w.few); len(w.looked) != looks || !slices.Equal(got, few) {
				t.Errorf("%s: %d looks, alone at %q, want %d and %q", what, len(w.looked), got, looks, few)
			}
			w.looked, w.few = nil, nil
		}
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		passes(1)
		want("the first", 1)
		time.Sleep(2 * motion.Quiet)
		passes(1)
		want("after long", 1)

		// One is scaled up: its labels stay, its number of replicas changes.
		web := w.snapshot.Services["1"]
		web.Replicas = 2
		w.snapshot.Services["1"] = web
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.tasks["1"] = append(w.tasks["1"], catalog.Task{ID: "new", State: "starting", Desired: "running"})
		w.tasks["2"] = nil // nobody looks
		w.writes = nil
		passes(1)
		want("one moves", 1, "1")
		w.wrote(t, "put tasks.1")
		passes(38)
		want("it goes on moving", 38, "1")
		passes(1)
		want("the others after ten seconds", 1)
		w.wrote(t, "put tasks.2")

		// A service that has come is looked at, and one that has gone costs nothing but a
		// look at all.
		w.snapshot.Services = maps.Clone(w.snapshot.Services)
		w.snapshot.Services["4"] = optIn("4", "new")
		w.tasks["4"] = []catalog.Task{{ID: "t4", State: "starting", Desired: "running"}}
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.writes = nil
		passes(1)
		want("a new one", 1, "1 2 4")
		w.wrote(t, "put tasks.4")
		w.snapshot.Services = maps.Clone(w.snapshot.Services)
		delete(w.snapshot.Services, "4") // which no list has told yet
		passes(1)
		want("one has gone", 2, "1 2 4")

		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		passes(1)
		want("the first two still move", 1, "1 2")
		w.snapshot.Nodes = map[string]catalog.Node{"n": {ID: "n", State: "down"}}
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		passes(1)
		want("a node is down", 1)
	})
}

// TestLookingAtTasks runs the loop of tasks in fake time.
func TestLookingAtTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, _ := newWorld(optIn("a", "web"))
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		loop := p.TaskLoop(reconcile.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- loop.Run(ctx) }()
		time.Sleep(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		early := 0
		for _, at := range w.looked {
			if at < 6*time.Second {
				early++
			}
		}
		if early < 20 || early > 22 {
			t.Errorf("%d looks while the service is new, want one every 250 ms for 5 s", early)
		}
		if late := len(w.looked) - early; late < 350 || late > 370 {
			t.Errorf("%d looks in the quiet hour after that, want one every 10 s", late)
		}
	})
}
