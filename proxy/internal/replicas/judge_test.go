package replicas

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/catalog"
)

// says is an instance in one line: name, epoch, sequence and hash.
func says(text string) catalog.Instance {
	var i catalog.Instance
	if _, err := fmt.Sscan(text, &i.Instance, &i.Revision.Epoch, &i.Revision.Sequence, &i.Hash); err != nil {
		panic(err)
	}
	return i
}

func TestWhoDisagrees(t *testing.T) {
	own := says("a e 10 x")
	for _, c := range []struct {
		name, other string
		// after is for how long it has differed.
		after time.Duration
		want  bool
	}{
		{"the same", "b e 10 x", time.Hour, false},
		{"something else of the same revision", "b e 10 y", Grace + time.Second, true},
		{"within the grace", "b e 10 y", Grace - time.Second, false},
		{"of a later revision: we are behind", "b e 11 y", Grace + time.Second, true},
		{"of an earlier one: it is behind, and sees us", "b e 9 y", time.Hour, false},
		{"the same by another revision", "b e 12 x", time.Hour, false},
		{"another epoch", "b f 1 y", Grace + time.Second, true},
		{"itself, as it was", "a e 10 y", time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Unix(1000, 0)
			_, since := judge(own, []catalog.Instance{own, says(c.other)}, nil, begin)
			seen, _ := judge(own, []catalog.Instance{own, says(c.other)}, since, begin.Add(c.after))
			got := false
			for _, r := range seen {
				got = got || r.Disagrees
			}
			if got != c.want {
				t.Errorf("disagrees: %v, want %v", got, c.want)
			}
		})
	}
}

// TestGraceBeginsAnew: whoever agreed in between has its grace again.
func TestGraceBeginsAnew(t *testing.T) {
	own, now := says("a e 10 x"), time.Unix(1000, 0)
	var since map[string]time.Time
	var told []string
	for _, step := range []struct {
		other string
		after time.Duration
	}{{"b e 10 y", 0}, {"b e 10 x", 20 * time.Second}, {"b e 10 y", time.Second}, {"b e 10 y", 10 * time.Second}, {"b e 10 y", 10 * time.Second}} {
		now = now.Add(step.after)
		var seen []Replica
		seen, since = judge(own, []catalog.Instance{says(step.other)}, since, now)
		told = append(told, fmt.Sprint(seen[0].Disagrees))
	}
	if got := strings.Join(told, " "); got != "false false false false true" {
		t.Error(got)
	}
}

func TestReplicasAreSortedWithTheirAge(t *testing.T) {
	now := time.Unix(1000, 0)
	b := catalog.Instance{Instance: "b", Time: now.Add(-2500 * time.Millisecond), Revision: catalog.Revision{Epoch: "e"}}
	a := catalog.Instance{Instance: "a", Time: now.Add(time.Second), Revision: catalog.Revision{Epoch: "e"}}
	seen, _ := judge(b, []catalog.Instance{b, a}, nil, now)
	if len(seen) != 2 || seen[0].Instance.Instance != "a" || seen[0].AgeSeconds != 0 || seen[1].AgeSeconds != 2.5 || !seen[1].Self {
		t.Errorf("%+v", seen)
	}
}
