package publish

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wagglehq/waggle/listener/internal/world"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

// The times of the loop of lists.
const (
	// leastPause keeps a storm of events cheap; its first event is acted on at once.
	leastPause = 10 * time.Millisecond
	// confirmAfter is how long after single services were read the full list follows,
	// which may wait until others have acted on them.
	confirmAfter = 100 * time.Millisecond
	// probeEvery is how often a listener that does not write asks whether it could,
	// and probeFresh for how long the answer counts. It is somewhat less than 10 s for the
	// reason of motion.Quiet.
	probeEvery = 9 * time.Second
	probeFresh = 15 * time.Second
	// letGoAfter is for how long lists may fail before another listener should write.
	letGoAfter = 5 * time.Second
	// tries is how often a list is repeated at once because others wrote meanwhile.
	tries = 3
)

// pace keeps lists apart: the next one begins as long after the last as that one took.
// It belongs to the loop of lists.
type pace struct{ ended, next time.Time }

func (p *pace) took(start, end time.Time) {
	p.ended, p.next = end, end.Add(max(leastPause, end.Sub(start)))
}

// Heard takes an event of the swarm; the loop of lists must be poked after it.
func (p *Publisher) Heard(e docker.Event) {
	p.missed.event(p.o.Now(), e)
	p.hints.add(e)
}

// ListLoop returns the loop that reads single services of which events spoke, and lists
// all after any other event, regularly, and while something is in doubt.
func (p *Publisher) ListLoop(o reconcile.Options) *reconcile.Loop {
	o.Pause, o.Applied = leastPause, p.Applied
	return reconcile.New(o, func(ctx context.Context) error {
		next, err := p.look(ctx)
		if next > 0 {
			o.Poke.After(next)
		}
		return err
	})
}

// look is one pass of the loop; it returns how soon the next is due, 0 if nothing is.
func (p *Publisher) look(ctx context.Context) (time.Duration, error) {
	ids, removed, more := p.hints.take()
	for _, key := range removed {
		p.world.Removed(key)
	}
	if !p.o.Leads() {
		p.world.Doubts()
		p.missed.forget()
		return p.probe(ctx)
	}
	for _, id := range ids {
		more = !p.Hint(ctx, id) || more
	}
	if !more {
		p.hints.add(docker.Event{})
		return confirmAfter, nil
	}
	start := p.o.Now()
	if wait := p.lists.next.Sub(start); wait > 0 {
		p.hints.add(docker.Event{})
		return wait, nil
	}
	err := p.ListPass(ctx)
	if errors.Is(err, errNotLeading) {
		return leastPause, nil
	}
	p.lists.took(start, p.o.Now())
	next := p.again
	if n, again := p.missed.overdue(p.o.Now()); n > 0 || again > 0 {
		p.reopen(n)
		if next == 0 || again > 0 && again < next {
			next = again
		}
	}
	return next, err
}

// reopen asks for another stream of events if changes were found of which none told.
func (p *Publisher) reopen(missed int) {
	if missed == 0 {
		return
	}
	p.metrics.missed.Add(float64(missed))
	p.o.Log.Warn("a list found changes of which no event told: the stream of events is opened again", "missed", missed)
	p.o.Reopen()
}

// probe asks now and then whether this listener could take over.
func (p *Publisher) probe(ctx context.Context) (time.Duration, error) {
	p.mu.Lock()
	fine, answered := p.state.Failure == "", p.state.Answered
	p.mu.Unlock()
	if left := probeEvery - p.o.Now().Sub(answered); fine && left > 0 {
		return left, nil
	}
	seen, ok := p.o.Catalog.Seen()
	if !ok {
		return 0, nil // whoever reads the bucket pokes
	}
	_, err := p.ask(ctx, seen)
	return probeEvery, err
}

// Willing reports whether this listener can list the swarm that the bus is for, so that
// it should write.
func (p *Publisher) Willing() bool {
	leads := p.o.Leads()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	switch {
	case p.state.Foreign != nil:
		return false
	case !p.state.Since.IsZero():
		return leads && now.Sub(p.state.Since) < letGoAfter
	case leads:
		return true
	}
	return !p.state.Answered.IsZero() && now.Sub(p.state.Answered) < probeFresh
}

