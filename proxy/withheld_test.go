package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// publishApart writes the catalog with users apart, and their texts only if asked to.
func (h *house) publishApart(texts bool) {
	h.t.Helper()
	isUsers := func(label string) bool { return label == "com.df.users" }
	mark := func(text string) string { return fmt.Sprintf("mark of %d letters", len(text)) }
	e, _, err := catalog.EncodeApart(catalog.Snapshot{Services: h.services}, isUsers, mark)
	if err != nil {
		h.t.Fatal(err)
	}
	tooltest.Eventually(h.t, "the catalog is written", func() error {
		seen, ok := h.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		plan := seen.Plan(e)
		if !texts {
			plan.Put = withoutTexts(plan.Put)
		}
		_, err := h.writer.Write(h.t.Context(), seen, plan)
		return err
	})
}

func withoutTexts(all []catalog.Entry) (out []catalog.Entry) {
	for _, e := range all {
		if _, ok := catalog.SecretOf(e.Key); !ok {
			out = append(out, e)
		}
	}
	return out
}

// as asks for a path with a name and password, and returns the status.
func (h *house) as(name, password, path string) (int, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", h.http, path), nil)
	if err != nil {
		return 0, err
	}
	req.SetBasicAuth(name, password)
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, errors.Join(err, res.Body.Close())
}

// TestAServiceWaitsForTheTextsThatItWithholds: it is never served without its users, and
// nothing of a text is shown.
func TestAServiceWaitsForTheTextsThatItWithholds(t *testing.T) {
	h := newHouse(t)
	h.supervised()
	h.run()
	h.dns.set("web", "127.0.0.2")
	h.dns.set("open", "127.0.0.3")
	h.deploy("open", "/open")
	h.answers("/open", "127.0.0.3")
	admitted := func(password string, want int) {
		t.Helper()
		tooltest.Eventually(t, fmt.Sprintf("ann:%s is answered %d", password, want), func() error {
			got, err := h.as("ann", password, "/web")
			if err == nil && got != want {
				err = fmt.Errorf("%d", got)
			}
			return err
		})
	}
	label := func(password string) {
		svc := h.services["id-open"]
		svc.ID, svc.Name = "id-web", "web"
		svc.Labels = map[string]string{catalog.Notify: "true", "com.df.servicePath": "/web", "com.df.port": fmt.Sprint(h.upstream), "com.df.users": "ann:" + password}
		h.services["id-web"] = svc
	}

	label("first")
	h.publishApart(false)
	h.says("web", "rejected", "the text of com.df.users has not arrived", `"label": "com.df.users"`)
	h.answers("/web", "503")
	h.publishApart(true)
	h.says("web", `"state": "applied"`)
	admitted("first", http.StatusOK)
	admitted("other", http.StatusUnauthorized)

	label("the second")
	h.publishApart(false)
	// What comes after the change is in force, so the change has been seen.
	h.dns.set("later", "127.0.0.3")
	later := h.services["id-open"]
	later.ID, later.Name = "id-later", "later"
	later.Labels = map[string]string{catalog.Notify: "true", "com.df.servicePath": "/later", "com.df.port": fmt.Sprint(h.upstream)}
	h.services["id-later"] = later
	h.publishApart(false)
	h.answers("/later", "127.0.0.3")
	admitted("first", http.StatusOK)
	admitted("the second", http.StatusUnauthorized)
	h.publishApart(true)
	admitted("the second", http.StatusOK)
	admitted("first", http.StatusUnauthorized)
	if shown := h.status("web"); strings.Contains(shown, "ann") || strings.Contains(shown, "second") {
		t.Errorf("shown is %s", shown)
	}
}
