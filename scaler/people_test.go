package scaler

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/scaler/internal/swarmtest"
)

// TestDecisionsReachPeople with the files of compose/ as they are, but for addresses and
// paths: two steps and a refusal within a minute are three messages.
func TestDecisionsReachPeople(t *testing.T) {
	for _, file := range []string{"alertmanager-webhook.yml", "alertmanager-slack.yml"} {
		t.Run(file, func(t *testing.T) {
			messages := make(chan string, 100)
			chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				messages <- string(body)
				_, _ = io.WriteString(w, "ok")
			}))
			defer chat.Close()
			c := newCluster(t, func(s *swarmtest.Swarm) { s.Create("web", 1, "scaleMax=9") })
			address := tooltest.FreeAddress(t)
			url := alertmanager(t, shipped(t, file, "http://"+address, chat.URL))
			s := c.start(func(config *Config) { config.AlertmanagerURL = url })
			for _, query := range []string{"service=web&scale=up", "service=web&scale=up", "service=nobody&scale=up"} {
				s.scale("/v1/scale-service?"+query, "")
			}
			var got []string
			tooltest.Eventually(t, "people are told", func() error {
				for {
					select {
					case m := <-messages:
						got = append(got, m)
						continue
					default:
					}
					break
				}
				all := strings.Join(got, "\n")
				for _, want := range []string{"Scaling web from 1 to 2 replicas", "Scaling web from 2 to 3 replicas", "nobody is not a service of this swarm"} {
					if strings.Count(all, want) == 0 {
						return fmt.Errorf("%q is not in %s", want, all)
					}
				}
				return nil
			})
			if len(got) != 3 {
				t.Errorf("%d messages: %q", len(got), got)
			}
		})
	}
}

// shipped is a configuration of Alertmanager from compose/, with addresses of the test.
func shipped(t *testing.T, file, scaler, chat string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "compose", file))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"waggle_token": token, "waggle_alert_webhook": chat} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.NewReplacer("/run/secrets", dir, "http://waggle_scaler:8080", scaler).Replace(string(text))
}
