package bus

import (
	"context"
	"sync"
)

// bell wakes all who listen. Its zero value is ready.
type bell struct {
	// mu guards ears, which those who listen and those who ring share.
	mu   sync.Mutex
	ears map[chan struct{}]struct{}
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ear := range b.ears {
		select {
		case ear <- struct{}{}:
		default:
		}
	}
}

// listen returns a channel that gets a value after every ring, and its end.
func (b *bell) listen() (<-chan struct{}, func()) {
	ear := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ears == nil {
		b.ears = map[chan struct{}]struct{}{}
	}
	b.ears[ear] = struct{}{}
	return ear, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.ears, ear)
	}
}

// OnMissing calls poke whenever a reader finds that its bucket is not there, until the
// context ends: somebody removed it, or nobody has made it yet.
func (b *Bus) OnMissing(ctx context.Context, poke func()) {
	ear, end := b.missing.listen()
	defer end()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ear:
			poke()
		}
	}
}
