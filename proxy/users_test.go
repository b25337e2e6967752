package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// TestSecretsWithUsers: they are read whenever a configuration is made, and nothing
// tells a password.
func TestSecretsWithUsers(t *testing.T) {
	h := newHouse(t)
	h.config.Edge.SecretsDir = t.TempDir()
	secret := filepath.Join(h.config.Edge.SecretsDir, "dfp_users_crew")
	h.supervised()
	log := &tooltest.Log{}
	sh := app.Shell{Name: "proxy", Admin: h.admin, Registry: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	h.stop = bustest.Run(t, func(ctx context.Context) error { return Run(ctx, h.config, sh) })
	asAnn := func(path, password string, want int) {
		t.Helper()
		tooltest.Eventually(t, fmt.Sprintf("ann gets %d at %s", want, path), func() error {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", h.http, path), nil)
			if err != nil {
				return err
			}
			req.Close = true
			req.SetBasicAuth("ann", password)
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				return err
			}
			_ = res.Body.Close()
			if res.StatusCode != want {
				err = errors.New(res.Status)
			}
			return err
		})
	}
	h.dns.set("web", "127.0.0.2")
	h.deploy("web", "/web", "usersSecret", "crew")
	h.says("web", `"state": "applied"`)
	asAnn("/web", "geheim-1", http.StatusUnauthorized)
	if err := os.WriteFile(secret, []byte("ann:geheim-1\ngeheim-without-colon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.deploy("other", "/other")
	asAnn("/web", "geheim-1", http.StatusOK)
	if err := os.WriteFile(secret, []byte("ann:geheim-2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.remove("other")
	asAnn("/web", "geheim-2", http.StatusOK)
	asAnn("/web", "geheim-1", http.StatusUnauthorized)
	h.deploy("web", "/web", "users", "ann:geheim-3,:geheim-4")
	h.says("web", "rejected", "com.df.users", "(hidden)", "entry 2")
	asAnn("/web", "geheim-2", http.StatusOK)
	h.deploy("web", "/web", "users", "ann:geheim-3")
	asAnn("/web", "geheim-3", http.StatusOK)
	for _, want := range []string{"there is no secret dfp_users_crew", "secret dfp_users_crew: entry 2: want name:password"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
	for name, text := range map[string]string{"the log": log.String(), "the service's page": h.status("web"), "the page of all": h.status("")} {
		if strings.Contains(text, "geheim") {
			t.Errorf("%s tells a password:\n%s", name, text)
		}
	}
}
