package addresses

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// zone is a resolver whose names have the answers that a test gives them.
type zone struct {
	mu      sync.Mutex
	answers map[string]any // string of addresses, or error
	delay   map[string]time.Duration
	asked   []question
	at      int // look-ups under way
	most    int
}

type question struct {
	name     string
	at       time.Time
	answered bool
}

func newZone() *zone {
	return &zone{answers: map[string]any{}, delay: map[string]time.Duration{}}
}

// set gives a name an answer: addresses divided by spaces, "" for no such name, or an error.
func (z *zone) set(name string, answer any) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.answers[name] = answer
}

func (z *zone) slow(name string, d time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.delay[name] = d
}

func (z *zone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	answer := z.answers[host]
	delay := max(z.delay[host], 300*time.Microsecond)
	text, _ := answer.(string)
	z.asked = append(z.asked, question{host, time.Now(), text != ""})
	z.at++
	z.most = max(z.most, z.at)
	z.mu.Unlock()
	defer func() {
		z.mu.Lock()
		z.at--
		z.mu.Unlock()
	}()
	if network != "ip4" {
		return nil, fmt.Errorf("asked for %s", network)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(delay):
	}
	if err, ok := answer.(error); ok {
		return nil, err
	}
	if text == "" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return list(text), nil
}

// since returns the times at which a name was asked from t on.
func (z *zone) since(name string, t time.Time) []time.Time {
	z.mu.Lock()
	defer z.mu.Unlock()
	var out []time.Time
	for _, q := range z.asked {
		if q.name == name && !q.at.Before(t) {
			out = append(out, q.at)
		}
	}
	return out
}

// lookups is how many there were of all names from t on.
func (z *zone) lookups(t time.Time) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	n := 0
	for _, q := range z.asked {
		if !q.at.Before(t) {
			n++
		}
	}
	return n
}

func list(text string) []netip.Addr {
	var out []netip.Addr
	for f := range strings.FieldsSeq(text) {
		out = append(out, netip.MustParseAddr(f))
	}
	return out
}

// world is a Follower that runs in a bubble of fake time.
type world struct {
	*testing.T
	*Follower
	zone  *zone
	pokes int
	// version is that of what the catalog last said.
	version uint64
	reg     *prometheus.Registry
}

// inWorld runs a story in fake time.
func inWorld(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, zone: newZone(), reg: prometheus.NewRegistry()}
		w.Follower = New(Options{
			Resolver: w.zone, Registry: w.reg, Log: slog.New(slog.DiscardHandler),
			Changed: func() { w.pokes++ },
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Follower.Run(ctx) }()
		synctest.Wait()
		story(w)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// Set has targets followed of which the catalog says nothing.
func (w *world) Set(targets map[string]Target) { w.Follower.Set(targets, Known{}) }

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// has checks the addresses of a key; "?" is not known.
func (w *world) has(key, want string) {
	w.Helper()
	addrs, known := w.Addresses(key)
	got := "?"
	if known {
		texts := make([]string, len(addrs))
		for i, a := range addrs {
			texts[i] = a.String()
		}
		got = strings.Join(texts, " ")
	}
	if got != want {
		w.Errorf("%s has %q, want %q", key, got, want)
	}
}

// crowd returns n targets like one, named tasks.PREFIX0. and so on.
func crowd(prefix string, n int, like Target) map[string]Target {
	targets := make(map[string]Target, n)
	for i := range n {
		like.Name = fmt.Sprintf("tasks.%s%d.", prefix, i)
		targets[like.Name] = like
	}
	return targets
}

// alive returns n targets, tasks.s0. and so on, of one task each, of which catalog and
// DNS say the same.
func (w *world) alive(n int) map[string]Target {
	targets := make(map[string]Target, n)
	for i := range n {
		name, addr := fmt.Sprintf("tasks.s%d.", i), fmt.Sprintf("10.0.%d.%d", i/200, i%200+1)
		w.zone.set(name, addr)
		targets[name] = Target{Name: name, Expected: true, Tasks: list(addr)}
	}
	return targets
}

func TestANewTargetIsLookedUpAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.web.", "10.0.0.9 ::ffff:10.0.0.3 10.0.0.9")
		w.has("w", "?")
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true}})
		w.pass(time.Millisecond)
		w.has("w", "10.0.0.3 10.0.0.9")
		if w.pokes != 1 {
			t.Errorf("poked %d times, want once", w.pokes)
		}
	})
}

