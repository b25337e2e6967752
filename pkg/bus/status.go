package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Statuses publishes the statuses of one instance of a component, on change only.
type Statuses struct {
	component, instance string
	prefix              string
	mirror              *Mirror
	now                 func() time.Time
	// last are the statuses as they were last published, by key, because most are
	// the same the next time. It belongs to the caller of Publish.
	last map[string]published
}

// published is a status and its bytes.
type published struct {
	status catalog.Status
	value  []byte
}

// StatusKey is where what an instance says of a service lies in StatusBucket.
func StatusKey(component, instance, serviceID string) string {
	return statusPrefix(component, instance) + Token(serviceID)
}

func statusPrefix(component, instance string) string { return component + "." + Token(instance) + "." }

// Statuses returns a publisher for an instance of the bus's own component. poke is
// called when the published statuses are not what was written.
func (b *Bus) Statuses(instance string, poke func()) *Statuses {
	prefix := statusPrefix(b.component, instance)
	return &Statuses{
		component: b.component, instance: instance, prefix: prefix, now: time.Now,
		mirror: b.Bucket(StatusBucket).Mirror(prefix+">", poke),
	}
}

// Run follows the bucket until the context ends.
func (s *Statuses) Run(ctx context.Context) error { return s.mirror.Run(ctx) }

// Publish makes the instance's statuses on the bus equal to all. It fills in Component,
// Instance and Since. A status that the bus does not take is named in the error and does
// not hold up the others. It is for one goroutine.
func (s *Statuses) Publish(ctx context.Context, all []catalog.Status) error {
	values, ok := s.mirror.Values()
	if !ok {
		return ErrNotSynced
	}
	last := make(map[string]published, len(all))
	var errs []error
	for _, status := range all {
		key := s.prefix + Token(status.ServiceID)
		p, err := s.publish(ctx, key, status, values[key])
		if err != nil {
			errs = append(errs, err) // it names the key
		} else {
			last[key] = p
		}
		delete(values, key)
		if ctx.Err() != nil {
			return join(errs)
		}
	}
	s.last = last
	for key := range values {
		if err := s.mirror.Delete(ctx, key); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return join(errs)
}

// publish writes one status unless the bus has it.
func (s *Statuses) publish(ctx context.Context, key string, status catalog.Status, on Value) (published, error) {
	status.Component, status.Instance = s.component, s.instance
	old := s.last[key] // it is what counts if the bus has lost it
	if on.Data != nil && !bytes.Equal(old.value, on.Data) {
		old = published{value: on.Data}
		if err := json.Unmarshal(on.Data, &old.status); err != nil {
			old.status = catalog.Status{} // it is written anew
		}
	}
	status.Since = s.now().UTC().Truncate(time.Millisecond)
	if isSameVerdict(old.status, status) {
		status.Since = old.status.Since
		if on.Data != nil && old.status.Revision == status.Revision && old.status.Service == status.Service {
			return old, nil
		}
	}
	value, err := catalog.Encode(status)
	if err != nil {
		return published{}, err
	}
	_, err = s.mirror.Put(ctx, key, value)
	return published{status, value}, err
}

// isSameVerdict reports whether two statuses of a service say the same of it.
func isSameVerdict(a, b catalog.Status) bool {
	return a.Component == b.Component && a.Instance == b.Instance && a.ServiceID == b.ServiceID && a.State == b.State &&
		a.Reason == b.Reason && a.Label == b.Label && a.Hint == b.Hint && slices.Equal(a.Warnings, b.Warnings) && !a.Since.IsZero()
}

// InstanceKey is where the instance of a token lies in StatusBucket, and with an
// empty one the beginning of the keys of all instances of a component.
func InstanceKey(component, token string) string { return instancePrefix + component + "." + token }

const instancePrefix = "instance."

// Announce publishes the instance's state now. It is forgotten after catalog.AwayAfter.
func (b *Bus) Announce(ctx context.Context, i catalog.Instance) error {
	i.Component, i.Time = b.component, time.Now().UTC()
	value, err := catalog.Encode(i)
	if err != nil {
		return err
	}
	_, err = b.Bucket(StatusBucket).Put(ctx, InstanceKey(b.component, Token(i.Instance)), value, WithTTL(catalog.AwayAfter))
	return err
}
