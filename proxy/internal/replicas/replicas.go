package replicas

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/announce"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Peers is what all replicas of a component say of themselves.
type Peers struct {
	component string
	mirror    *bus.Mirror
}

// NewPeers returns Peers that knows nobody yet. poke is called when a replica says
// something.
func NewPeers(b *bus.Bus, component string, poke func()) *Peers {
	return &Peers{component, b.Bucket(bus.StatusBucket).Mirror(bus.InstanceKey(component, "")+">", poke)}
}

// Run follows the bus until the context ends.
func (p *Peers) Run(ctx context.Context) error { return p.mirror.Run(ctx) }

// Instances are the records of all, and whether these are all there are.
func (p *Peers) Instances() (out []catalog.Instance, complete bool) {
	values, complete := p.mirror.Values()
	for _, v := range values {
		var i catalog.Instance
		if json.Unmarshal(v.Data, &i) == nil && i.Component == p.component {
			out = append(out, i)
		}
	}
	return out, complete
}

// Options are what a Group works with.
type Options struct {
	Bus   announce.Bus
	Peers *Peers
	// Own returns what this replica has applied; false before there is anything.
	Own func() (catalog.Instance, bool)
	// Count adds what is counted when this replica tells of itself; nil if nothing is.
	Count    func(ctx context.Context, i *catalog.Instance)
	Registry prometheus.Registerer
}

// Group is the replicas of a component, seen from one of them.
type Group struct {
	o      Options
	count  prometheus.Gauge
	differ prometheus.Gauge

	// Of the loop's goroutine alone: who tells of this replica, and since when others
	// differ.
	teller *announce.Teller
	since  map[string]time.Time

	mu   sync.Mutex // the loop writes, requests read
	seen []Replica
}

// New returns a Group that has not looked yet.
func New(o Options) *Group {
	g := &Group{
		o: o, teller: announce.New(announce.Options{Bus: o.Bus, Own: o.Own, Count: o.Count}), since: map[string]time.Time{},
		count: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "replicas",
			Help: "Replicas of the proxy that said something within 30 s, this one included.",
		}),
		differ: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: "proxy", Name: "replicas_disagreeing",
			Help: "Other replicas that have applied something else than this one, of the same revision or a later one, for longer than 15 s.",
		}),
	}
	o.Registry.MustRegister(g.count, g.differ)
	return g
}

// Pass says what this replica has applied, if that changed or was long ago, and
// looks at the others.
func (g *Group) Pass(ctx context.Context) error {
	own, ok := g.o.Own()
	if !ok {
		return nil
	}
	g.look(own)
	return g.teller.Pass(ctx)
}

func (g *Group) look(own catalog.Instance) {
	others, complete := g.o.Peers.Instances()
	if !complete {
		return
	}
	now := time.Now()
	seen, since := judge(own, others, g.since, now)
	g.since = since
	disagreeing := 0
	for _, r := range seen {
		if r.Disagrees {
			disagreeing++
		}
	}
	g.count.Set(float64(len(seen)))
	g.differ.Set(float64(disagreeing))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = seen
}

// Replicas returns all that are known, by name, with the age of their words at present.
func (g *Group) Replicas() []Replica {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Replica, len(g.seen))
	for i, r := range g.seen {
		r.AgeSeconds = age(r.Instance, time.Now())
		out[i] = r
	}
	return out
}

// age is how long ago an instance said something, to a tenth of a second. Clocks of
// nodes differ a little, and nobody speaks in the future.
func age(i catalog.Instance, now time.Time) float64 {
	return max(now.Sub(i.Time), 0).Round(100 * time.Millisecond).Seconds()
}
