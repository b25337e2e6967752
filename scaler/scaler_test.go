package scaler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/docker"
	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/engine"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

const token = "token-of-the-tests-of-the-scaler"

var errDown = errors.New("docker: down")

// cluster is a bus, a swarm in memory and a listener; scalers are started on it.
type cluster struct {
	t     *testing.T
	bus   *bustest.Server
	swarm *swarmtest.Swarm
	list  *swarmtest.Listener
}

func newCluster(t *testing.T, services func(*swarmtest.Swarm)) *cluster {
	t.Helper()
	// With keys the scaler has its permissions on the bus and no more.
	keys := map[string]string{"listener": "secret-of-the-listener", "scaler": "secret-of-the-scaler"}
	c := &cluster{t: t, bus: bustest.StartWithKeys(t, keys), swarm: swarmtest.New()}
	services(c.swarm)
	c.list = c.swarm.Listen(t, c.bus.Prepared())
	c.list.Follow(c.swarm)
	return c
}

// defaults is the Config that an operator has who sets nothing.
func defaults(t *testing.T) Config {
	t.Helper()
	var c Config
	fs := flag.NewFlagSet("scaler", flag.ContinueOnError)
	declare(fs, &c)
	if err := fs.Parse(nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// freePort returns the address of a port that nobody listens at.
// client is one running scaler, seen through HTTP.
type client struct {
	t    *testing.T
	url  string
	stop func()
}

// start starts a scaler on the swarm in memory and waits until it is healthy.
func (c *cluster) start(change ...func(*Config)) *client {
	c.t.Helper()
	return c.startWith(func(ctx context.Context, config Config, sh app.Shell) error {
		return run(ctx, config, sh, c.swarm, Conditions{})
	}, change...)
}

func (c *cluster) startWith(run func(context.Context, Config, app.Shell) error, change ...func(*Config)) *client {
	c.t.Helper()
	config := defaults(c.t)
	config.NATSURL, config.NATSKey, config.Token, config.Instance = c.bus.URL(), "secret-of-the-scaler", token, "one"
	for _, f := range change {
		f(&config)
	}
	addr := tooltest.FreeAddress(c.t)
	sh := app.Shell{Name: "scaler", Version: "test", Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Admin: addr}
	s := &client{t: c.t, url: "http://" + addr}
	s.stop = bustest.Run(c.t, func(ctx context.Context) error { return run(ctx, config, sh) })
	tooltest.Eventually(c.t, "the scaler is healthy", func() error {
		if status, body := s.do(http.MethodGet, "/healthz", ""); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	return s
}

func (s *client) do(method, path, body string) (int, string) {
	return s.doAs(token, method, path, body)
}

func (s *client) doAs(token, method, path, body string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(data)
}

// reply is what a request for a scaling is answered with.
type reply struct {
	code            int
	Status, Message string
	Decision        *decide.Decision
}

func (s *client) scale(path, body string) reply {
	s.t.Helper()
	code, text := s.do(http.MethodPost, path, body)
	r := reply{code: code}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		s.t.Fatalf("POST %s: %d %s", path, code, text)
	}
	return r
}

// webhook is a delivery of Alertmanager with one alert.
func webhook(status, service, direction string) string {
	return fmt.Sprintf(`{"version":"4","status":%q,"groupLabels":{"service":%q,"scale":%q,"type":"service"},"alerts":[
		{"status":%[1]q,"labels":{"alertname":"slow","service":%[2]q,"scale":%[3]q,"type":"service"},"startsAt":"2026-11-21T12:00:00Z","fingerprint":"f-%[2]s-%[3]s"}]}`,
		status, service, direction)
}

func (c *cluster) eventually(service string, want ...uint64) {
	c.t.Helper()
	tooltest.Eventually(c.t, service+" is scaled", func() error {
		if got := c.swarm.Changes(service); !slices.Equal(got, want) {
			return fmt.Errorf("was set to %v, want %v", got, want)
		}
		return nil
	})
}

// decisions returns what was decided about a service, latest first.
func (s *client) decisions(service string) []decide.Decision {
	s.t.Helper()
	code, text := s.do(http.MethodGet, "/v1/decisions?service="+service, "")
	var out []decide.Decision
	if err := json.Unmarshal([]byte(text), &out); err != nil || code != http.StatusOK {
		s.t.Fatalf("decisions: %d %s", code, text)
	}
	return out
}

// decided waits until the last decision about a service is this one.
func (s *client) decided(service string, action decide.Action, message string) {
	s.t.Helper()
	tooltest.Eventually(s.t, "the decision about "+service, func() error {
		all := s.decisions(service)
		if len(all) == 0 {
			return errors.New("none yet")
		}
		if d := all[0]; d.Action != action || !strings.Contains(d.Message, message) {
			return fmt.Errorf("%s: %s", d.Action, d.Message)
		}
		return nil
	})
}

func TestRequestsByHand(t *testing.T) {
	// The acceptance cases of Docker Flow's scaler, each with a service of its own.
	const labels = "scaleMin=2 scaleMax=5 scaleUpBy=2 scaleDownBy=1"
	cases := []struct {
		name        string
		replicas    uint64
		labels      string
		path, body  string
		code        int
		message     string
		want        uint64
		change      func(*engine.Scale)
		errorStatus bool
	}{
		{name: "s01", replicas: 3, body: `{"groupLabels":{"service":"s01","scale":"up"}}`, code: 200, message: "Scaling s01 from 3 to 5 replicas (min: 2, max: 5)", want: 5},
		{name: "s02", replicas: 4, body: `{"groupLabels":{"service":"s02","scale":"up"}}`, code: 200, message: "Scaling s02 from 4 to 5 replicas", want: 5},
		{name: "s03", replicas: 5, path: "?service=s03&scale=up", code: 200, message: "s03 is already scaled to the maximum number of 5 replicas", want: 5},
		{name: "s04", replicas: 2, path: "?service=s04&scale=down", code: 200, message: "s04 is already descaled to the minimum number of 2 replicas", want: 2},
		{name: "s05", replicas: 5, path: "?service=s05&scale=down&by=2", code: 200, message: "from 5 to 3", want: 3},
		{name: "s06", replicas: 3, path: "?service=s06&scale=down", body: `{"groupLabels":{"service":"s01","scale":"up"}}`, code: 200, message: "Scaling s06 from 3 to 2", want: 2},
		{name: "s07", replicas: 1, labels: "port=80", path: "?service=s07&scale=up", code: 403, message: "s07 has neither com.df.scaleMin nor com.df.scaleMax", want: 1},
		{
			name: "s07b", replicas: 1, path: "?service=s07b&scale=up", code: 403, message: "has not opted in: com.df.notify is not true", want: 1,
			change: func(s *engine.Scale) { delete(s.Labels, catalog.Notify) },
		},
		{name: "s08a", replicas: 3, path: "?scale=up", code: 400, message: "No service name in request", want: 3},
		{name: "s08b", replicas: 3, path: "?service=s08b", code: 400, message: "No scale direction in request", want: 3},
		{name: "s08c", replicas: 3, path: "?service=s08c&scale=boo", code: 400, message: "Incorrect scale direction in request", want: 3},
		{name: "s08d", replicas: 3, body: "{", code: 400, message: "Incorrect body in request", want: 3},
		{name: "s08e", replicas: 3, path: "?service=s08e&scale=up&by=much", code: 400, message: "Incorrect by in request", want: 3},
		{name: "s09", replicas: 3, path: "?service=nobody&scale=up", code: 404, message: "nobody is not a service of this swarm", want: 3},
		{
			name: "s10", replicas: 3, path: "?service=s10&scale=up", code: 409, message: "s10 is a global service (can not be scaled)", want: 3,
			change: func(s *engine.Scale) { s.Mode = catalog.Global },
		},
		{name: "s16", replicas: 10, path: "?service=s16&scale=up", code: 200, message: "s16 stays at 10 replicas: 10 replicas are above the maximum of 5", want: 10},
		{name: "s16b", replicas: 1, path: "?service=s16b&scale=down", code: 200, message: "below the minimum of 2", want: 1},
		{name: "s17", replicas: 2, labels: "scaleUpBy=-1 scaleMax=5", path: "?service=s17&scale=up", code: 422, message: `com.df.scaleUpBy="-1": want a whole number from 1`, want: 2},
		{name: "s17b", replicas: 2, labels: "scaleMin=6 scaleMax=5", path: "?service=s17b&scale=up", code: 422, message: `com.df.scaleMin="6": want at most com.df.scaleMax, which is 5`, want: 2},
		{name: "s25", replicas: 2, path: "?service=s25&scale=up&type=node", code: 404, message: "Scaling of nodes is not supported", want: 2},
		{name: "byid", replicas: 2, path: "?service=id-byid&scale=up", code: 200, message: "Scaling byid from 2 to 4", want: 4},
		{
			name: "updating", replicas: 2, path: "?service=updating&scale=up", code: 200, message: "an update is in progress", want: 2,
			change: func(s *engine.Scale) { s.UpdateState = "updating" },
		},
	}
	c := newCluster(t, func(s *swarmtest.Swarm) {
		for _, c := range cases {
			text := c.labels
			if text == "" {
				text = labels
			}
			s.Create(c.name, c.replicas, text)
			if c.change != nil {
				s.Set(c.name, c.change)
			}
		}
	})
	s := c.start()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := s.scale("/v1/scale-service"+tc.path, tc.body)
			status := "NOK"
			if tc.code == 200 {
				status = "OK"
			}
			if r.code != tc.code || r.Status != status || !strings.Contains(r.Message, tc.message) {
				t.Errorf("%d %s %q, want %d %s %q", r.code, r.Status, r.Message, tc.code, status, tc.message)
			}
			if got := c.swarm.Replicas(tc.name); got != tc.want {
				t.Errorf("%d replicas, want %d", got, tc.want)
			}
		})
	}
	s.decided("nobody", decide.Refused, "nobody is not a service of this swarm")
	s.decided("bad_request", decide.Refused, "")
	s.decided("s10", decide.Refused, "s10 is a global service (can not be scaled)")
	s.decided("s01", decide.Scaled, "Scaling s01 from 3 to 5 replicas (min: 2, max: 5)")
	if r := s.scale("/v1/scale-nodes", ""); r.code != http.StatusNotFound || r.Status != "NOK" {
		t.Errorf("scale-nodes: %+v", r)
	}
	if code, _ := s.do(http.MethodGet, "/v1/scale-service", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("GET of a POST endpoint: %d", code)
	}
}

