// Package simulate shows how a service would be scaled under a load, second by second, by
// the code that decides in the running scaler. It is pure: the same case gives the same curve.
package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// Case is a service and what happens to it.
type Case struct {
	// Labels are those of the service, without com.df.
	Labels map[string]string
	// Defaults hold where there is no label.
	Defaults policy.Defaults
	// Replicas is the number at the beginning, all of them running.
	Replicas uint64
	// Start is how long a new task takes to run.
	Start time.Duration
	// Range is how far back the alerts look, Delay how much later what they look at is
	// seen: scrape, evaluation and delivery.
	Range, Delay time.Duration
	// Noise is by what part of itself the load of a second is more or less, by chance.
	Noise float64
	// Up and Down are the loads of one task above and below which an alert stands.
	Up, Down *float64
	// Load is the load of all tasks together from each time on, For how long it goes on.
	Load []Load
	For  time.Duration
	// Seed decides what chance does.
	Seed uint64
}

// Load is a load from a time on.
type Load struct {
	At    time.Duration
	Total float64
}

// Sample is one second.
type Sample struct {
	// Load is the load of all tasks together, Seen what alerts see of that of one task at
	// this moment, NaN if nothing.
	Load, Seen float64
	// Replicas is the number asked for, Running that of tasks that run.
	Replicas, Running uint64
}

// Curve is what happens.
type Curve struct {
	// Samples are the seconds from the beginning on.
	Samples []Sample
	// Changes are the decisions that changed the number, with the time since the beginning.
	Changes []Change
	Policy  policy.Policy
}

// Change is a decision some time after the beginning.
type Change struct {
	At       time.Duration
	Decision decide.Decision
}

// longest is for how long a load may go on, and the longest of all other times.
const longest = 7 * 24 * time.Hour

// check returns what is wrong with a case.
func (c Case) check() error {
	var errs []error
	between := func(name string, d, least time.Duration) {
		if d < least || d > longest {
			errs = append(errs, fmt.Errorf("%s=%s: want a time from %s to %s", name, d, least, longest))
		}
	}
	between("start", c.Start, 0)
	between("range", c.Range, time.Second)
	between("delay", c.Delay, 0)
	between("for", c.For, time.Second)
	if !(c.Noise >= 0 && c.Noise <= 1) { // NaN is not between them
		errs = append(errs, fmt.Errorf("noise=%v: want a number from 0 to 1", c.Noise))
	}
	if c.Replicas > policy.Most {
		errs = append(errs, fmt.Errorf("replicas=%d: want at most %d", c.Replicas, policy.Most))
	}
	if c.Up == nil && c.Down == nil {
		errs = append(errs, errors.New("want up or down, the loads of one task above or below which an alert stands"))
	}
	if len(c.Load) == 0 || c.Load[0].At != 0 {
		errs = append(errs, errors.New("load: want one that begins at 0s"))
	}
	for i, l := range c.Load {
		if math.IsNaN(l.Total) || math.IsInf(l.Total, 0) || l.Total < 0 {
			errs = append(errs, fmt.Errorf("load of %v from %s on: want a number of 0 or more", l.Total, l.At))
		}
		if i > 0 && l.At <= c.Load[i-1].At {
			errs = append(errs, fmt.Errorf("load from %s on: want a later time than %s", l.At, c.Load[i-1].At))
		}
	}
	return errors.Join(errs...)
}

// Run returns the curve of a case, or what is wrong with it.
func Run(c Case) (Curve, error) {
	if err := c.check(); err != nil {
		return Curve{}, err
	}
	labels := map[string]string{catalog.Notify: "true"}
	for name, text := range c.Labels {
		labels[catalog.Prefix+name] = text
	}
	p, err := policy.FromService(catalog.Service{ID: "simulated", Name: "simulated", Mode: catalog.Replicated, Labels: labels}, c.Defaults)
	if err != nil {
		if fault := label.First(err); fault != nil {
			return Curve{}, err
		}
		return Curve{}, fmt.Errorf("the service %w", err)
	}
	w := world{Case: c, policy: p, replicas: c.Replicas, running: c.Replicas, chance: rand.New(rand.NewPCG(c.Seed, c.Seed))} //nolint:gosec // it is to be repeatable
	curve := Curve{Policy: p}
	// What alerts look back at was there before the beginning, as it is at the beginning.
	for t := -(c.Range + c.Delay); t <= c.For; t += time.Second {
		sample := w.pass(t)
		if t < 0 {
			continue
		}
		if d, changed := w.decide(t, sample.Seen); changed {
			curve.Changes = append(curve.Changes, Change{t, d})
		}
		sample.Replicas, sample.Running = w.replicas, w.running
		curve.Samples = append(curve.Samples, sample)
	}
	return curve, nil
}

