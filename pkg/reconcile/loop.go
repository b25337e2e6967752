// Package reconcile runs the loop that every component is: whoever learns
// something pokes, one goroutine acts.
package reconcile

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/wagglehq/waggle/pkg/clock"
)

// ErrNotYet is for a pass that could do nothing because what it goes by is not known yet,
// such as the catalog while the bus does not answer. It is neither a success nor a
// failure: the next pass comes when somebody pokes, as he will who learns it.
var ErrNotYet = errors.New("it is not known yet")

// Options say how a Loop behaves. Zero durations take the defaults that are named.
type Options struct {
	// Component and Name stand in metrics and logs ("proxy", "routes").
	Component, Name string
	// Resync is the time after which a pass runs although nobody poked; default 30 s.
	Resync time.Duration
	// Pause is the least time from the end of one pass to the start of the
	// next; default none. Pokes gather meanwhile.
	Pause time.Duration
	// Gather is how long the first poke waits for others before a pass; default
	// none. It is for a loop whose passes are dear and whose result nobody waits
	// for by the millisecond.
	Gather time.Duration
	// RetryMin and RetryMax bound the growing delay after failed passes;
	// defaults 100 ms and 10 s.
	RetryMin, RetryMax time.Duration
	// Poke is what its passes come of, beside time; nil if nobody pokes.
	Poke *Poke
	// Clock is what it waits by; nil is the machine's.
	Clock clock.Clock
	// Applied returns what was last applied and verified, for the metrics: the hash of
	// the applied state, how many services it holds, how many were rejected. It is asked
	// after each pass; nil, and an empty hash, tell nothing.
	Applied func() (hash string, desired, rejected int)
	Log     *slog.Logger
	// Registry takes the metrics; none are kept when it is nil.
	Registry prometheus.Registerer
}

// Loop calls a pass at its start, at every poke, after every resync interval
// and again after a failure; never twice at once.
type Loop struct {
	opts    Options
	pass    func(context.Context) error
	metrics *metrics
	// done is how many pokes the last pass that ended had heard, under whether one is under
	// way, and paused whether none may begin yet.
	done          atomic.Uint64
	under, paused atomic.Bool
}

// New makes a Loop around pass. A pass that fails must have changed nothing
// that the next one would not see.
func New(opts Options, pass func(context.Context) error) *Loop {
	if opts.Resync <= 0 {
		opts.Resync = 30 * time.Second
	}
	if opts.RetryMin <= 0 {
		opts.RetryMin = 100 * time.Millisecond
	}
	if opts.RetryMax <= 0 {
		opts.RetryMax = 10 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = clock.Real()
	}
	if opts.Poke == nil {
		opts.Poke = NewPokeOn(opts.Clock)
	}
	return &Loop{opts: opts, pass: pass, metrics: newMetrics(opts)}
}

// Run runs the loop until the context ends and returns nil then.
func (l *Loop) Run(ctx context.Context) error {
	defer l.opts.Poke.forget()
	var retry time.Duration
	var failure string
	timer := l.opts.Clock.Timer(0)
	defer timer.Stop()
	for {
		l.opts.Poke.forget()
		l.under.Store(true)
		// What was said until now is part of this pass.
		select {
		case <-l.opts.Poke.due:
		default:
		}
		heard, start := l.opts.Poke.pokes.Load(), time.Now()
		err := l.pass(ctx)
		took := time.Since(start)
		l.done.Store(heard)
		if ctx.Err() != nil {
			return nil
		}
		l.metrics.passed(err, took)
		if l.opts.Applied != nil {
			l.metrics.applied(l.opts.Applied())
		}
		wait := l.opts.Resync
		switch {
		case errors.Is(err, ErrNotYet):
			retry = 0
			if err.Error() != failure {
				l.opts.Log.Info("a pass waits", "loop", l.opts.Name, "reason", err)
			}
			failure = err.Error()
		case err != nil:
			retry = min(max(2*retry, l.opts.RetryMin), l.opts.RetryMax)
			wait = min(wait, retry)
			level := slog.LevelWarn
			if err.Error() == failure {
				level = slog.LevelDebug // once for each change is enough
			}
			failure = err.Error()
			l.opts.Log.Log(ctx, level, "pass failed", "loop", l.opts.Name, "error", err, "took", took, "retry", wait)
		default:
			if failure != "" {
				l.opts.Log.Info("pass succeeded again", "loop", l.opts.Name, "took", took)
			}
			retry, failure = 0, ""
			l.opts.Log.Debug("pass", "loop", l.opts.Name, "took", took)
		}
		if !l.wait(ctx, timer, wait, max(l.opts.Pause, retry)) {
			return nil
		}
	}
}

