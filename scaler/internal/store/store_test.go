package store_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bustest"
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
