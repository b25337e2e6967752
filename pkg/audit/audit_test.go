package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/app"
	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bustest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

var keys = map[string]string{
	"listener": "0123456789abcdef-l", "proxy": "0123456789abcdef-p", "monitor": "0123456789abcdef-m", "scaler": "0123456789abcdef-s",
}

// TestTheChain: what happens without a bus is written when it is there, in its order, and each
// entry names the one before.
func TestTheChain(t *testing.T) {
	server := bustest.StartWithKeys(t, keys)
	listener := server.Prepared()
	proxy := server.Connect("proxy")
	var said tooltest.Log
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	j := audit.New(audit.Options{Bus: proxy, Component: "proxy", Instance: "node.1", Log: slog.New(slog.NewTextHandler(&said, nil)), Now: func() time.Time { return now }})
	server.Stop()
	from, to := uint64(1), uint64(3)
	j.Note(audit.Entry{Action: audit.CertificatePut, Object: "acme.pem", Fingerprint: "AB12", By: "token 01234567", Remote: "10.0.0.7:4711"})
	j.Note(audit.Entry{Action: audit.ScaledByHand, Object: "shop_web", From: &from, To: &to})
	stop := bustest.Run(t, j.Run)
	server.StartAgain()
	var values [][]byte
	tooltest.Eventually(t, "both are in the stream", func() error {
		messages, err := listener.Last(t.Context(), bus.AuditStream, 10)
		if err != nil || len(messages) != 2 {
			return fmt.Errorf("%d messages, %w", len(messages), err)
		}
		values = nil
		for _, m := range messages {
			if m.Subject != "waggle.audit.proxy" {
				t.Errorf("the subject is %s", m.Subject)
			}
			values = append(values, m.Value)
		}
		return nil
	})
	stop()
	var first, second audit.Entry
	for i, e := range []*audit.Entry{&first, &second} {
		if err := json.Unmarshal(values[i], e); err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(values[0])
	if first.Previous != "" || second.Previous != hex.EncodeToString(sum[:]) {
		t.Errorf("the first is %s and names %q, the second names %q", hex.EncodeToString(sum[:]), first.Previous, second.Previous)
	}
	if first.Component != "proxy" || first.Instance != "node.1" || first.Fingerprint != "AB12" || !first.Time.Equal(now) || *second.To != 3 {
		t.Errorf("%+v\n%+v", first, second)
	}
	for _, want := range []string{`msg=audit action="certificate put" object=acme.pem by="token 01234567" remote=10.0.0.7:4711 fingerprint=AB12`, `action="scaled by hand" object=shop_web from=1 to=3`} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, said.String())
		}
	}
}

// TestALongEntryIsCut: labels of 64 kB may stand in what is told of them, and one message that
// the stream does not take would hold up all behind it.
func TestALongEntryIsCut(t *testing.T) {
	server := bustest.StartWithKeys(t, keys)
	listener := server.Prepared()
	j := audit.New(audit.Options{Bus: server.Connect("proxy"), Component: "proxy", Instance: "one", Log: slog.New(slog.DiscardHandler), Now: time.Now})
	bustest.Run(t, j.Run)
	long := strings.Repeat("Übergröße ", 10_000)
	j.Note(audit.Entry{Action: audit.HostRefused, Object: long, Detail: long})
	j.Note(audit.Entry{Action: audit.Reloaded})
	tooltest.Eventually(t, "both are in the stream", func() error {
		messages, err := listener.Last(t.Context(), bus.AuditStream, 10)
		if err != nil || len(messages) != 2 {
			return fmt.Errorf("%d messages, %w", len(messages), err)
		}
		var e audit.Entry
		if err := json.Unmarshal(messages[0].Value, &e); err != nil {
			return err
		}
		if !strings.HasPrefix(e.Detail, "Übergröße ") || !strings.HasSuffix(e.Detail, "…") || strings.Contains(e.Detail, "\uFFFD") {
			t.Errorf("the detail is %q", e.Detail)
		}
		return nil
	})
}

// TestWhoAsked: tokens are told apart and never told.
func TestWhoAsked(t *testing.T) {
	const one, two = "the-first-token-of-all", "the-second-token-of-all"
	seen := map[string]string{}
	for _, token := range []string{one, two} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		app.RequireToken(one+" "+two)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			e := audit.Asked(r, audit.Reloaded, "")
			seen[token] = e.By
			if e.Remote != r.RemoteAddr {
				t.Errorf("it came from %s", e.Remote)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
	if seen[one] == seen[two] || len(seen[one]) != len("token 01234567") || strings.Contains(seen[one], "the-first") {
		t.Errorf("%v", seen)
	}
}
