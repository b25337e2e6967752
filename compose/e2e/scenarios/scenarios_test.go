package scenarios

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/parts"
	"github.com/wagglehq/waggle/compose/e2e/parts/partstest"
)

func TestNames(t *testing.T) {
	partstest.Names(t, Parts(), func(c parts.Config) error { return Run(t.Context(), c) })
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

// TestAComparisonKnowsForHowLong two have told different numbers, and forgets it when one of
// them could not be asked.
func TestAComparisonKnowsForHowLong(t *testing.T) {
	c := comparison{since: map[string]time.Time{}}
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	c.note(at(0), map[string]int{"shop": 2}, map[string]int{"shop": 2})
	c.note(at(2), map[string]int{"shop": 2}, map[string]int{"shop": 1})
	c.note(at(9), map[string]int{"shop": 2}, map[string]int{"shop": 1, "new": 1})
	c.note(at(11), map[string]int{"shop": 1}, map[string]int{"shop": 1})
	if c.worst != 7*time.Second || c.what != "shop: 2 are told to run, 1 do" || len(c.since) != 0 {
		t.Errorf("%v %q %v", c.worst, c.what, c.since)
	}
	c.note(at(20), map[string]int{"shop": 1}, nil)
	c.miss()
	c.note(at(40), map[string]int{"shop": 1}, nil)
	if c.worst != 7*time.Second || c.missed != 1 || c.looks != 6 {
		t.Errorf("%+v", c)
	}
}

// TestTheSignOfLifeIsNoMessage, and is known by when it came.
func TestTheSignOfLifeIsNoMessage(t *testing.T) {
	var c chat
	c.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, signOfLife, strings.NewReader(`{}`)))
	if c.count() != 0 || time.Since(c.lived()) > time.Minute {
		t.Errorf("%d messages, alive %v", c.count(), c.lived())
	}
	w := world{chat: &c}
	if w.silent(time.Now())(t.Context()) == nil {
		t.Error("silence is told at once")
	}
}
