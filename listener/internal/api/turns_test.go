package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wagglehq/waggle/listener/internal/instances"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/docker"
)

// TestOnePictureIsMadeForAllWhoWait: those who wait cost the bus and Docker no more than one who
// asks, and whoever leaves spoils it for nobody.
func TestOnePictureIsMadeForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read, cancelled atomic.Int32
		p := Pictures{
			API: newFixture(t).API, Ages: &instances.Ages{}, Turns: NewTurns(), Ended: make(chan struct{}),
			Accepted: func() (map[string]bus.Value, bool) { return nil, true },
			Tasks: func(context.Context, ...string) (map[string][]docker.TaskState, error) {
				return nil, nil
			},
			Decisions: func(ctx context.Context, _ int) ([]bus.Message, error) {
				read.Add(1)
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
					cancelled.Add(1)
				}
				return nil, ctx.Err()
			},
		}
		ask := func(ctx context.Context, tag string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/picture", nil)
			r.Header.Set("If-None-Match", tag)
			r.Header.Set("Prefer", "wait=20")
			w := httptest.NewRecorder()
			p.serve(w, r)
			return w
		}
		tag := ask(t.Context(), "").Header().Get("ETag")
		leaves, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i := range 500 {
			ctx := t.Context()
			if i%2 == 0 {
				ctx = leaves
			}
			all.Go(func() {
				if w := ask(ctx, tag); w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
					t.Errorf("%d with the tag %s", w.Code, w.Header().Get("ETag"))
				}
			})
		}
		synctest.Wait()
		read.Store(0)
		p.Turns.Next()
		synctest.Wait()
		leave()
		all.Wait()
		if n := read.Load(); n != 1 || cancelled.Load() != 0 {
			t.Errorf("500 who waited had the decisions read %d times, %d in vain, want once", n, cancelled.Load())
		}
	})
}
