package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

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

// TestATailOfNews: whoever comes hears what follows, or what came after a moment, and from the
// word that all is ready misses nothing.
func TestATailOfNews(t *testing.T) {
	server := bustest.Start(t)
	b := server.Prepared()
	var mu sync.Mutex // the tails tell from goroutines of their own
	told := map[string][]string{}
	follow := func(name string, after time.Time) {
		t.Helper()
		ready := make(chan struct{})
		bustest.Run(t, func(ctx context.Context) error {
			return b.TailStream(ctx, bus.EventsStream, bus.News{After: after, Ready: func() { close(ready) }}, func(m bus.TailMessage) {
				mu.Lock()
				defer mu.Unlock()
				told[name] = append(told[name], m.Key+"="+string(m.Value))
			})
		})
		select {
		case <-ready:
		case <-t.Context().Done():
			t.Fatal("it is never ready")
		}
	}
	publish := func(tokens, value string) {
		t.Helper()
		tooltest.Eventually(t, "a message", func() error { return b.Publish(t.Context(), bus.EventsStream, tokens, []byte(value)) })
	}
	hears := func(name string, want ...string) {
		t.Helper()
		tooltest.Eventually(t, name+" hears", func() error {
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told[name], want) {
				return fmt.Errorf("it heard %q, want %q", told[name], want)
			}
			return nil
		})
	}
	publish("a.1", "old")
	last, err := b.Last(t.Context(), bus.EventsStream, 1)
	if err != nil || len(last) != 1 || bus.Tokens(bus.EventsStream, last[0].Subject) != "a.1" {
		t.Fatal(last, err)
	}
	follow("from now on", time.Time{})
	follow("after the first", last[0].Time)
	follow("from before", last[0].Time.Add(-time.Second))
	publish("a.2", "new")
	hears("from now on", "a.2=new")
	hears("after the first", "a.2=new")
	hears("from before", "a.1=old", "a.2=new")
}
