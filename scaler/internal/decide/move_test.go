package decide_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

func TestRebalance(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	asked := now.Add(-10 * time.Minute)
	rules := policy.Policy{ServiceID: "id-web", Service: "web", Max: 100, UpBy: 1, DownBy: 1, Patience: 5 * time.Minute}
	more := func(ago time.Duration) *signal.Step {
		return &signal.Step{Want: "rebalance", Direction: signal.Up, From: 4, To: 5, Time: now.Add(-ago), Confirmed: true, Uneven: 16}
	}
	less := func(ago time.Duration, uneven uint64) *signal.Step {
		return &signal.Step{Want: "rebalance", Direction: signal.Down, From: 5, To: 4, Time: now.Add(-ago), Confirmed: true, Uneven: uneven}
	}
	for _, c := range []struct {
		name   string
		state  decide.State
		spread decide.Spread
		change func(*policy.Policy)
		want   string
	}{
		{"uneven", decide.State{Replicas: 4, Running: 4}, decide.Spread{4, 0}, nil, "rebalanced 4 5"},
		{"even", decide.State{Replicas: 4, Running: 4}, decide.Spread{2, 2}, nil, "unchanged 4 4 over"},
		{"differ by one", decide.State{Replicas: 5, Running: 5}, decide.Spread{3, 2}, nil, "unchanged 5 5 over"},
		{"no node", decide.State{Replicas: 4, Running: 4}, nil, nil, "unchanged 4 4 over"},
		{"no task", decide.State{}, decide.Spread{0, 0}, nil, "unchanged 0 0 over"},
		{"one more begins", decide.State{Replicas: 5, Running: 4, Last: more(10 * time.Second)}, decide.Spread{4, 0}, nil, "converging 5 5"},
		{"one more runs", decide.State{Replicas: 5, Running: 5, Last: more(10 * time.Second)}, decide.Spread{4, 1}, nil, "rebalanced 5 4"},
		{"one more does not come to run", decide.State{Replicas: 5, Running: 4, Pending: 1, Last: more(5 * time.Minute)}, decide.Spread{4, 0}, nil, "rebalanced 5 4"},
		{"one more, and somebody has set another number", decide.State{Replicas: 6, Running: 6, Last: &signal.Step{From: 5, To: 6, Direction: signal.Up, Confirmed: true, Time: asked}}, decide.Spread{3, 3}, nil, "unchanged 6 6 over"},
		{"just moved", decide.State{Replicas: 4, Running: 4, Last: less(4*time.Second, 16)}, decide.Spread{4, 0}, nil, "converging 4 4"},
		{"the next move", decide.State{Replicas: 4, Running: 4, Last: less(5*time.Second, 16)}, decide.Spread{3, 1}, nil, "rebalanced 4 5"},
		{"moved in vain", decide.State{Replicas: 4, Running: 4, Last: less(5*time.Second, 16)}, decide.Spread{4, 0}, nil, "unchanged 4 4 over"},
		{"moved in vain before it was asked again", decide.State{Replicas: 4, Running: 4, Last: less(time.Hour, 16)}, decide.Spread{4, 0}, nil, "rebalanced 4 5"},
		{"a task ends", decide.State{Replicas: 4, Running: 5}, decide.Spread{4, 1}, nil, "converging 4 4"},
		{"an update", decide.State{Replicas: 4, Running: 4, UpdateState: "updating"}, decide.Spread{4, 0}, nil, "update 4 4"},
		{"an update in between", decide.State{Replicas: 5, Running: 5, UpdateState: "paused", Last: more(time.Minute)}, decide.Spread{4, 1}, nil, "update_paused 5 5"},
		{"stopped", decide.State{Replicas: 4, Running: 4, Stopped: "for a while"}, decide.Spread{4, 0}, nil, "stopped 4 4"},
		{"blind", decide.State{Replicas: 4, Running: 4, Blind: true}, decide.Spread{4, 0}, nil, "rebalanced 4 5"},
		{"failing", decide.State{Replicas: 4, Running: 1}, decide.Spread{1, 0}, nil, "failing 4 4"},
		{"no room", decide.State{Replicas: 4, Running: 3, Pending: 1}, decide.Spread{3, 0}, nil, "pending 4 4"},
		{"off", decide.State{Replicas: 4, Running: 4}, decide.Spread{4, 0}, func(p *policy.Policy) { p.Off = true }, "off 4 4"},
		{"dry run", decide.State{Replicas: 4, Running: 4}, decide.Spread{4, 0}, func(p *policy.Policy) { p.DryRun = true }, "dry_run 4 5 over"},
		{"at its greatest number", decide.State{Replicas: 4, Running: 4}, decide.Spread{4, 0}, func(p *policy.Policy) { p.Max = 4 }, "at_max 4 4 over"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := rules
			if c.change != nil {
				c.change(&p)
			}
			d, isOver := decide.Rebalance(p, c.state, c.spread, asked, now)
			got := fmt.Sprintf("%s %d %d", d.Code, d.From, d.To)
			if isOver {
				got += " over"
			}
			if got != c.want || d.Want != decide.WantRebalance {
				t.Errorf("%s of %s: %s, want %s", got, d.Want, d.Message, c.want)
			}
		})
	}
}