func TestAPendingNameIsAskedOftenThenLess(t *testing.T) {
	inWorld(t, func(w *world) {
		begin := time.Now()
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true, Moving: true}})
		w.pass(time.Second)
		if n := len(w.zone.since("tasks.web.", begin)); n < 37 || n > 40 {
			t.Errorf("asked %d times in the first second, want 40 at most and nearly", n)
		}
		w.has("w", "")
		before := w.pokes
		w.zone.set("tasks.web.", "10.0.0.1")
		w.pass(30 * time.Millisecond)
		w.has("w", "10.0.0.1")
		if w.pokes != before+1 {
			t.Errorf("poked %d times for one change", w.pokes-before)
		}
	})
	inWorld(t, func(w *world) {
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true}})
		w.pass(4 * time.Second)
		after4 := time.Now()
		w.pass(time.Second)
		if n := len(w.zone.since("tasks.web.", after4)); n < 5 || n > 9 {
			t.Errorf("asked %d times in the fifth second, want 6 to 8", n)
		}
		w.pass(2 * time.Minute)
		late := time.Now()
		w.pass(30 * time.Second)
		if n := len(w.zone.since("tasks.web.", late)); n < 8 || n > 12 {
			t.Errorf("asked %d times in half a minute, want about ten", n)
		}
	})
}

func TestUnansweredLookUpsStayUnderTheLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := crowd("dead", 30, Target{Expected: true})
		for name := range targets {
			w.zone.slow(name, 40*time.Millisecond)
		}
		for i := range 200 {
			name := fmt.Sprintf("tasks.live%d.", i)
			w.zone.set(name, fmt.Sprintf("10.1.%d.%d", i/250, i%250+1))
			targets[name] = Target{Name: name, Expected: true}
		}
		w.Set(targets)
		w.pass(2500 * time.Millisecond)
		for i := range 200 {
			if addrs, _ := w.Addresses(fmt.Sprintf("tasks.live%d.", i)); len(addrs) != 1 {
				t.Fatalf("live%d has no address", i)
			}
		}
		// Answered names refill the bucket, so all of them came in early.
		first := map[string]time.Time{}
		times := []time.Time{}
		per := map[string]int{}
		for _, q := range w.zone.asked {
			if _, ok := first[q.name]; !ok {
				first[q.name] = q.at
			}
			if !q.answered {
				times = append(times, q.at)
				per[q.name]++
			}
		}
		for i := range times {
			n := 0
			for _, u := range times[i:] {
				if u.Sub(times[i]) < time.Second {
					n++
				}
			}
			if n > 40 {
				t.Fatalf("%d look-ups without an answer in one second", n)
			}
		}
		if len(per) != 30 {
			t.Errorf("%d of 30 dead names were asked", len(per))
		}
		for name, n := range per {
			if n < 2 || n > 5 {
				t.Errorf("%s was asked %d times, others share the rest: not fair", name, n)
			}
		}
		if w.zone.most > maxFlying {
			t.Errorf("%d look-ups at once", w.zone.most)
		}
	})
}

func TestANewcomerIsNotStarvedByOldPendingNames(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := crowd("dead", 50, Target{Expected: true})
		w.Set(targets)
		w.pass(5 * time.Minute)
		targets["new"] = Target{Name: "tasks.new.", Expected: true}
		w.Set(targets)
		w.pass(500 * time.Millisecond)
		w.zone.set("tasks.new.", "10.0.0.1")
		w.pass(150 * time.Millisecond)
		w.has("new", "10.0.0.1")
	})
}