func TestRequestsToReschedule(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) {
		s.Create("web", 2, "reschedule=true")
		s.Create("api", 2, "reschedule=false scaleMax=4")
		s.Create("shop", 2, "reschedule=true scaleMax=4")
		s.Create("typo", 2, "reschedule=true scaleMax=many")
	})
	s := c.start()
	for _, tc := range []struct {
		path, message string
		code          int
	}{
		{"/v1/reschedule-services", "being rescheduled, see /v1/decisions: shop, web", http.StatusOK},
		{"/v1/reschedule-service?service=web", "being rescheduled, see /v1/decisions: web", http.StatusOK},
		{"/v1/reschedule-service?service=api", "api is not labeled with com.df.reschedule=true (com.df.reschedule=false)", http.StatusForbidden},
		{"/v1/reschedule-service?service=typo", "com.df.scaleMax", http.StatusUnprocessableEntity},
		{"/v1/reschedule-service?service=nobody", "nobody is not a service of this swarm", http.StatusNotFound},
		{"/v1/reschedule-service", "No service name in request", http.StatusBadRequest},
	} {
		status := "OK"
		if tc.code != http.StatusOK {
			status = "NOK"
		}
		if r := s.scale(tc.path, ""); r.code != tc.code || r.Status != status || !strings.Contains(r.Message, tc.message) {
			t.Errorf("%s: %+v, want %d with %q", tc.path, r, tc.code, tc.message)
		}
	}
	s.decided("web", decide.Refused, "its tasks are spread evenly over the nodes")
	s.decided("api", decide.Refused, "is not labeled with com.df.reschedule=true")
	c.bus.Stop()
	if r := s.scale("/v1/reschedule-services", ""); r.code != http.StatusServiceUnavailable {
		t.Errorf("without the bus: %+v", r)
	}
}

