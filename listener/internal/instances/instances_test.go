package instances

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// bus is a status bucket, whose instances the server forgets after half a minute.
type bus struct {
	start, now time.Time
	values     map[string]Value
}

func newBus() *bus {
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	return &bus{start: start, now: start, values: map[string]Value{}}
}

func (b *bus) announce(component, instance string) {
	data := fmt.Sprintf(`{"component":%q,"instance":%q}`, component, instance)
	b.values["instance."+component+"."+instance] = Value{Data: []byte(data), Time: b.now}
}

func (b *bus) says(key string) { b.values[key] = Value{Data: []byte(`{}`), Time: b.now} }

func (b *bus) at(after time.Duration) time.Time {
	b.now = b.start.Add(after)
	for key, v := range b.values {
		if strings.HasPrefix(key, prefix) && b.now.Sub(v.Time) >= 30*time.Second {
			delete(b.values, key)
		}
	}
	return b.now
}

func TestWhoIsAway(t *testing.T) {
	b, tracker := newBus(), &Tracker{}
	b.announce("proxy", "p1")
	b.announce("proxy", "p2")
	b.says("proxy.p1.web")
	b.says("monitor.m0.web") // which said nothing more of itself
	look := func(after time.Duration) string {
		now := b.at(after)
		var words []string
		for _, i := range Sorted(tracker.Look(now, b.values)) {
			word := i.Component + " " + i.Instance
			if i.Away {
				word += fmt.Sprintf(" away %s", now.Sub(i.Heard))
			}
			words = append(words, word)
		}
		return strings.Join(words, ", ")
	}
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, "monitor m0, proxy p1, proxy p2"},
		{29 * time.Second, "monitor m0, proxy p1, proxy p2"},
		{40 * time.Second, "monitor m0 away 40s, proxy p1 away 40s, proxy p2"},
	} {
		if c.after > 0 {
			b.at(20 * time.Second)
			b.announce("proxy", "p2")
		}
		if got := look(c.after); got != c.want {
			t.Errorf("after %s: %s, want %s", c.after, got, c.want)
		}
	}
	if got, want := look(2*time.Hour), "monitor m0 away 2h0m0s, proxy p1 away 2h0m0s"; got != want {
		t.Errorf("after two hours: %s, want %s: who left nothing behind is forgotten", got, want)
	}
}

func TestStatusesOfWhoIsGoneForLongAreSwept(t *testing.T) {
	b, tracker := newBus(), &Tracker{}
	for _, key := range []string{"proxy.p1.web", "proxy.p2.web", "monitor.m1.web", "proxy.web"} {
		b.says(key)
	}
	b.announce("proxy", "p1")
	b.announce("monitor", "m1")
	for _, c := range []struct {
		after time.Duration
		want  []string
	}{
		{0, nil},
		{119 * time.Second, nil},
		{120 * time.Second, []string{"proxy.p1.web", "proxy.web"}}, // p1 has been replaced by p2, the last monitor is waited for
		{time.Hour, []string{"monitor.m1.web", "proxy.p1.web", "proxy.web"}},
	} {
		now := b.at(c.after)
		b.announce("proxy", "p2")
		if got := Stale(now, tracker.Look(now, b.values), b.values); !slices.Equal(got, c.want) {
			t.Errorf("after %s: %v, want %v", c.after, got, c.want)
		}
	}
}