func TestAHangingLookUpIsOvertaken(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.slow("tasks.web.", 10*time.Second) // the node's resolver is stalled
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true}})
		w.pass(25 * time.Millisecond)
		w.zone.slow("tasks.web.", 0)
		w.zone.set("tasks.web.", "10.0.0.1")
		w.pass(25 * time.Millisecond)
		w.has("w", "10.0.0.1")
		w.pass(300 * time.Millisecond) // the old ones end by their deadline and change nothing
		w.has("w", "10.0.0.1")
		if n := testutil.ToFloat64(w.metrics.lookups.WithLabelValues("timeout")); n < 1 {
			t.Error("no timeout was counted")
		}
	})
}

func TestServicesInMotionAndQuietOnes(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := map[string]Target{
			"moving": {Name: "tasks.moving.", Expected: true, Moving: true},
			"quiet":  {Name: "tasks.quiet.", Expected: true},
			// The catalog shows a task more than DNS: something is up.
			"other": {Name: "tasks.other.", Expected: true, Tasks: list("10.0.3.2 10.0.3.1")},
		}
		w.zone.set("tasks.moving.", "10.0.1.1")
		w.zone.set("tasks.quiet.", "10.0.2.1")
		w.zone.set("tasks.other.", "10.0.3.1")
		begin := time.Now()
		w.Set(targets)
		w.pass(time.Second)
		if n := len(w.zone.since("tasks.moving.", begin)); n < 35 || n > 41 {
			t.Errorf("asked a service that just changed %d times in a second, want 40", n)
		}
		w.pass(10 * time.Second)
		from := time.Now()
		w.pass(12 * time.Second)
		for name, want := range map[string][2]int{"moving": {46, 50}, "quiet": {3, 5}, "other": {46, 50}} {
			if n := len(w.zone.since("tasks."+name+".", from)); n < want[0] || n > want[1] {
				t.Errorf("asked %s %d times in 12 s, want %v", name, n, want)
			}
		}
		w.zone.set("tasks.quiet.", "10.0.2.1 10.0.2.2")
		w.pass(3400 * time.Millisecond)
		w.has("quiet", "10.0.2.1 10.0.2.2")

		// The same set again is no news.
		from = time.Now()
		w.Set(targets)
		w.pass(time.Second)
		if n := len(w.zone.since("tasks.quiet.", from)); n > 1 {
			t.Errorf("asked %d times after a set without change", n)
		}
	})
}

func TestManyServicesInMotionShareALimit(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := map[string]Target{}
		for i := range 200 {
			name := fmt.Sprintf("tasks.s%d.", i)
			w.zone.set(name, fmt.Sprintf("10.1.0.%d", i+1))
			targets[name] = Target{Name: name, Expected: true, Moving: true}
		}
		w.Set(targets)
		w.pass(5 * time.Second)
		from := time.Now()
		w.pass(10 * time.Second)
		n := 0
		for name := range targets {
			each := len(w.zone.since(name, from))
			if each < 11 {
				t.Errorf("%s was asked %d times in 10 s, want more than once a second", name, each)
			}
			n += each
		}
		if n > 2600 {
			t.Errorf("%d look-ups in 10 s, want 250 per second at most", n)
		}
	})
}

