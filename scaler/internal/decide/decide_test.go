package decide_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// web is the service of the acceptance cases: 2 to 5 replicas, up by 2, down by 1.
func web() policy.Policy {
	return policy.Policy{
		ServiceID: "id", Service: "web", Min: 2, Max: 5, UpBy: 2, DownBy: 1,
		CooldownUp: 30 * time.Second, CooldownDown: 2 * time.Minute, Patience: 5 * time.Minute,
	}
}

func ago(d time.Duration, from, to uint64) *signal.Step {
	return &signal.Step{From: from, To: to, Time: noon.Add(-d)}
}

func TestDecide(t *testing.T) {
	up := decide.Asked{Direction: signal.Up, Alerts: []string{"a"}}
	down := decide.Asked{Direction: signal.Down, Alerts: []string{"a"}}
	by := func(a decide.Asked, n uint64) decide.Asked {
		a.By = n
		return a
	}
	against := down
	against.Request, against.Rivals = "wish", []decide.Asked{up}
	byHand := func(a decide.Asked) decide.Asked {
		a.Request = "r"
		return a
	}
	forced := func(a decide.Asked) decide.Asked {
		a.Force = true
		return a
	}
	hand := byHand(up)
	runs := func(n uint64) decide.State { return decide.State{Replicas: n, Running: n} }
	with := func(s decide.State, change func(*decide.State)) decide.State {
		change(&s)
		return s
	}
	for _, c := range []struct {
		name    string
		state   decide.State
		asked   decide.Asked
		action  decide.Action
		to      uint64
		message string
	}{
		{"S-01 up by the label's step", runs(3), up, decide.Scaled, 5, "Scaling web from 3 to 5 replicas (min: 2, max: 5)"},
		{"S-02 up is held to the maximum", runs(4), up, decide.Scaled, 5, "Scaling web from 4 to 5 replicas (min: 2, max: 5)"},
		{"S-03 up at the maximum", runs(5), up, decide.Refused, 5, "web is already scaled to the maximum number of 5 replicas"},
		{"S-04 down at the minimum", runs(2), down, decide.Refused, 2, "web is already descaled to the minimum number of 2 replicas"},
		{"S-05 down by the request's step", runs(5), by(down, 2), decide.Scaled, 3, "Scaling web from 5 to 3 replicas"},
		{"down by the label's step", runs(5), down, decide.Scaled, 4, "from 5 to 4"},
		{"down is held to the minimum", runs(4), by(down, 99), decide.Scaled, 2, "from 4 to 2"},
		{"S-16 up above the maximum never lowers", runs(10), up, decide.Refused, 10, "10 replicas are above the maximum of 5"},
		{"down below the minimum never raises", runs(1), down, decide.Refused, 1, "1 replicas are below the minimum of 2"},
		{"up below the minimum leads within the bounds", runs(1), by(up, 1), decide.Scaled, 2, "from 1 to 2"},
		{"up from nothing", runs(0), by(up, 1), decide.Scaled, 2, "from 0 to 2"},
		{"down above the maximum leads within the bounds", runs(10), down, decide.Scaled, 5, "from 10 to 5"},
		{"S-29 up goes before down", runs(4), against, decide.Held, 4, "an alert asks for up at the same time"},
		{"an update", with(runs(3), func(s *decide.State) { s.UpdateState = "updating" }), up, decide.Held, 3, "an update is in progress: updating"},
		{"a roll-back", with(runs(3), func(s *decide.State) { s.UpdateState = "rollback_started" }), up, decide.Held, 3, "rollback started"},
		{"a paused update", with(runs(3), func(s *decide.State) { s.UpdateState = "paused" }), down, decide.Held, 3, "docker service update --image IMAGE web"},
		{"a roll-back that is paused", with(runs(3), func(s *decide.State) { s.UpdateState = "rollback_paused" }), hand, decide.Held, 3, "docker service rollback web"},
		{"an update of which Swarm says nothing yet", with(runs(3), func(s *decide.State) { s.Silent = true }), hand, decide.Held, 3, "an update is about to begin"},
		{"blind", with(runs(3), func(s *decide.State) { s.Blind = true }), up, decide.Held, 3, "neither Prometheus nor Alertmanager answers"},
		{"blind, but a person asks", with(runs(3), func(s *decide.State) { s.Blind = true }), hand, decide.Scaled, 5, ""},
		{"less than half runs", with(runs(4), func(s *decide.State) { s.Running = 1 }), down, decide.Held, 4, "less than half of its 4 tasks runs"},
		{"tasks find no room", with(runs(4), func(s *decide.State) { s.Running, s.Pending = 3, 1 }), up, decide.Held, 4, "no node has room"},
		{"tasks find no room, and less is asked for", with(runs(4), func(s *decide.State) { s.Running, s.Pending = 3, 1 }), down, decide.Scaled, 3, ""},
		{"a person does not wait for tasks", with(runs(4), func(s *decide.State) { s.Running, s.Last = 2, ago(time.Second, 2, 4) }), hand, decide.Scaled, 5, ""},
		{"up beats a person's down", runs(4), byHand(against), decide.Held, 4, "an alert asks for up at the same time"},
		{"unless it is forced", runs(4), forced(byHand(against)), decide.Scaled, 3, ""},
		{"a completed update", with(runs(3), func(s *decide.State) { s.UpdateState = "completed" }), up, decide.Scaled, 5, ""},
		{"nothing runs", with(runs(3), func(s *decide.State) { s.Running = 0 }), up, decide.Held, 3, "none of its 3 tasks runs"},
		{"nothing runs, so its silence means nothing", with(runs(3), func(s *decide.State) { s.Running = 0 }), down, decide.Held, 3, "none of its 3 tasks runs"},
		{
			"an earlier step is not complete", with(runs(4), func(s *decide.State) { s.Running, s.Last = 2, ago(time.Minute, 2, 4) }), up,
			decide.Held, 4, "the last scaling, from 2 to 4 at 2026-11-21T11:59:00Z, is not complete",
		},
		{"patience has an end", with(runs(4), func(s *decide.State) { s.Running, s.Last = 2, ago(6*time.Minute, 2, 4) }), up, decide.Scaled, 5, ""},
		{"a task is missing, but no step was made", with(runs(4), func(s *decide.State) { s.Running = 3 }), up, decide.Scaled, 5, ""},
		{"cooldown up", with(runs(3), func(s *decide.State) { s.Last = ago(29*time.Second, 1, 3) }), up, decide.Held, 3, "cooldown of 30s: the last scaling, from 1 to 3, was at 2026-11-21T11:59:31Z"},
		{"cooldown up is over", with(runs(3), func(s *decide.State) { s.Last = ago(30*time.Second, 1, 3) }), up, decide.Scaled, 5, ""},
		{"cooldown down is its own", with(runs(3), func(s *decide.State) { s.Last = ago(30*time.Second, 1, 3) }), down, decide.Held, 3, "cooldown of 2m0s"},
		{"cooldown down is over", with(runs(3), func(s *decide.State) { s.Last = ago(2*time.Minute, 1, 3) }), down, decide.Scaled, 2, ""},
		{"the bound is told before the cooldown", with(runs(5), func(s *decide.State) { s.Last = ago(time.Second, 3, 5) }), up, decide.Refused, 5, "already scaled to the maximum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide.Decide(web(), c.state, c.asked, noon)
			if d.Action != c.action || d.From != c.state.Replicas || d.To != c.to || !strings.Contains(d.Message, c.message) || d.Reason == "" || d.Code == "" {
				t.Errorf("%s from %d to %d: %q (%s)\nwant %s to %d: %q", d.Action, d.From, d.To, d.Message, d.Reason, c.action, c.to, c.message)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	s := decide.State{Replicas: 3, Running: 3}
	for want, a := range map[string]decide.Asked{
		"1 alert asks for up":         {Direction: signal.Up, Alerts: []string{"a"}},
		"2 alerts ask for down by 1":  {Direction: signal.Down, By: 1, Alerts: []string{"a", "b"}},
		"asked for up by hand":        {Direction: signal.Up, Request: "r"},
		"asked for down by 1 by hand": {Direction: signal.Down, By: 1, Request: "r"},
	} {
		if d := decide.Decide(web(), s, a, noon); d.Reason != want {
			t.Errorf("reason %q, want %q", d.Reason, want)
		}
	}
	held := decide.State{Replicas: 3, Running: 3, Last: ago(10*time.Second, 1, 3)}
	first := decide.Decide(web(), held, decide.Asked{Direction: signal.Up}, noon)
	later := decide.Decide(web(), held, decide.Asked{Direction: signal.Up}, noon.Add(5*time.Second))
	if !first.Same(later) || !first.Until.Equal(noon.Add(20*time.Second)) {
		t.Errorf("a hold must say the same while the situation is the same, and until when: %+v, %+v", first, later)
	}
}

// FuzzDecide holds what must be true of every decision.
func FuzzDecide(f *testing.F) {
	f.Add(uint16(2), uint16(5), uint16(2), uint16(1), uint16(3), uint16(3), uint16(0), uint16(60), true, false)
	f.Add(uint16(0), uint16(1), uint16(1), uint16(1), uint16(0), uint16(0), uint16(9), uint16(0), false, true)
	f.Add(uint16(3), uint16(3), uint16(9), uint16(9), uint16(40), uint16(39), uint16(1), uint16(500), false, false)
	f.Fuzz(func(t *testing.T, least, most, upBy, downBy, replicas, running, by, since uint16, up, upStands bool) {
		p := web()
		p.Min, p.Max = uint64(min(least, most)), uint64(max(least, most, 1))
		p.UpBy, p.DownBy = uint64(max(upBy, 1)), uint64(max(downBy, 1))
		a := decide.Asked{Direction: signal.Down, By: uint64(by), Request: "wish", Want: decide.WantAlert}
		if upStands {
			a.Rivals = []decide.Asked{{Direction: signal.Up}}
		}
		if up {
			a.Direction = signal.Up
		}
		s := decide.State{Replicas: uint64(replicas), Running: uint64(running), Last: ago(time.Duration(since)*time.Second, 1, 2)}
		d := decide.Decide(p, s, a, noon)
		switch {
		case d.From != s.Replicas || d.Reason == "" || d.Message == "" || d.Code == "":
			t.Errorf("incomplete: %+v", d)
		case d.Action != decide.Scaled && d.To != d.From:
			t.Errorf("not scaled, and yet to %d: %+v", d.To, d)
		case d.Action == decide.Scaled && (d.To < p.Min || d.To > p.Max):
			t.Errorf("beyond the bounds: %+v", d)
		case d.Action == decide.Scaled && (d.To == d.From || up != (d.To > d.From)):
			t.Errorf("against the asked direction: %+v", d)
		case d.Action == decide.Scaled && !up && upStands:
			t.Errorf("down while up stands: %+v", d)
		}
	})
}

// simulate lets alerts come and go for an hour and returns the changes. asks
// says, second by second, which alerts stand.
func simulate(p policy.Policy, replicas uint64, asks func(second int, replicas uint64) (up, down bool)) (changes []decide.Decision) {
	state := decide.State{Replicas: replicas, Running: replicas}
	for second := range 3600 {
		now := noon.Add(time.Duration(second) * time.Second)
		up, down := asks(second, state.Replicas)
		if state.Last != nil && now.Sub(state.Last.Time) >= 3*time.Second {
			state.Running = state.Replicas // a task takes three seconds to run
		}
		var asks []decide.Asked
		if up {
			asks = append(asks, decide.Asked{Direction: signal.Up})
		}
		if down {
			asks = append(asks, decide.Asked{Direction: signal.Down})
		}
		d, _ := decide.Follow(p, state, asks, now)
		if d.Action != decide.Scaled {
			continue
		}
		changes = append(changes, d)
		state.Replicas = d.To
		state.Running = min(state.Running, d.To)
		state.Last = &signal.Step{Direction: d.Direction, From: d.From, To: d.To, Time: now}
	}
	return changes
}

func TestOscillatingLoadIsBounded(t *testing.T) {
	p := web()
	random := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		asks func(second int, replicas uint64) (up, down bool)
		most int
	}{
		// A round of up and down takes both cooldowns: 150 s, so 24 rounds in an hour, and the first step.
		"up and down change every second": {func(s int, _ uint64) (bool, bool) { return s%2 == 0, s%2 == 1 }, 49},
		"at random":                       {func(int, uint64) (bool, bool) { return random.IntN(2) == 0, random.IntN(2) == 0 }, 49},
		"load of a minute, quiet of a minute": {
			func(s int, _ uint64) (bool, bool) { return s/60%2 == 0, s/60%2 == 1 }, 49,
		},
		"S-29 both stand all the time":           {func(int, uint64) (bool, bool) { return true, true }, 1},
		"too slow with four, too fast with five": {func(_ int, n uint64) (bool, bool) { return n <= 4, n >= 5 }, 49},
	} {
		t.Run(name, func(t *testing.T) {
			changes := simulate(p, 3, c.asks)
			if len(changes) == 0 || len(changes) > c.most {
				t.Fatalf("%d changes in an hour, want 1 to %d", len(changes), c.most)
			}
			for i, d := range changes[1:] {
				cooldown := p.CooldownUp
				if d.Direction == signal.Down {
					cooldown = p.CooldownDown
				}
				if since := d.Time.Sub(changes[i].Time); since < cooldown {
					t.Errorf("a step %s after %s, cooldown %s", d.Direction, since, cooldown)
				}
			}
		})
	}
}

func TestALastingAlertIsFollowedStepByStep(t *testing.T) {
	p := web()
	p.Max, p.UpBy = 9, 1
	changes := simulate(p, 2, func(int, uint64) (bool, bool) { return true, false })
	if len(changes) != 7 {
		t.Fatalf("%d steps, want 7 from 2 to 9", len(changes))
	}
	for i, d := range changes {
		if want := noon.Add(time.Duration(i) * p.CooldownUp); !d.Time.Equal(want) || d.To != uint64(3+i) {
			t.Errorf("step %d to %d at %s, want at %s", i, d.To, d.Time, want)
		}
	}
}

func TestOneStepPerCooldown(t *testing.T) {
	// S-28: the alert repeats every 30 s, the cooldown is five minutes.
	p := web()
	p.Min, p.Max, p.UpBy, p.CooldownUp = 1, 100, 1, 5*time.Minute
	changes := simulate(p, 1, func(s int, _ uint64) (bool, bool) { return s%30 == 0, false })
	if len(changes) != 12 {
		t.Errorf("%d steps in an hour, want 12", len(changes))
	}
}
