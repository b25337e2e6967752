package silent_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/silent"
)

// hosts answer or do not, and note whose connections were ended and when.
type hosts struct {
	mu    sync.Mutex // the watch asks while the story goes on
	mute  map[string]bool
	ended []string
	noted map[string]bool
	began time.Time
}

func (h *hosts) answers(ctx context.Context, addr netip.AddrPort) bool {
	h.mu.Lock()
	mute := h.mute[addr.Addr().String()]
	h.mu.Unlock()
	if mute {
		<-ctx.Done()
	}
	return !mute
}

// end notes, each once, whose connections were ended.
func (h *hosts) end(what string) func(context.Context, silent.Server) error {
	return func(_ context.Context, s silent.Server) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if key := what + s.Backend + "/" + s.Name; !h.noted[key] {
			h.noted[key] = true
			h.ended = append(h.ended, key+" after "+time.Since(h.began).String())
		}
		return nil
	}
}

func (h *hosts) options() silent.Options {
	return silent.Options{Answers: h.answers, Unrepeatable: h.end(""), All: h.end("all of "), Log: slog.New(slog.DiscardHandler)}
}

func (h *hosts) silence(addr string, mute bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mute[addr] = mute
}

func (h *hosts) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.ended
	h.ended = nil
	slices.Sort(out)
	return out
}

// watched runs a story with a watch.
func watched(t *testing.T, story func(h *hosts, w *silent.Watch)) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{mute: map[string]bool{}, noted: map[string]bool{}, began: time.Now()}
		w := silent.New(h.options())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = w.Run(ctx) }()
		synctest.Wait()
		story(h, w)
	})
}

func server(backend, addr string) silent.Server {
	return silent.Server{Backend: backend, Name: addr, Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 80)}
}

func TestConnectionsToASilentHostEndWithinASecond(t *testing.T) {
	watched(t, func(h *hosts, w *silent.Watch) {
		h.silence("10.0.0.1", true)
		w.Left([]silent.Server{server("a", "10.0.0.1"), server("b", "10.0.0.1"), server("a", "10.0.0.2")})
		<-time.After(time.Second)
		want := []string{"a/10.0.0.1 after 600ms", "b/10.0.0.1 after 600ms"}
		if got := h.said(); !slices.Equal(got, want) {
			t.Errorf("ended %v, want %v", got, want)
		}
	})
}

func TestWhatCanBeSentAgainHasTheTimeForIt(t *testing.T) {
	watched(t, func(h *hosts, w *silent.Watch) {
		h.silence("10.0.0.1", true)
		w.Left([]silent.Server{server("a", "10.0.0.1")})
		<-time.After(10 * time.Second)
		want := []string{"a/10.0.0.1 after 600ms", "all of a/10.0.0.1 after 7.6s"}
		if got := h.said(); !slices.Equal(got, want) {
			t.Errorf("ended %v, want %v", got, want)
		}
	})
}

func TestATaskThatFinishesItsRequestsIsLeftAlone(t *testing.T) {
	watched(t, func(h *hosts, w *silent.Watch) {
		w.Left([]silent.Server{server("a", "10.0.0.1")})
		// Not at a moment at which the host is asked, which would be before or after.
		<-time.After(time.Minute + 50*time.Millisecond)
		if got := h.said(); len(got) > 0 {
			t.Errorf("ended %v, whose host answers", got)
		}
		h.silence("10.0.0.1", true)
		<-time.After(400 * time.Millisecond)
		h.silence("10.0.0.1", false) // a moment without answers is not its end
		<-time.After(time.Minute)
		if got := h.said(); len(got) > 0 {
			t.Errorf("ended %v after a short silence", got)
		}
		h.silence("10.0.0.1", true)
		<-time.After(2 * time.Second)
		if got := h.said(); len(got) == 0 {
			t.Error("not ended, though its host fell silent while it finished")
		}
	})
}

func TestNobodyIsAskedWhoHasGone(t *testing.T) {
	watched(t, func(h *hosts, w *silent.Watch) {
		h.silence("10.0.0.1", true)
		w.Left([]silent.Server{server("a", "10.0.0.1")})
		<-time.After(300 * time.Millisecond)
		w.Left(nil)
		<-time.After(time.Minute)
		if got := h.said(); len(got) > 0 {
			t.Errorf("ended %v, which were not there any more", got)
		}
	})
}

func TestEndsAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{mute: map[string]bool{"10.0.0.1": true}, noted: map[string]bool{}, began: time.Now()}
		reg := prometheus.NewRegistry()
		o := h.options()
		o.Registry = reg
		w := silent.New(o)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = w.Run(ctx) }()
		w.Left([]silent.Server{server("a", "10.0.0.1")})
		<-time.After(10 * time.Second)
		families, err := reg.Gather()
		if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("counted %v, %v; want 1", families, err)
		}
	})
}

func TestARefusalIsAnAnswer(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	there := ln.Addr().(*net.TCPAddr).AddrPort()
	if !silent.Answers(t.Context(), there) {
		t.Error("who listens does not answer")
	}
	_ = ln.Close()
	if !silent.Answers(t.Context(), there) {
		t.Error("a refusal is no answer")
	}
}
