package listener

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// follower is whoever follows what happens.
type follower struct {
	mu      sync.Mutex // the answer is read by another goroutine
	isReady bool
	events  []picture.Event
}

// follows reads events until the test ends, and returns as soon as none is missed any more.
func (h *house) follows(query string) *follower {
	h.t.Helper()
	f := &follower{}
	ctx, cancel := context.WithCancel(h.t.Context())
	h.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.admin+"/v1/events"+query, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		h.t.Fatal(resp.Status)
	}
	go func() {
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			f.mu.Lock()
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var e picture.Event
				if json.Unmarshal([]byte(data), &e) == nil {
					f.events = append(f.events, e)
				}
			}
			f.isReady = f.isReady || lines.Text() == ": ready"
			f.mu.Unlock()
		}
	}()
	tooltest.Eventually(h.t, "no event is missed", func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !f.isReady {
			return fmt.Errorf("not ready")
		}
		return nil
	})
	return f
}

// hears waits until an event of a kind is told with a part of its text.
func (f *follower) hears(t *testing.T, kind picture.Kind, service, part string) {
	t.Helper()
	tooltest.Eventually(t, fmt.Sprintf("%s of %q with %q", kind, service, part), func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.ContainsFunc(f.events, func(e picture.Event) bool {
			return e.Kind == kind && e.Service == service && strings.Contains(e.Text, part) && time.Since(e.Time) < time.Minute
		}) {
			return fmt.Errorf("told are %+v", f.events)
		}
		return nil
	})
}

// TestEvents: whoever follows hears of changes, of what is said, decided and reloaded, each
// once; whoever asks about one service hears nothing of others; and whoever comes later may
// begin with what was.
func TestEvents(t *testing.T) {
	h := newHouse(t)
	h.run()
	h.seesServices()
	all, other := h.follows(""), h.follows("?service=shop_other")
	began := time.Now()
	svc := web()
	id := h.swarm.Create(svc)
	all.hears(t, picture.Created, "shop_web", "created")
	svc.Labels["com.df.users"] = "me:geheim"
	h.swarm.Relabel("shop_web", svc.Labels)
	all.hears(t, picture.Changed, "shop_web", "com.df.users")

	said := h.consume.Statuses("p1", func() {})
	bustest.Run(t, said.Run)
	say := func(revision uint64) {
		t.Helper()
		tooltest.Eventually(t, "the proxy says what it did", func() error {
			return said.Publish(t.Context(), []catalog.Status{{ServiceID: id, Service: "shop_web", State: catalog.StateRejected, Reason: "no port", Revision: catalog.Revision{Sequence: revision}}})
		})
	}
	say(1)
	all.hears(t, picture.StatusNow, "shop_web", "proxy: rejected: no port")
	say(2) // the same, of another revision, is no news
	publish := func(stream, tokens, value string) {
		t.Helper()
		tooltest.Eventually(t, "a message for "+stream, func() error { return h.consume.Publish(t.Context(), stream, tokens, []byte(value)) })
	}
	publish(bus.EventsStream, "proxy.p1.reload", `{"kind":"reload","instance":"p1","text":"a certificate","services":["shop_web"]}`)
	all.hears(t, picture.Reloaded, "", "p1: a certificate (shop_web)")
	h.swarm.Remove("shop_web")
	all.hears(t, picture.Removed, "shop_web", "removed")

	times := 0
	all.mu.Lock()
	for _, e := range all.events {
		if e.Kind == picture.StatusNow && e.Component == "proxy" {
			times++
		}
		if strings.Contains(e.Text, "geheim") {
			t.Errorf("it tells a secret: %+v", e)
		}
	}
	all.mu.Unlock()
	if times != 1 {
		t.Errorf("the proxy's word was told %d times", times)
	}
	other.mu.Lock()
	if len(other.events) > 0 {
		t.Errorf("of another service was told %+v", other.events)
	}
	other.mu.Unlock()
	late := h.follows("?service=shop_web&since=" + began.UTC().Format(time.RFC3339Nano))
	late.hears(t, picture.Created, "shop_web", "created")
	late.hears(t, picture.Reloaded, "", "a certificate")

	var answer struct{ Events []picture.Event }
	if status := h.get("/v1/events?service=shop_web&limit=2", &answer); status != http.StatusOK || len(answer.Events) != 2 || answer.Events[0].Kind != picture.Removed {
		t.Errorf("status %d: %+v", status, answer)
	}
	for _, query := range []string{"?limit=0", "?since=yesterday"} {
		if status := h.get("/v1/events"+query, nil); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, status)
		}
	}
}
