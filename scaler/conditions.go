package scaler

import (
	"time"

	"github.com/wagglehq/waggle/pkg/clock"
	"github.com/wagglehq/waggle/scaler/internal/engine"
)

// Point is one at which a step may be cut off.
type Point = engine.Point

// The points of a step, in their order.
const (
	BeforeClaim = engine.BeforeClaim
	AfterClaim  = engine.AfterClaim
	AfterUpdate = engine.AfterUpdate
	BeforeTold  = engine.BeforeTold
)

// AtRest reports whether a scaler has seen the catalog and what is asked, up to these
// numbers of their streams, has told what it decided, and waits for nothing but the clock.
type AtRest func(catalog, signals, wakes uint64) bool

// Conditions are what a test says of the world that otherwise the machine does. The zero
// value is the machine.
type Conditions struct {
	// Clock is all time that there is.
	Clock clock.Clock
	// Reached is called at each point of each step.
	Reached func(Point)
	// Probe is given, before the scaler begins, what tells whether it rests.
	Probe func(AtRest)

	// pause lies between two passes; by another clock there is none, because it would stand.
	pause time.Duration
}

func (t Conditions) whole() Conditions {
	if t.Clock == nil {
		t.Clock, t.pause = clock.Real(), 10*time.Millisecond
	}
	if t.Reached == nil {
		t.Reached = func(Point) {}
	}
	if t.Probe == nil {
		t.Probe = func(AtRest) {}
	}
	return t
}