// world is the service at one moment.
type world struct {
	Case
	policy            policy.Policy
	replicas, running uint64
	// starting are when the tasks run that do not run yet, soonest first.
	starting []time.Duration
	chance   *rand.Rand
	// sums are those of what one task had to do, up to each second, and counts how many
	// seconds that are.
	sums, counts []float64
	last         *signal.Step
	wanted       []decide.Wish
}

// pass lets a second pass, and returns what is seen then.
func (w *world) pass(t time.Duration) Sample {
	for len(w.starting) > 0 && w.starting[0] <= t {
		w.starting = w.starting[1:]
		w.running++
	}
	s := Sample{Load: w.load(t) * (1 + w.Noise*(2*w.chance.Float64()-1)), Seen: math.NaN()}
	var sum, count float64
	if n := len(w.sums); n > 0 {
		sum, count = w.sums[n-1], w.counts[n-1]
	}
	if w.running > 0 {
		sum, count = sum+s.Load/float64(w.running), count+1
	}
	w.sums, w.counts = append(w.sums, sum), append(w.counts, count)
	// The seconds of the range that ended some time ago; where no task ran nothing was measured.
	end := len(w.sums) - 1 - int(w.Delay/time.Second)
	begin := end - int(w.Range/time.Second)
	if begin >= 0 && w.counts[end] > w.counts[begin] {
		s.Seen = (w.sums[end] - w.sums[begin]) / (w.counts[end] - w.counts[begin])
	}
	return s
}

func (w *world) load(t time.Duration) float64 {
	total := w.Load[0].Total
	for _, l := range w.Load {
		if l.At <= t {
			total = l.Total
		}
	}
	return total
}

// epoch is when simulations begin.
func epoch() time.Time { return time.Date(2026, 12, 2, 12, 0, 0, 0, time.UTC) }

// decide does what the running scaler does in a pass, and reports whether that changed
// the number.
func (w *world) decide(t time.Duration, seen float64) (decide.Decision, bool) {
	now := epoch().Add(t)
	if w.last != nil && w.last.Converged.IsZero() && w.last.Shows(w.replicas, w.running) {
		w.last.Converged = now
	}
	var asks []decide.Asked
	up := w.Up != nil && seen > *w.Up
	if up {
		asks = append(asks, decide.Asked{Direction: signal.Up, Settle: w.Range, Alerts: []string{"up"}})
	}
	if w.Down != nil && seen < *w.Down {
		asks = append(asks, decide.Asked{Direction: signal.Down, Settle: w.Range, Alerts: []string{"down"}, UpStands: up})
	}
	w.wish(asks, now)
	for _, a := range asks {
		d := decide.Decide(w.policy, decide.State{Replicas: w.replicas, Running: w.running, Last: w.last, Wanted: w.wanted}, a, now)
		if d.Action == decide.Scaled && !d.DryRun {
			w.set(t, now, d)
			return d, true
		}
	}
	return decide.Decision{}, false
}

// wish notes the greatest number that is wanted, as far as a window counts it.
func (w *world) wish(asks []decide.Asked, now time.Time) {
	window := w.policy.Pace.Window()
	if window == 0 {
		return
	}
	number := w.replicas
	for i, a := range asks {
		if one := decide.Wanted(w.policy, a, w.replicas); i == 0 || one > number {
			number = one
		}
	}
	w.wanted = decide.Noted(w.wanted, decide.Wish{At: now, Number: number}, now.Add(-window))
}

// set changes the number: tasks that have not run yet go first.
func (w *world) set(t time.Duration, now time.Time, d decide.Decision) {
	w.last = &signal.Step{
		Direction: d.Direction, From: d.From, To: d.To, Time: now, Confirmed: true,
		Recent: w.last.Recorded(signal.Change{Time: now, From: d.From, To: d.To}, w.policy.Pace.Longest()),
	}
	w.replicas = d.To
	for w.running+uint64(len(w.starting)) < w.replicas {
		if w.Start == 0 {
			w.running++
			continue
		}
		w.starting = append(w.starting, t+w.Start)
	}
	for w.running+uint64(len(w.starting)) > w.replicas {
		if n := len(w.starting); n > 0 {
			w.starting = w.starting[:n-1]
			continue
		}
		w.running--
	}
}