// Idle reports whether every poke so far was followed by a whole pass, or the next pass
// waits for the clock.
func (l *Loop) Idle() bool {
	return !l.under.Load() && (l.paused.Load() || l.done.Load() == l.opts.Poke.pokes.Load())
}

// wait returns after a poke, but not before least has passed, or after most. It
// returns false when the context ends.
func (l *Loop) wait(ctx context.Context, timer clock.Timer, most, least time.Duration) bool {
	sleep := func(d time.Duration) bool {
		timer.Reset(d)
		l.paused.Store(true)
		l.under.Store(false)
		// From when the timer fires until it is set again the clock says that it is at work.
		defer l.paused.Store(false)
		select {
		case <-ctx.Done():
			return false
		case <-timer.C():
			return true
		}
	}
	if least > 0 && !sleep(least) {
		return false
	}
	timer.Reset(max(most-least, 0))
	l.under.Store(false)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	case <-l.opts.Poke.due:
	}
	return l.opts.Gather <= 0 || sleep(l.opts.Gather)
}

type metrics struct {
	passes                       *prometheus.CounterVec
	duration                     prometheus.Histogram
	success                      prometheus.Gauge
	hash, desiredCount, rejected prometheus.Gauge
}

func newMetrics(o Options) *metrics {
	if o.Registry == nil {
		return nil
	}
	labels := prometheus.Labels{"loop": o.Name}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "waggle", Subsystem: o.Component, Name: name, Help: help, ConstLabels: labels,
		})
	}
	m := &metrics{
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "waggle", Subsystem: o.Component, Name: "passes_total",
			Help: "Passes of the loop by result (ok, failed, waiting).", ConstLabels: labels,
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "waggle", Subsystem: o.Component, Name: "pass_duration_seconds",
			Help: "How long a pass took.", ConstLabels: labels,
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
		}),
		success:      gauge("last_success_timestamp_seconds", "Unix time of the last pass that succeeded."),
		hash:         gauge("applied_hash", "Hash of the applied state as a number of 48 bits; equal on all replicas that agree."),
		desiredCount: gauge("desired_services", "Services in the desired state."),
		rejected:     gauge("rejected_services", "Services whose present labels are rejected."),
	}
	// Each is there before it is counted: a rate misses the first of a series that begins with it.
	for _, result := range []string{"ok", "failed", "waiting"} {
		m.passes.WithLabelValues(result)
	}
	o.Registry.MustRegister(m.passes, m.duration, m.success, m.hash, m.desiredCount, m.rejected)
	return m
}

func (m *metrics) passed(err error, took time.Duration) {
	if m == nil {
		return
	}
	m.duration.Observe(took.Seconds())
	if errors.Is(err, ErrNotYet) {
		m.passes.WithLabelValues("waiting").Inc()
		return
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		m.passes.WithLabelValues("failed").Inc()
		return
	}
	m.passes.WithLabelValues("ok").Inc()
	m.success.SetToCurrentTime()
}

func (m *metrics) applied(hash string, desired, rejected int) {
	if m == nil || hash == "" {
		return
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(hash))
	m.hash.Set(float64(h.Sum64() >> 16))
	m.desiredCount.Set(float64(desired))
	m.rejected.Set(float64(rejected))
}