func TestSameRequestTwice(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9 scaleCooldownUp=0 scaleCooldownDown=0") })
	s := c.start()
	first := s.scale("/v1/scale-service?service=web&scale=up&id=deploy-7", "")
	again := s.scale("/v1/scale-service?service=web&scale=up&id=deploy-7", "")
	if first.code != http.StatusOK || again.code != http.StatusOK || first.Message != again.Message {
		t.Errorf("%+v and %+v, want the same answer", first, again)
	}
	if got := c.swarm.Changes("web"); !slices.Equal(got, []uint64{2}) {
		t.Errorf("replicas set to %v, want one step", got)
	}
	if r := s.scale("/v1/scale-service?service=web&scale=down&id=deploy-7", ""); r.code != http.StatusConflict {
		t.Errorf("the ID of another request: %+v", r)
	}
	if r := s.scale("/v1/scale-service?service=web&scale=up", ""); r.code != http.StatusOK || r.Decision.To != 3 {
		t.Errorf("another request: %+v", r)
	}
}

// TestWhoScaledByHandIsInTheAudit, with the numbers, and what was asked in vain.
func TestWhoScaledByHandIsInTheAudit(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=2") })
	s := c.start()
	for range 2 {
		if r := s.scale("/v1/scale-service?service=web&scale=up", ""); r.code != http.StatusOK {
			t.Fatalf("%+v", r)
		}
	}
	listener := c.bus.Connect("listener")
	tooltest.Eventually(t, "both are in the stream", func() error {
		messages, err := listener.Last(t.Context(), bus.AuditStream, 10)
		if err != nil || len(messages) != 2 {
			return fmt.Errorf("%d messages, %w", len(messages), err)
		}
		for i, want := range []uint64{1, 2} {
			var e audit.Entry
			if err := json.Unmarshal(messages[i].Value, &e); err != nil {
				return err
			}
			if e.Action != audit.ScaledByHand || e.Object != "web" || e.Component != "scaler" || e.From == nil || *e.From != want || *e.To != 2 || !strings.HasPrefix(e.By, "token ") || e.Detail == "" {
				t.Errorf("%s", messages[i].Value)
			}
		}
		return nil
	})
}