func TestSilenceOfAServiceThatShouldHaveTasks(t *testing.T) {
	for name, silence := range map[string]any{
		"no such name": "",
		"an error":     errors.New("server failure"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.zone.set("tasks.web.", "10.0.0.1")
				w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true}})
				w.pass(time.Second)
				w.zone.set("tasks.web.", silence)
				w.pass(30 * time.Millisecond)
				before := w.pokes
				w.pass(9900 * time.Millisecond)
				w.has("w", "10.0.0.1")
				w.pass(200 * time.Millisecond)
				w.has("w", "")
				if w.pokes != before+1 {
					t.Errorf("poked %d times", w.pokes-before)
				}
				w.zone.set("tasks.web.", "10.0.0.2")
				w.pass(500 * time.Millisecond)
				w.has("w", "10.0.0.2")
			})
		})
	}
	t.Run("a short one costs nothing", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.zone.set("tasks.web.", "10.0.0.1")
			w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true}})
			w.pass(time.Second)
			before := w.pokes
			for range 10 {
				w.zone.set("tasks.web.", errors.New("server failure"))
				w.pass(8 * time.Second)
				w.has("w", "10.0.0.1")
				w.zone.set("tasks.web.", "10.0.0.1")
				w.pass(4 * time.Second)
			}
			if w.pokes != before {
				t.Errorf("poked %d times though nothing changed", w.pokes-before)
			}
		})
	})
}

func TestAServiceThatShouldHaveNoTasks(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.web.", "10.0.0.1")
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true}})
		w.pass(10 * time.Second)
		w.zone.set("tasks.web.", "")
		w.pass(5 * time.Second)
		w.has("w", "10.0.0.1") // held, for it should have tasks
		w.Set(map[string]Target{"w": {Name: "tasks.web."}})
		w.pass(5 * time.Millisecond)
		w.has("w", "") // believed at once
		from := time.Now()
		w.pass(time.Minute)
		if n := len(w.zone.since("tasks.web.", from)); n > 3 {
			t.Errorf("asked %d times a minute for a name that needs no answer", n)
		}
		w.zone.set("tasks.web.", "10.0.0.2")
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true}})
		w.pass(5 * time.Millisecond)
		w.has("w", "10.0.0.2")
	})
	t.Run("an error is not an empty answer", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.zone.set("tasks.web.", "10.0.0.1")
			w.Set(map[string]Target{"w": {Name: "tasks.web."}})
			w.pass(time.Second)
			w.zone.set("tasks.web.", errors.New("server failure"))
			w.pass(5 * time.Second)
			w.has("w", "10.0.0.1")
			w.pass(5100 * time.Millisecond)
			w.has("w", "")
		})
	})
}

func TestAnAddressOfAnotherServiceIsDroppedAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.old.", "10.0.0.1 10.0.0.2")
		targets := map[string]Target{"old": {Name: "tasks.old.", Expected: true}}
		w.Set(targets)
		w.pass(4 * time.Second)
		// Its DNS is silent, so its addresses are held; meanwhile Docker gives
		// one of them to another tenant.
		w.zone.set("tasks.old.", errors.New("server failure"))
		w.pass(4 * time.Second)
		w.has("old", "10.0.0.1 10.0.0.2")
		w.zone.set("tasks.new.", "10.0.0.2")
		targets["new"] = Target{Name: "tasks.new.", Expected: true}
		w.Set(targets)
		w.pass(time.Millisecond)
		w.has("new", "10.0.0.2")
		w.has("old", "10.0.0.1")
	})
	t.Run("also when the first has been answered lately", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.zone.set("tasks.old.", "10.0.0.1")
			targets := map[string]Target{"old": {Name: "tasks.old.", Expected: true}}
			w.Set(targets)
			w.pass(10 * time.Second)
			w.zone.set("tasks.old.", "10.0.0.7")
			w.zone.set("tasks.new.", "10.0.0.1")
			targets["new"] = Target{Name: "tasks.new.", Expected: true}
			w.Set(targets)
			w.pass(time.Millisecond)
			w.has("new", "10.0.0.1")
			w.has("old", "10.0.0.7") // asked anew at once
		})
	})
	t.Run("two names that share an address keep it", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.zone.set("a.example.", "192.0.2.1")
			w.zone.set("b.example.", "192.0.2.1")
			targets := map[string]Target{"a": {Name: "a.example.", Expected: true}}
			w.Set(targets)
			w.pass(time.Second)
			targets["b"] = Target{Name: "b.example.", Expected: true}
			w.Set(targets)
			w.pass(100 * time.Millisecond)
			pokes := w.pokes
			for range 10 {
				w.has("a", "192.0.2.1")
				w.has("b", "192.0.2.1")
				w.pass(777 * time.Millisecond)
			}
			if w.pokes != pokes {
				t.Errorf("poked %d times over a shared address", w.pokes-pokes)
			}
		})
	})
	t.Run("two services of one name share their addresses", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.zone.set("out.example.", "192.0.2.1")
			w.Set(map[string]Target{
				"a": {Name: "out.example.", Expected: true},
				"b": {Name: "out.example.", Expected: true},
			})
			w.pass(time.Millisecond)
			w.has("a", "192.0.2.1")
			w.has("b", "192.0.2.1")
			if w.pokes > 2 {
				t.Errorf("poked %d times", w.pokes)
			}
		})
	})
}

