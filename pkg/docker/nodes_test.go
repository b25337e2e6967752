package docker

import (
	"testing"
	"time"
)

func TestANodeThatIsDownIsKnownWhileEventsWouldTell(t *testing.T) {
	var d down
	now := time.Now()
	ids := map[string]bool{"n": true}
	list := func() { d.listed(d.ask(), now, ids) }
	known := func(what string, want bool) {
		t.Helper()
		got, ok := d.known(now)
		if ok != want || ok && !got["n"] {
			t.Errorf("%s: known %t: %v, want %t", what, ok, got, want)
		}
	}
	known("at first", false)
	list()
	known("without a stream of events", false)
	d.stream(true)
	known("what was listed before the stream", false)
	list()
	known("listed", true)
	now = now.Add(downFor - time.Millisecond)
	known("almost for too long", true)
	now = now.Add(time.Millisecond)
	known("for too long", false)
	list()
	d.forget()
	known("after an event", false)
	asked := d.ask()
	d.forget()
	d.listed(asked, now, ids)
	known("what was asked for before an event", false)
	list()
	d.stream(false)
	known("after the stream", false)
}
