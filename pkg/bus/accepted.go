package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Accepted keeps the label sets that were last accepted, by service ID, the same for all
// replicas of one component.
type Accepted struct {
	component string
	mirror    *Mirror

	// mu guards decoded, the services as they were last read, by ID: every pass asks for
	// all of them, and hardly any has changed.
	mu      sync.Mutex
	decoded map[string]decoded

	// leave and now belong to the caller of Record.
	leave leave
	now   func() time.Time
}

// acceptedStays is how long a label set outlives its service. A service that is gone for
// a moment, by a mistake of whoever publishes it, must not lose what keeps it in force.
const acceptedStays = time.Minute

// leave remembers since when something is not wanted any more.
type leave map[string]time.Time

// due returns which of those that are not wanted have not been for long enough.
func (l leave) due(have iter.Seq[string], isWanted func(string) bool, now time.Time) []string {
	present := map[string]bool{}
	var due []string
	for id := range have {
		if isWanted(id) {
			continue
		}
		present[id] = true
		if since, ok := l[id]; !ok {
			l[id] = now
		} else if now.Sub(since) >= acceptedStays {
			due = append(due, id)
		}
	}
	maps.DeleteFunc(l, func(id string, _ time.Time) bool { return !present[id] })
	slices.Sort(due)
	return due
}

type decoded struct {
	data []byte
	svc  catalog.Service
	ok   bool // false for an entry of an unknown form, which is as good as none
}

// Accepted returns the accepted label sets of the bus's own component.
func (b *Bus) Accepted(poke func()) *Accepted {
	return &Accepted{component: b.component, mirror: b.Bucket(AcceptedBucket).Mirror(b.component+".>", poke), leave: leave{}, now: time.Now}
}

// Run follows the bucket until the context ends.
func (a *Accepted) Run(ctx context.Context) error { return a.mirror.Run(ctx) }

// Services returns the services as they were when they were last accepted, by
// ID, and whether these are all. They are shared and must not be changed.
func (a *Accepted) Services() (map[string]catalog.Service, bool) {
	values, ok := a.mirror.Values()
	out := make(map[string]catalog.Service, len(values))
	for id, d := range a.decode(values) {
		if d.ok {
			out[id] = d.svc
		}
	}
	return out, ok
}

// decode reads all entries of the bucket, those that are as before from memory.
func (a *Accepted) decode(values map[string]Value) map[string]decoded {
	have := Under(values, a.component+".")
	out := make(map[string]decoded, len(have))
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, v := range have {
		d, ok := a.decoded[id]
		if !ok || !bytes.Equal(d.data, v.Data) {
			d = decoded{data: v.Data}
			d.ok = json.Unmarshal(v.Data, &d.svc) == nil
		}
		out[id] = d
	}
	a.decoded = out
	return out
}

// Record puts the accepted services, by ID, into the bucket. Others are deleted after they
// have been missing from it for a minute; whoever records is expected to do so again.
// One that the bus does not take is named in the error and does not hold up the others.
// It is for one goroutine.
func (a *Accepted) Record(ctx context.Context, services map[string]catalog.Service) error {
	values, ok := a.mirror.Values()
	if !ok {
		return ErrNotSynced
	}
	have := a.decode(values)
	var errs []error
	for id, svc := range services {
		if old, ok := have[id]; ok && old.ok && old.svc.Equal(svc) {
			continue
		}
		value, err := catalog.Encode(svc)
		if err != nil {
			return err
		}
		if _, err := a.mirror.Put(ctx, a.component+"."+id, value); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return join(errs)
		}
	}
	isWanted := func(id string) bool { _, ok := services[id]; return ok }
	for _, id := range a.leave.due(maps.Keys(have), isWanted, a.now()) {
		if err := a.mirror.Delete(ctx, a.component+"."+id); err != nil {
			errs = append(errs, fmt.Errorf("accepted: %w", err))
		}
	}
	return join(errs)
}
