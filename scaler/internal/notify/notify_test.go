package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/notify"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

// sink is an Alertmanager that remembers what it was told.
type sink struct {
	// mu guards the rest, which the server's goroutines write.
	mu       sync.Mutex
	refuse   int
	password string
	received []string
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, password, _ := r.BasicAuth(); password != s.password {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if s.refuse > 0 {
		s.refuse--
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	var alerts []struct {
		Labels, Annotations map[string]string
		StartsAt, EndsAt    time.Time
	}
	if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil || r.URL.Path != "/alerts/api/v2/alerts" {
		http.Error(w, "wrong", http.StatusBadRequest)
		return
	}
	for _, a := range alerts {
		s.received = append(s.received, fmt.Sprintf("%s %s %s %s (%s)", a.Labels["alertname"], a.Labels["service"], a.Labels["status"],
			a.Annotations["summary"], a.EndsAt.Sub(a.StartsAt)))
	}
}

func (s *sink) has(want ...string) func() error {
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Equal(s.received, want) {
			return fmt.Errorf("received %q, want %q", s.received, want)
		}
		return nil
	}
}

func decision(action decide.Action, direction signal.Direction, message string, change func(*decide.Decision)) decide.Decision {
	d := decide.Decision{Time: time.Now(), Service: "web", Direction: direction, Action: action, Message: message}
	if change != nil {
		change(&d)
	}
	return d
}

func bound(d *decide.Decision) { d.AtBound = true }

func dry(d *decide.Decision) { d.DryRun = true }

func ago(since time.Duration) func(*decide.Decision) {
	return func(d *decide.Decision) { d.Time = time.Now().Add(-since) }
}

// telling is a Notifier that tells a sink, of alerts that last so long.
func telling(t *testing.T, s *sink, lifetime time.Duration) *notify.Notifier {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	n, err := notify.New(notify.Options{URL: server.URL + "/alerts", Lifetime: lifetime, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsTold(t *testing.T) {
	all := []decide.Decision{
		decision(decide.Scaled, signal.Up, "scaled", nil),
		decision(decide.Held, signal.Up, "held", nil),
		decision(decide.Refused, signal.Up, "at the maximum", bound),
		decision(decide.Refused, signal.Down, "at the minimum", bound),
		decision(decide.Refused, signal.Up, "refused", nil),
		decision(decide.Scaled, signal.Down, "tried", dry),
	}
	for name, c := range map[string]struct {
		atMin, atMax bool
		want         []string
	}{
		"as it comes":   {false, true, []string{"success scaled (1m0s)", "success at the maximum (1m0s)", "error refused (1m0s)", "success tried (dry run) (1m0s)"}},
		"both bounds":   {true, true, []string{"success scaled (1m0s)", "success at the maximum (1m0s)", "success at the minimum (1m0s)", "error refused (1m0s)", "success tried (dry run) (1m0s)"}},
		"neither bound": {false, false, []string{"success scaled (1m0s)", "error refused (1m0s)", "success tried (dry run) (1m0s)"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sink{}
			server := httptest.NewServer(s)
			defer server.Close()
			n, err := notify.New(notify.Options{
				URL: server.URL + "/alerts/", Lifetime: time.Minute, AtMin: c.atMin, AtMax: c.atMax, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range all {
				n.Tell(d)
			}
			bustest.Run(t, n.Run)
			want := make([]string, len(c.want))
			for i, w := range c.want {
				want[i] = "scale_service web " + w
			}
			tooltest.Eventually(t, "Alertmanager is told", s.has(want...))
		})
	}
}

func TestItIsTriedAgain(t *testing.T) {
	s := &sink{refuse: 1, password: "secret of Alertmanager"}
	server := httptest.NewServer(s)
	defer server.Close()
	n, err := notify.New(notify.Options{URL: server.URL + "/alerts", Password: "secret of Alertmanager", Lifetime: time.Minute, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.Tell(decision(decide.Scaled, signal.Up, "scaled", nil))
	bustest.Run(t, n.Run)
	tooltest.Eventually(t, "Alertmanager is told", s.has("scale_service web success scaled (1m0s)"))
}

func TestTellingNeverBlocks(t *testing.T) {
	reg := prometheus.NewRegistry()
	n, err := notify.New(notify.Options{URL: "http://127.0.0.1:1", Lifetime: time.Minute, Log: slog.New(slog.DiscardHandler), Registry: reg})
	if err != nil {
		t.Fatal(err)
	}
	for range 103 { // nobody takes them from the queue, which holds 100
		n.Tell(decision(decide.Scaled, signal.Up, "scaled", nil))
	}
	want := `
# HELP waggle_scaler_notifications_total Decisions told to Alertmanager by result (sent, failed, dropped).
# TYPE waggle_scaler_notifications_total counter
waggle_scaler_notifications_total{result="dropped"} 3
waggle_scaler_notifications_total{result="failed"} 0
waggle_scaler_notifications_total{result="sent"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Errorf("Run = %v after the end", err)
	}
}

// TestWhoStartsTellsWhatMayNotHaveBeenTold: a scaler that is ended just after a step has had no time
// to. Alerts that have ended would reach nobody.
func TestWhoStartsTellsWhatMayNotHaveBeenTold(t *testing.T) {
	s := &sink{}
	n := telling(t, s, time.Minute)
	bustest.Run(t, n.Run)
	reads := 0
	err := n.CatchUp(t.Context(), func(context.Context) ([]decide.Decision, error) {
		if reads++; reads == 1 {
			return nil, errors.New("the bus is away")
		}
		return []decide.Decision{
			decision(decide.Scaled, signal.Up, "third", ago(time.Second)), decision(decide.Held, signal.Up, "held", ago(time.Second)),
			decision(decide.Scaled, signal.Up, "second", ago(10*time.Second)), decision(decide.Scaled, signal.Up, "first", ago(2*time.Minute)),
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "what is recent is told, in its order", s.has("scale_service web success second (1m0s)", "scale_service web success third (1m0s)"))
}

// TestWhatIsNewGoesFirst: with an Alertmanager that hangs, what is told once more would keep what is
// decided now waiting for minutes; and what has ended by the time of its turn reaches nobody.
func TestWhatIsNewGoesFirst(t *testing.T) {
	s := &sink{}
	n := telling(t, s, time.Minute)
	err := n.CatchUp(t.Context(), func(context.Context) ([]decide.Decision, error) {
		return []decide.Decision{decision(decide.Scaled, signal.Up, "later", ago(time.Second)), decision(decide.Scaled, signal.Up, "before", ago(2*time.Second))}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Tell(decision(decide.Scaled, signal.Up, "now", ago(0)))
	bustest.Run(t, n.Run)
	tooltest.Eventually(t, "what is new is told first", s.has("scale_service web success now (1m0s)", "scale_service web success before (1m0s)", "scale_service web success later (1m0s)"))
}

// TestAlertsThatLastLong: who is given a longer time for alerts does not raise those again that have
// ended by the time that they had.
func TestAlertsThatLastLong(t *testing.T) {
	s := &sink{}
	n := telling(t, s, 24*time.Hour)
	bustest.Run(t, n.Run)
	err := n.CatchUp(t.Context(), func(context.Context) ([]decide.Decision, error) {
		return []decide.Decision{decision(decide.Scaled, signal.Up, "just now", ago(30*time.Second)), decision(decide.Scaled, signal.Up, "hours ago", ago(2*time.Hour))}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tooltest.Eventually(t, "what was decided just before is told", s.has("scale_service web success just now (24h0m0s)"))
}
