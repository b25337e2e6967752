package prometheus

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/monitor/internal/alert"
	"github.com/wagglehq/waggle/monitor/internal/scrape"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// secret is what no file of ours, no label and no answer of Prometheus may have.
const secret = "canary-5b2e"

// TestWhoPrometheusSaysItIs: a token and a password go to those whose labels ask for them,
// each by a reload when the first target of a pool comes and when the last one goes, and none
// between.
func TestWhoPrometheusSaysItIs(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool")).start()
	tooltest.Must(t, os.WriteFile(filepath.Join(h.dir, "dfm_auth_shop"), []byte(secret+"\n"), 0o600))
	serve := func(lets func(r *http.Request) bool) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !lets(r) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprintln(w, "bees 1")
		}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	open := serve(func(r *http.Request) bool { return r.Header.Get("Authorization") == "" })
	token := serve(func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+secret })
	basic := serve(func(r *http.Request) bool {
		user, password, ok := r.BasicAuth()
		return ok && user == "bee" && password == secret
	})
	every := map[string]string{"scrapeInterval": "1s"}
	byToken := job(t, token, map[string]string{"scrapeInterval": "1s", "scrapeSecret": "shop"})
	more := job(t, token, map[string]string{"scrapeInterval": "1s", "scrapeSecret": "shop", "metricsPath": "/more"})
	byPassword := job(t, basic, map[string]string{"scrapeInterval": "1s", "scrapeSecret": "shop", "scrapeUser": "bee"})
	without := job(t, basic, map[string]string{"scrapeInterval": "1s", "metricsPath": "/none", "scrapeSecret": "shop_web"})
	targets := []scrape.Target{job(t, open, every), byToken, byPassword, without}
	if err := h.apply(nil, targets); err != nil {
		t.Fatal(err)
	}
	if n := h.reloads[ReloadOK]; n != 1 {
		t.Errorf("%d reloads for three pools, want 1", n)
	}
	h.scraped(map[string]string{open: "up", token: "up", basic: "up", basic + "/none": "unable to read"})
	if err := h.apply(nil, append(targets, more)); err != nil {
		t.Fatal(err)
	}
	h.scraped(map[string]string{token + "/more": "up"})
	if n := h.reloads[ReloadOK]; n != 1 {
		t.Errorf("%d reloads after a target has come to a pool, want 1", n)
	}
	for _, page := range []string{"/api/v1/targets", "/api/v1/status/config", "/metrics"} {
		if text, err := h.get(page); err != nil || strings.Contains(text, secret) {
			t.Errorf("%s has the secret: %v", page, err)
		}
	}
	if err := h.apply(nil, targets[:1]); err != nil {
		t.Fatal(err)
	}
	if files, err := filepath.Glob(filepath.Join(h.dir, "targets-*")); err != nil || len(files) != 0 || h.reloads[ReloadOK] != 2 {
		t.Errorf("%v %v %v", files, err, h.reloads)
	}
	tooltest.Eventually(t, "targets of pools are gone", func() error {
		if shown, err := h.server.Targets(t.Context()); err != nil || len(shown) != 1 {
			return fmt.Errorf("%+v %w", shown, err)
		}
		return nil
	})
}

// scraped waits until targets, by address and path, are up, or down for this reason.
func (h *house) scraped(want map[string]string) {
	h.t.Helper()
	tooltest.Eventually(h.t, "targets are as they should be", func() error {
		shown, err := h.server.Targets(h.t.Context())
		if err != nil {
			return err
		}
		got := map[string]string{}
		for _, s := range shown {
			got[strings.TrimSuffix(strings.TrimPrefix(s.ScrapeURL, "http://"), "/metrics")] = s.Health + " " + s.LastError
		}
		for url, words := range want {
			if !strings.Contains(got[url], words) {
				return fmt.Errorf("%s is %q, want %q", url, got[url], words)
			}
		}
		return nil
	})
}

// TestLimitsOfOneService: labels bound what a target may answer, and a rule's results, more or
// less than what holds for the others.
func TestLimitsOfOneService(t *testing.T) {
	t.Parallel()
	h := build(t, tooltest.Path(t, "promtool")).start()
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, "bee{n=\"%d\"} 1\n", i)
	}
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text.String()) }))
	t.Cleanup(exporter.Close)
	address := strings.TrimPrefix(exporter.URL, "http://")
	target := func(path string, more ...string) scrape.Target {
		labels := map[string]string{"scrapeInterval": "1s", "metricsPath": path}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		return job(t, address, labels)
	}
	targets := []scrape.Target{target("/usual"), target("/more", "scrapeSampleLimit", "20"), target("/small", "scrapeSampleLimit", "20", "scrapeBodyLimit", "100B")}
	few, many := rule("few", "few_bees", "bee > 0"), rule("many", "many_bees", "bee > 0")
	few.Limit, many.Limit = 19, 20
	few.Labels, many.Labels = map[string]string{"owner": "few"}, map[string]string{"owner": "many"}
	if err := h.apply([]alert.Rule{few, many}, targets); err != nil {
		t.Fatal(err)
	}
	h.scraped(map[string]string{address + "/usual": "sample limit exceeded", address + "/more": "up", address + "/small": "body size limit exceeded"})
	tooltest.Within(t, 2*tooltest.Patience, "one rule is over its limit", func() error {
		rules, err := h.server.Rules(t.Context())
		if err != nil || !strings.Contains(rules["few_bees"].Error, "limit of 19") || !rules["many_bees"].Evaluated || rules["many_bees"].Error != "" {
			return fmt.Errorf("%+v %w", rules, err)
		}
		return nil
	})
}
