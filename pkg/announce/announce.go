// Package announce tells on the bus what an instance of a component has applied.
package announce

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/reconcile"
)

const (
	// Every is how often an instance says what it has applied although nothing changed.
	Every = 10 * time.Second
	// pause is the least time between two words of an instance.
	pause = time.Second
	// early is how much before Every a word is due, so that a pass that comes a moment
	// too early does not put it off.
	early = time.Second
)

// Bus is where it is told.
type Bus interface {
	Connected() bool
	Announce(ctx context.Context, i catalog.Instance) error
}

// Options are what a Teller works with.
type Options struct {
	Bus Bus
	// Own returns what the instance has applied; false before there is anything.
	Own func() (catalog.Instance, bool)
	// Count adds what is counted when it is told; nil if nothing is.
	Count func(ctx context.Context, i *catalog.Instance)
}

// Teller tells what one instance has applied: at once when that has changed, and
// otherwise every ten seconds. It belongs to the loop that calls Pass.
type Teller struct {
	o      Options
	said   catalog.Instance
	saidAt time.Time
}

// New returns a Teller that has not said anything.
func New(o Options) *Teller { return &Teller{o: o} }

// Pass tells what is due. The error is the bus's.
func (t *Teller) Pass(ctx context.Context) error {
	own, ok := t.o.Own()
	if !ok || !t.o.Bus.Connected() || same(own, t.said) && time.Since(t.saidAt) < Every-early {
		return nil
	}
	said := own
	if t.o.Count != nil {
		t.o.Count(ctx, &said)
	}
	if err := t.o.Bus.Announce(ctx, said); err != nil {
		return err
	}
	t.said, t.saidAt = own, time.Now()
	return nil
}

// same reports whether two words are alike but for what changes by itself: that
// another revision leads to the same can wait.
func same(a, b catalog.Instance) bool {
	a.Revision, a.Time, a.Connections, a.Seen = b.Revision, b.Time, b.Connections, b.Seen
	return reflect.DeepEqual(a, b)
}

// Loop returns the loop of a component's Teller. It is poked when something has been
// applied.
func Loop(component string, poke *reconcile.Poke, t *Teller, log *slog.Logger) *reconcile.Loop {
	o := reconcile.Options{Component: component, Name: "announce", Poke: poke, Log: log, Pause: pause, Resync: Every}
	return reconcile.New(o, t.Pass)
}