func TestTheSetIsReplaced(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.a.", "10.0.0.1")
		w.zone.set("a.", "10.0.0.100")
		w.zone.set("tasks.b.", "10.0.0.2")
		w.Set(map[string]Target{"a": {Name: "tasks.a.", Expected: true}, "b": {Name: "tasks.b.", Expected: true}})
		w.pass(time.Second)
		w.Set(map[string]Target{"a": {Name: "a.", Expected: true}}) // discovery by virtual IP, and b is gone
		w.pass(time.Millisecond)
		w.has("a", "10.0.0.100")
		w.has("b", "?")
		gone := time.Now()
		w.pass(time.Minute)
		if n := len(w.zone.since("tasks.b.", gone)) + len(w.zone.since("tasks.a.", gone)); n > 0 {
			t.Errorf("names that nobody follows were asked %d times", n)
		}
	})
}

func TestSetDoesNotWaitForRun(t *testing.T) {
	f := New(Options{Resolver: newZone(), Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	for i := range 3 {
		f.Set(map[string]Target{"w": {Name: fmt.Sprintf("n%d.", i)}}, Known{})
	}
	if got := (<-f.sets).targets["w"].Name; got != "n2." {
		t.Errorf("the set that waits is %s, want the last", got)
	}
}

func TestRunEndsWhileLookUpsHang(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := map[string]Target{}
		for i := range 5 {
			name := fmt.Sprintf("tasks.s%d.", i)
			w.zone.slow(name, time.Hour)
			targets[name] = Target{Name: name, Expected: true}
		}
		w.Set(targets)
		w.pass(10 * time.Millisecond)
		if w.zone.at == 0 {
			t.Error("no look-up hangs, so this shows nothing")
		}
	})
}

func TestSameAnswerInAnotherOrderIsNoChange(t *testing.T) {
	inWorld(t, func(w *world) {
		addrs := strings.Fields("10.0.0.1 10.0.0.2 10.0.0.3")
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true, Moving: true}})
		w.zone.set("tasks.web.", strings.Join(addrs, " "))
		w.pass(100 * time.Millisecond)
		pokes := w.pokes
		for range 10 {
			addrs = append(slices.Clone(addrs[1:]), addrs[0])
			w.zone.set("tasks.web.", strings.Join(addrs, " "))
			w.pass(100 * time.Millisecond)
		}
		if w.pokes != pokes {
			t.Errorf("poked %d times", w.pokes-pokes)
		}
	})
}

