package store_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/scaling"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/store"
)

// TestALateFiringDoesNotReviveAnEndedAlert: of two Alertmanagers one may be behind.
func TestALateFiringDoesNotReviveAnEndedAlert(t *testing.T) {
	server := bustest.Start(t)
	server.Prepared()
	s := store.New(server.Connect("scaler"), 2*time.Minute, func() {})
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	take := func(now time.Time, n signal.News) bool {
		t.Helper()
		n.ServiceID, n.Service, n.Direction = "id", "web", signal.Up
		got, err := s.Take(t.Context(), n, now)
		if err != nil {
			t.Fatal(err)
		}
		return got.Stands()
	}
	alert := signal.Alert{Fingerprint: "f", StartsAt: noon}
	take(noon, signal.News{Firing: []signal.Alert{alert}})
	take(noon.Add(time.Second), signal.News{Resolved: []signal.Alert{alert}})
	if take(noon.Add(5*time.Second), signal.News{Firing: []signal.Alert{alert}}) {
		t.Error("the alert has ended, and stands again")
	}
	alert.StartsAt = noon.Add(10 * time.Second)
	if !take(noon.Add(20*time.Second), signal.News{Firing: []signal.Alert{alert}}) {
		t.Error("the alert has begun anew, and does not stand")
	}
}

// TestADeliveryThatSaysTheSamePokesNobody: with two hundred alerts that stand there are
// three of these a second.
func TestADeliveryThatSaysTheSamePokesNobody(t *testing.T) {
	server := bustest.Start(t)
	server.Prepared()
	var pokes atomic.Int64
	s := store.New(server.Connect("scaler"), time.Hour, func() { pokes.Add(1) })
	bustest.Run(t, s.Run)
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	heard := func(now time.Time, by uint64) {
		t.Helper()
		if _, err := s.Take(t.Context(), signal.News{
			ServiceID: "id", Service: "web", Direction: signal.Up, Firing: []signal.Alert{{Fingerprint: "f", StartsAt: noon, By: by}},
		}, now); err != nil {
			t.Fatal(err)
		}
		tooltest.Eventually(t, "the delivery has come back", func() error {
			if asked, _ := s.Asked(now); len(asked.Signals) != 1 || !asked.Signals[0].ReceivedAt.Equal(now) {
				return fmt.Errorf("%+v", asked.Signals)
			}
			return nil
		})
	}
	heard(noon, 1)
	before := pokes.Load()
	for n := range 10 {
		heard(noon.Add(time.Duration(n+1)*time.Minute), 1)
	}
	if n := pokes.Load() - before; n != 0 {
		t.Errorf("%d pokes by ten deliveries that say the same", n)
	}
	heard(noon.Add(20*time.Minute), 2)
	tooltest.Eventually(t, "another step is news", func() error {
		if pokes.Load() == before {
			return errors.New("no poke")
		}
		return nil
	})
}

// TestWhatStandsAgainIsNews: an alert that nobody renewed has ended for whoever decides, also
// while the bus still keeps it, and so has what a proxy said that fell silent. The next word,
// though it is the same one, is decided about at once.
func TestWhatStandsAgainIsNews(t *testing.T) {
	server := bustest.Start(t)
	server.Prepared()
	var pokes atomic.Int64
	const ttl = 10 * time.Minute
	s := store.New(server.Connect("scaler"), ttl, func() { pokes.Add(1) })
	bustest.Run(t, s.Run)
	proxy := server.Connect("proxy").Bucket(bus.WakesBucket)
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var alerts, words uint64
	hears := func() {
		t.Helper()
		tooltest.Eventually(t, "what was said is heard", func() error {
			if !s.Reached(alerts, words) {
				return errors.New("not yet")
			}
			return nil
		})
	}
	alert := func(now time.Time) error {
		_, err := s.Take(t.Context(), signal.News{
			ServiceID: "id", Service: "web", Direction: signal.Up, Firing: []signal.Alert{{Fingerprint: "f", StartsAt: noon}},
		}, now)
		return err
	}
	open := func(now time.Time) error {
		value, err := catalog.Encode(scaling.Open{Proxy: "p", At: now, Connections: map[string]int{"id": 1}})
		tooltest.Must(t, err)
		_, err = proxy.Put(t.Context(), scaling.OpenPrefix+"p", value)
		return err
	}
	hears()
	for _, c := range []struct {
		name    string
		says    func(time.Time) error
		written *uint64
		lasts   time.Duration
	}{
		{"an alert", alert, &alerts, ttl},
		{"a proxy", open, &words, scaling.OpenStands},
	} {
		now := noon
		for _, word := range []struct {
			after time.Duration
			pokes int64
		}{{0, 1}, {c.lasts - time.Second, 0}, {c.lasts, 1}, {time.Second, 0}} {
			before := pokes.Load()
			now = now.Add(word.after)
			tooltest.Must(t, c.says(now))
			*c.written++
			hears()
			if n := pokes.Load() - before; n != word.pokes {
				t.Errorf("%s says the same after %s: %d pokes, want %d", c.name, word.after, n, word.pokes)
			}
		}
	}
}