// ask lists the swarm, and remembers whether that went well. seen is what the bus held before.
func (p *Publisher) ask(ctx context.Context, seen bus.Seen) (catalog.Listing, error) {
	start := p.o.Now()
	listing, err := p.o.Swarm.List(ctx)
	defer p.isAsked()
	var foreign *ForeignError
	if theirs := seen.List.Cluster; err == nil && theirs != "" && listing.Cluster != "" && theirs != listing.Cluster {
		foreign = &ForeignError{Theirs: theirs, Ours: listing.Cluster, Writer: seen.List.Writer, Written: seen.List.Time}
		err = foreign
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Foreign, p.state.Failure = foreign, ""
	if err == nil {
		p.state.Since, p.state.Answered = time.Time{}, p.o.Now()
		p.metrics.failingSince.Set(0)
		return listing, nil
	}
	p.world.Doubts()
	p.state.Failure = err.Error()
	if p.state.Since.IsZero() {
		p.state.Since = start
	}
	p.metrics.failingSince.Set(float64(p.state.Since.Unix()))
	return listing, err
}

// ListPass makes services and nodes on the bus equal to a full list. A list that
// failed, in whole or in part, changes nothing. While it is not known what the
// bus holds there is nothing to do: whoever reads it pokes.
func (p *Publisher) ListPass(ctx context.Context) error {
	var err error
	for range tries {
		if err = p.list(ctx); !errors.Is(err, bus.ErrConflict) {
			break
		}
	}
	return err
}

func (p *Publisher) list(ctx context.Context) error {
	p.again = 0
	seen, ok := p.o.Catalog.Seen()
	if !ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.state.Failure = bus.ErrNotSynced.Error()
		return nil
	}
	start := p.o.Now()
	listing, err := p.ask(ctx, seen)
	if err != nil {
		return err
	}
	entries, large, err := p.encode(listing.Snapshot)
	if err != nil {
		return err
	}
	plan := p.world.Plan(p.o.Now(), world.State{Entries: seen.Entries, Indexes: seen.Indexes, Index: seen.List.Index},
		world.State{Entries: entries, Indexes: listing.Versions, Alone: managers(listing.Snapshot) == 1})
	for key, why := range plan.New {
		p.o.Log.Info("an entry stays as it is for now", "key", key, "why", why, "at_most", world.Patience)
	}
	p.again = plan.Again
	p.mu.Lock()
	p.snapshot, p.entries, p.large = listing.Snapshot, entries, large
	p.renewed()
	p.mu.Unlock()
	written, err := p.write(ctx, seen, bus.Plan{
		Put: plan.Put, Delete: append(plan.Delete, p.staleTasks(seen, plan)...), Indexes: listing.Versions,
		List: &catalog.List{Cluster: listing.Cluster, Index: plan.Index, Writer: p.o.Instance},
	})
	p.missed.list(start, p.o.Now(), changedVersions(seen, listing, written.Changes))
	p.landed(listing, written.Changes, err, start)
	return err
}

// managers counts those of a snapshot.
func managers(s catalog.Snapshot) (n int) {
	for _, node := range s.Nodes {
		if node.Role == "manager" {
			n++
		}
	}
	return n
}

// encode returns a snapshot as it is written.
func (p *Publisher) encode(s catalog.Snapshot) (catalog.Entries, map[string]*catalog.TooLargeError, error) {
	entries, all, err := catalog.EncodeApart(s, p.o.IsSecret, p.o.Mark)
	large := map[string]*catalog.TooLargeError{}
	for _, l := range all {
		large[l.Service] = l
	}
	return entries, large, err
}

