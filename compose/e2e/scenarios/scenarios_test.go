package scenarios

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/compose/e2e/parts"
)

func TestAScenarioThatIsNotThereIsNamed(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), parts.Config{Only: []string{"T-01", "T-99"}, Out: &out, Log: &out})
	if err == nil || !strings.Contains(err.Error(), "T-99") || out.Len() > 0 {
		t.Errorf("it says %v, and did %q", err, out.String())
	}
}

func TestEachScenarioIsThereOnce(t *testing.T) {
	names := Parts()
	slices.Sort(names)
	if len(slices.Compact(slices.Clone(names))) != len(names) || len(names) == 0 {
		t.Error(names)
	}
}

// TestTheChatKeepsWhatItIsTold, and says so of what Slack would not take.
func TestTheChatKeepsWhatItIsTold(t *testing.T) {
	var c chat
	for _, body := range []string{`{"attachments":[{"title":"[FIRING] a","text":"It burns","color":"danger"}]}`, `{"status":"firing"}`} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/services/T0/B0/KEY", strings.NewReader(body)))
		if w.Code != http.StatusOK || w.Body.String() != "ok" {
			t.Error(w.Code, w.Body)
		}
	}
	if got := c.since(0); len(got) != 2 || got[0].Text != "It burns" || got[1].Title != "what Slack does not take" || c.count() != 2 {
		t.Errorf("%+v", got)
	}
	w := world{chat: &c}
	if err := w.says(0, false, "a", "burns")(t.Context()); err != nil {
		t.Error(err)
	}
	if err := w.says(1, false, "burns")(t.Context()); err == nil {
		t.Error("what was said before counts")
	}
}
