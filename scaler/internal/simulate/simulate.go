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
	// Up and Down are the loads of one task above and below which an alert stands. Without
	// them the load itself, by the label scaleTarget, is what is wanted.
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
	// Load is the load of all tasks together.
	Load float64
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
	if c.Up == nil && c.Down == nil && !p.Load.Set() {
		return Curve{}, errors.New("want up or down, the loads of one task above or below which an alert stands, or the labels scaleMetric and scaleTarget")
	}
	w := world{Case: c, policy: p, replicas: c.Replicas, running: c.Replicas, chance: rand.New(rand.NewPCG(c.Seed, c.Seed))} //nolint:gosec // it is to be repeatable
	curve := Curve{Policy: p}
	// What alerts look back at was there before the beginning, as it is at the beginning.
	for t := -(c.Range + c.Delay); t <= c.For; t += time.Second {
		load := w.pass(t)
		if t < 0 {
			continue
		}
		if d := w.decide(t); d.Action == decide.Scaled && !d.DryRun {
			curve.Changes = append(curve.Changes, Change{t, d})
		}
		curve.Samples = append(curve.Samples, Sample{load, w.replicas, w.running})
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
	// all and each are what all tasks together had to do, and one of them.
	all, each series
	// wants is what the load wants as Prometheus was last asked.
	wants  decide.Asked
	last   *signal.Step
	wanted []decide.Wish
}

// series is what was measured in each second, summed up.
type series struct{ sums, counts []float64 }

// add adds a second in which something was measured, or nothing.
func (s *series) add(value float64, measured bool) {
	var sum, count float64
	if n := len(s.sums); n > 0 {
		sum, count = s.sums[n-1], s.counts[n-1]
	}
	if measured {
		sum, count = sum+value, count+1
	}
	s.sums, s.counts = append(s.sums, sum), append(s.counts, count)
}

// mean is that of a range that ended some time ago, false if nothing was measured in it.
func (s *series) mean(back, ago time.Duration) (float64, bool) {
	end := len(s.sums) - 1 - int(ago/time.Second)
	begin := end - int(back/time.Second)
	if begin < 0 || s.counts[end] == s.counts[begin] {
		return 0, false
	}
	return (s.sums[end] - s.sums[begin]) / (s.counts[end] - s.counts[begin]), true
}

// pass lets a second pass, and returns its load.
func (w *world) pass(t time.Duration) float64 {
	for len(w.starting) > 0 && w.starting[0] <= t {
		w.starting = w.starting[1:]
		w.running++
	}
	load := w.load(t) * (1 + w.Noise*(2*w.chance.Float64()-1))
	w.all.add(load, true)
	w.each.add(load/float64(max(w.running, 1)), w.running > 0)
	return load
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

// asked is how often the scaler asks Prometheus for loads.
const asked = 10 * time.Second

// decide does what the running scaler does in a pass.
func (w *world) decide(t time.Duration) decide.Decision {
	now := epoch().Add(t)
	if w.last != nil && w.last.Converged.IsZero() && w.last.Shows(w.replicas, w.running) {
		w.last.Converged = now
	}
	asks := w.asks(t)
	if window := w.policy.Pace.Window(); window > 0 {
		number := decide.Greatest(w.policy, asks, w.replicas, now)
		w.wanted = decide.Noted(w.wanted, decide.Wish{At: now, Number: number}, now.Add(-window))
	}
	d, _ := decide.Follow(w.policy, decide.State{Replicas: w.replicas, Running: w.running, Last: w.last, Wanted: w.wanted}, asks, now)
	if d.Action == decide.Scaled && !d.DryRun {
		w.set(t, now, d)
	}
	return d
}

// asks are what is wanted at a time.
func (w *world) asks(t time.Duration) []decide.Asked {
	var out []decide.Asked
	seen, ok := w.each.mean(w.Range, w.Delay)
	if ok && w.Up != nil && seen > *w.Up {
		out = append(out, decide.Asked{Want: decide.WantAlert, Direction: signal.Up, Settle: w.Range, Alerts: []string{"up"}})
	}
	if ok && w.Down != nil && seen < *w.Down {
		out = append(out, decide.Asked{Want: decide.WantAlert, Direction: signal.Down, Settle: w.Range, Alerts: []string{"down"}})
	}
	if w.policy.Load.Set() {
		if t%asked == 0 {
			total, known := w.all.mean(w.Range, w.Delay)
			w.wants = decide.Asked{Want: decide.WantTarget, Load: total / w.policy.Load.Target, Missing: !known}
		}
		out = append(out, w.wants)
	}
	if len(w.policy.Times) > 0 {
		out = append(out, decide.Asked{Want: decide.WantSchedule})
	}
	return out
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
