package bus

import (
	"context"
	"reflect"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Statuses publishes the statuses of one component, on change only.
type Statuses struct {
	component string
	mirror    *Mirror
	// encoded are the statuses as they were last published, by key, because most are
	// the same the next time. It belongs to the caller of Publish.
	encoded map[string]encodedStatus
}

type encodedStatus struct {
	status catalog.Status
	value  []byte
}

// Statuses returns a publisher for the bus's own component. poke is called when
// the published statuses are not what was written.
func (b *Bus) Statuses(poke func()) *Statuses {
	return &Statuses{component: b.component, mirror: b.Bucket(StatusBucket).Mirror(b.component+".>", poke)}
}

// Run follows the bucket until the context ends.
func (s *Statuses) Run(ctx context.Context) error { return s.mirror.Run(ctx) }

// Publish makes the component's statuses on the bus equal to all. It is for one
// goroutine.
func (s *Statuses) Publish(ctx context.Context, all []catalog.Status) error {
	values, ok := s.mirror.Values()
	if !ok {
		return ErrNotSynced
	}
	prefix := s.component + "."
	encoded := make(map[string]encodedStatus, len(all))
	for _, status := range all {
		status.Component = s.component
		key := prefix + Token(status.ServiceID)
		e, ok := s.encoded[key]
		if !ok || !reflect.DeepEqual(e.status, status) {
			value, err := catalog.Encode(status)
			if err != nil {
				return err
			}
			e = encodedStatus{status, value}
		}
		encoded[key] = e
		delete(values, key)
		if _, err := s.mirror.Put(ctx, key, e.value); err != nil {
			return err
		}
	}
	s.encoded = encoded
	for key := range values {
		if err := s.mirror.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// instanceTTL is how long an instance is remembered that says nothing more.
const instanceTTL = 30 * time.Second

// InstanceKey is where the instance of a token lies in StatusBucket, and with an
// empty one the beginning of the keys of all instances of a component.
func InstanceKey(component, token string) string { return "instance." + component + "." + token }

// Announce publishes the instance's state now.
func (b *Bus) Announce(ctx context.Context, i catalog.Instance) error {
	i.Component, i.Time = b.component, time.Now().UTC()
	value, err := catalog.Encode(i)
	if err != nil {
		return err
	}
	_, err = b.Bucket(StatusBucket).Put(ctx, InstanceKey(b.component, Token(i.Instance)), value, WithTTL(instanceTTL))
	return err
}
