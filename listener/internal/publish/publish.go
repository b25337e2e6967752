// Package publish makes the catalog on the bus equal to what Docker lists, and
// says of each service what the listener knows.
package publish

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/listener/internal/advice"
	"github.com/wagglehq/waggle/listener/internal/motion"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// Swarm is what is listed; docker.Client is one.
type Swarm interface {
	List(context.Context) (catalog.Listing, error)
	Tasks(context.Context) (map[string][]catalog.Task, error)
	TasksOf(ctx context.Context, serviceIDs ...string) (map[string][]catalog.Task, error)
	Service(ctx context.Context, id string) (catalog.Service, uint64, error)
}

// Catalog is what is written; bus.CatalogWriter is one.
type Catalog interface {
	State() (catalog.Entries, catalog.Revision, bool)
	Write(ctx context.Context, want catalog.Entries, versions map[string]uint64) (catalog.Changes, error)
}

// Options are what a Publisher needs.
type Options struct {
	Swarm   Swarm
	Catalog Catalog
	// Table are all known labels.
	Table []label.Spec
	// Changed is called after services or nodes changed on the bus, so that
	// tasks are looked at, statuses said and events told.
	Changed  func()
	Now      func() time.Time
	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Publisher holds what was listed last. Each pass is for a loop of its own.
type Publisher struct {
	o       Options
	metrics *metrics
	journal journal

	// mu guards the rest and is held while writing: two loops list, and what is
	// written must be the newest of both. It is not held while Docker is asked.
	mu       sync.Mutex
	snapshot catalog.Snapshot
	entries  catalog.Entries
	versions map[string]uint64
	large    []*catalog.TooLargeError
	tasks    map[string][]catalog.Task
	// allTasks is when the tasks of all services were last listed.
	allTasks time.Time
	// taskEntries are the same as they are written.
	taskEntries catalog.Entries
	motion      motion.Tracker
	view        View
}

// View is what is known at one moment. It is shared and must not be changed.
type View struct {
	Snapshot catalog.Snapshot
	// Listed is when the last full list was written; zero if none was.
	Listed time.Time
	// Hash is that of the entries that were written.
	Hash string
	// Failure says why the last full list failed, if it did.
	Failure string
}

// New returns a Publisher that knows nothing yet.
func New(o Options) *Publisher {
	return &Publisher{o: o, metrics: newMetrics(o.Registry), journal: journal{limit: maxEvents}}
}

// writeTimeout bounds one write of the whole catalog.
const writeTimeout = 10 * time.Second

// ListPass makes services and nodes on the bus equal to a full list. A list that
// failed, in whole or in part, changes nothing. While it is not known what the
// bus holds there is nothing to do: whoever reads it pokes.
func (p *Publisher) ListPass(ctx context.Context) error {
	start := p.o.Now()
	if _, _, ok := p.o.Catalog.State(); !ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.view.Failure = bus.ErrNotSynced.Error()
		return nil
	}
	listing, err := p.o.Swarm.List(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = p.listed(ctx, listing.Snapshot, listing.Versions, start)
	}
	p.view.Failure = ""
	if err != nil {
		p.view.Failure = err.Error()
	}
	return err
}

// Hint publishes a service that is known and may have changed, without listing all
// the others, so that a change is live as soon with many services as with few. It
// reports whether the service is now known to be as it is published. It neither
// adds nor removes anything: that takes a list, and one follows anyway, which is why
// a failure here is of no account.
func (p *Publisher) Hint(ctx context.Context, id string) bool {
	p.mu.Lock()
	_, known := p.snapshot.Services[id]
	p.mu.Unlock()
	if !known {
		return false
	}
	svc, version, err := p.o.Swarm.Service(ctx, id)
	if err != nil {
		return false
	}
	encoded, large, err := catalog.EncodeAll(catalog.Snapshot{Services: map[string]catalog.Service{id: svc}})
	if err != nil || len(large) > 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := catalog.ServiceKey(id)
	old, known := p.entries[key]
	if !known || bytes.Equal(old, encoded[key]) {
		return known
	}
	services := maps.Clone(p.snapshot.Services)
	services[id] = svc
	p.snapshot.Services = services
	versions := map[string]uint64{}
	maps.Copy(versions, p.versions)
	p.entries, p.versions = maps.Clone(p.entries), versions
	p.entries[key], p.versions[key] = encoded[key], version
	changes, err := p.write(ctx)
	if err == nil && !changes.Empty() {
		p.o.Log.Info("service written", "swarm_service", svc.Name, "hash", p.view.Hash)
		p.o.Changed()
	}
	return err == nil
}

