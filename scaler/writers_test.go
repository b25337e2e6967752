package scaler

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/decide"
)

// writeFor is how long two write against each other.
var writeFor = flag.Duration("write-for", 3*time.Second, "how long two write against each other")

// othersWrite is the label that somebody else writes.
const othersWrite = "by.others"

// TestTwoWritersOfAService: somebody changes a label of a service every few milliseconds while
// the scaler is asked for one number after the other. Nobody's update is lost, and each number
// is set within five tries.
func TestTwoWritersOfAService(t *testing.T) {
	d := dockertest.New(t)
	d.Create(dockertest.Service{Name: "web", Replicas: 1, Labels: map[string]string{"com.df.notify": "true", "com.df.scaleMax": "50"}})
	s := clusterOf(t, d).startWith(Run, func(config *Config) { config.DockerHost = d.Host() })
	tooltest.Eventually(t, "the service is known", func() error {
		if code, body := s.do(http.MethodGet, "/v1/services/web", ""); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), *writeFor)
	defer cancel()
	var g errgroup.Group
	writes := 0
	g.Go(func() error {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			lost := ""
			d.Change("web", func(spec map[string]any) {
				labels := spec["Labels"].(map[string]any)
				if was, _ := labels[othersWrite].(string); writes > 0 && was != fmt.Sprint(writes) {
					lost = was
				}
				labels[othersWrite] = fmt.Sprint(writes + 1)
			})
			if lost != "" {
				return fmt.Errorf("write %d was lost: the label says %s", writes, lost)
			}
			writes++
		}
	})
	asked, most, conflicts := 0, 0, 0
	for to := uint64(2); ctx.Err() == nil; to = 2 + (to-1)%40 {
		before := d.Calls(dockertest.Update)
		r := s.scale(fmt.Sprintf("/v1/scale-service?service=web&to=%d", to), "")
		tries := d.Calls(dockertest.Update) - before
		if r.code != http.StatusOK || r.Decision == nil || r.Decision.Code != decide.CodeScaled || r.Decision.To != to || tries > 5 {
			t.Fatalf("%d is answered %d %s %+v after %d tries", to, r.code, r.Message, r.Decision, tries)
		}
		if got := d.Replicas("web"); got != to {
			t.Fatalf("the service has %d replicas, and the answer was %s", got, r.Message)
		}
		asked, most, conflicts = asked+1, max(most, tries), conflicts+tries-1
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d numbers were set while others wrote %d times; %d conflicts, %d tries at most", asked, writes, conflicts, most)
}

// TestTwoWritersOfASignal: two scalers are told of alerts about one service at the same time,
// and none of them is forgotten.
func TestTwoWritersOfASignal(t *testing.T) {
	d := dockertest.New(t)
	d.Create(dockertest.Service{Name: "web", Replicas: 1, Labels: map[string]string{"com.df.notify": "true", "com.df.scaleMax": "50"}})
	c := clusterOf(t, d)
	const each = 40
	var g errgroup.Group
	for _, name := range []string{"one", "two"} {
		s := c.startWith(Run, func(config *Config) { config.DockerHost, config.Instance = d.Host(), name })
		tooltest.Eventually(t, "the service is known", func() error {
			if code, body := s.do(http.MethodGet, "/v1/services/web", ""); code != http.StatusOK {
				return fmt.Errorf("%d %s", code, body)
			}
			return nil
		})
		g.Go(func() error {
			for n := range each {
				body := strings.ReplaceAll(webhook("firing", "web", "down"), "f-web-down", fmt.Sprintf("%s-%d", name, n))
				if r := s.scale("/v1/alerts", body); r.code != http.StatusOK {
					return fmt.Errorf("%d %s", r.code, r.Message)
				}
			}
			var view struct {
				Signals []struct {
					Alerts []json.RawMessage `json:"alerts"`
				} `json:"signals"`
			}
			return tooltest.PollFor(t.Context(), tooltest.Patience, 10*time.Millisecond, "all alerts stand", func(context.Context) error {
				code, body := s.do(http.MethodGet, "/v1/services/web", "")
				if err := json.Unmarshal([]byte(body), &view); code != http.StatusOK || err != nil || len(view.Signals) != 1 || len(view.Signals[0].Alerts) != 2*each {
					return fmt.Errorf("%d %s", code, body)
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}
