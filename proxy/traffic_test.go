package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// metrics is what the proxy offers to Prometheus.
func (h *house) metrics() (string, error) {
	res, err := http.Get("http://" + h.admin + "/metrics") //nolint:noctx // bounded by Within.
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// counts waits until each of the lines is among the metrics.
func (h *house) counts(lines ...string) {
	h.t.Helper()
	tooltest.Within(h.t, 30*time.Second, strings.Join(lines, ", "), func() error {
		text, err := h.metrics()
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line+"\n") {
				return fmt.Errorf("no %s", line)
			}
		}
		return nil
	})
}

// TestRequestsAreCountedAndMeasuredByService: from a request to a metric, also over a reload.
func TestRequestsAreCountedAndMeasuredByService(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.dns.set("shop", "127.0.0.2")
	h.run()
	h.deploy("shop", "/shop")
	h.deploy("gone", "/gone")
	h.counts(`waggle_proxy_service_responses_total{code="2xx",service="shop"} 0`, `waggle_proxy_service_responses_total{code="5xx",service="gone"} 0`)
	h.says("shop", `"applied"`)
	for range 5 {
		if got, err := h.get("/shop/x"); got != "127.0.0.2" {
			t.Fatal(got, err)
		}
		if got, err := h.get("/gone"); got != "503" {
			t.Fatal(got, err)
		}
	}
	h.counts(`waggle_proxy_service_responses_total{code="2xx",service="shop"} 5`, `waggle_proxy_service_responses_total{code="5xx",service="gone"} 5`,
		`waggle_proxy_service_latency_seconds_count{service="shop"} 5`, `waggle_proxy_service_servers{service="shop"} 1`, `waggle_proxy_responses_total{code="2xx"} 5`)
	h.deploy("shop", "/shop", "addReqHeader", "X-New yes") // a backend that does what none did
	h.says("shop", `"applied"`)
	tooltest.Within(t, 10*time.Second, "HAProxy has reloaded", func() error {
		text, err := h.metrics()
		if err == nil && !strings.Contains(text, `waggle_proxy_reloads_total{reason="backend"} 1`) {
			return fmt.Errorf("not yet")
		}
		return err
	})
	if got, err := h.get("/shop/x"); got != "127.0.0.2" {
		t.Fatal(got, err)
	}
	h.counts(`waggle_proxy_service_responses_total{code="2xx",service="shop"} 6`, `waggle_proxy_service_latency_seconds_count{service="shop"} 6`)
	h.remove("gone")
	tooltest.Within(t, 30*time.Second, "what is gone has no series", func() error {
		text, err := h.metrics()
		if err == nil && strings.Contains(text, `service="gone"`) {
			return fmt.Errorf("it has")
		}
		return err
	})
}
