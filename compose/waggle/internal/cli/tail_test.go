package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/waggle/internal/cli"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/picture"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// begin runs a command line that does not end by itself; stop interrupts it and returns its exit code.
func begin(t *testing.T, address string, args ...string) (out, errs *tooltest.Log, stop func() int) {
	t.Helper()
	out, errs = &tooltest.Log{}, &tooltest.Log{}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- cli.Main(ctx, args, cli.World{Env: map[string]string{"WAGGLE_URL": address}, Out: out, Err: errs})
	}()
	t.Cleanup(cancel)
	return out, errs, func() int {
		cancel()
		return <-code
	}
}

func eventually(t *testing.T, what string, p *tooltest.Log, part string) {
	t.Helper()
	tooltest.Eventually(t, what, func() error {
		if !strings.Contains(p.String(), part) {
			return fmt.Errorf("it wrote %q", p)
		}
		return nil
	})
}

// TestTail: each event is a line; a listener that goes away is waited for, and asked for what
// happened meanwhile.
func TestTail(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Minute).Add(5678 * time.Millisecond)
	firstAt := at
	queries := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries <- r.URL.RawQuery
		e, err := json.Marshal(picture.OfStatus(at, catalog.Status{Component: "proxy", Service: "shop_web", State: catalog.StateRejected, Reason: "no port"}))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, ": ready\n\nevent: status\ndata: %s\n\n", e)
		at = at.Add(time.Second)
	}))
	t.Cleanup(server.Close)
	out, errs, stop := begin(t, server.URL, "tail", "-service", "shop_web", "-since", "1h")
	eventually(t, "a line", out, "05.678  status    shop_web                  proxy: rejected: no port\n")
	eventually(t, "it says that the listener has gone", errs, "waiting for it")
	eventually(t, "another line", out, "06.678  status")
	if code := stop(); code != cli.Fine {
		t.Errorf("exit code %d", code)
	}
	if first, second := <-queries, <-queries; !strings.HasPrefix(first, "service=shop_web&since=") || second != "service=shop_web&since="+url.QueryEscape(firstAt.Format(time.RFC3339Nano)) {
		t.Errorf("asked for %q and %q", first, second)
	}
	asJSON, _, stop := begin(t, server.URL, "tail", "-o", "json")
	eventually(t, "a line of JSON", asJSON, `"kind":"status","service":"shop_web"`)
	stop()
}

// TestTailOfNobody: who is not there, or answers otherwise, is told at once.
func TestTailOfNobody(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if code, _, errs := waggle(t, nil, "tail", "-url", "http://"+l.Addr().String()); code != cli.NoAnswer || !strings.Contains(errs, "listener") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestStatusIsWatched: it is told again when something has changed, and not otherwise.
func TestStatusIsWatched(t *testing.T) {
	var mu sync.Mutex // requests come at once
	state := catalog.StateApplied
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		p := picture.Picture{Bus: picture.Connected, Services: []catalog.Service{{ID: "1", Name: "shop_web", Labels: map[string]string{catalog.Notify: "true", "com.df.servicePath": "/"}}}}
		p.Statuses = []picture.Status{{Status: catalog.Status{Component: "proxy", ServiceID: "1", Service: "shop_web", State: state}}}
		if err := json.NewEncoder(w).Encode(p); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	out, _, stop := begin(t, server.URL, "status", "-w")
	eventually(t, "the first answer", out, "applied   shop_web")
	tooltest.Eventually(t, "it asks again", func() error {
		mu.Lock()
		defer mu.Unlock()
		if asked < 2 {
			return fmt.Errorf("asked %d times", asked)
		}
		state = catalog.StateRejected
		return nil
	})
	eventually(t, "the second answer", out, "rejected  shop_web")
	if code := stop(); code != cli.Fine || strings.Count(out.String(), "shop_web") != 2 {
		t.Errorf("%d: %s", code, out)
	}
}
