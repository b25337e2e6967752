package signal_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/signal"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const ttl = 2 * time.Minute

func firing(fingerprints ...string) signal.News {
	n := signal.News{ServiceID: "id", Service: "web", Direction: signal.Up}
	for _, f := range fingerprints {
		n.Firing = append(n.Firing, signal.Alert{Fingerprint: f, StartsAt: noon})
	}
	return n
}

func resolved(fingerprints ...string) signal.News {
	return signal.News{ServiceID: "id", Service: "web", Direction: signal.Up, Resolved: firing(fingerprints...).Firing}
}

func TestTake(t *testing.T) {
	bigger := firing("b")
	bigger.Firing[0].By = 3
	reborn := firing("b")
	reborn.ServiceID = "id2"
	all := resolved()
	all.AllResolved = true
	for _, c := range []struct {
		name string
		news []signal.News
		// every is the time between two deliveries.
		every time.Duration
		want  []string
		by    uint64
	}{
		{"one alert", []signal.News{firing("a")}, 0, []string{"a"}, 0},
		{"delivered twice", []signal.News{firing("a"), firing("a")}, time.Second, []string{"a"}, 0},
		{"by two groups", []signal.News{firing("b"), firing("a")}, time.Second, []string{"a", "b"}, 0},
		{"the greatest step", []signal.News{firing("a"), bigger}, time.Second, []string{"a", "b"}, 3},
		{"the greatest step ends with its alert", []signal.News{firing("a"), bigger, resolved("b")}, time.Second, []string{"a"}, 0},
		{"resolved", []signal.News{firing("a"), resolved("a")}, time.Second, []string{}, 0},
		{"one of two is resolved", []signal.News{firing("a", "b"), resolved("a")}, time.Second, []string{"b"}, 0},
		{"another one is resolved", []signal.News{firing("a"), resolved("x")}, time.Second, []string{"a"}, 0},
		{"all are resolved", []signal.News{firing("a", "b"), all}, time.Second, []string{}, 0},
		{"one is not heard of any more", []signal.News{firing("a"), firing("b"), firing("b")}, time.Minute, []string{"b"}, 0},
		{"a service created anew", []signal.News{firing("a"), reborn}, time.Second, []string{"b"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s signal.Signal
			now := noon
			for _, n := range c.news {
				s = signal.Take(s, n, now, ttl)
				now = now.Add(c.every)
			}
			if got := s.Fingerprints(); !slices.Equal(got, c.want) || s.By != c.by || s.Stands() != (len(c.want) > 0) {
				t.Errorf("stands for %v by %d, want %v by %d", got, s.By, c.want, c.by)
			}
		})
	}
}

func TestASignalNotHeardOfAgainEnds(t *testing.T) {
	s := signal.Take(signal.Signal{}, firing("a"), noon, ttl)
	if !s.Alive(noon.Add(ttl-time.Second), ttl).Stands() {
		t.Error("it must stand within its time")
	}
	if s.Alive(noon.Add(ttl), ttl).Stands() {
		t.Error("it must not stand after its time")
	}
	if !s.Stands() {
		t.Error("asking must not change the signal")
	}
}

func TestStepThatDidNotTakePlaceDoesNotCount(t *testing.T) {
	first := &signal.Step{Version: 10, Time: noon}
	second := &signal.Step{Version: 20, Time: noon.Add(time.Minute), Before: first}
	if got := second.Done(21); got != second {
		t.Errorf("the service went on from version 20, so the step took place; got %+v", got)
	}
	if got := second.Done(20); got != first {
		t.Errorf("the service is still at version 20, so the one before counts; got %+v", got)
	}
	if got := first.Done(10); got != nil {
		t.Errorf("no step took place; got %+v", got)
	}
	if got := (*signal.Step)(nil).Done(1); got != nil {
		t.Errorf("no step is no step; got %+v", got)
	}
}

func TestRequestsAreOpenForAWhile(t *testing.T) {
	r := signal.Request{ID: "a", ServiceID: "id", Direction: signal.Up, ReceivedAt: noon}
	if !r.Open(noon.Add(29*time.Second)) || r.Open(noon.Add(30*time.Second)) {
		t.Error("a request is open for 30 s")
	}
	answered := r
	answered.Answer = []byte("{}")
	if answered.Open(noon) {
		t.Error("an answered request is not open")
	}
	other := r
	other.By = 2
	if !r.Same(answered) || r.Same(other) {
		t.Error("requests are the same that ask for the same")
	}
}

// TestNumberlessAlertsFitOnTheBus: what is kept of them asks for what all of them do, is the same
// after each delivery, and is replaced by others when it ends.
func TestNumberlessAlertsFitOnTheBus(t *testing.T) {
	names := make([]string, 10000)
	for i := range names {
		names[i] = fmt.Sprintf("%016x", i)
	}
	all := firing(names...)
	all.Firing[6000].By, all.Firing[7000].Settle = 7, time.Minute
	s := signal.Take(signal.Signal{}, all, noon, ttl)
	if s.By != 7 || s.Settle != time.Minute || len(s.Alerts) > signal.MostAlerts {
		t.Errorf("%d alerts by %d, settle %s; want 7 and 1m of %d at most", len(s.Alerts), s.By, s.Settle, signal.MostAlerts)
	}
	again := signal.Take(s, all, noon.Add(time.Minute), ttl)
	if !slices.Equal(again.Fingerprints(), s.Fingerprints()) {
		t.Error("the same delivery keeps others")
	}
	rest := all
	rest.Firing = slices.DeleteFunc(slices.Clone(all.Firing), func(a signal.Alert) bool { return slices.Contains(s.Fingerprints(), a.Fingerprint) })
	rest.Resolved = s.Alerts
	if s = signal.Take(s, rest, noon.Add(time.Minute), ttl); len(s.Alerts) != signal.MostAlerts || s.By != 0 {
		t.Errorf("%d alerts by %d stand when those that were kept have ended", len(s.Alerts), s.By)
	}
	if s = signal.Take(s, resolved(names...), noon.Add(time.Minute), ttl); s.Stands() || len(s.Ended) > signal.MostAlerts {
		t.Errorf("%d alerts stand, and %d have ended", len(s.Alerts), len(s.Ended))
	}
}