func (p *Publisher) listed(ctx context.Context, snapshot catalog.Snapshot, versions map[string]uint64, start time.Time) error {
	entries, large, err := catalog.EncodeAll(snapshot)
	if err != nil {
		return err
	}
	p.snapshot, p.entries, p.versions, p.large = snapshot, entries, versions, large
	changes, err := p.write(ctx)
	if err != nil {
		return err
	}
	isFirst := p.view.Listed.IsZero()
	p.view.Listed = p.o.Now()
	if !changes.Empty() {
		p.o.Log.Info("catalog written", "put", len(changes.Put), "deleted", len(changes.Delete),
			"services", len(snapshot.Services), "nodes", len(snapshot.Nodes), "hash", p.view.Hash, "took", p.o.Now().Sub(start))
	}
	if isFirst || !changes.Empty() {
		if slices.ContainsFunc(changes.Put, func(e catalog.Entry) bool { return strings.HasPrefix(e.Key, catalog.NodeKey("")) }) {
			p.allTasks = time.Time{} // the tasks of any service may have stopped with a node
		}
		p.o.Changed()
	}
	return nil
}

// TaskPass makes the tasks on the bus equal to what Docker lists, for the services that
// opted in, and returns how soon to look again. While a few services move it looks at
// those alone, and at all the others as seldom as when nothing moves.
func (p *Publisher) TaskPass(ctx context.Context) (time.Duration, error) {
	p.mu.Lock()
	wanted := optedIn(p.snapshot)
	few := p.few(wanted)
	p.mu.Unlock()
	if len(wanted) == 0 {
		return motion.Quiet, nil // the first list, or the first service to opt in, pokes
	}
	listed, few, err := p.listTasks(ctx, few)
	if err != nil {
		return motion.Fast, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted = optedIn(p.snapshot)
	tasks := make(map[string][]catalog.Task, len(wanted))
	for id := range wanted {
		if old, known := p.tasks[id]; few == nil || slices.Contains(few, id) {
			tasks[id] = listed[id]
		} else if known {
			tasks[id] = old
		}
	}
	p.tasks = tasks
	if few == nil {
		p.allTasks = p.o.Now()
	}
	if p.taskEntries, _, err = catalog.EncodeAll(catalog.Snapshot{Tasks: p.tasks}); err != nil {
		return motion.Fast, err
	}
	changes, err := p.write(ctx)
	if err != nil {
		return motion.Fast, err
	}
	if !changes.Empty() {
		p.o.Log.Debug("tasks written", "put", len(changes.Put), "deleted", len(changes.Delete))
	}
	return p.motion.Next(p.o.Now(), wanted, p.tasks, p.encoded), nil
}

// encoded returns the present state of a service and its tasks.
func (p *Publisher) encoded(id string) []byte {
	return slices.Concat(p.entries[catalog.ServiceKey(id)], p.taskEntries[catalog.TasksKey(id)])
}

// mostOfFew is above how many services it is cheaper to list the tasks of all.
const mostOfFew = 20

// few returns which of the services move, nil unless they are so few that looking at
// them alone is worth it, and all others have been looked at lately.
func (p *Publisher) few(wanted map[string]catalog.Service) []string {
	if p.o.Now().Sub(p.allTasks) >= motion.Quiet {
		return nil
	}
	ids := p.motion.Moving(p.o.Now(), wanted, p.tasks, p.encoded)
	if len(ids) > mostOfFew {
		return nil
	}
	return ids
}

// listTasks lists the tasks of a few services, or of all, and returns of which: nil are
// all. If one of the few has gone, they cannot be listed, and it is all.
func (p *Publisher) listTasks(ctx context.Context, few []string) (map[string][]catalog.Task, []string, error) {
	if len(few) > 0 {
		if listed, err := p.o.Swarm.TasksOf(ctx, few...); err == nil {
			return listed, few, nil
		}
	}
	listed, err := p.o.Swarm.Tasks(ctx)
	return listed, nil, err
}

// TaskLoop returns the loop of TaskPass, which decides itself how soon it looks again.
func (p *Publisher) TaskLoop(o reconcile.Options) *reconcile.Loop {
	o.Resync, o.Pause = 3*motion.Quiet, motion.Fast
	var loop *reconcile.Loop
	var due *time.Timer
	loop = reconcile.New(o, func(ctx context.Context) error {
		if due != nil {
			due.Stop()
		}
		next, err := p.TaskPass(ctx)
		due = time.AfterFunc(next, loop.Poke)
		return err
	})
	return loop
}

func optedIn(s catalog.Snapshot) map[string]catalog.Service {
	out := map[string]catalog.Service{}
	for id, svc := range s.Services {
		if svc.OptedIn() {
			out[id] = svc
		}
	}
	return out
}

// want returns all entries that should be. The tasks of a service that were not listed
// yet stay what they are in have: after a restart they are not known, which is
// not the same as none.
func (p *Publisher) want(have catalog.Entries) catalog.Entries {
	want := maps.Clone(p.entries)
	for id := range optedIn(p.snapshot) {
		key := catalog.TasksKey(id)
		if listed, ok := p.taskEntries[key]; ok {
			want[key] = listed
		} else if old, ok := have[key]; ok {
			want[key] = old
		}
	}
	return want
}

// write makes the bucket equal to what was listed last, and notes what changed.
func (p *Publisher) write(ctx context.Context) (catalog.Changes, error) {
	have, _, ok := p.o.Catalog.State()
	if !ok {
		return catalog.Changes{}, bus.ErrNotSynced
	}
	want := p.want(have)
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	changes, err := p.o.Catalog.Write(ctx, want, p.versions)
	if err != nil {
		return catalog.Changes{}, fmt.Errorf("catalog: %w", err)
	}
	p.view.Snapshot = p.snapshot
	p.view.Snapshot.Tasks = p.tasks
	if p.view.Hash == "" || !changes.Empty() {
		p.view.Hash = hash(want)
		p.metrics.wrote(changes, p.snapshot)
		p.journal.note(have, changes, p.versions)
	}
	return changes, nil
}

// hash is the same for the same entries.
func hash(entries catalog.Entries) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		_, _ = fmt.Fprintf(h, "%s %d ", key, len(entries[key]))
		_, _ = h.Write(entries[key])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// View returns what is known.
func (p *Publisher) View() View {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view
}

// Statuses returns what the listener has to say, by service, and false while
// nothing has been listed.
func (p *Publisher) Statuses() ([]catalog.Status, bool) {
	p.mu.Lock()
	snapshot, large, ok := p.snapshot, p.large, !p.view.Listed.IsZero()
	p.mu.Unlock()
	var out []catalog.Status
	for _, a := range advice.All(snapshot, large, p.o.Table) {
		out = append(out, catalog.Status{
			ServiceID: a.ServiceID, Service: a.Service, State: catalog.State(a.State),
			Reason: a.Reason, Label: a.Label, Hint: a.Hint, Warnings: a.Warnings,
		})
	}
	return out, ok
}

// Applied is what the loop of lists records: hash, services that opted in, services rejected.
func (p *Publisher) Applied() (hash string, desired, rejected int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view.Hash, len(optedIn(p.snapshot)), len(p.large)
}

type metrics struct {
	changes  *prometheus.CounterVec
	services *prometheus.GaugeVec
	nodes    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "catalog_changes_total",
			Help: "Entries of the catalog written or deleted, by kind (service, node, tasks).",
		}, []string{"kind"}),
		services: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "services",
			Help: "Services in the swarm, by whether they opted in.",
		}, []string{"opted_in"}),
		nodes: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "listener", Name: "nodes", Help: "Nodes in the swarm.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.changes, m.services, m.nodes)
	}
	return m
}

func (m *metrics) wrote(changes catalog.Changes, s catalog.Snapshot) {
	for _, e := range changes.Put {
		m.changes.WithLabelValues(kindOf(e.Key)).Inc()
	}
	for _, key := range changes.Delete {
		m.changes.WithLabelValues(kindOf(key)).Inc()
	}
	in := len(optedIn(s))
	m.services.WithLabelValues("true").Set(float64(in))
	m.services.WithLabelValues("false").Set(float64(len(s.Services) - in))
	m.nodes.Set(float64(len(s.Nodes)))
}

// kindOf is the word before an entry's ID.
func kindOf(key string) string {
	for i, r := range key {
		if r == '.' {
			return key[:i]
		}
	}
	return cmp.Or(key, "none")
}
