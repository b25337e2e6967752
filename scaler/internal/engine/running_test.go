package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// TestFromAlertToRunningTasks: the alert began 7 s ago, and the tasks of its first step run
// 20 s later. The step that follows is not one of an alert that has just begun.
func TestFromAlertToRunningTasks(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newScene(t, func(s *swarmtest.Swarm) { s.Create("web", 2, "scaleMax=9") })
	i := s.start("a", func(o *engine.Options) { o.Registry = reg })
	i.rests()
	_, err := i.Take(t.Context(), signal.News{
		ServiceID: swarmtest.ID("web"), Service: "web", Direction: signal.Up,
		Firing: []signal.Alert{{Fingerprint: "f", StartsAt: s.clock().Add(-7 * time.Second)}},
	}, s.clock())
	if err != nil {
		t.Fatal(err)
	}
	i.hears("web", signal.Up, true)
	i.pass()
	s.swarm.Set("web", func(svc *engine.Scale) { svc.Running = 2 })
	i.pass()
	s.after(20 * time.Second)
	s.swarm.Set("web", func(svc *engine.Scale) { svc.Running = 3 })
	i.pass()
	s.after(time.Minute)
	i.rests()
	i.rests()
	s.wantChanges("web", 3, 4)
	const want = `
# HELP waggle_scaler_alert_to_running_seconds Time from the start of an alert that asks for up, as Alertmanager says, until all tasks of its first step run.
# TYPE waggle_scaler_alert_to_running_seconds histogram
waggle_scaler_alert_to_running_seconds_bucket{le="1"} 0
waggle_scaler_alert_to_running_seconds_bucket{le="2.5"} 0
waggle_scaler_alert_to_running_seconds_bucket{le="5"} 0
waggle_scaler_alert_to_running_seconds_bucket{le="10"} 0
waggle_scaler_alert_to_running_seconds_bucket{le="20"} 0
waggle_scaler_alert_to_running_seconds_bucket{le="40"} 1
waggle_scaler_alert_to_running_seconds_bucket{le="60"} 1
waggle_scaler_alert_to_running_seconds_bucket{le="120"} 1
waggle_scaler_alert_to_running_seconds_bucket{le="300"} 1
waggle_scaler_alert_to_running_seconds_bucket{le="600"} 1
waggle_scaler_alert_to_running_seconds_bucket{le="+Inf"} 1
waggle_scaler_alert_to_running_seconds_sum 27
waggle_scaler_alert_to_running_seconds_count 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "waggle_scaler_alert_to_running_seconds"); err != nil {
		t.Error(err)
	}
}
