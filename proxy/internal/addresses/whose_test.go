package addresses

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// shop is what the catalog says of the service shop_web, and of others.
type shop struct {
	// running, coming and others are addresses: of its running tasks, of those that are on
	// their way, and of the tasks of evil.
	running, coming, others string
	wanted                  int
	open, unlisted, deaf    bool
}

// says makes the catalog say that.
func (w *world) says(s shop) {
	owners := Owners{}
	for owner, addrs := range map[string]string{"shop_web": s.running + " " + s.coming, "evil": s.others} {
		for _, a := range list(addrs) {
			owners[a] = append(owners[a], owner)
		}
	}
	w.version++
	w.Follower.Set(map[string]Target{"w": {
		Name: "tasks.shop_web.", Expected: s.wanted > 0, Tasks: list(s.running),
		Whose: Whose{Service: "shop_web", Wanted: s.wanted, Coming: len(list(s.coming)), Listed: !s.unlisted, Open: s.open},
	}}, Known{Owners: owners, Current: !s.deaf, Version: w.version})
}

// TestWhoseAddressItIs tells stories of an answer of DNS and of what the catalog says.
func TestWhoseAddressItIs(t *testing.T) {
	const a, b, c, x, y = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.66", "10.0.0.67"
	one := shop{running: a, wanted: 1}
	// step is one moment of a story: what changes, how long it lasts, and which addresses
	// are used and refused at its end.
	type step struct {
		dns          string
		says         *shop
		for_         time.Duration
		use, refused string
	}
	moment := 100 * time.Millisecond
	look := 4 * time.Second // a quiet name has been asked again by then
	for _, story := range []struct {
		name  string
		steps []step
	}{
		{"an alias of another service's", []step{
			{a, &one, moment, a, ""},
			{a + " " + x, &shop{running: a, wanted: 1, others: x}, look, a, x + " evil"},
		}},
		{"an alias of somebody of whom the catalog knows nothing", []step{
			{a + " " + x, &one, moment, a, x},
			{a + " " + x, nil, 5 * time.Minute, a, x},
		}},
		{"a stranger who was there before the service", []step{
			{x, &shop{coming: a, wanted: 1}, moment, "", x},
			{x + " " + a, nil, moment, a, x},
		}},
		{"a stranger alone, while the real task stops and the next one starts", []step{
			{a + " " + x, &one, look, a, x},
			{x, &shop{coming: b, wanted: 1}, moment, a, x}, // what was there is held on to
			{x + " " + b, nil, moment, b, x},
		}},
		{"a stranger alone, before the catalog hears that the task has gone", []step{
			{a + " " + x, &one, 40 * time.Second, a, x},
			{x, nil, 5 * time.Second, a, x},
		}},
		{"a task that comes into DNS before the catalog has heard of it", []step{
			{"", &shop{unlisted: true, wanted: 1}, moment, "", ""},
			{a, nil, moment, a, ""},
			{a, &one, time.Hour, a, ""},
		}},
		{"more of them than are missing: nobody is believed before the catalog tells", []step{
			{a + " " + x, &shop{unlisted: true, wanted: 1}, moment, "", a + " " + x},
			{a + " " + x, &one, moment, a, x},
		}},
		{"a task that was replaced after a crash, ten seconds before the catalog hears of it", []step{
			{a, &one, look, a, ""},
			{c, nil, look, c, ""},
			{c, &shop{running: c, wanted: 1}, time.Minute, c, ""},
		}},
		{"the same, and the catalog names another one", []step{
			{a, &one, look, a, ""},
			{x, nil, look, x, ""},
			{x, &shop{coming: c, wanted: 1}, moment, "", x},
		}},
		{"more replicas", []step{
			{a, &one, moment, a, ""},
			{a + " " + b, &shop{running: a, wanted: 2}, moment, a + " " + b, ""},
			{a + " " + b, &shop{running: a + " " + b, wanted: 2}, time.Minute, a + " " + b, ""},
		}},
		{"a stranger in the place of a task that never comes", []step{
			{a, &shop{running: a, wanted: 2}, moment, a, ""},
			{a + " " + x, nil, look, a + " " + x, ""},
			{a + " " + x, nil, time.Minute, a, x},
		}},
		{"a task that is about to stop leaves the catalog before it leaves DNS", []step{
			{a, &one, moment, a, ""},
			{a, &shop{coming: b, wanted: 1}, time.Minute, a, ""},
			{a + " " + b, &shop{running: b, wanted: 1}, look, a + " " + b, ""},
			{b, nil, look, b, ""},
		}},
		{"an address that becomes another service's", []step{
			{a + " " + b, &shop{running: a + " " + b, wanted: 2}, moment, a + " " + b, ""},
			{a + " " + b, &shop{running: a, wanted: 1, others: b}, moment, a, b + " evil"},
		}},
		{"the same, while DNS is silent", []step{
			{a + " " + b, &shop{running: a + " " + b, wanted: 2}, moment, a + " " + b, ""},
			{"", nil, look, a + " " + b, ""},
			{"", &shop{running: a, wanted: 1, others: b}, moment, a, ""},
		}},
		{"a service with more tasks than the catalog lists", []step{
			{a + " " + b + " " + x, &shop{wanted: 4000, open: true, others: x}, 5 * time.Minute, a + " " + b, x + " evil"},
		}},
		{"nobody is heard of: the last catalog decides", []step{
			{a, &one, moment, a, ""},
			{b + " " + c + " " + x, &shop{running: a, wanted: 1, others: x, deaf: true}, time.Hour, b + " " + c, x + " evil"},
			// The listener is back, and needs a moment to tell.
			{b + " " + c + " " + x, &shop{running: a, wanted: 1, others: x}, moment, b + " " + c, x + " evil"},
			{b + " " + c + " " + x, &shop{running: b + " " + c, wanted: 2, others: x}, time.Minute, b + " " + c, x + " evil"},
		}},
		{"who was found out to be a stranger stays one when nobody is heard of", []step{
			{a + " " + x, &one, time.Minute, a, x},
			{a + " " + x, &shop{running: a, wanted: 1, deaf: true}, time.Minute, a, x},
		}},
		{"the end of a start-first update of which the listener does not tell any more", []step{
			{a, &one, look, a, ""},
			{a + " " + b, nil, look, a, b},
			{b, nil, look + 2*time.Second, b, ""},
		}},
		{"a stranger who comes to a task of which the catalog has not heard yet", []step{
			{a, &one, look, a, ""},
			{c, nil, look, c, ""},
			{c + " " + x, nil, look, c, x},
		}},
		{"two strangers in the place of one", []step{
			{a, &one, look, a, ""},
			{x + " " + y, nil, look, a, x + " " + y},
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				for i, s := range story.steps {
					w.zone.set("tasks.shop_web.", s.dns)
					if s.says != nil {
						w.says(*s.says)
					}
					w.pass(s.for_)
					use, _ := w.Addresses("w")
					if got := words(use); got != s.use {
						t.Errorf("step %d: uses %q, want %q", i+1, got, s.use)
					}
					var refused []string
					for _, r := range w.Refused("w") {
						refused = append(refused, strings.TrimSpace(r.Addr.String()+" "+r.Owner))
					}
					if got := strings.Join(refused, " "); got != s.refused {
						t.Errorf("step %d: refuses %q, want %q", i+1, got, s.refused)
					}
					if n := testutil.ToFloat64(w.metrics.foreign); int(n) != len(refused) {
						t.Errorf("step %d: the metric says %v", i+1, n)
					}
				}
			})
		})
	}
}

