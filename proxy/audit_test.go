package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/certtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/dockerflow"
)

// TestChangesAreInTheAudit: whoever changes something over HTTP is in the stream, with what he
// did, and no secret of his.
func TestChangesAreInTheAudit(t *testing.T) {
	h := newHouse(t)
	h.withInterface()
	h.supervised()
	h.dns.set("script", "127.0.0.3")
	h.run()
	h.publish()
	h.ready()
	h.ask("/reconfigure?serviceName=script&servicePath=/s&port="+strconv.Itoa(h.upstream), http.StatusOK)
	h.ask("/reload", http.StatusOK)
	h.ask("/remove?serviceName=script", http.StatusOK)
	pem := certtest.Self(t, "a.com").PEM()
	for _, method := range []string{http.MethodPut, http.MethodDelete} {
		if status, text, _ := h.call(method, "/v1/certs/a.pem", strings.NewReader(pem)); status >= 300 {
			t.Fatal(method, status, text)
		}
	}
	if status, _, _ := h.call(http.MethodGet, dockerflow.Prefix+"/remove?serviceName=script", nil, "Authorization", "Bearer other"); status != http.StatusUnauthorized {
		t.Errorf("with a wrong token: %d", status)
	}
	listener := h.bus.Connect("listener")
	want := []string{"service asked for script", "reload ", "service removed script", "certificate put a.pem", "certificate deleted a.pem"}
	tooltest.Eventually(t, "all is in the stream", func() error {
		messages, err := listener.Last(t.Context(), bus.AuditStream, 10)
		if err != nil {
			return err
		}
		var got []string
		for _, m := range messages {
			var e audit.Entry
			if err := json.Unmarshal(m.Value, &e); err != nil {
				return err
			}
			got = append(got, fmt.Sprint(e.Action, " ", e.Object))
			if !strings.HasPrefix(e.By, "token ") || !strings.HasPrefix(e.Remote, "127.0.0.1:") || strings.Contains(string(m.Value), "geheim") || strings.Contains(string(m.Value), "PRIVATE") {
				t.Errorf("it says %s", m.Value)
			}
			if strings.HasPrefix(string(e.Action), "certificate") && len(e.Fingerprint) != 40 {
				t.Errorf("%s has the fingerprint %q", e.Action, e.Fingerprint)
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("it holds %q, want %q", got, want)
		}
		return nil
	})
}
