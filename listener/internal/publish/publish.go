// Package publish makes the catalog on the bus equal to what Docker lists, and
// says of each service what the listener knows.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/listener/internal/advice"
	"github.com/wagglehq/waggle/listener/internal/motion"
	"github.com/wagglehq/waggle/listener/internal/world"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
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
	Seen() (bus.Seen, bool)
	SeenOf(keys ...string) (bus.Seen, bool)
	Write(context.Context, bus.Seen, bus.Plan) (bus.Written, error)
}

// Options are what a Publisher needs.
type Options struct {
	Swarm   Swarm
	Catalog Catalog
	// Table are all known labels.
	Table []label.Spec
	// IsSecret tells whether the text of a label, named with the prefix, is withheld, and
	// Mark returns what tells that such a text changed, and nothing else of it. Without
	// IsSecret nothing is withheld.
	IsSecret func(label string) bool
	Mark     func(text string) string
	// Instance is written beside each list.
	Instance string
	// Control is what is Waggle's own. The tasks of its services are published whether they
	// opted in or not, and others on its network are named.
	Control advice.Control
	// Follows reports whether the tasks of a service are published for another reason; nil: of none.
	Follows func(catalog.Service) bool
	// Leads reports whether this listener is the one that writes; nil: always.
	Leads func() bool
	// Reopen is called when a change was found that no event told of.
	Reopen func()
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
	hints   *hints
	// asked is closed when Docker was first asked for a list.
	asked   chan struct{}
	isAsked func()
	missed  missed
	lists   pace
	world   world.Memory
	// again is how soon the last list wants the next, 0 if it does not mind.
	again time.Duration

	// mu guards the rest, which the loops share. It is held neither while Docker is
	// asked nor while the bus is written. What stands above it, without a lock of its own,
	// belongs to the loop of lists.
	mu       sync.Mutex
	snapshot catalog.Snapshot
	// wanted are the services of the snapshot whose tasks are published. The map is shared
	// and never changed.
	wanted map[string]catalog.Service
	// changes counts what may change which tasks are looked at: snapshots, and what of
	// them came to the bus. examined is the number up to which that has been taken in.
	changes, examined int
	// followed are the wanted services that were on the bus when it was last examined
	// whole. It belongs to the loop of tasks.
	followed map[string]catalog.Service
	// entries are the snapshot's services and nodes as they are written.
	entries catalog.Entries
	// large are the services that were left without labels, by name, and cut those of
	// which not all tasks are told, by ID.
	large, cut map[string]*catalog.TooLargeError
	tasks      map[string][]catalog.Task
	// taskEntries are the same as they are written.
	taskEntries catalog.Entries
	// touched are the services whose tasks became others since motion was last told, never
	// nil, which would be all.
	touched []string
	// allTasks is when the tasks of all services were last asked for; zero if they are due.
	allTasks time.Time
	// looked is when the last look at tasks began that has ended.
	looked time.Time
	// total is how many tasks there were at the last look at all, of all services.
	total  int
	motion motion.Tracker
	advice advice.Memory
	// refused are the entries that the bus did not take, by key.
	refused map[string]error
	state   State
	// hash is that of the bus's content at the revision hashed.
	hash   string
	hashed catalog.Revision
}

// State is what the listener can say of its own work. It is shared and must not be
// changed.
type State struct {
	// Leads tells whether this listener is the one that lists and writes.
	Leads bool
	// Listed is when this listener last wrote a full list; zero if it never did.
	Listed time.Time
	// Failure says why the last full list failed, if it did, and Since when that began.
	Failure string
	Since   time.Time
	// Foreign tells that the bus holds the catalog of another swarm.
	Foreign *ForeignError
	// Answered is when Docker last answered a full list.
	Answered time.Time
}

// ForeignError says that the catalog on the bus is another swarm's.
type ForeignError struct {
	// Theirs and Ours are Swarm's IDs of the clusters, Writer is the listener that
	// wrote last, and when.
	Theirs, Ours, Writer string
	Written              time.Time
}

// Error says whose the catalog is and what to do.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("the catalog on the bus is that of another swarm (cluster %s, last written by listener %q at %s), and this one is cluster %s: nothing is written; "+
		"give this swarm a bus of its own, or, if the other is gone, remove the bus's store (the volume of the listener)",
		e.Theirs, e.Writer, e.Written.UTC().Format(time.RFC3339), e.Ours)
}

// New returns a Publisher that knows nothing yet.
func New(o Options) *Publisher {
	if o.Leads == nil {
		o.Leads = func() bool { return true }
	}
	if o.Reopen == nil {
		o.Reopen = func() {}
	}
	asked := make(chan struct{})
	return &Publisher{
		o: o, metrics: newMetrics(o.Registry), journal: journal{limit: maxEvents}, hints: newHints(),
		touched: []string{}, asked: asked, isAsked: sync.OnceFunc(func() { close(asked) }),
	}
}

// writeTimeout bounds one write of the whole catalog.
const writeTimeout = 10 * time.Second

// Asked is closed when Docker was first asked for a list, whatever it answered.
func (p *Publisher) Asked() <-chan struct{} { return p.asked }

// State returns what is known.
func (p *Publisher) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	s.Leads = p.o.Leads()
	return s
}

// Looked returns when the last look at tasks began of which all is on the bus. It was a look
// at all that moved, and at what had just changed.
func (p *Publisher) Looked() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.looked
}

// renewed takes in that the snapshot is another.
func (p *Publisher) renewed() {
	p.changes++
	p.wanted = make(map[string]catalog.Service, len(p.wanted))
	for id, svc := range p.snapshot.Services {
		if p.wants(svc) {
			p.wanted[id] = svc
		}
	}
}

// wants reports whether the tasks of a service are published: it opted in, or is one of
// Waggle's own, which find each other by the catalog.
func (p *Publisher) wants(svc catalog.Service) bool {
	return svc.OptedIn() || p.o.Control.Own(svc) || p.o.Follows != nil && p.o.Follows(svc)
}

// write writes a plan and notes what of it landed, which may be a part even when
// there is an error.
func (p *Publisher) write(ctx context.Context, seen bus.Seen, plan bus.Plan) (bus.Written, error) {
	if !p.o.Leads() {
		return bus.Written{}, errNotLeading
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	written, err := p.o.Catalog.Write(ctx, seen, plan)
	p.metrics.wrote(written.Changes)
	p.journal.note(seen.Entries, written.Changes, plan.Indexes)
	p.refuse(plan, written)
	if err != nil {
		return written, fmt.Errorf("catalog: %w", err)
	}
	return written, nil
}

// errNotLeading says that another listener writes.
var errNotLeading = errors.New("another listener writes the catalog")

// refuse remembers which entries of a plan the bus did not take.
func (p *Publisher) refuse(plan bus.Plan, written bus.Written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range written.Changes.Put {
		delete(p.refused, e.Key)
	}
	for _, key := range plan.Delete {
		delete(p.refused, key)
	}
	for key, err := range written.Refused {
		if p.refused == nil {
			p.refused = map[string]error{}
		}
		if old := p.refused[key]; old == nil || old.Error() != err.Error() {
			p.o.Log.Error("the bus refuses an entry, which is left out", "key", key, "error", err)
		}
		p.refused[key] = err
	}
}