// TestDockerThatDoesNotAnswerIsSaid, and nothing of the request is done later.
func TestDockerThatDoesNotAnswerIsSaid(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
	s := c.start()
	c.swarm.Fail(errDown)
	r := s.scale("/v1/scale-service?service=web&scale=up", "")
	if r.code != http.StatusServiceUnavailable || r.Status != "NOK" || !strings.Contains(r.Message, "docker: down") {
		t.Errorf("%+v", r)
	}
	c.swarm.Fail(nil)
	if code, body := s.do(http.MethodPost, "/v1/alerts", webhook("firing", "web", "up")); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	c.eventually("web", 2) // by the alert; a step of the request would have come before
}

func TestRequestThatNobodyDecidesExpires(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
	s := c.start(func(config *Config) { config.RequestPatience = 300 * time.Millisecond })
	asked, decided := make(chan struct{}, 9), make(chan struct{})
	c.swarm.Before(func(string) error {
		asked <- struct{}{}
		<-decided
		return errors.New("refused in the end")
	})
	s.scale("/v1/alerts", webhook("firing", "web", "up"))
	<-asked // Docker is slow with this one
	r := s.scale("/v1/scale-service?service=web&scale=up", "")
	if r.code != http.StatusGatewayTimeout || r.Message != "web: the request expired after 300ms without a decision; nothing was scaled" {
		t.Errorf("%+v", r)
	}
	c.swarm.Before(nil)
	close(decided)
	c.eventually("web", 2) // by the alert, which is tried again
}

func TestWebhookIsState(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) {
		s.Create("web", 1, "scaleMax=9 scaleUpBy=2")
		s.Create("quick", 1, "scaleMax=4 scaleCooldownUp=0 scaleCooldownDown=0")
		s.Create("idle", 3, "scaleMin=2 scaleCooldownUp=0 scaleCooldownDown=0")
	})
	s := c.start()
	for range 3 { // S-14: redelivered, and by a second Alertmanager
		if r := s.scale("/v1/alerts", webhook("firing", "web", "up")); r.code != http.StatusOK || r.Status != "OK" {
			t.Fatalf("%+v", r)
		}
		c.eventually("web", 3)
		s.decided("web", decide.Held, "cooldown of 30s")
	}
	// S-13: what is resolved scales nothing, and ends the signal.
	if r := s.scale("/v1/scale-service", webhook("resolved", "idle", "down")); r.code != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	// While a signal stands, it is followed step by step, up to the bound.
	if r := s.scale("/v1/alerts", webhook("firing", "quick", "up")); r.code != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	c.eventually("quick", 2, 3, 4)
	s.decided("quick", decide.Refused, "already scaled to the maximum number of 4 replicas")
	if r := s.scale("/v1/alerts", webhook("resolved", "quick", "up")); r.code != http.StatusOK || r.Message != "quick: 0 alerts ask for up" {
		t.Fatalf("%+v", r)
	}
	if r := s.scale("/v1/alerts", webhook("firing", "quick", "down")); r.code != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	c.eventually("quick", 2, 3, 4, 3, 2, 1)
	c.eventually("idle")
	c.eventually("web", 3)
}

func TestASignalNotHeardOfAgainEnds(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 3, "scaleMax=3") })
	s := c.start(func(config *Config) { config.SignalTTL = time.Second })
	signals := c.bus.Connect("scaler").Bucket(bus.SignalsBucket)
	if r := s.scale("/v1/alerts", webhook("firing", "web", "up")); r.code != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	tooltest.Eventually(t, "the bus forgets it, whoever is there", func() error {
		if _, _, err := signals.Get(t.Context(), "web.up"); !errors.Is(err, bus.ErrNotFound) {
			return fmt.Errorf("error %w, want ErrNotFound", err)
		}
		return nil
	})
	tooltest.Eventually(t, "the scaler forgets it", func() error {
		if _, body := s.do(http.MethodGet, "/v1/services/web", ""); strings.Contains(body, `"signals"`) {
			return errors.New(body)
		}
		return nil
	})
}

