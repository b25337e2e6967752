package decide_test

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

func wish(ago time.Duration, number uint64) decide.Wish {
	return decide.Wish{At: noon.Add(-ago), Number: number}
}

func TestStabilize(t *testing.T) {
	p := policy.Policy{ServiceID: "id", Service: "web", Min: 1, Max: 20, UpBy: 4, DownBy: 4}
	p.Pace.Up.Stabilize, p.Pace.Down.Stabilize = time.Minute, 5*time.Minute
	up, down := decide.Asked{Direction: signal.Up, Alerts: []string{"a"}}, decide.Asked{Direction: signal.Down, Alerts: []string{"a"}}
	hand := down
	hand.Request = "r"
	for _, c := range []struct {
		name   string
		asked  decide.Asked
		wanted []decide.Wish
		to     uint64
		code   decide.Code
	}{
		{"up: wanted for a moment", up, []decide.Wish{wish(10*time.Minute, 10), wish(20*time.Second, 14)}, 10, decide.CodeStabilizing},
		{"up: wanted all the time", up, []decide.Wish{wish(time.Minute, 14)}, 14, decide.CodeScaled},
		{"up: at least some were wanted all the time", up, []decide.Wish{wish(2*time.Minute, 12), wish(30*time.Second, 14)}, 12, decide.CodeScaled},
		{"up: nothing is known of before", up, nil, 10, decide.CodeStabilizing},
		{"down: more was wanted a while ago", down, []decide.Wish{wish(4*time.Minute, 10), wish(time.Minute, 6)}, 10, decide.CodeStabilizing},
		{"down: the greatest of the window is the least", down, []decide.Wish{wish(10*time.Minute, 8), wish(time.Minute, 6)}, 8, decide.CodeScaled},
		{"down: that is long ago", down, []decide.Wish{wish(time.Hour, 20), wish(5*time.Minute, 6)}, 6, decide.CodeScaled},
		{"a person does not wait for it", hand, nil, 6, decide.CodeScaled},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide.Decide(p, decide.State{Replicas: 10, Running: 10, Wanted: c.wanted}, c.asked, noon)
			if d.Code != c.code || d.To != c.to {
				t.Errorf("%s to %d (%s), want %s to %d", d.Code, d.To, d.Reason, c.code, c.to)
			}
		})
	}
}

func TestLimit(t *testing.T) {
	p := policy.Policy{ServiceID: "id", Service: "web", Min: 1, Max: 20, UpBy: 9, DownBy: 9}
	p.Pace.Up.Most, p.Pace.Down.Most = policy.Rate{Number: 4, Period: time.Minute}, policy.Rate{Number: 2, Period: 5 * time.Minute}
	up, down := decide.Asked{Direction: signal.Up, Alerts: []string{"a"}}, decide.Asked{Direction: signal.Down, Alerts: []string{"a"}}
	hand := up
	hand.Request = "r"
	step := func(ago time.Duration, from, to uint64) signal.Change {
		return signal.Change{Time: noon.Add(-ago), From: from, To: to}
	}
	for _, c := range []struct {
		name   string
		asked  decide.Asked
		recent []signal.Change
		to     uint64
		code   decide.Code
		until  time.Duration
	}{
		{"up: all that is allowed", up, nil, 14, decide.CodeScaled, 0},
		{"up: the rest of it", up, []signal.Change{step(50*time.Second, 7, 10)}, 11, decide.CodeScaled, 0},
		{"up: no more", up, []signal.Change{step(50*time.Second, 7, 9), step(20*time.Second, 9, 11)}, 10, decide.CodeLimit, 10 * time.Second},
		{"up: the time is over", up, []signal.Change{step(time.Minute, 6, 10)}, 14, decide.CodeScaled, 0},
		{"up: what was taken away is another matter", up, []signal.Change{step(time.Second, 14, 10)}, 14, decide.CodeScaled, 0},
		{"down: all that is allowed", down, nil, 8, decide.CodeScaled, 0},
		{"down: no more", down, []signal.Change{step(4*time.Minute, 12, 10)}, 10, decide.CodeLimit, time.Minute},
		{"a person is not limited", hand, []signal.Change{step(time.Second, 6, 10)}, 19, decide.CodeScaled, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			last := &signal.Step{Time: noon.Add(-time.Hour), Converged: noon.Add(-time.Hour), Recent: c.recent}
			d := decide.Decide(p, decide.State{Replicas: 10, Running: 10, Last: last}, c.asked, noon)
			if d.Code != c.code || d.To != c.to || c.until > 0 && !d.Until.Equal(noon.Add(c.until)) {
				t.Errorf("%s to %d until %s (%s), want %s to %d", d.Code, d.To, d.Until, d.Reason, c.code, c.to)
			}
		})
	}
}

// TestAScheduleKeepsThePace although what it leads to is without the bounds.
func TestAScheduleKeepsThePace(t *testing.T) {
	p := policy.Policy{ServiceID: "id", Service: "web", Min: 8, Max: 9, UpBy: 1, DownBy: 1}
	p.Pace.Up.Most, p.Pace.Down.Most = policy.Rate{Number: 2, Period: time.Minute}, policy.Rate{Number: 3, Period: time.Minute}
	for from, to := range map[uint64]uint64{2: 4, 7: 8, 20: 17, 10: 9} {
		d := decide.Decide(p, decide.State{Replicas: from, Running: from}, decide.Asked{Want: decide.WantSchedule}, noon)
		if d.Code != decide.CodeScaled || d.To != to {
			t.Errorf("from %d: %s to %d, want %d", from, d.Code, d.To, to)
		}
	}
	p.Min, p.Max = 0, 0
	d := decide.Decide(p, decide.State{Replicas: 3, Running: 3, InUse: true}, decide.Asked{Want: decide.WantSchedule}, noon)
	if d.To != 1 {
		t.Errorf("in use it is brought to %d", d.To)
	}
}
