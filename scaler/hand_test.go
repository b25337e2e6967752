package scaler

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

func TestEightRequestsAtOnceAreEightSteps(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=20") })
	s := c.start()
	replies := make([]reply, 8)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() { replies[i] = s.scale("/v1/scale-service?service=web&scale=up&by=1", "") })
	}
	wg.Wait()
	for _, r := range replies {
		if r.code != http.StatusOK || r.Decision == nil || r.Decision.Code != decide.CodeScaled {
			t.Errorf("%+v", r)
		}
	}
	c.eventually("web", 2, 3, 4, 5, 6, 7, 8, 9)
}

// TestUpAndAtOnceDownAgain: people need not wait.
func TestUpAndAtOnceDownAgain(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=7 scaleUpBy=3 scaleDownBy=2") })
	s := c.start()
	s.scale("/v1/scale-service?service=web&scale=up", "")
	if r := s.scale("/v1/scale-service?service=web&scale=down", ""); r.code != http.StatusOK || r.Decision.To != 2 {
		t.Errorf("%+v", r)
	}
	c.eventually("web", 4, 2)
}

// TestForce lets a person go past an alert and past scale=off.
func TestForce(t *testing.T) {
	c := newCluster(t, func(s *swarmtest.Swarm) {
		s.Create("web", 3, "scaleMax=9")
		s.Create("quiet", 3, "scaleMax=9 scale=off")
	})
	s := c.start()
	s.scale("/v1/alerts", webhook("firing", "web", "up"))
	s.scale("/v1/alerts", webhook("firing", "quiet", "up"))
	c.eventually("web", 4)
	for _, tc := range []struct {
		query string
		code  decide.Code
	}{
		{"service=web&scale=down", decide.CodeBeaten},
		{"service=web&scale=down&force=true", decide.CodeScaled},
		{"service=quiet&scale=up", decide.CodeOff},
		{"service=quiet&scale=up&force=true", decide.CodeScaled},
	} {
		if r := s.scale("/v1/scale-service?"+tc.query, ""); r.code != http.StatusOK || r.Decision.Code != tc.code {
			t.Errorf("%s: %d %s %+v", tc.query, r.code, r.Message, r.Decision)
		}
	}
	c.eventually("web", 4, 3)
	c.eventually("quiet", 4)
	if r := s.scale("/v1/scale-service?service=web&scale=up&force=perhaps", ""); r.code != http.StatusBadRequest || !strings.Contains(r.Message, "force can only be true or false") {
		t.Errorf("%+v", r)
	}
}

// TestDockerThatHangsIsSaidWithinSeconds, whatever alerts stand: not 5 s for each of them.
func TestDockerThatHangsIsSaidWithinSeconds(t *testing.T) {
	d := dockertest.New(t)
	labels := map[string]string{"com.df.notify": "true", "com.df.scaleMax": "9"}
	for n := range 20 {
		d.Create(dockertest.Service{Name: fmt.Sprint("s", n), Replicas: 1, Labels: labels})
	}
	c := clusterOf(t, d)
	s := c.startWith(Run, func(config *Config) { config.DockerHost = d.Host() })
	tooltest.Eventually(t, "the services are known", func() error {
		if code, body := s.do(http.MethodGet, "/v1/services/s19", ""); code != http.StatusOK {
			return errors.New(body)
		}
		return nil
	})
	d.Hang(dockertest.Inspect)
	d.Hang(dockertest.Update)
	for n := range 19 {
		s.scale("/v1/alerts", webhook("firing", fmt.Sprint("s", n), "up"))
	}
	start := time.Now()
	r := s.scale("/v1/scale-service?service=s19&scale=up", "")
	if took := time.Since(start); r.code != http.StatusServiceUnavailable || took > 8*time.Second {
		t.Errorf("%+v after %s", r, took)
	}
	d.Mend()
	tooltest.Within(t, 40*time.Second, "all are scaled when Docker answers again", func() error {
		for n := range 19 {
			if got := d.Replicas(fmt.Sprint("s", n)); got != 2 {
				return fmt.Errorf("s%d has %d replicas", n, got)
			}
		}
		return nil
	})
	if got := d.Replicas("s19"); got != 1 {
		t.Errorf("what was refused was done later: %d replicas", got)
	}
}