func TestWebhookWithFaults(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
	s := c.start()
	for name, tc := range map[string]struct {
		body string
		code int
		say  string
	}{
		"unknown service":            {webhook("firing", "nobody", "up"), 404, "nobody is not a service of this swarm"},
		"resolved of what is gone":   {webhook("resolved", "nobody", "up"), 200, "nobody: nothing to end"},
		"nothing is asked for":       {webhook("firing", "web", "no"), 200, "1 alerts ask for nothing"},
		"by hand at the wrong place": {`{"groupLabels":{"service":"web","scale":"up"}}`, 400, "requests by hand go to /v1/scale-service"},
		"nodes":                      {`{"status":"firing","groupLabels":{"service":"web","scale":"up","type":"node"}}`, 404, "Scaling of nodes is not supported"},
		"no JSON":                    {"<xml>", 400, "Incorrect body in request"},
		"too much":                   {`{"status":"` + strings.Repeat("x", 9<<20) + `"}`, 413, "too large"},
		"much":                       {`{"status":"` + strings.Repeat("x", 7<<20) + `"}`, 400, "No service name"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := s.scale("/v1/alerts", tc.body); r.code != tc.code || !strings.Contains(r.Message, tc.say) {
				t.Errorf("%d %q, want %d %q", r.code, r.Message, tc.code, tc.say)
			}
		})
	}
	if _, body := s.do(http.MethodGet, "/metrics", ""); !strings.Contains(body, "waggle_scaler_deliveries_too_large_total 1\n") {
		t.Error("a delivery that was too large is not counted")
	}
	if got := c.swarm.Changes("web"); len(got) != 0 {
		t.Errorf("replicas set to %v", got)
	}
	both := `{"status":"firing","alerts":[
		{"labels":{"service":"nobody","scale":"up"},"fingerprint":"a"},{"labels":{"service":"web","scale":"up"},"fingerprint":"b"}]}`
	if r := s.scale("/v1/alerts", both); r.code != http.StatusOK || !strings.Contains(r.Message, "web: 1 alerts ask for up") || !strings.Contains(r.Message, "nobody is not") {
		t.Errorf("%+v", r)
	}
	c.eventually("web", 2)
}

// TestHalfADelivery: what breaks off is not what is too large, and whoever counts that is not told
// of it.
func TestHalfADelivery(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
	s := c.start()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	half := webhook("firing", "web", "up")[:60]
	if _, err := fmt.Fprintf(conn, "POST /v1/alerts HTTP/1.1\r\nHost: scaler\r\nAuthorization: Bearer %s\r\nContent-Length: 400\r\n\r\n%s", token, half); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || !strings.Contains(string(answer), "Incorrect body in request") {
		t.Errorf("%q, %v; want 400", answer, err)
	}
	if _, body := s.do(http.MethodGet, "/metrics", ""); !strings.Contains(body, "waggle_scaler_deliveries_too_large_total 0\n") {
		t.Error("it counts as one that was too large")
	}
}

// TestOneWishByTwoNames: alerts that call a service by its name and by its ID are one wish, and of
// these up goes before down.
func TestOneWishByTwoNames(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 5, "scaleMax=9") })
	s := c.start()
	id := s.scale("/v1/scale-service?service=web&to=5", "").Decision.ServiceID
	alerts := func(first, second string) string {
		return fmt.Sprintf(`{"status":"firing","alerts":[{"labels":{"service":"web","scale":%q,"by":"1"},"fingerprint":"a"},{"labels":{"service":%q,"scale":%q,"by":"2"},"fingerprint":"b"}]}`, first, id, second)
	}
	if r := s.scale("/v1/scale-service", alerts("up", "up")); r.code != http.StatusOK {
		t.Errorf("%+v", r)
	}
	c.eventually("web", 7)
	if r := s.scale("/v1/scale-service", alerts("down", "up")); r.code != http.StatusOK || !strings.Contains(r.Message, "nothing is asked for") {
		t.Errorf("%+v", r)
	}
	if got := c.swarm.Changes("web"); len(got) > 1 && got[1] < 7 {
		t.Errorf("replicas set to %v", got)
	}
}

