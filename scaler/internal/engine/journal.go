package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler/internal/decide"
)

const (
	// maxUntold bounds the decisions that wait for the bus.
	maxUntold = 1000
	// maxTold bounds the refusals that are remembered so as not to repeat them, which
	// they are for refusedFor.
	maxTold    = 1000
	refusedFor = 10 * time.Minute
	// sameFor is how long a situation of which several instances tell is one.
	sameFor = 2 * time.Minute
)

// journal is what was decided. Its functions may be called by any goroutine.
type journal struct {
	// mu guards the rest.
	mu       sync.Mutex
	latest   map[string]map[string]decide.Decision
	refusals map[string]time.Time
	untold   []untold
}

// untold is a decision that the bus has not taken yet.
type untold struct {
	decision decide.Decision
	id       string
}

// Refuse records that a request was refused before it became one, unless the
// same was recorded in the ten minutes before. It may be called by any goroutine.
func (e *Engine) Refuse(d decide.Decision) {
	d.Instance = e.opts.Instance
	episode := d
	episode.Time = time.Time{}
	if e.told.repeats(identity(episode, ""), d.Time) {
		return
	}
	// Each episode is told of, by whichever instance hears of it.
	episode.Time = d.Time.UTC().Truncate(refusedFor)
	e.queueAs(d, identity(episode, ""))
	e.opts.Poke()
}

// repeats reports whether a refusal was told of a while ago, and notes it if not.
func (j *journal) repeats(id string, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if at, ok := j.refusals[id]; ok && now.Sub(at) < refusedFor {
		return true
	}
	if len(j.refusals) >= maxTold {
		clear(j.refusals)
	}
	j.refusals[id] = now
	return false
}

// aspect is what of several decisions about one service replaces another.
func aspect(d decide.Decision) string { return string(d.Want) + " " + string(d.Direction) }

// news remembers a decision about what stands and queues it, unless it says what the
// last one said. A scaling is always news.
func (e *Engine) news(d decide.Decision) {
	e.told.mu.Lock()
	about := e.told.latest[d.ServiceID]
	if about == nil {
		about = map[string]decide.Decision{}
		e.told.latest[d.ServiceID] = about
	}
	last, known := about[aspect(d)]
	known = known && last.Same(d) && (d.Action != decide.Scaled || d.DryRun)
	if !known {
		about[aspect(d)] = d
	}
	e.told.mu.Unlock()
	if !known {
		e.queue(d, last.Reason)
	}
}

// forget drops the decisions about what stands no longer: the next one is news again.
func (e *Engine) forget(stands map[string]map[string]bool) {
	e.told.mu.Lock()
	defer e.told.mu.Unlock()
	for id, about := range e.told.latest {
		for key := range about {
			if !stands[id][key] {
				delete(about, key)
			}
		}
		if len(about) == 0 {
			delete(e.told.latest, id)
		}
	}
}

// queue tells of a decision and keeps it for the bus. before is the reason of the
// decision before about the same, if there was one.
func (e *Engine) queue(d decide.Decision, before string) { e.queueAs(d, identity(d, before)) }

func (e *Engine) queueAs(d decide.Decision, id string) {
	level := slog.LevelInfo
	if d.Action == decide.Refused && !d.AtBound {
		level = slog.LevelWarn
	}
	e.opts.Log.Log(context.Background(), level, string(d.Action), "swarm_service", d.Service, "direction", d.Direction,
		"code", d.Code, "from", d.From, "to", d.To, "reason", d.Reason, "dry_run", d.DryRun)
	e.metrics.decided(d)
	e.opts.Notify(d)
	e.told.mu.Lock()
	defer e.told.mu.Unlock()
	if len(e.told.untold) >= maxUntold {
		e.told.untold = e.told.untold[1:]
	}
	e.told.untold = append(e.told.untold, untold{d, id})
}

// tell publishes the decisions that wait, in order. What the bus does not take
// now waits for the next pass.
func (e *Engine) tell(ctx context.Context) error {
	e.told.mu.Lock()
	waiting := e.told.untold
	e.told.untold = nil
	e.told.mu.Unlock()
	var err error
	for len(waiting) > 0 && err == nil {
		if err = e.publish(ctx, waiting[0]); err == nil {
			waiting = waiting[1:]
		}
	}
	if err != nil {
		e.told.mu.Lock()
		e.told.untold = append(waiting, e.told.untold...)
		e.told.mu.Unlock()
	}
	return err
}

func (e *Engine) publish(ctx context.Context, u untold) error {
	value, err := catalog.Encode(u.decision)
	if err != nil {
		return err
	}
	return e.opts.Bus.Publish(ctx, bus.DecisionsStream, bus.Token(u.decision.Service), value, bus.WithID(u.id))
}

// identity is the same for a decision of several instances about one situation,
// so that the stream keeps one of them. The reason of the decision before goes in,
// so that a situation that comes back is news.
func identity(d decide.Decision, before string) string {
	h := sha256.New()
	if d.Action == decide.Scaled && !d.DryRun || d.Action == decide.Adopted {
		// Two instances may have claimed one change, at different times.
		_, _ = fmt.Fprintf(h, "%q %q %d %d %d", d.ServiceID, d.Action, d.From, d.To, d.Version)
	} else {
		_, _ = fmt.Fprintf(h, "%q %q %q %q %q %d %d %q %q %v %s %q", d.ServiceID, d.Service, d.Want, d.Direction, d.Action, d.From, d.To, d.Reason,
			d.Request, d.DryRun, d.Time.UTC().Truncate(sameFor), before)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Decisions returns what the stream holds, latest first, at most limit, of one
// service, by name or ID, if that is not empty. It may be called by any goroutine.
func (e *Engine) Decisions(ctx context.Context, service string, limit int) ([]decide.Decision, error) {
	if snapshot, ok := e.opts.Catalog.Snapshot(); ok {
		if svc, ok := snapshot.Services[service]; ok {
			service = svc.Name
		}
	}
	var messages []bus.Message
	var err error
	if service == "" {
		messages, err = e.opts.Bus.Last(ctx, bus.DecisionsStream, limit)
	} else {
		messages, err = e.opts.Bus.LastOf(ctx, bus.DecisionsStream, bus.Token(service), limit)
	}
	if err != nil {
		return nil, err
	}
	out := []decide.Decision{}
	for _, m := range slices.Backward(messages) {
		var d decide.Decision
		if json.Unmarshal(m.Value, &d) == nil {
			out = append(out, d)
		}
	}
	return out, nil
}