func TestANameWhoseTasksRunIsAskedBeforeThoseOnlyToBeStarted(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := crowd("s", 100, Target{Expected: true, Moving: true})
		w.Set(targets)
		w.pass(5 * time.Second)
		for i := range 40 {
			// A task begins to run; the catalog knows at once, DNS of this node a
			// gossip later.
			name, addr := fmt.Sprintf("tasks.s%d.", i), fmt.Sprintf("10.0.0.%d", i+1)
			targets[name] = Target{Name: name, Expected: true, Moving: true, Tasks: list(addr)}
			w.Set(targets)
			w.pass(150 * time.Millisecond)
			w.zone.set(name, addr)
			w.pass(100 * time.Millisecond)
			w.has(name, addr)
		}
		from := time.Now()
		w.pass(10 * time.Second)
		for i := 40; i < 100; i++ {
			if n := len(w.zone.since(fmt.Sprintf("tasks.s%d.", i), from)); n < 3 {
				t.Errorf("s%d, which is still to be started, was asked %d times in 10 s", i, n)
			}
		}
	})
}

func TestWhatTheCatalogCallsRunningIsKeptWhileDNSIsSilent(t *testing.T) {
	for name, silence := range map[string]any{
		"no such name": "", // as when a node that is too busy to gossip counts as gone
		"an error":     errors.New("server failure"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.zone.set("tasks.web.", "10.0.0.1 10.0.0.2")
				target := Target{Name: "tasks.web.", Expected: true, Tasks: list("10.0.0.1 10.0.0.2")}
				w.Set(map[string]Target{"w": target})
				w.pass(time.Second)
				w.zone.set("tasks.web.", silence)
				w.pass(20 * time.Second)
				w.has("w", "10.0.0.1 10.0.0.2")
				target.Tasks = list("10.0.0.1")
				w.Set(map[string]Target{"w": target})
				w.pass(time.Second)
				w.has("w", "10.0.0.1")
				from := time.Now()
				w.pass(38 * time.Second)
				w.has("w", "10.0.0.1")
				if n := len(w.zone.since("tasks.web.", from)); n > 80 {
					t.Errorf("asked %d times in 38 s, want less and less", n)
				}
				w.pass(4 * time.Second)
				w.has("w", "") // for the catalog may be of yesterday
				w.zone.set("tasks.web.", "10.0.0.3")
				w.pass(3 * time.Second)
				w.has("w", "10.0.0.3")
				w.zone.set("tasks.web.", silence)
				target.Tasks = nil
				w.Set(map[string]Target{"w": target})
				w.pass(11 * time.Second)
				w.has("w", "")
			})
		})
	}
}

func TestABusyEngineAnswersLate(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := w.alive(200)
		w.Set(targets)
		w.pass(20 * time.Second)
		pokes := w.pokes
		for name := range targets {
			w.zone.slow(name, 200*time.Millisecond)
		}
		for name, t := range crowd("pending", 100, Target{Expected: true, Moving: true}) {
			w.zone.slow(name, time.Second) // forwarded to a resolver that stalls
			targets[name] = t
		}
		w.Set(targets)
		w.pass(30 * time.Second)
		if w.pokes != pokes {
			t.Errorf("poked %d times though no service changed", w.pokes-pokes)
		}
		// One comes up: its answer is late, and is awaited.
		w.zone.slow("tasks.pending7.", 200*time.Millisecond)
		w.zone.set("tasks.pending7.", "10.0.1.7")
		targets["tasks.pending7."] = Target{Name: "tasks.pending7.", Expected: true, Moving: true, Tasks: list("10.0.1.7")}
		w.Set(targets)
		w.pass(400 * time.Millisecond)
		w.has("tasks.pending7.", "10.0.1.7")

		// And for some time Docker answers nothing at all.
		for name := range targets {
			w.zone.slow(name, time.Hour)
		}
		w.pass(30 * time.Second)
		for name := range targets {
			w.zone.slow(name, 0)
		}
		w.zone.set("tasks.s9.", "10.0.2.9")
		w.pass(3 * time.Second)
		w.has("tasks.s9.", "10.0.2.9")
		w.has("tasks.s10.", "10.0.0.11")
	})
}

