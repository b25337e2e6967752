// Package addresses keeps the addresses of the tasks of services current by asking
// the DNS of the overlay network.
//
// The catalog says which names to ask, when to ask often and whether an answer is
// due. DNS decides when an address serves, and the catalog whose it is. Look-ups go on
// when the bus is away.
package addresses

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Target is one service whose task addresses are followed.
type Target struct {
	// Name is the absolute DNS name that is asked: "tasks.shop_web.", a
	// service's name where its virtual IP is wanted, or an outbound host.
	Name string
	// Expected says that the catalog calls for running tasks, so that silence
	// is a fault and not an answer.
	Expected bool
	// Moving says that replicas, update state or tasks are changing.
	Moving bool
	// Tasks are the addresses of running tasks that the catalog knows. They say when to
	// look, never what the answer is.
	Tasks []netip.Addr
	// Count is of how many tasks these are; 0 says that each has one. A task on two
	// networks has two, of which DNS answers one.
	Count int
	// Nodes are those that run its tasks, in any order.
	Nodes []string

	// Whose is what the catalog knows of the service, by which it is decided whose an
	// address is; its zero value takes answers as they come.
	Whose Whose
	// Outbound is the host that the name stands for if it is no service's own; empty
	// otherwise.
	Outbound string
}

// Whose is what the catalog knows of a service.
type Whose struct {
	// Service is its name, by which Owners tells its tasks from others'.
	Service string
	// Wanted is how many tasks it should have, Coming how many with addresses the catalog
	// knows that do not run yet, and Listed says that it knows its tasks at all.
	Wanted, Coming int
	Listed         bool
	// Open says that the catalog does not know all of its tasks, so that an address that
	// it gives to nobody may be one's.
	Open bool
}

// equal compares two targets whose tasks and nodes are sorted.
func (t Target) equal(u Target) bool {
	return t.Name == u.Name && t.Expected == u.Expected && t.Moving == u.Moving && t.Count == u.Count && t.Whose == u.Whose &&
		t.Outbound == u.Outbound && slices.Equal(t.Tasks, u.Tasks) && slices.Equal(t.Nodes, u.Nodes)
}

// Resolver is what is asked: *net.Resolver, or a test's.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// System asks the resolver of /etc/resolv.conf. Look-ups of one name at the same
// time stay apart, which those of a shared net.Resolver do not: a newer one must
// be able to overtake one that hangs.
type System struct {
	// Dial replaces the way to the server, as in net.Resolver.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// LookupNetIP is net.Resolver's.
func (s System) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return (&net.Resolver{PreferGo: true, Dial: s.Dial}).LookupNetIP(ctx, network, host)
}

// Options are what a Follower needs.
type Options struct {
	// Resolver is System when nil.
	Resolver Resolver
	// Changed is called by Run after the addresses of a service changed; it
	// must not block.
	Changed func()
	Log     *slog.Logger
	// Registry takes the metrics; none are kept when it is nil.
	Registry prometheus.Registerer
}

// Follower asks for the addresses of a set of targets. Run owns all its state.
type Follower struct {
	resolver Resolver
	changed  func()
	log      *slog.Logger
	metrics  metrics
	sets     chan wanted

	// mu guards what follows alone: Run writes it while the caller's pass reads it.
	mu        sync.RWMutex
	published map[string][]netip.Addr
	refused   map[string][]Refused
}

// wanted is what was last asked for.
type wanted struct {
	targets map[string]Target
	known   Known
}

// New returns a Follower that has no targets yet.
func New(o Options) *Follower {
	if o.Resolver == nil {
		o.Resolver = System{}
	}
	return &Follower{
		resolver:  o.Resolver,
		changed:   o.Changed,
		log:       o.Log,
		metrics:   newMetrics(o.Registry),
		sets:      make(chan wanted, 1),
		published: map[string][]netip.Addr{},
		refused:   map[string][]Refused{},
	}
}

// Set replaces the targets, by keys of the caller, and what is known of all. Targets that
// are new or differ from before are looked up at once. It does not wait for Run.
func (f *Follower) Set(targets map[string]Target, known Known) {
	own := make(map[string]Target, len(targets))
	for key, t := range targets {
		t.Tasks = slices.Clone(t.Tasks)
		slices.SortFunc(t.Tasks, netip.Addr.Compare)
		t.Nodes = slices.Clone(t.Nodes)
		slices.Sort(t.Nodes)
		t.Nodes = slices.Compact(t.Nodes)
		own[key] = t
	}
	for {
		select {
		case f.sets <- wanted{own, known}:
			return
		default:
		}
		// The set that nobody has taken yet is replaced as well.
		select {
		case <-f.sets:
		default:
		}
	}
}

