package engine

import (
	"errors"
	"sync"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
)

// ErrAway says that Docker does not answer, or is not what can scale a swarm: the trouble
// of everybody, unlike an update that is refused.
var ErrAway = errors.New("docker does not answer")

// What Docker refuses is tried again after a pause that grows from leastPause to mostPause.
const (
	leastPause = time.Second
	mostPause  = 10 * time.Second
)

// pause is how long not to try again, and why.
type pause struct {
	err   error
	wait  time.Duration
	until time.Time
}

// longer is the pause after another failure.
func (p pause) longer(err error, now time.Time) pause {
	wait := min(max(2*p.wait, leastPause), mostPause)
	return pause{err: err, wait: wait, until: now.Add(wait)}
}

// trouble is what Docker did not do, for one service or for all. Its functions may be
// called by any goroutine.
type trouble struct {
	// mu guards the rest.
	mu       sync.Mutex
	services map[string]pause
	away     pause
	// probing says that a call is under way of which nobody knows whether it will be
	// answered, because the last one was not.
	probing bool
}

func newTrouble() *trouble { return &trouble{services: map[string]pause{}} }

// now returns why nothing is to be tried of a service, and until when; nil if it may be.
func (t *trouble) now(id string, now time.Time) (time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away.err != nil && now.Before(t.away.until) {
		return t.away.until, t.away.err
	}
	if p := t.services[id]; p.err != nil && now.Before(p.until) {
		return p.until, p.err
	}
	return time.Time{}, nil
}

// isAway returns why nobody needs to wait for Docker now; nil if it may answer.
func (t *trouble) isAway(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away.err != nil && (t.probing || now.Before(t.away.until)) {
		return t.away.err
	}
	return nil
}

// Away returns why Docker cannot be asked now; nil if it may answer. It may be called by
// any goroutine.
func (e *Engine) Away() error { return e.trouble.isAway(e.opts.Now()) }

// lasting returns why Docker did not answer the last call; nil if it did.
func (t *trouble) lasting() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.away.err
}

// begin says that a call begins, end what became of it.
func (t *trouble) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probing = true
}

func (t *trouble) end(err error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probing = false
	if errors.Is(err, ErrAway) {
		t.away = t.away.longer(err, now)
		return
	}
	t.away = pause{}
}

// failed notes that something could not be done for a service, and returns until when
// it is not tried again.
func (t *trouble) failed(id string, err error, now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, ErrAway) {
		return t.away.until
	}
	t.services[id] = t.services[id].longer(err, now)
	return t.services[id].until
}

// mended notes that nothing is wrong with a service any more.
func (t *trouble) mended(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.services, id)
}

// keep forgets the services of which nothing is asked any more.
func (t *trouble) keep(asked func(id string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.services {
		if !asked(id) {
			delete(t.services, id)
		}
	}
}

// explain adds to what becomes of a service what Docker does not do for it.
func (t *trouble) explain(o policy.Outcome) policy.Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.services[o.Service.ID]; ok && o.State == policy.Applied {
		o.State, o.Reason = policy.Degraded, "Docker does not change its number: "+p.err.Error()
		o.Hint = "it is tried again within " + mostPause.String()
	}
	return o
}