func TestOnlyTheTokenChangesAnything(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
	s := c.start()
	for _, path := range []string{"/v1/alerts", "/v1/scale-service?service=web&scale=up", "/v1/scale-nodes"} {
		for _, wrong := range []string{"", "wrong", token + "x"} {
			want := http.StatusForbidden
			if wrong == "" {
				want = http.StatusUnauthorized
			}
			if code, _ := s.doAs(wrong, http.MethodPost, path, webhook("firing", "web", "up")); code != want {
				t.Errorf("%s with token %q: %d", path, wrong, code)
			}
		}
	}
	for _, path := range []string{"/v1/decisions", "/v1/services", "/v1/services/web", "/v1/ping", "/metrics", "/healthz"} {
		if code, body := s.doAs("", http.MethodGet, path, ""); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	open := c.start(func(config *Config) { config.Token = "" })
	if code, _ := open.doAs("", http.MethodPost, "/v1/scale-service?service=web&scale=up", ""); code != http.StatusForbidden {
		t.Errorf("without a token configured: %d", code)
	}
	if got := c.swarm.Changes("web"); len(got) != 0 {
		t.Errorf("replicas set to %v", got)
	}
}

func TestWhyIsMyServiceNotScaled(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) {
		s.Create("web", 3, "scaleMin=2 scaleMax=5")
		s.Create("plain", 1, "port=80")
		s.Create("shy", 1, "scaleMax=5")
		s.Set("shy", func(svc *engine.Scale) { delete(svc.Labels, catalog.Notify) })
		s.Create("wrong", 1, "scaleMax=lots")
	})
	s := c.start()
	s.scale("/v1/alerts", webhook("firing", "web", "up"))
	s.decided("web", decide.Held, "cooldown")
	for name, want := range map[string][]string{
		"web": {
			`"state": "applied"`, `"min": 2`, `"max": 5`, `"cooldownUp": "30s"`, `"direction": "up"`, `"fingerprint": "f-web-up"`,
			`"from": 3`, `"action": "held"`, "cooldown of 30s: the last scaling, from 3 to 4",
		},
		"plain":  {`"state": "ignored"`, "set com.df.scaleMin or com.df.scaleMax on the service"},
		"shy":    {`"state": "ignored"`, "the service has not opted in", "--label-add com.df.notify=true shy"},
		"wrong":  {`"state": "rejected"`, `"label": "com.df.scaleMax"`, "want a whole number from 1 to 10000"},
		"id-web": {`"service": "web"`},
	} {
		code, body := s.do(http.MethodGet, "/v1/services/"+name, "")
		for _, w := range want {
			if code != http.StatusOK || !strings.Contains(body, w) {
				t.Errorf("%s: %d without %s: %s", name, code, w, body)
			}
		}
	}
	if code, body := s.do(http.MethodGet, "/v1/services/nobody", ""); code != http.StatusNotFound || !strings.Contains(body, "nobody is not a service of this swarm") {
		t.Errorf("%d %s", code, body)
	}
	_, all := s.do(http.MethodGet, "/v1/services", "")
	if strings.Contains(all, "plain") || !strings.Contains(all, "shy") || !strings.Contains(all, "wrong") {
		t.Errorf("all: %s", all)
	}
	for query, want := range map[string]int{"limit=1": 200, "limit=0": 400, "limit=x": 400, "limit=1001": 400} {
		if code, _ := s.do(http.MethodGet, "/v1/decisions?"+query, ""); code != want {
			t.Errorf("%s: %d, want %d", query, code, want)
		}
	}
	if _, body := s.do(http.MethodGet, "/metrics", ""); !strings.Contains(body, `waggle_scaler_decisions_total{action="scaled",direction="up"} 1`) ||
		!strings.Contains(body, `waggle_scaler_desired_services{loop="decisions"} 1`) || !strings.Contains(body, `waggle_scaler_signals{direction="up"} 1`) {
		t.Errorf("metrics: %s", body)
	}
}

func TestRestartAndTwoInstances(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9 scaleCooldownUp=0") })
	one := c.start()
	c.swarm.Fail(errDown)
	if r := one.scale("/v1/alerts", webhook("firing", "web", "up")); r.code != http.StatusOK {
		t.Fatalf("the alert is taken although Docker is down: %+v", r)
	}
	one.stop()
	c.swarm.Fail(nil)
	// Without a cooldown both follow the alert as fast as they can: each number is set once.
	two := c.start(func(config *Config) { config.Instance = "two" })
	c.start(func(config *Config) { config.Instance = "three" })
	c.eventually("web", 2, 3, 4, 5, 6, 7, 8, 9)
	two.decided("web", decide.Refused, "already scaled to the maximum")
	scaled := 0
	for _, d := range two.decisions("web") {
		if d.Action == decide.Scaled {
			scaled++
		}
	}
	if scaled != 8 {
		t.Errorf("%d scalings are told, want 8", scaled)
	}
}

