package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestATailTellsEachWrite writes one key again and again, deletes it, takes the
// server away and gives it back without its store.
func TestATailTellsEachWrite(t *testing.T) {
	server := bustest.Start(t)
	b := server.Prepared()
	var mu sync.Mutex // the tail tells from a goroutine of its own
	var told []string
	bustest.Run(t, func(ctx context.Context) error {
		return b.Tail(ctx, bus.CatalogBucket, func(w bus.TailMessage) {
			mu.Lock()
			defer mu.Unlock()
			text := fmt.Sprintf("%d %s=%s", w.Sequence, w.Key, w.Value)
			if w.Deleted {
				text = fmt.Sprintf("%d %s deleted", w.Sequence, w.Key)
			}
			if version := w.Header["Version"]; len(version) > 0 {
				text += " of version " + version[0]
			}
			told = append(told, text)
		})
	})
	hears := func(want ...string) {
		t.Helper()
		tooltest.Eventually(t, "the tail tells what was written", func() error {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				return fmt.Errorf("it told %q, want %q", told, want)
			}
			return nil
		})
	}
	bucket := b.Bucket(bus.CatalogBucket)
	put := func(value string, options ...bus.PutOption) {
		t.Helper()
		tooltest.Eventually(t, "a write", func() error {
			_, err := bucket.Put(t.Context(), "key", []byte(value), options...)
			return err
		})
	}
	put("a")
	hears("1 key=a")
	put("b", bus.WithHeader("Version", "7"))
	hears("1 key=a", "2 key=b of version 7")
	tooltest.Eventually(t, "a deletion", func() error { return bucket.Delete(t.Context(), "key") })
	hears("1 key=a", "2 key=b of version 7", "3 key deleted")

	server.Stop()
	server.StartAgain()
	put("c")
	hears("1 key=a", "2 key=b of version 7", "3 key deleted", "4 key=c")

	server.Stop()
	server.LoseStore()
	server.StartAgain()
	tooltest.Eventually(t, "the bucket is there again", func() error {
		if !b.Connected() {
			return errors.New("no connection")
		}
		return b.Prepare(t.Context(), 1)
	})
	put("d")
	hears("1 key=a", "2 key=b of version 7", "3 key deleted", "4 key=c", "1 key=d")
}