func words(addrs []netip.Addr) string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return strings.Join(out, " ")
}

// TestAnAliasDoesNotMakeANameRestless: nobody is asked more often for a stranger's sake.
func TestAnAliasDoesNotMakeANameRestless(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.shop_web.", "10.0.0.1 10.0.0.66")
		w.says(shop{running: "10.0.0.1", wanted: 1})
		w.pass(10 * time.Second)
		from := time.Now()
		w.pass(time.Minute)
		if n := len(w.zone.since("tasks.shop_web.", from)); n > 21 {
			t.Errorf("asked %d times in a minute", n)
		}
	})
}

// TestAnOutboundHostThatMovesWhereNoneMayBe: a first answer that is good, and a second one
// that leads inside.
func TestAnOutboundHostThatMovesWhereNoneMayBe(t *testing.T) {
	inWorld(t, func(w *world) {
		known := Known{Outside: func(host string, a netip.Addr) string {
			if a.IsLoopback() {
				return fmt.Sprintf("%s is the proxy itself", host)
			}
			return ""
		}}
		w.zone.set("legacy.example.", "192.0.2.1")
		w.Follower.Set(map[string]Target{"o": {Name: "legacy.example.", Expected: true, Outbound: "legacy.example"}}, known)
		w.pass(time.Second)
		w.has("o", "192.0.2.1")
		w.zone.set("legacy.example.", "192.0.2.1 127.0.0.1")
		w.pass(5 * time.Second)
		w.has("o", "192.0.2.1")
		w.zone.set("legacy.example.", "127.0.0.1 ::ffff:127.0.0.1")
		w.pass(time.Minute)
		w.has("o", "")
		if r := w.Refused("o"); len(r) != 1 || r[0].Why("") != "legacy.example is the proxy itself" {
			t.Errorf("refused: %+v", r)
		}
		w.zone.set("legacy.example.", "192.0.2.2")
		w.pass(time.Minute)
		w.has("o", "192.0.2.2")
	})
}

// TestAnOutboundHostWithThousandsOfAddresses: each would be a server of HAProxy's, for whose
// memory all pay.
func TestAnOutboundHostWithThousandsOfAddresses(t *testing.T) {
	inWorld(t, func(w *world) {
		known := Known{Outside: func(_ string, a netip.Addr) string {
			if a.IsLoopback() {
				return "inside"
			}
			return ""
		}}
		list := func(format string, from, n int) []string {
			var out []string
			for i := from; i < from+n; i++ {
				out = append(out, fmt.Sprintf(format, i/250, i%250))
			}
			return out
		}
		many := strings.Join(list("192.168.%d.%d", 0, 4000), " ")
		w.zone.set("many.example.", many)
		w.Follower.Set(map[string]Target{"o": {Name: "many.example.", Expected: true, Outbound: "many.example"}}, known)
		w.pass(10 * time.Second)
		first := strings.Join(list("192.168.%d.%d", 0, MostOutside), " ")
		w.has("o", first)
		if r := w.Refused("o"); len(r) != 1 || r[0].Why("") != "it is one of 3968 more than the 32 of one host that are used" {
			t.Errorf("refused: %+v", r)
		}
		// Others that come before them change nothing while these are still there.
		w.zone.set("many.example.", "192.167.0.1 192.167.0.2 "+many)
		w.pass(time.Minute)
		w.has("o", first)
		w.zone.set("many.example.", strings.Join(list("127.0.%d.%d", 0, 4000), " "))
		w.pass(2 * time.Minute)
		w.has("o", "")
		if r := w.Refused("o"); len(r) != mostTold {
			t.Errorf("%d are told", len(r))
		}
	})
}
