package docker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultTimeout bounds one call; calls hang while a swarm elects a leader.
const DefaultTimeout = 5 * time.Second

// mostTimeout is how many times the deadline a call may have that has missed its own.
const mostTimeout = 4

// kind is one kind of call, as metrics name it.
type kind string

const (
	kindPing     kind = "ping"
	kindInfo     kind = "info"
	kindVersion  kind = "version"
	kindEvents   kind = "events"
	kindServices kind = "services"
	kindService  kind = "service"
	kindNodes    kind = "nodes"
	kindNetworks kind = "networks"
	kindTasks    kind = "tasks"
	kindUpdate   kind = "update"
)

// The results of calls, as metrics name them.
const (
	resultOK      = "ok"
	resultFailed  = "failed"
	resultTimeout = "timeout"
)

// Timeout bounds every call but the stream of events, which it bounds until the daemon
// begins to answer; not more than zero is DefaultTimeout. A kind of call that has missed its
// deadline, while the daemon answered smaller questions, gets twice the time, up to four times,
// until it no longer needs it.
func Timeout(d time.Duration) Option {
	return func(c *Client) {
		if d > 0 {
			c.calls.base = d
		}
	}
}

// Counters say where calls are counted.
type Counters struct {
	// Component is the one whose metrics they are.
	Component string
	Registry  prometheus.Registerer
}

// Count counts calls by kind and result.
func Count(o Counters) Option {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "waggle", Subsystem: o.Component, Name: "docker_calls_total",
		Help: "Calls of the Docker API by kind (ping, info, services, service, nodes, networks, tasks, events, update, version) and result (ok, failed, timeout).",
	}, []string{"call", "result"})
	o.Registry.MustRegister(counter)
	return func(c *Client) { c.calls.counter = counter }
}

// calls is what is remembered of the calls that were made.
type calls struct {
	base    time.Duration
	counter *prometheus.CounterVec

	// mu guards the rest, which all callers share.
	mu *sync.Mutex
	// limits are the deadlines that differ from base.
	limits map[kind]time.Duration
	since  time.Time
	err    error
}

func newCalls() calls {
	return calls{base: DefaultTimeout, mu: &sync.Mutex{}, limits: map[kind]time.Duration{}}
}

// limit is the deadline of a call.
func (c *calls) limit(k kind) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.base, c.limits[k])
}

// wait is for how long a call was waited.
type wait struct {
	// had is its deadline, took how long it took.
	had, took time.Duration
	// silent says that the daemon answered nobody at the end.
	silent bool
}

// adapt learns from one call.
func (c *calls) adapt(k kind, w wait, missed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch now := max(c.base, c.limits[k]); {
	case missed && w.silent:
		// More time would not have helped, and delays the next try.
	case missed:
		// Of several calls that hang together, all had the same deadline.
		c.limits[k] = max(now, min(2*w.had, mostTimeout*c.base))
	case w.took < now/2:
		// The next step down would have done.
		c.limits[k] = now / 2
	}
}

// count counts one call.
func (c *calls) count(k kind, result string) {
	if c.counter != nil {
		c.counter.WithLabelValues(string(k), result).Inc()
	}
}

// note remembers whether the daemon answers, and since when it does not.
func (c *calls) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.since, c.err = time.Time{}, nil
	case c.err == nil:
		c.since, c.err = time.Now(), err
	default:
		c.err = err
	}
}

// Failing returns since when no call has succeeded and why the last one failed; both
// are zero if it succeeded. That a service does not exist is an answer and no failure.
func (c *Client) Failing() (since time.Time, err error) {
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	return c.calls.since, c.calls.err
}

func resultOf(err error) string {
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		return resultOK
	case errors.Is(err, context.DeadlineExceeded):
		return resultTimeout
	}
	return resultFailed
}

// done records what became of a call. One that its caller gave up, or that was never
// made, says nothing of the daemon.
func (c *Client) done(ctx context.Context, k kind, w wait, err error) {
	if ctx.Err() != nil || errors.Is(err, ErrNotAllowed) {
		return
	}
	result := resultOf(err)
	c.calls.count(k, result)
	c.calls.adapt(k, w, result == resultTimeout)
	if result == resultOK {
		err = nil
	}
	c.calls.note(err)
}