func TestALookUpThatIsLostHidesNoRemoval(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.web.", "10.0.0.1 10.0.0.2")
		w.zone.slow("tasks.web.", 0)
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true, Moving: true, Tasks: list("10.0.0.1 10.0.0.2")}})
		w.pass(time.Second)
		w.zone.slow("tasks.web.", time.Hour)
		w.pass(30 * time.Millisecond)
		w.zone.slow("tasks.web.", 0)
		w.zone.set("tasks.web.", "10.0.0.2")
		w.pass(150 * time.Millisecond)
		w.has("w", "10.0.0.2")
	})
}

func TestANameThatAgreesWithTheCatalogIsNotFollowedClosely(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.up.", "10.0.0.1")
		w.zone.set("tasks.half.", "10.0.0.2")
		begin := time.Now()
		w.Set(map[string]Target{
			"up":   {Name: "tasks.up.", Expected: true, Moving: true, Tasks: list("10.0.0.1")},
			"half": {Name: "tasks.half.", Expected: true, Moving: true, Tasks: list("10.0.0.2 10.0.0.3")},
		})
		w.pass(2 * time.Second)
		if n := len(w.zone.since("tasks.up.", begin)); n > 10 {
			t.Errorf("asked %d times in 2 s for what is all there", n)
		}
		if n := len(w.zone.since("tasks.half.", begin)); n < 70 {
			t.Errorf("asked %d times in 2 s for a task that is known to come", n)
		}
	})
}

func TestManyThatComeUpTogetherAreFoundTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := crowd("s", 100, Target{Expected: true, Moving: true})
		for name := range targets {
			w.zone.slow(name, time.Second) // forwarded to a resolver that stalls
		}
		w.Set(targets)
		w.pass(10 * time.Second)
		for i := range 100 {
			name := fmt.Sprintf("tasks.s%d.", i)
			w.zone.slow(name, 100*time.Millisecond) // the engine is busy starting them
			w.zone.set(name, fmt.Sprintf("10.0.0.%d", i+1))
		}
		w.pass(1500 * time.Millisecond)
		for i := range 100 {
			w.has(fmt.Sprintf("tasks.s%d.", i), fmt.Sprintf("10.0.0.%d", i+1))
		}
	})
}

// quietly follows so many services of one task each, until all are quiet.
func (w *world) quietly(n int) {
	w.Set(w.alive(n))
	w.pass(time.Minute)
}

func TestManyQuietNamesAreAskedTogether(t *testing.T) {
	inWorld(t, func(w *world) {
		w.quietly(500)
		from := time.Now()
		w.pass(30 * time.Second)
		lookups, clusters, last := 0, 0, time.Time{}
		for _, q := range w.zone.asked {
			if q.at.Before(from) {
				continue
			}
			lookups++
			if q.at.Sub(last) > 100*time.Millisecond {
				clusters++
			}
			last = q.at
		}
		if lookups > 30*58 || clusters > 61 {
			t.Errorf("%d look-ups at %d times in 30 s, want 55 per second at two times", lookups, clusters)
		}
		// And still each of them sees what becomes of it.
		w.zone.set("tasks.s77.", "10.0.9.9")
		w.pass(10 * time.Second)
		w.has("tasks.s77.", "10.0.9.9")
	})
}

func TestTheDeathOfANodeIsSeenInAllItsServices(t *testing.T) {
	inWorld(t, func(w *world) {
		w.quietly(500)
		for i := range 100 {
			w.zone.set(fmt.Sprintf("tasks.s%d.", 5*i), fmt.Sprintf("10.0.9.%d", i+1))
		}
		w.pass(1700 * time.Millisecond)
		for i := range 100 {
			w.has(fmt.Sprintf("tasks.s%d.", 5*i), fmt.Sprintf("10.0.9.%d", i+1))
		}
	})
}

