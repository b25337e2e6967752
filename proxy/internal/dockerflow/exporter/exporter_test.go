package exporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// scrape returns what a registry with the collector alone tells.
func scrape(t *testing.T, c *Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func contains(t *testing.T, got string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(got, "\n"+line) {
			t.Errorf("no line begins with %q:\n%s", line, got)
		}
	}
}

func TestRealHAProxy(t *testing.T) {
	h := haproxytest.Start(t, haproxytest.Global+`
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend services
  bind 127.0.0.1:{port}
  use_backend gone if { path /gone }
  http-request return status 200 if { path /ok }
  http-request deny if { path /denied }
backend gone
  server 127.0.0.9 127.0.0.9:9
`)
	for path, want := range map[string]int{"/ok": 200, "/denied": 403, "/gone": 503} {
		if got, err := tooltest.Status(t.Context(), h.URL(path)); err != nil || got != want {
			t.Fatalf("%s: %d, %v", path, got, err)
		}
	}
	asked := 0
	client := runtime.New(h.Stats)
	c := New("v1", func(ctx context.Context) (string, error) {
		asked++
		return client.ShowStatCSV(ctx)
	})
	// HAProxy counts a request a moment after it is answered.
	scrapes := 0
	var got string
	tooltest.Within(t, 5*time.Second, "all requests are counted", func() error {
		got, scrapes = "\n"+scrape(t, c), scrapes+1
		for _, line := range []string{`http_requests_total{frontend="services"} 3`, `http_responses_total{code="5xx",frontend="services"} 1`, `http_responses_total{backend="gone",code="5xx"} 1`, `connections_total{frontend="services"} 3`, `current_sessions{frontend="services"} 0`} {
			if !strings.Contains(got, line+"\n") {
				return errors.New("no " + line)
			}
		}
		return nil
	})
	contains(t, got,
		"haproxy_up 1", fmt.Sprintf("haproxy_exporter_total_scrapes %d", scrapes), "haproxy_exporter_csv_parse_failures 0", `haproxy_exporter_build_info{version="v1"} 1`,
		`haproxy_frontend_http_requests_total{frontend="services"} 3`,
		`haproxy_frontend_requests_denied_total{frontend="services"} 1`,
		`haproxy_frontend_http_responses_total{code="2xx",frontend="services"} 1`,
		`haproxy_frontend_http_responses_total{code="5xx",frontend="services"} 1`,
		`haproxy_frontend_connections_total{frontend="services"} 3`,
		`haproxy_frontend_current_sessions{frontend="services"} 0`, `haproxy_frontend_limit_sessions{frontend="services"} `,
		`haproxy_frontend_bytes_in_total{frontend="services"} `, `haproxy_frontend_max_session_rate{frontend="services"} `,
		`haproxy_backend_up{backend="gone"} 1`, `haproxy_backend_current_queue{backend="gone"} 0`, `haproxy_backend_weight{backend="gone"} 1`,
		`haproxy_backend_http_responses_total{backend="gone",code="5xx"} 1`,
		`haproxy_server_up{backend="gone",server="127.0.0.9"} 1`, `haproxy_server_retry_warnings_total{backend="gone",server="127.0.0.9"} `,
		`haproxy_server_bytes_out_total{backend="gone",server="127.0.0.9"} 0`,
	)
	if asked != scrapes {
		t.Errorf("HAProxy was asked %d times for %d scrapes", asked, scrapes)
	}
}

func TestWhatIsNotUnderstood(t *testing.T) {
	heading := "# pxname,svname,type,scur,status\n"
	for _, c := range []struct {
		name, text string
		err        error
		want       []string
	}{
		{"HAProxy away", "", errors.New("gone"), []string{"haproxy_up 0", "haproxy_exporter_csv_parse_failures 0"}},
		{"nothing", "", nil, []string{"haproxy_up 1", "haproxy_exporter_csv_parse_failures 1"}},
		{"no table", "a\"b", nil, []string{"haproxy_exporter_csv_parse_failures 1"}},
		{"another table", "# a,b\n1,2\n", nil, []string{"haproxy_exporter_csv_parse_failures 1"}},
		{"a wrong number harms itself alone", heading + "f,FRONTEND,0,x,OPEN\ng,FRONTEND,0,2,OPEN\n", nil,
			[]string{"haproxy_exporter_csv_parse_failures 1", `haproxy_frontend_current_sessions{frontend="g"} 2`}},
		{"states", heading + "b,s1,2,0,UP 1/3\nb,s2,2,0,no check\nb,s3,2,0,MAINT\nb,BACKEND,1,0,DOWN\n", nil, []string{
			`haproxy_server_up{backend="b",server="s1"} 1`, `haproxy_server_up{backend="b",server="s2"} 1`,
			`haproxy_server_up{backend="b",server="s3"} 0`, `haproxy_backend_up{backend="b"} 0`,
		}},
		{"listeners are not told", heading + "f,l,3,0,OPEN\n", nil, []string{"haproxy_exporter_csv_parse_failures 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := "\n" + scrape(t, New("v1", func(context.Context) (string, error) { return c.text, c.err }))
			contains(t, got, c.want...)
		})
	}
}
