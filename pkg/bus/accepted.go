package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// Accepted keeps the label sets that were last accepted, by service ID, the same for all
// replicas of one component.
type Accepted struct {
	component string
	mirror    *Mirror
}

// Accepted returns the accepted label sets of the bus's own component.
func (b *Bus) Accepted(poke func()) *Accepted {
	return &Accepted{component: b.component, mirror: b.Bucket(AcceptedBucket).Mirror(b.component+".>", poke)}
}

// Run follows the bucket until the context ends.
func (a *Accepted) Run(ctx context.Context) error { return a.mirror.Run(ctx) }

// Services returns the services as they were when they were last accepted, by
// ID, and whether these are all.
func (a *Accepted) Services() (map[string]catalog.Service, bool) {
	values, ok := a.mirror.Values()
	out := map[string]catalog.Service{}
	for id, v := range Under(values, a.component+".") {
		var svc catalog.Service
		if err := json.Unmarshal(v.Data, &svc); err != nil {
			continue // an entry of an unknown form is as good as none
		}
		out[id] = svc
	}
	return out, ok
}

// Record makes the bucket equal to the accepted services, by ID.
func (a *Accepted) Record(ctx context.Context, services map[string]catalog.Service) error {
	values, ok := a.mirror.Values()
	if !ok {
		return ErrNotSynced
	}
	have := Under(values, a.component+".")
	for id, svc := range services {
		value, err := catalog.Encode(svc)
		if err != nil {
			return err
		}
		if old, ok := have[id]; ok && bytes.Equal(old.Data, value) {
			continue
		}
		if _, err := a.mirror.Put(ctx, a.component+"."+id, value); err != nil {
			return err
		}
	}
	for id := range have {
		if _, ok := services[id]; !ok {
			if err := a.mirror.Delete(ctx, a.component+"."+id); err != nil {
				return fmt.Errorf("accepted: %w", err)
			}
		}
	}
	return nil
}
