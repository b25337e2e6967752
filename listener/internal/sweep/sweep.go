// Package sweep removes what instances of components said that have been gone for long.
package sweep

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
)

// Bucket is where statuses lie; bus.Bucket is one.
type Bucket interface {
	Delete(ctx context.Context, key string, options ...bus.PutOption) error
}

// Options are what a Sweeper needs.
type Options struct {
	Bucket Bucket
	// Values are the entries of the bucket, and whether they are all.
	Values func() (map[string]bus.Value, bool)
	// Leads reports whether this listener is the one that writes.
	Leads func() bool
	Now   func() time.Time
	Log   *slog.Logger
}

// Sweeper keeps in mind when instances were heard of.
type Sweeper struct {
	o       Options
	tracker instances.Tracker
	// since is when this listener began to lead; it belongs to Pass.
	since time.Time
}

// New returns a Sweeper that has heard of nobody.
func New(o Options) *Sweeper { return &Sweeper{o: o} }

// Instances returns all instances that are there or left something behind.
func (s *Sweeper) Instances() map[instances.Name]instances.Instance {
	values, _ := s.o.Values()
	return s.tracker.Look(s.o.Now(), plain(values))
}

// Pass is for a loop. It looks who is there, and removes what is stale, unless it was
// written again meanwhile.
func (s *Sweeper) Pass(ctx context.Context) error {
	values, ok := s.o.Values()
	now, all := s.o.Now(), plain(values)
	known := s.tracker.Look(now, all)
	if !ok || !s.o.Leads() {
		s.since = time.Time{}
		return nil
	}
	if s.since.IsZero() {
		s.since = now
	}
	if now.Sub(s.since) < catalog.AwayAfter {
		return nil // after the bus was away, everybody must have had the time to be heard of
	}
	var errs []error
	for _, key := range instances.Stale(now, known, all) {
		err := s.o.Bucket.Delete(ctx, key, bus.IfRevision(values[key].Revision))
		switch {
		case err == nil:
			s.o.Log.Info("the status of an instance that is gone is removed", "key", key)
		case !errors.Is(err, bus.ErrConflict):
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func plain(values map[string]bus.Value) map[string]instances.Value {
	out := make(map[string]instances.Value, len(values))
	for key, v := range values {
		out[key] = instances.Value{Data: v.Data, Time: v.Time}
	}
	return out
}
