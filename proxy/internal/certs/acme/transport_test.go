package acme

import (
	"net/http"
	"testing"
	"time"
)

// TestTimesToWait are shortened if they are too long, and left out if they are of no use: what an
// authority asks for is within the time for which it is asked.
func TestTimesToWait(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "3": "3", "0": "", "-1": "", "soon": "", "31536000": "15", "99999999999999": "15", "99999999999999999999999": "",
		time.Now().Add(365 * 24 * time.Hour).UTC().Format(http.TimeFormat): "15", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat): "",
	} {
		header := http.Header{}
		if text != "" {
			header.Set("Retry-After", text)
		}
		if soon(header); header.Get("Retry-After") != want {
			t.Errorf("%q: %q, want %q", text, header.Get("Retry-After"), want)
		}
	}
}

// TestAlternates are the links to other chains, and not too many.
func TestAlternates(t *testing.T) {
	if got := alternates([]string{`<https://a/up>;rel="up"`, `<https://a/1>;rel="alternate"`, `<https://a/x>;rel="index"`}); len(got) != 1 || got[0] != `<https://a/1>;rel="alternate"` {
		t.Errorf("%q", got)
	}
	if got := alternates(make([]string, 3)); len(got) != 0 {
		t.Errorf("%q", got)
	}
	var many []string
	for range 100 {
		many = append(many, `<https://a/1>;rel="alternate"`)
	}
	if got := alternates(many); len(got) != mostChains {
		t.Errorf("%d", len(got))
	}
}
