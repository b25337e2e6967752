package monitor_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestReplicasAreCountedByWhatTheListenerTells: it is scraped without anybody's asking for it,
// and what it says of services keeps their names.
func TestReplicasAreCountedByWhatTheListenerTells(t *testing.T) {
	t.Parallel()
	const address = "127.0.83.1" // of its admin port, whose number is Waggle's own
	var running atomic.Int64
	running.Store(2)
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", address+":8080")
	tooltest.Must(t, err)
	listener := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, "# TYPE swarm_service_tasks gauge\n"+
			fmt.Sprintf("swarm_service_tasks{service=\"shop_web\",state=\"running\"} %d\n", running.Load()))
	})}
	go func() { _ = listener.Serve(ln) }() // its end is that of the test
	t.Cleanup(func() { _ = listener.Close() })

	s := newStage(t)
	s.config.OwnStack, s.config.ControlNetwork = "waggle", "waggle_control"
	s.swarm.Services["l"] = catalog.Service{ID: "l", Name: "waggle_listener", Stack: "waggle", Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle_control"}}
	s.swarm.Tasks["l"] = []catalog.Task{{ID: "l1", State: "running", Desired: "running", Addresses: map[string][]string{"waggle_control": {address}}}}
	s.service("shop_web", "127.0.0.1", "alertName=less", "alertIf=@replicas_less_than")
	web := s.swarm.Services["idshop_web"]
	web.Replicas = 2
	s.swarm.Services["idshop_web"] = web
	s.start()
	s.publish()
	s.status("shop_web", catalog.StateApplied)

	// result waits until an expression has a result, or none.
	result := func(expr string, want bool) {
		t.Helper()
		tooltest.Within(t, time.Minute, fmt.Sprintf("%s is %v", expr, want), func() error {
			var got struct{ Data struct{ Result []any } }
			at := s.config.PrometheusURL + "/api/v1/query?query=" + url.QueryEscape(expr)
			if err := s.get(at, &got); err != nil {
				return err
			}
			if (len(got.Data.Result) > 0) != want {
				return fmt.Errorf("got %v", got.Data.Result)
			}
			return nil
		})
	}
	const fires = `ALERTS{alertname="shop_web_less",alertstate="firing"}`
	result(`swarm_service_tasks{job="waggle_listener",service="shop_web"}`, true)
	result(fires, false)
	running.Store(1)
	result(fires, true)
	running.Store(2)
	result(fires, false)
}