func TestTheDeathOfANodeIsSeenWithinHalfASecond(t *testing.T) {
	for _, c := range []struct {
		services, nodes int
		within          time.Duration
	}{
		{services: 1, nodes: 1, within: 260 * time.Millisecond},
		{services: 20, nodes: 3, within: 360 * time.Millisecond},
		{services: 500, nodes: 5, within: 560 * time.Millisecond},
	} {
		inWorld(t, func(w *world) {
			targets := w.alive(c.services)
			for i := range c.services {
				name := fmt.Sprintf("tasks.s%d.", i)
				target := targets[name]
				target.Nodes = []string{fmt.Sprintf("n%d", i%c.nodes)}
				targets[name] = target
			}
			w.Set(targets)
			w.pass(time.Minute)
			for i := 0; i < c.services; i += c.nodes {
				w.zone.set(fmt.Sprintf("tasks.s%d.", i), fmt.Sprintf("10.9.%d.%d", i/200, i%200+1))
			}
			w.pass(c.within)
			for i := 0; i < c.services; i += c.nodes {
				w.has(fmt.Sprintf("tasks.s%d.", i), fmt.Sprintf("10.9.%d.%d", i/200, i%200+1))
			}
		})
	}
}

// TestOneWakeUpIsForAll: at rest, watchmen and quiet names are asked at the same moments.
func TestOneWakeUpIsForAll(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := w.alive(12)
		for i := range 12 {
			name := fmt.Sprintf("tasks.s%d.", i)
			target := targets[name]
			target.Nodes = []string{fmt.Sprintf("n%d", i%2)}
			targets[name] = target
			// They begin at moments that have nothing in common.
			w.Set(maps.Clone(targets))
			w.pass(37 * time.Millisecond)
		}
		w.pass(time.Minute)
		from := time.Now()
		w.pass(30 * time.Second)
		moments := map[time.Time]bool{}
		for name := range targets {
			for _, at := range w.zone.since(name, from) {
				moments[at] = true
			}
		}
		if n := len(moments); n < 110 || n > 121 {
			t.Errorf("they are asked at %d moments in 30 s, want four in a second", n)
		}
	})
}

func TestWatchmenCostLittle(t *testing.T) {
	inWorld(t, func(w *world) {
		targets := w.alive(50)
		all := make([]string, 50)
		for i := range all {
			name := fmt.Sprintf("tasks.s%d.", i)
			target := targets[name]
			all[i] = fmt.Sprintf("n%d", i)
			target.Nodes = all[i : i+1]
			targets[name] = target
		}
		w.Set(targets)
		w.pass(time.Minute)
		from := time.Now()
		w.pass(30 * time.Second)
		if n := w.zone.lookups(from); n > 30*18 {
			t.Errorf("%d look-ups in 30 s for 50 services on 50 nodes, want at most 18 per second", n)
		}
		// One service on all nodes watches them all, so that the others can rest.
		w.zone.set("tasks.global.", "10.5.0.1")
		targets["global"] = Target{Name: "tasks.global.", Expected: true, Tasks: list("10.5.0.1"), Nodes: all}
		w.Set(targets)
		w.pass(time.Minute)
		from = time.Now()
		w.pass(30 * time.Second)
		if n := len(w.zone.since("tasks.global.", from)); n < 110 {
			t.Errorf("the service on all nodes was asked %d times in 30 s, want four times a second", n)
		}
		if n := len(w.zone.since("tasks.s7.", from)); n > 11 {
			t.Errorf("a service on one node was asked %d times in 30 s, want every three seconds", n)
		}
	})
}

func TestAServiceOnTwoNetworksComesToRest(t *testing.T) {
	inWorld(t, func(w *world) {
		w.zone.set("tasks.web.", "10.0.0.1 10.0.0.2")
		w.Set(map[string]Target{"w": {Name: "tasks.web.", Expected: true, Tasks: list("10.0.0.1 10.0.0.2 10.9.0.1 10.9.0.2"), Count: 2}})
		w.pass(10 * time.Second)
		from := time.Now()
		w.pass(30 * time.Second)
		if n := len(w.zone.since("tasks.web.", from)); n > 11 {
			t.Errorf("asked %d times in 30 s, want every three seconds", n)
		}
	})
}
