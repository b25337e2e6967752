package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/listener/internal/advice"
	"github.com/wagglehq/waggle/listener/internal/motion"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// swarm is what a listener lists, in memory: what is wanted here is control over when
// it fails.
type swarm struct {
	snapshot catalog.Snapshot
	versions map[string]uint64
	cluster  string
	tasks    map[string][]catalog.Task
	listErr  error
	listing  func()
	looking  func()
	lists    int
	looked   []time.Duration
	// few are the services looked at alone, those of one look in one text.
	few   []string
	start time.Time
}

func (w *swarm) List(context.Context) (catalog.Listing, error) {
	w.lists++
	listing := catalog.Listing{Snapshot: w.snapshot, Versions: maps.Clone(w.versions), Cluster: w.cluster}
	if w.listing != nil {
		w.listing()
	}
	if w.listErr != nil {
		return catalog.Listing{}, w.listErr
	}
	return listing, nil
}

func (w *swarm) Tasks(context.Context) (map[string][]catalog.Task, error) {
	w.looked = append(w.looked, time.Since(w.start))
	if w.looking != nil {
		w.looking()
	}
	return w.tasks, w.listErr
}

func (w *swarm) TasksOf(_ context.Context, ids ...string) (map[string][]catalog.Task, error) {
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

func (w *swarm) Service(_ context.Context, id string) (catalog.Service, uint64, error) {
	svc, ok := w.snapshot.Services[id]
	if !ok {
		return svc, 0, errors.New("no such service")
	}
	return svc, w.versions[catalog.ServiceKey(id)], w.listErr
}

// set puts a service in, with its version.
func (w *swarm) set(svc catalog.Service, version uint64) {
	w.snapshot.Services = maps.Clone(w.snapshot.Services)
	w.snapshot.Services[svc.ID] = svc
	w.versions[catalog.ServiceKey(svc.ID)] = version
	if _, ok := w.tasks[svc.ID]; !ok {
		w.tasks[svc.ID] = []catalog.Task{{ID: "t" + svc.ID, State: "running", Desired: "running"}}
	}
}

func (w *swarm) remove(id string) {
	w.snapshot.Services = maps.Clone(w.snapshot.Services)
	delete(w.snapshot.Services, id)
	delete(w.versions, catalog.ServiceKey(id))
}

// past returns a swarm that goes on being what this one is at this moment.
func (w *swarm) past() *swarm {
	return &swarm{snapshot: w.snapshot, versions: maps.Clone(w.versions), cluster: w.cluster, tasks: maps.Clone(w.tasks), start: w.start}
}

// bucket is what listeners write, by compare and set.
type bucket struct {
	bucket   catalog.Entries
	list     catalog.List
	indexes  map[string]uint64
	sequence uint64
	isSynced bool
	writes   []string
	writeErr error
	// lands is how many entries of a write land before it fails; all if it is negative.
	lands   int
	refused map[string]error
	told    []string
	tellErr error
}

func newBucket() *bucket {
	return &bucket{bucket: catalog.Entries{}, indexes: map[string]uint64{}, isSynced: true}
}

func (b *bucket) Seen() (bus.Seen, bool) {
	return bus.Seen{
		Entries: maps.Clone(b.bucket), List: b.list, Indexes: maps.Clone(b.indexes), Revision: catalog.Revision{Epoch: "e", Sequence: b.sequence},
	}, b.isSynced
}

func (b *bucket) SeenOf(keys ...string) (bus.Seen, bool) {
	seen := bus.Seen{Entries: catalog.Entries{}, Indexes: map[string]uint64{}}
	for _, key := range keys {
		if value, ok := b.bucket[key]; ok {
			seen.Entries[key], seen.Indexes[key] = value, b.indexes[key]
		}
	}
	return seen, b.isSynced
}

func (b *bucket) Write(_ context.Context, seen bus.Seen, plan bus.Plan) (bus.Written, error) {
	done := bus.Written{Refused: map[string]error{}}
	fits := func(key string) bool {
		now, there := b.bucket[key]
		was, wasThere := seen.Entries[key]
		return there == wasThere && bytes.Equal(now, was)
	}
	full := func() bool { return b.writeErr != nil && len(done.Changes.Put)+len(done.Changes.Delete) >= b.lands }
	for _, e := range plan.Put {
		switch {
		case full():
			return done, b.writeErr
		case !fits(e.Key):
			return done, bus.ErrConflict
		case b.refused[e.Key] != nil:
			done.Refused[e.Key] = b.refused[e.Key]
			continue
		}
		b.sequence++
		b.bucket[e.Key], b.indexes[e.Key] = e.Value, plan.Indexes[e.Key]
		b.writes = append(b.writes, "put "+e.Key)
		done.Changes.Put = append(done.Changes.Put, e)
	}
	for _, key := range plan.Delete {
		switch {
		case full():
			return done, b.writeErr
		case !fits(key):
			return done, bus.ErrConflict
		}
		b.sequence++
		delete(b.bucket, key)
		delete(b.indexes, key)
		b.writes = append(b.writes, "delete "+key)
		done.Changes.Delete = append(done.Changes.Delete, key)
	}
	if plan.List != nil {
		b.list = *plan.List
	}
	return done, nil
}

func (b *bucket) Publish(_ context.Context, stream, tokens string, value []byte, _ ...bus.PutOption) error {
	if b.tellErr == nil {
		b.told = append(b.told, strings.Join([]string{stream, tokens, string(value)}, " "))
	}
	return b.tellErr
}

func (b *bucket) wrote(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(b.writes, want) {
		t.Errorf("wrote %v, want %v", b.writes, want)
	}
	b.writes = nil
}

// house is a swarm and a bucket.
type house struct {
	*swarm
	*bucket
}

func optIn(id, name string) catalog.Service {
	return catalog.Service{ID: id, Name: name, Mode: catalog.Replicated, Replicas: 1, Labels: map[string]string{"com.df.notify": "true"}}
}

func newWorld(services ...catalog.Service) (*house, *Publisher, *int) {
	w := &house{
		swarm: &swarm{
			snapshot: catalog.Snapshot{Services: map[string]catalog.Service{}, Nodes: map[string]catalog.Node{"n": {ID: "n", Hostname: "n1"}}},
			versions: map[string]uint64{"node.n": 1}, tasks: map[string][]catalog.Task{}, start: time.Now(),
		},
		bucket: newBucket(),
	}
	for i, s := range services {
		w.set(s, uint64(i)+2)
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
	w.set(relabelled, 4)
	p.Hint(t.Context(), "a")
	w.wrote(t, "put service.a")
	if *changed != 2 {
		t.Errorf("told of a change %d times, want 2: the first list and the hint", *changed)
	}
	p.Hint(t.Context(), "a")
	w.set(optIn("c", "new"), 5)
	p.Hint(t.Context(), "c")
	w.remove("b")
	p.Hint(t.Context(), "b")
	w.set(optIn("a", "web"), 6)
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
	if got := p.State(); got.Failure != "no leader" || got.Since.IsZero() {
		t.Errorf("during a failure: %+v", got)
	}
	w.listErr = nil

	w.tasks["a"] = nil
	look()
	w.wrote(t, "put tasks.a")
	if got := string(w.bucket.bucket["tasks.a"]); got != `{"tasks":[],"total":0}` {
		t.Errorf("no tasks are %s", got)
	}
	a := w.snapshot.Services["a"]
	a.Labels = map[string]string{"com.df.notify": "false"}
	w.set(a, 9)
	list()
	w.wrote(t, "put service.a", "delete tasks.a")
	w.remove("a")
	w.versions["service.b"] = 10
	list()
	w.wrote(t, "delete service.a")
	if got := p.State(); got.Failure != "" || !got.Since.IsZero() || p.Hash() == "" {
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
	w.remove("b")
	w.versions["service.a"] = 9
	after := New(before.o)
	if err := after.ListPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wrote(t, "delete service.b", "delete tasks.b") // and not tasks.a, which are not known yet
}

func TestAWriteThatFailedIsMadeUpFor(t *testing.T) {
	w, p, changed := newWorld(optIn("a", "web"))
	w.isSynced = false
	if err := p.ListPass(t.Context()); err != nil || p.State().Failure == "" {
		t.Errorf("error %v and failure %q before the bucket is known", err, p.State().Failure)
	}
	w.isSynced, w.writeErr = true, errors.New("bus away")
	if err := p.ListPass(t.Context()); !errors.Is(err, w.writeErr) {
		t.Errorf("error %v", err)
	}
	if _, ok := p.Statuses(); ok || *changed > 0 || !p.State().Listed.IsZero() {
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
	w.set(svc, 3)
	list()
	w.set(optIn("b", "api"), 4)
	w.remove("a")
	list()
	for range 2 {
		if err := p.EventPass(t.Context(), w); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		`waggle_events listener.node.n {"kind":"created","nodeId":"n","node":"n1"}`,
		`waggle_events listener.service.a {"kind":"created","serviceId":"a","service":"web"}`,
		`waggle_events listener.service.a {"kind":"changed","serviceId":"a","service":"web","text":"replicas 1 to 2"}`,
		`waggle_events listener.service.b {"kind":"created","serviceId":"b","service":"api"}`,
		`waggle_events listener.service.a {"kind":"removed","serviceId":"a","service":"web"}`,
	}
	if !slices.Equal(w.told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(w.told, "\n"), strings.Join(want, "\n"))
	}
}

// TestWhatChangedIsSaid: names of labels, never their texts.
func TestWhatChangedIsSaid(t *testing.T) {
	before := catalog.Service{Labels: map[string]string{"com.df.port": "80", "com.df.notify": "true"}, Withheld: map[string]string{"com.df.users": "m1"}, Replicas: 1, Image: "a:1", Spec: "1"}
	change := func(do func(*catalog.Service)) string {
		after := before
		after.Labels, after.Withheld = maps.Clone(before.Labels), maps.Clone(before.Withheld)
		do(&after)
		a, errA := catalog.Encode(before)
		b, errB := catalog.Encode(after)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		return difference(a, b)
	}
	for want, do := range map[string]func(*catalog.Service){
		"com.df.port": func(s *catalog.Service) { s.Labels["com.df.port"] = "geheim" },
		"com.df.servicePath, com.df.users": func(s *catalog.Service) {
			s.Labels["com.df.servicePath"], s.Withheld["com.df.users"] = "/", "m2"
		},
		"com.df.users on the container": func(s *catalog.Service) { s.ContainerLabels = map[string]string{"com.df.users": "geheim"} },
		"replicas 1 to 3, image":        func(s *catalog.Service) { s.Replicas, s.Image, s.Spec = 3, "a:2", "2" },
		"networks, published ports, update rollback started": func(s *catalog.Service) {
			s.Networks, s.Ports, s.UpdateState = []string{"waggle"}, []catalog.Port{{Published: 80}}, "rollback_started"
		},
		"specification": func(s *catalog.Service) { s.Spec = "2" },
		"":              func(s *catalog.Service) {},
	} {
		if got := change(do); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
	many := change(func(s *catalog.Service) {
		for i := range 12 {
			s.Labels[fmt.Sprintf("com.df.port.%02d", i)] = "80"
		}
	})
	if !strings.HasSuffix(many, "com.df.port.09, 2 other labels") || difference([]byte("{"), nil) != "" {
		t.Errorf("it says %q", many)
	}
}

func TestEventsThatWaitAreBounded(t *testing.T) {
	j := journal{limit: 2}
	for _, id := range []string{"a", "b", "c"} {
		j.note(nil, catalog.Changes{Put: []catalog.Entry{{Key: "service." + id, Value: []byte(`{}`)}, {Key: "tasks.n"}}}, nil)
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
	if err := b.Put("service.b", w.bucket.bucket["service.b"], 1); err != nil {
		t.Fatal(err)
	}
	published = b.Snapshot(0).Services["b"]
	if published.Oversize < catalog.MaxValue {
		t.Errorf("it is said to take %d bytes", published.Oversize)
	}
	published.Oversize = 0
	if want := optIn("b", "big"); !reflect.DeepEqual(published, want) {
		t.Errorf("published %+v, want it without labels, and still opted in", published)
	}
}

// A service of somebody else on the network of Waggle's own services is named, whether it
// opted in or not, and no longer than it is there.
func TestStrangersOnTheControlNetworkAreNamed(t *testing.T) {
	on := func(id, name, stack string, networks ...string) catalog.Service {
		return catalog.Service{ID: id, Name: name, Stack: stack, Networks: networks}
	}
	w, _, _ := newWorld(on("a", "shop_web", "shop", "waggle"), on("b", "spy_eye", "spy", "waggle", "waggle_control"), on("c", "waggle_scaler", "waggle", "waggle_control"))
	registry := prometheus.NewRegistry()
	p := New(Options{
		Swarm: w, Catalog: w, Control: advice.Control{Network: "waggle_control", Stack: "waggle"},
		Changed: func() {}, Now: time.Now, Log: slog.New(slog.DiscardHandler), Registry: registry,
	})
	named := func() (inStatuses, inMetrics []string) {
		t.Helper()
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, _ := p.Statuses()
		for _, s := range all {
			if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "on waggle_control") {
				t.Errorf("%+v", s)
			}
			inStatuses = append(inStatuses, s.Service)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "waggle_listener_strangers_on_control_network" {
				for _, m := range f.GetMetric() {
					inMetrics = append(inMetrics, m.GetLabel()[0].GetValue())
				}
			}
		}
		return inStatuses, inMetrics
	}
	want := []string{"spy_eye"}
	if said, counted := named(); !slices.Equal(said, want) || !slices.Equal(counted, want) {
		t.Errorf("named %v in statuses and %v in metrics, want %v", said, counted, want)
	}
	w.set(on("b", "spy_eye", "spy", "waggle"), 9)
	if said, counted := named(); len(said) != 0 || len(counted) != 0 {
		t.Errorf("still named: %v in statuses, %v in metrics", said, counted)
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
		w.set(web, 9)
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.tasks["1"] = append(w.tasks["1"], catalog.Task{ID: "new", State: "starting", Desired: "running"})
		w.tasks["2"] = nil // nobody looks
		w.writes = nil
		passes(1)
		want("one moves", 1, "1")
		w.wrote(t, "put tasks.1")
		passes(34)
		want("it goes on moving", 34, "1")
		passes(1)
		want("the others after nine seconds", 1)
		w.wrote(t, "put tasks.2")

		// A service that has come is looked at, and one that has gone costs nothing but a
		// look at all.
		w.set(optIn("4", "new"), 10)
		w.tasks["4"] = []catalog.Task{{ID: "t4", State: "starting", Desired: "running"}}
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.writes = nil
		passes(1)
		want("a new one", 1, "1 2 4")
		w.wrote(t, "put tasks.4")
		w.remove("4") // which no list has told yet
		passes(1)
		want("one has gone", 2, "1 2 4")

		w.versions["service.1"] = 11
		if err := p.ListPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		passes(1)
		want("the first two still move", 1, "1 2")
		w.snapshot.Nodes, w.versions["node.n"] = map[string]catalog.Node{"n": {ID: "n", State: "down"}}, 12
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
		loop := p.TaskLoop(reconcile.Options{Poke: reconcile.NewPoke()})
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
		if late := len(w.looked) - early; late < 390 || late > 410 {
			t.Errorf("%d looks in the quiet hour after that, want one every 9 s", late)
		}
	})
}
