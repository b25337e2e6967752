package bus

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fading removes what a session told once its time to live has passed: of most
// buckets the server leaves no mark of what vanishes (see streams). It belongs to
// the session's goroutine.
type fading struct {
	to   sink
	ends map[string]end
}

type end struct {
	at       time.Time
	sequence uint64
}

// note learns when a value ends. The time counts from now, for clocks of others are
// not to be trusted: what is told again lives a little longer, at most twice.
func (f *fading) note(key string, h nats.Header, sequence uint64) {
	f.forget(key)
	ttl, ok := parseTTL(h.Get(jetstream.MsgTTLHeader))
	if !ok {
		return
	}
	if f.ends == nil {
		f.ends = map[string]end{}
	}
	f.ends[key] = end{time.Now().Add(ttl), sequence}
}

func (f *fading) forget(key string) { delete(f.ends, key) }

// parseTTL reads the time to live of a message; what lives for ever has none.
func parseTTL(text string) (time.Duration, bool) {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	ttl, err := time.ParseDuration(text)
	return ttl, err == nil
}

// next returns the next message, removing meanwhile what ends.
func (f *fading) next(ctx context.Context, messages *puller) (pulled, error) {
	for {
		earliest, any := f.earliest()
		if !any {
			return messages.next(ctx)
		}
		limited, cancel := context.WithDeadline(ctx, earliest)
		msg, err := messages.next(limited)
		passed := limited.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !passed {
			return msg, err
		}
		f.end(time.Now())
	}
}

func (f *fading) earliest() (at time.Time, ok bool) {
	for _, e := range f.ends {
		if !ok || e.at.Before(at) {
			at, ok = e.at, true
		}
	}
	return at, ok
}

func (f *fading) end(now time.Time) {
	for key, e := range f.ends {
		if !e.at.After(now) {
			delete(f.ends, key)
			f.to.remove(key, e.sequence+1, e.at)
		}
	}
}
