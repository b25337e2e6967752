package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// Spread is how many tasks of a service run on each node that can take some.
type Spread []uint64

// isEven reports whether nodes differ by one at most.
func (s Spread) isEven() bool { return len(s) == 0 || slices.Max(s)-slices.Min(s) <= 1 }

// uneven is less after each move from a node to one that has at least two fewer, and not
// after any other.
func (s Spread) uneven() uint64 {
	sum := uint64(0)
	for _, n := range s {
		sum += n * n
	}
	return sum
}

// seen is how long a move may take to be seen.
const seen = 5 * time.Second

// isExtra reports whether the service has one more, which Rebalance has added last.
func isExtra(s State) bool {
	last := s.Last
	return last != nil && Want(last.Want) == WantRebalance && last.Direction == signal.Up && s.Replicas == last.To
}

// Rebalance decides the next of the steps by which tasks move to nodes that have few: one
// more, which Swarm puts where fewest are, and when it runs one less, which Swarm takes from
// where most are. It is true if nothing more is to be done of the wish from since.
func Rebalance(p policy.Policy, s State, spread Spread, since, now time.Time) (Decision, bool) {
	p = p.At(now)
	if isExtra(s) {
		return takeBack(p, s, now)
	}
	a := Asked{Want: WantRebalance, Direction: signal.Up, By: 1}
	q := question{p, s, a, now}
	d := blank(p, a, s.Replicas, s.Replicas+1, now)
	d.Uneven = spread.uneven()
	last := s.Last
	isMove := last != nil && Want(last.Want) == WantRebalance
	if isMove && now.Sub(q.past(last.Time)) < seen {
		d.Until = q.past(last.Time).Add(seen)
		return d.not(Held, CodeConverging, "the last move may not be seen yet"), false
	}
	for _, judges := range []stage{gate, unsettled} {
		if held, objects := judges(d, q); objects {
			return held, false
		}
	}
	switch {
	case s.Running != s.Replicas:
		return d.not(Held, CodeConverging, "not all of its tasks run, or some are about to end"), false
	case spread.isEven():
		return d.not(Refused, CodeUnchanged, "its tasks are spread evenly over the nodes"), true
	case isMove && last.Time.After(since) && last.Uneven > 0 && d.Uneven >= last.Uneven:
		return d.not(Refused, CodeUnchanged, "its tasks cannot be spread more evenly: the last move has led to nothing better"), true
	}
	if refused, objects := bounds(d, q); objects {
		return refused, true
	}
	return d.moved(a, fmt.Sprintf("its nodes have from %d to %d of its tasks: one more, where fewest are", slices.Min(spread), slices.Max(spread))), p.DryRun
}

// takeBack is the other half of a move. What does not run within the service's patience goes
// all the same: it is what Swarm takes first.
func takeBack(p policy.Policy, s State, now time.Time) (Decision, bool) {
	a := Asked{Want: WantRebalance, Direction: signal.Down, By: 1}
	q := question{p, s, a, now}
	d := blank(p, a, s.Replicas, s.Last.From, now)
	d.Uneven = s.Last.Uneven
	if held, objects := gate(d, q); objects {
		return held, false
	}
	if held, objects := unsettled(d, q); objects && held.Code == CodeConverging {
		return held, false
	}
	if refused, objects := bounds(d, q); objects {
		return refused, true
	}
	return d.moved(a, "one less, where most are"), p.DryRun
}

func (d Decision) moved(a Asked, reason string) Decision {
	d.scaled(a)
	d.Reason = reason
	d.Message = fmt.Sprintf("Rebalancing %s from %d to %d replicas: %s", d.Service, d.From, d.To, reason)
	if d.DryRun {
		d.Code = CodeDryRun
	}
	return d
}
