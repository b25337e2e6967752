package controller

import (
	"context"
	"sync"
)

// watch tells those who wait that there is another view.
type watch struct {
	mu      sync.Mutex // the pass tells, requests wait
	changed chan struct{}
}

// next returns a channel that is closed when there is another view.
func (w *watch) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

func (w *watch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// show makes a view the present one.
func (c *Controller) show(v *View) {
	v.Pass = c.passes.Load()
	c.view.Store(v)
	c.watch.tell()
}

// Await returns when a view is as it should be, or with the context's error. It may be
// called from any goroutine.
func (c *Controller) Await(ctx context.Context, so func(*View) bool) error {
	for {
		next := c.watch.next()
		if v := c.view.Load(); v != nil && so(v) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// Order asks for a pass, which the caller pokes, and returns its number: a view of
// that number or a later one knows all that was so before the call. With forget
// HAProxy loads the whole anew. It may be called from any goroutine.
func (c *Controller) Order(forget bool) uint64 {
	if forget {
		c.forget.Store(true)
	}
	return c.passes.Load() + 1
}