func TestBusAway(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
	s := c.start()
	c.bus.Stop()
	tooltest.Eventually(t, "what cannot be kept is not taken", func() error {
		code, body := s.do(http.MethodPost, "/v1/alerts", webhook("firing", "web", "up"))
		if code != http.StatusServiceUnavailable {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	c.bus.StartAgain()
	tooltest.Eventually(t, "Alertmanager delivers again", func() error {
		if code, body := s.do(http.MethodPost, "/v1/alerts", webhook("firing", "web", "up")); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	c.eventually("web", 2)
}

func TestDryRun(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
	s := c.start(func(config *Config) { config.DryRun = true })
	for range 2 {
		r := s.scale("/v1/scale-service?service=web&scale=up", "")
		if r.code != http.StatusOK || r.Message != "Scaling web from 1 to 2 replicas (min: 1, max: 9) (dry run: nothing was changed)" {
			t.Errorf("%+v", r)
		}
	}
	if got := c.swarm.Changes("web"); len(got) != 0 {
		t.Errorf("replicas set to %v", got)
	}
}

func TestWrongConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"signal-ttl=500ms: want at least 1s":      func(c *Config) { c.SignalTTL = 500 * time.Millisecond },
		"default-min=9: want at most default-max": func(c *Config) { c.DefaultMin = 9 },
		"alertmanager-url: want http://HOST:PORT": func(c *Config) { c.AlertmanagerURL = "alertmanager:9093" },
		"docker: host \"nonsense\"":               func(c *Config) { c.DockerHost = "nonsense" },
		"bus: a key of scaler is shorter than 1":  func(c *Config) { c.NATSKey = "short" },
	} {
		config := defaults(t)
		config.NATSKey = "secret-of-the-scaler"
		change(&config)
		sh := app.Shell{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Admin: "127.0.0.1:0"}
		if err := Run(t.Context(), config, sh); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestAlertmanagerThatHangsOrIsAwayDelaysNothing(t *testing.T) {
	ends := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-ends:
		case <-r.Context().Done():
		}
	}))
	defer hangs.Close()
	defer close(ends)
	for name, url := range map[string]string{"S-12 hangs": hangs.URL, "S-11 is away": "http://" + tooltest.FreeAddress(t)} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
			s := c.start(func(config *Config) { config.AlertmanagerURL = url })
			start := time.Now()
			r := s.scale("/v1/scale-service?service=web&scale=up", "")
			if took := time.Since(start); r.code != http.StatusOK || took > time.Second {
				t.Errorf("%+v after %s, want an answer within a second", r, took)
			}
			c.eventually("web", 2)
		})
	}
}

// alertmanager starts the real one with a configuration and returns its URL.
func alertmanager(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := tooltest.FreeAddress(t)
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, tooltest.Path(t, "alertmanager"), "--config.file="+file, "--storage.path="+dir,
		"--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(out.String())
		}
	})
	url := "http://" + addr
	tooltest.Eventually(t, "Alertmanager is ready", func() error {
		if code, body := (&client{t: t, url: url}).do(http.MethodGet, "/-/ready", ""); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	return url
}

func TestRealAlertmanager(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) {
		s.Create("web", 1, "scaleMax=3 scaleCooldownUp=0 scaleCooldownDown=1h")
		s.Create("api", 1, "scaleMax=9")
	})
	first := c.start() // the webhook's receiver; it tells nobody
	url := alertmanager(t, fmt.Sprintf(`
route:
  receiver: nobody
  routes:
    - matchers: ['scale=~"up|down"', 'type="service"']
      receiver: scaler
      group_by: [service, scale, type]
      group_wait: 100ms
      group_interval: 300ms
      repeat_interval: 1m
receivers:
  - name: nobody
  - name: scaler
    webhook_configs:
      - url: %s/v1/alerts
        send_resolved: true
        http_config: {authorization: {type: Bearer, credentials: %q}}
`, first.url, token))
	am := &client{t: t, url: url}
	post := func(service string, ends time.Time) {
		t.Helper()
		body := fmt.Sprintf(`[{"labels":{"alertname":"slow","service":%q,"scale":"up","type":"service"},"startsAt":%q,"endsAt":%q}]`,
			service, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano), ends.UTC().Format(time.RFC3339Nano))
		if code, text := am.do(http.MethodPost, "/api/v2/alerts", body); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	post("web", time.Now().Add(time.Hour))
	post("api", time.Now().Add(time.Hour))
	c.eventually("web", 2, 3) // one delivery, two steps: the alert stands
	c.eventually("api", 2)
	first.decided("api", decide.Held, "cooldown of 30s")

	post("web", time.Now().Add(-time.Second))
	tooltest.Eventually(t, "resolved ends the signal", func() error {
		_, body := first.do(http.MethodGet, "/v1/services/web", "")
		if strings.Contains(body, `"signals"`) {
			return errors.New(body)
		}
		return nil
	})
	c.eventually("web", 2, 3)

	// S-18: decisions are seen in Alertmanager's API v2.
	teller := c.start(func(config *Config) { config.AlertmanagerURL, config.AlertLifetime = url, time.Minute })
	c.swarm.Create("late", 1, "scaleMax=3")
	c.list.Publish()
	tooltest.Eventually(t, "the service is known", func() error {
		if code, body := teller.do(http.MethodGet, "/v1/services/late", ""); code != http.StatusOK {
			return errors.New(body)
		}
		return nil
	})
	first.stop()
	if r := teller.scale("/v1/scale-service?service=late&scale=up", ""); r.code != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	teller.scale("/v1/scale-service?scale=up", "")
	for _, want := range [][]string{
		{`"service":"late"`, `"status":"success"`, `"Scale service up: late"`, `"Scaling late from 1 to 2 replicas (min: 1, max: 3)"`},
		{`"service":"bad_request"`, `"status":"error"`, `"Incorrect request"`, `"No service name in request"`},
	} {
		tooltest.Eventually(t, "Alertmanager shows the decision", func() error {
			_, body := am.do(http.MethodGet, "/api/v2/alerts?filter=alertname=scale_service", "")
			for _, w := range want {
				if !strings.Contains(body, w) {
					return fmt.Errorf("%s is not in %s", w, body)
				}
			}
			return nil
		})
	}
}