// staleTasks returns the keys of the tasks of services that have gone or opted out.
func (p *Publisher) staleTasks(seen bus.Seen, plan world.Plan) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for key := range seen.Entries {
		id, isTasks := strings.CutPrefix(key, catalog.TasksKey(""))
		if _, ok := p.wanted[id]; isTasks && !ok && plan.Doubts[catalog.ServiceKey(id)] == "" {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// changedVersions returns the keys of services and nodes that changed in the swarm and
// not only on the bus.
func changedVersions(seen bus.Seen, listing catalog.Listing, changes catalog.Changes) []string {
	var out []string
	for _, e := range changes.Put {
		if version, ok := listing.Versions[e.Key]; ok && version != seen.Indexes[e.Key] {
			out = append(out, e.Key)
		}
	}
	for _, key := range changes.Delete {
		if kind := kindOf(key); kind == "service" || kind == "node" {
			out = append(out, key)
		}
	}
	return out
}

// landed notes and tells what a list changed, of which a part may be on the bus although
// there was an error.
func (p *Publisher) landed(listing catalog.Listing, changes catalog.Changes, err error, start time.Time) {
	p.mu.Lock()
	isFirst := err == nil && p.state.Listed.IsZero()
	if err == nil {
		p.state.Listed = p.o.Now()
		p.metrics.listed.Set(float64(p.state.Listed.UnixNano()) / 1e9)
		p.metrics.counts(listing.Snapshot, p.o.Control)
	}
	if slices.ContainsFunc(changes.Put, func(e catalog.Entry) bool { return kindOf(e.Key) == "node" }) {
		p.allTasks = time.Time{} // the tasks of any service may have stopped with a node
	}
	if !changes.Empty() {
		p.changes++
	}
	p.mu.Unlock()
	if !changes.Empty() {
		p.o.Log.Info("catalog written", "put", len(changes.Put), "deleted", len(changes.Delete), "services", len(listing.Snapshot.Services),
			"nodes", len(listing.Snapshot.Nodes), "hash", p.Hash(), "took", p.o.Now().Sub(start))
	}
	if isFirst || !changes.Empty() {
		p.o.Changed()
	}
}

// Hint publishes a service that is known and may have changed, without listing all
// the others, so that a change is live as soon with many services as with few. It
// reports whether the service is now known to be as it is published. It neither
// adds nor removes anything: that takes a list, and one follows anyway, which is why
// a failure here is of no account.
func (p *Publisher) Hint(ctx context.Context, id string) bool {
	seen, ok := p.o.Catalog.Seen()
	key := catalog.ServiceKey(id)
	if _, present := seen.Entries[key]; !ok || !present {
		return false
	}
	p.mu.Lock()
	old, listed := p.snapshot.Services[id]
	isLarge := p.large[old.Name] != nil
	p.mu.Unlock()
	if !listed || isLarge {
		return false
	}
	svc, version, err := p.o.Swarm.Service(ctx, id)
	if err != nil || version < seen.Indexes[key] {
		return false
	}
	entries, large, err := p.encode(catalog.Snapshot{Services: map[string]catalog.Service{id: svc}})
	if err != nil || len(large) > 0 {
		return false
	}
	plan := bus.Plan{Indexes: map[string]uint64{key: version}}
	for _, key := range []string{catalog.SecretKey(id), key} {
		value, has := entries[key]
		was, had := seen.Entries[key]
		switch {
		case has && !bytes.Equal(value, was):
			plan.Put = append(plan.Put, catalog.Entry{Key: key, Value: value})
		case had && !has:
			plan.Delete = append(plan.Delete, key)
		}
	}
	if len(plan.Put)+len(plan.Delete) == 0 {
		return true
	}
	written, err := p.write(ctx, seen, plan)
	if len(written.Changes.Put) == 0 {
		return false
	}
	p.mu.Lock()
	p.snapshot.Services, p.entries = maps.Clone(p.snapshot.Services), maps.Clone(p.entries)
	p.snapshot.Services[id] = svc
	maps.Copy(p.entries, entries)
	p.renewed()
	p.mu.Unlock()
	p.o.Log.Info("service written", "swarm_service", svc.Name)
	p.o.Changed()
	return err == nil && len(written.Refused) == 0
}

// Applied is what the loop of lists records: hash, services that opted in, services rejected.
func (p *Publisher) Applied() (hash string, desired, rejected int) {
	hash = p.Hash()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, svc := range p.snapshot.Services {
		if svc.OptedIn() {
			desired++
		}
	}
	for _, l := range p.large {
		if l.Tasks == 0 {
			rejected++
		}
	}
	return hash, desired, rejected
}
