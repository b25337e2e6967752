package monitor_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// alertmanager takes alerts at an address, as the service's task would.
type alertmanager struct {
	server *httptest.Server
	// mu guards heard, which the server's goroutines add to.
	mu    sync.Mutex
	heard []string
}

func newAlertmanager(t *testing.T, address string) *alertmanager {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	a := &alertmanager{}
	a.server = &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(a.take)}} //nolint:gosec // of a test
	a.server.Start()
	t.Cleanup(a.server.Close)
	return a
}

func (a *alertmanager) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var alerts []struct{ Labels map[string]string }
	if json.Unmarshal(body, &alerts) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, alert := range alerts {
		a.heard = append(a.heard, alert.Labels["alertname"])
	}
}

// hears waits for an alert.
func (a *alertmanager) hears(t *testing.T, name string) {
	t.Helper()
	tooltest.Eventually(t, "the alert "+name+" arrives", func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !slices.Contains(a.heard, name) {
			return fmt.Errorf("heard %v", a.heard)
		}
		return nil
	})
}

// alertmanagerAt gives Waggle's own Alertmanager, which has not opted in, one task.
func (s *stage) alertmanagerAt(state, network, address string) {
	id := "idwaggle_alertmanager"
	s.swarm.Services[id] = catalog.Service{ID: id, Name: "waggle_alertmanager", Stack: "waggle", Mode: catalog.Replicated, Replicas: 1, Networks: []string{"waggle_control"}}
	s.swarm.Tasks[id] = []catalog.Task{{ID: "am1", State: state, Desired: "running", Addresses: map[string][]string{network: {address}}}}
}

// sendsTo waits until Prometheus sends its alerts to these and no others.
func (s *stage) sendsTo(what string, want ...string) {
	s.t.Helper()
	tooltest.Eventually(s.t, what, func() error {
		var shown struct {
			Data struct{ ActiveAlertmanagers []struct{ URL string } }
		}
		if err := s.get("http://"+s.config.PrometheusListen+"/api/v1/alertmanagers", &shown); err != nil {
			return err
		}
		var got []string
		for _, a := range shown.Data.ActiveAlertmanagers {
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(a.URL, "http://"), "/api/v2/alerts"))
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("Prometheus sends to %v, want %v", got, want)
		}
		return nil
	})
}

func TestAlertmanagerIsFoundByTheCatalog(t *testing.T) {
	t.Parallel()
	first := newAlertmanager(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(first.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	second := newAlertmanager(t, "127.0.0.2:"+port)
	s := newStage(t)
	s.config.AlertmanagerURL, s.config.ControlNetwork = "tasks+http://waggle_alertmanager:"+port, "waggle_control"
	s.start()
	s.alertmanagerAt("running", "waggle_control", "127.0.0.1")
	s.publish()
	s.sendsTo("its task's address is known", "127.0.0.1:"+port)
	// An alert is told when it begins, and then once a minute.
	s.service("db", "127.0.0.9", "alertName=a", "alertIf=vector(1)")
	s.publish()
	first.hears(t, "db_a")
	s.status("db", catalog.StateApplied)
	reloads := s.counter(`waggle_monitor_reloads_total{result="ok"}`)

	// A new task is found without a reload, one that only starts is not.
	s.alertmanagerAt("running", "waggle_control", "127.0.0.2")
	s.publish()
	s.sendsTo("the task moves", "127.0.0.2:"+port)
	if n := s.counter(`waggle_monitor_reloads_total{result="ok"}`); n != reloads {
		t.Errorf("%g reloads, want %g", n, reloads)
	}
	s.service("next", "127.0.0.9", "alertName=a", "alertIf=vector(1)")
	s.publish()
	second.hears(t, "next_a")
	s.alertmanagerAt("starting", "waggle_control", "127.0.0.1")
	s.publish()
	s.sendsTo("it is not there yet")
	s.alertmanagerAt("running", "waggle", "127.0.0.1")
	s.service("later", "127.0.0.9", "alertName=a", "alertIf=vector(1)")
	s.publish()
	s.status("later", catalog.StateApplied)
	s.sendsTo("an address on another network is none of it")
	s.alertmanagerAt("running", "waggle_control", "127.0.0.1")
	s.publish()
	s.sendsTo("it is back", "127.0.0.1:"+port)

	// While the catalog is not known, what it last said stays: also after a restart.
	s.stop()
	s.nats.Stop()
	s.start()
	s.sendsTo("the last good address", "127.0.0.1:"+port)
	s.nats.StartAgain()

	// A service whose tasks are not told is not one without tasks; one that is gone is.
	delete(s.swarm.Tasks, "idwaggle_alertmanager")
	s.service("last", "127.0.0.9", "alertName=a", "alertIf=vector(1)")
	s.publish()
	s.status("last", catalog.StateApplied)
	s.sendsTo("still the last good address", "127.0.0.1:"+port)
	delete(s.swarm.Services, "idwaggle_alertmanager")
	s.publish()
	s.sendsTo("it is gone")
}

// TestOwnComponentsAreScrapedOnTheControlNetwork: their admin ports answer nowhere else, and the
// names that they have on other networks may be anybody's.
func TestOwnComponentsAreScrapedOnTheControlNetwork(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.config.OwnStack, s.config.ControlNetwork = "waggle", "waggle_control"
	s.swarm.Services["p"] = catalog.Service{ID: "p", Name: "waggle_proxy", Stack: "waggle", Mode: catalog.Global, Networks: []string{"waggle", "waggle_control"}}
	s.swarm.Tasks["p"] = []catalog.Task{
		{ID: "p1", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"127.0.9.2"}, "waggle_control": {"127.0.8.2"}}},
		{ID: "p2", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {"127.0.9.3"}, "waggle_control": {"127.0.8.3"}}},
	}
	s.start()
	s.publish()
	tooltest.Eventually(t, "Prometheus scrapes both proxies", func() error {
		var shown struct {
			Data struct {
				ActiveTargets []struct{ ScrapePool, ScrapeURL string }
			}
		}
		if err := s.get("http://"+s.config.PrometheusListen+"/api/v1/targets", &shown); err != nil {
			return err
		}
		var got []string
		for _, target := range shown.Data.ActiveTargets {
			if target.ScrapePool == "waggle_proxy" {
				got = append(got, target.ScrapeURL)
			}
		}
		if slices.Sort(got); !slices.Equal(got, []string{"http://127.0.8.2:8080/metrics", "http://127.0.8.3:8080/metrics"}) {
			return fmt.Errorf("it scrapes %v", got)
		}
		return nil
	})
}