// replicasLeftOut returns a specification without its number of replicas.
func replicasLeftOut(t *testing.T, spec []byte) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(spec, &v); err != nil {
		t.Fatal(err)
	}
	mode := v["Mode"].(map[string]any)["Replicated"].(map[string]any)
	delete(mode, "Replicas")
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// clusterOf is a cluster whose catalog is what a recorded Docker lists at each moment.
func clusterOf(t *testing.T, d *dockertest.Swarm) *cluster {
	t.Helper()
	c := newCluster(t, func(*swarmtest.Swarm) {})
	reader, err := docker.Connect(d.Host(), docker.AllowRead, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	c.list.PublishFrom(func() catalog.Snapshot {
		listing, err := reader.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return listing.Snapshot
	})
	return c
}

func TestThroughTheDockerAPI(t *testing.T) {
	d := dockertest.New(t)
	labels := map[string]string{"com.df.notify": "true", "com.df.scaleMax": "9", "com.df.scaleCooldownUp": "0", "com.df.scaleUpBy": "2", "other": "label"}
	d.Create(dockertest.Service{Name: "shop_web", Stack: "shop", Replicas: 1, Labels: labels, Networks: []string{"waggle"}})
	d.Create(dockertest.Service{Name: "everywhere", Global: true, Labels: labels})
	c := clusterOf(t, d)
	before, _ := d.Spec("shop_web")
	s := c.startWith(Run, func(config *Config) { config.DockerHost = d.Host() })
	tooltest.Eventually(t, "the service is known", func() error {
		if code, body := s.do(http.MethodGet, "/v1/services/shop_web", ""); code != http.StatusOK {
			return errors.New(body)
		}
		return nil
	})
	if r := s.scale("/v1/scale-service?service=everywhere&scale=up", ""); r.code != http.StatusConflict || r.Message != "everywhere is a global service (can not be scaled)" {
		t.Errorf("%+v", r)
	}

	if r := s.scale("/v1/scale-service?service=shop_web&scale=up", ""); r.Message != "Scaling shop_web from 1 to 3 replicas (min: 1, max: 9)" {
		t.Errorf("%+v", r)
	}
	after, _ := d.Spec("shop_web")
	if got, want := replicasLeftOut(t, after), replicasLeftOut(t, before); got != want || d.Replicas("shop_web") != 3 {
		t.Errorf("%d replicas, and the rest of the specification\n%s\nwas\n%s", d.Replicas("shop_web"), got, want)
	}

	// An update is waited for.
	d.SetUpdateState("shop_web", "updating")
	if r := s.scale("/v1/scale-service?service=shop_web&scale=up", ""); r.code != http.StatusOK || !strings.Contains(r.Message, "an update is in progress: updating") {
		t.Errorf("%+v", r)
	}
	d.SetUpdateState("shop_web", "completed")

	// Somebody else changes the service between reading and writing.
	var once sync.Once
	d.Before(dockertest.Update, func() { once.Do(func() { d.Redeploy("shop_web") }) })
	if r := s.scale("/v1/scale-service?service=shop_web&scale=up&by=1", ""); r.Message != "Scaling shop_web from 3 to 4 replicas (min: 1, max: 9)" {
		t.Errorf("%+v", r)
	}
	if got := d.Replicas("shop_web"); got != 4 || len(d.Updates()) != 2 {
		t.Errorf("%d replicas after %d updates, want 4 after 2", got, len(d.Updates()))
	}

	d.Remove("shop_web")
	if r := s.scale("/v1/scale-service?service=shop_web&scale=up", ""); r.code != http.StatusOK || r.Decision.Action != decide.Refused || r.Message != "shop_web is no longer there" {
		t.Errorf("%+v", r)
	}
}
