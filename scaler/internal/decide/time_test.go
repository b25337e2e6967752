package decide_test

import (
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/decide"
	"github.com/wagglehq/waggle/scaler/internal/signal"
)

func TestAStepDownHoldsNoStepUp(t *testing.T) {
	p := web()
	p.Max = 9
	last := ago(time.Minute, 5, 4)
	last.Direction = signal.Down
	s := decide.State{Replicas: 4, Running: 3, Last: last}
	if d := decide.Decide(p, s, decide.Asked{Direction: signal.Up, Alerts: []string{"a"}}, noon); d.Action != decide.Scaled || d.To != 6 {
		t.Errorf("a task that is missing after a step down is one more reason to go up: %s: %s", d.Action, d.Reason)
	}
	if d := decide.Decide(p, s, decide.Asked{Direction: signal.Down, Alerts: []string{"a"}}, noon.Add(2*time.Minute)); d.Action != decide.Held {
		t.Errorf("a step down that does not show holds the next one down: %s: %s", d.Action, d.Reason)
	}
}

func TestAStepFromTheFutureIsOneOfNow(t *testing.T) {
	s := decide.State{Replicas: 3, Running: 3, Last: ago(-time.Hour, 2, 3)}
	d := decide.Decide(web(), s, decide.Asked{Direction: signal.Up, Alerts: []string{"a"}}, noon)
	if d.Action != decide.Held || !d.Until.Equal(noon.Add(30*time.Second)) {
		t.Errorf("held until %s, want one cooldown from now", d.Until)
	}
}

// TestTheNextStepWaitsUntilTheLastOneShows: started at 0, running at 40 s, and the alert
// looks back a minute, so that it speaks of the time before until 100 s.
func TestTheNextStepWaitsUntilTheLastOneShows(t *testing.T) {
	p := web()
	p.Max = 9
	up := decide.Asked{Direction: signal.Up, Alerts: []string{"a"}, Settle: time.Minute}
	last := ago(0, 3, 4)
	last.Direction = signal.Up
	for _, c := range []struct {
		at        time.Duration
		converged time.Duration
		running   uint64
		code      decide.Code
		until     time.Duration
	}{
		{at: 35 * time.Second, running: 3, code: decide.CodeConverging},
		{at: 45 * time.Second, converged: 40 * time.Second, running: 4, code: decide.CodeCooldown, until: 100 * time.Second},
		{at: 95 * time.Second, converged: 40 * time.Second, running: 3, code: decide.CodeCooldown, until: 100 * time.Second}, // one died meanwhile
		{at: 100 * time.Second, converged: 40 * time.Second, running: 4, code: decide.CodeScaled},
	} {
		s := decide.State{Replicas: 4, Running: c.running, Last: last}
		if c.converged > 0 {
			s.Last.Converged = noon.Add(c.converged)
		}
		d := decide.Decide(p, s, up, noon.Add(c.at))
		if d.Code != c.code || c.until > 0 && !d.Until.Equal(noon.Add(c.until)) {
			t.Errorf("after %s: %s until %s: %s, want %s", c.at, d.Code, d.Until, d.Reason, c.code)
		}
	}
	// After a step down a step up waits for its cooldown alone.
	down := ago(30*time.Second, 5, 4)
	down.Direction, down.Converged = signal.Down, noon.Add(-20*time.Second)
	if d := decide.Decide(p, decide.State{Replicas: 4, Running: 4, Last: down}, up, noon); d.Code != decide.CodeScaled {
		t.Errorf("%s: %s", d.Code, d.Reason)
	}
}

// TestANumberThatCameBackEndsNoCooldown of steps up, and starts none.
func TestANumberThatCameBackEndsNoCooldown(t *testing.T) {
	p := web()
	p.Max = 9
	up := decide.Asked{Direction: signal.Up, Alerts: []string{"a"}}
	last := ago(5*time.Second, 3, 4)
	last.Direction, last.Want, last.Converged = signal.Up, string(decide.WantDeploy), noon
	s := decide.State{Replicas: 4, Running: 4, Last: last}
	if d := decide.Decide(p, s, up, noon); d.Code != decide.CodeScaled {
		t.Errorf("%s: %s", d.Code, d.Reason)
	}
	s.Last.Earlier = noon.Add(-10 * time.Second)
	if d := decide.Decide(p, s, up, noon); d.Code != decide.CodeCooldown || !d.Until.Equal(noon.Add(20*time.Second)) {
		t.Errorf("%s until %s: %s", d.Code, d.Until, d.Reason)
	}
}
