package store_test

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/bustest"
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