// Addresses returns the sorted addresses of a service; known is false until its
// name was answered, be it that there are none (which pokes, too). The slice is shared
// and must not be changed.
func (f *Follower) Addresses(key string) (addrs []netip.Addr, known bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	addrs, known = f.published[key]
	return addrs, known
}

// Refused returns which addresses DNS gives for a target and are not used, sorted. The
// slice is shared and must not be changed.
func (f *Follower) Refused(key string) []Refused {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.refused[key]
}

// Run looks names up until the context ends, and returns its error.
func (f *Follower) Run(ctx context.Context) error {
	var (
		all     = newState(time.Now())
		results = make(chan result, maxFlying)
		timer   = time.NewTimer(0)
		flying  sync.WaitGroup
	)
	defer timer.Stop()
	defer flying.Wait()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w := <-f.sets:
			all.replace(w, time.Now())
		case r := <-results:
			all.take(r, time.Now())
		case <-timer.C:
		}
		now := time.Now()
		all.expire(now)
		f.publish(all)
		start, wake := all.due(now)
		for _, l := range start {
			flying.Go(func() { results <- f.look(ctx, l) })
		}
		timer.Reset(wake)
	}
}

// look asks once.
func (f *Follower) look(ctx context.Context, l lookup) result {
	ctx, cancel := context.WithTimeout(ctx, l.deadline)
	defer cancel()
	began := time.Now()
	addrs, err := f.resolver.LookupNetIP(ctx, "ip4", l.name)
	f.metrics.duration.Observe(time.Since(began).Seconds())
	r := result{lookup: l, addrs: addrs}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
	case err != nil:
		r.addrs, r.err = nil, err
	}
	f.metrics.count(r, errors.Is(ctx.Err(), context.DeadlineExceeded))
	// Some resolvers write IPv4 as IPv6, and a name may be answered twice over.
	for i := range r.addrs {
		r.addrs[i] = r.addrs[i].Unmap()
	}
	slices.SortFunc(r.addrs, netip.Addr.Compare)
	r.addrs = slices.Compact(r.addrs)
	return r
}

// publish shows what changed to the callers of Addresses and pokes them. The
// removal of a target pokes nobody, for it was the caller who removed it.
func (f *Follower) publish(all *state) {
	if len(all.touched) == 0 {
		return
	}
	touched := all.touched
	all.touched = map[string]struct{}{}
	poke := false
	f.mu.Lock()
	for key := range touched {
		e, ok := all.entries[key]
		if !ok || !e.known {
			f.metrics.foreign.Sub(float64(len(f.refused[key])))
			delete(f.published, key)
			delete(f.refused, key)
			continue
		}
		poke = f.refuse(e) || poke
		old, was := f.published[key]
		if was && slices.Equal(old, e.addrs) {
			continue
		}
		f.published[key] = e.addrs
		poke = true
		f.log.Debug("addresses changed", "name", e.target.Name, "addresses", len(e.addrs), "before", len(old))
	}
	f.mu.Unlock()
	if poke && f.changed != nil {
		f.changed()
	}
}

// refuse shows what of an answer is not used, and reports whether that is news. The
// mutex is held.
func (f *Follower) refuse(e *entry) bool {
	old := f.refused[e.key]
	if slices.Equal(old, e.refused) {
		return false
	}
	f.metrics.foreign.Add(float64(len(e.refused) - len(old)))
	if f.refused[e.key] = e.refused; len(e.refused) == 0 {
		delete(f.refused, e.key)
	}
	for _, r := range e.refused {
		if !slices.Contains(old, r) {
			f.log.Warn("an address is not used", "name", e.target.Name, "address", r.Addr, "because", r.Why(e.target.Whose.Service))
		}
	}
	return true
}

// byLateness orders what is due: first what was never asked since it changed, then
// pending names whose tasks run, then who waits longest, measured in its own interval,
// so that names of the slow sort hold up none of the fast sort and are not starved by
// them.
func byLateness(now time.Time) func(a, b *entry) int {
	rank := func(e *entry) int {
		switch {
		case e.fresh:
			return 0
		case e.runs():
			return 1
		}
		return 2
	}
	late := func(e *entry) float64 { return float64(now.Sub(e.next)) / float64(e.every) }
	return func(a, b *entry) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(late(b), late(a)), a.next.Compare(b.next), cmp.Compare(a.key, b.key))
	}
}
