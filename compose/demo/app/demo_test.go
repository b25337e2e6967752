package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// ask sends a request to a handler in the same process.
func ask(ctx context.Context, h http.Handler, path string) string {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
	return w.Body.String()
}

// get returns the body of an answer, or the text of what went wrong.
func get(t *testing.T, url string) (text string) {
	if err := tooltest.Get(t.Context(), tooltest.Request{URL: url}, &text); err != nil {
		return err.Error()
	}
	return text
}

func TestAReplicaServesAFixedNumberAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at, most atomic.Int64
		h := newHandler("r1", 2, func(context.Context) {
			most.Store(max(most.Load(), at.Add(1)))
			time.Sleep(50 * time.Millisecond)
			at.Add(-1)
		}, prometheus.NewRegistry())
		began := time.Now()
		for range 6 {
			go ask(t.Context(), h, "/demo")
		}
		synctest.Wait()
		if got := ask(t.Context(), h, "/healthz"); got != "healthy\n" {
			t.Errorf("healthz waits, too, or says %q", got)
		}
		if got := ask(t.Context(), h, "/metrics"); !strings.Contains(got, "demo_requests_waiting 4") {
			t.Error("the metrics do not show 4 that wait")
		}
		last := ask(t.Context(), h, "/demo")
		if want := "hello from r1 at /demo, after waiting 150 ms\n"; last != want {
			t.Errorf("got %q, want %q", last, want)
		}
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Errorf("seven requests took %v, want four times 50 ms", took)
		}
		if most.Load() != 2 {
			t.Errorf("%d were served at a time", most.Load())
		}
		metrics := ask(t.Context(), h, "/metrics")
		for _, line := range []string{
			`http_server_resp_time_bucket{code="200",method="GET",path="/demo",le="0.05"} 2`,
			`http_server_resp_time_bucket{code="200",method="GET",path="/demo",le="0.1"} 4`,
			`http_server_resp_time_bucket{code="200",method="GET",path="/demo",le="0.25"} 7`,
			`http_server_resp_time_bucket{code="200",method="GET",path="/demo",le="0.5"} 7`,
			`http_server_resp_time_count{code="200",method="GET",path="/demo"} 7`,
		} {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics lack %s", line)
			}
		}
	})
}

func TestAClientThatGoesAwayGivesItsPlaceUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler("r1", 1, func(ctx context.Context) { <-ctx.Done() }, prometheus.NewRegistry())
		one, cancelOne := context.WithCancel(t.Context())
		two, cancelTwo := context.WithCancel(t.Context())
		go ask(one, h, "/")
		synctest.Wait()
		go ask(two, h, "/")
		synctest.Wait()
		cancelTwo()
		synctest.Wait()
		if metrics := ask(t.Context(), h, "/metrics"); !strings.Contains(metrics, "demo_requests_waiting 0") ||
			!strings.Contains(metrics, `http_server_resp_time_count{code="499",method="GET",path="/"} 1`) {
			t.Error("the one that went away still waits")
		}
		cancelOne()
		synctest.Wait()
	})
}

func TestPathsAreBounded(t *testing.T) {
	h := newHandler("r1", 1, func(context.Context) {}, prometheus.NewRegistry())
	for i := range 100 {
		ask(t.Context(), h, fmt.Sprintf("/p%d", i))
	}
	metrics := ask(t.Context(), h, "/metrics")
	if n := len(regexp.MustCompile(`(?m)^http_server_resp_time_count\{`).FindAllString(metrics, -1)); n != maxPaths+1 {
		t.Errorf("%d time series, want %d", n, maxPaths+1)
	}
	if !strings.Contains(metrics, `path="other"} 80`) {
		t.Error("the rest is not counted as other")
	}
}

func TestTheProcessFinishesRequestsWhenItIsTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	addr := make(chan net.Addr, 1)
	ended := make(chan int, 1)
	var stdout, stderr bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"-addr", "127.0.0.1:0", "-service-time", "300ms"}, &stdout, &stderr, func(a net.Addr) { addr <- a })
	}()
	url := "http://" + (<-addr).String()
	answer := make(chan string, 1)
	go func() { answer <- get(t, url+"/x") }()
	tooltest.Eventually(t, "the request is served", func() error {
		if metrics := get(t, url+"/metrics"); !strings.Contains(metrics, "demo_requests_served 1") {
			return errors.New(metrics)
		}
		return nil
	})
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("ended with %d: %s", code, stderr.String())
	}
	if got := <-answer; !strings.HasPrefix(got, "hello from ") {
		t.Errorf("the request under way got %q", got)
	}
	if err := checkHealth(t.Context(), strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("the health check passes without a process")
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range [][]string{{"-concurrency", "0"}, {"-service-time", "-1s"}, {"-nope"}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, io.Discard, &stderr, nil); code != 2 || stderr.Len() == 0 {
			t.Errorf("%v ends with %d and says %q", args, code, stderr.String())
		}
	}
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"-healthcheck", "-addr", "127.0.0.1:1"}, io.Discard, &stderr, nil); code != 1 {
		t.Errorf("a health check without a process ends with %d", code)
	}
}

func TestWhatArrivesIsReportedBeforeItIsServed(t *testing.T) {
	var told bytes.Buffer
	h := reporting(&told, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if told.String() != "a-1" {
			t.Errorf("when it is served, %q has been told", told.String())
		}
	}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("X-Request-Id", "a-1")
	h.ServeHTTP(httptest.NewRecorder(), r)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if told.String() != "a-1" {
		t.Errorf("told %q, want one request", told.String())
	}
}
