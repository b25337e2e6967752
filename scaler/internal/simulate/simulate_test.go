package simulate_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/scaler/internal/policy"
	"github.com/wagglehq/waggle/scaler/internal/signal"
	"github.com/wagglehq/waggle/scaler/internal/simulate"
	"pgregory.net/rapid"
)

// labels reads a text such as "scaleMin=2 scaleMax=5".
func labels(text string) map[string]string {
	out := map[string]string{}
	for field := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(field, "=")
		out[name] = value
	}
	return out
}

func run(t testing.TB, c simulate.Case) simulate.Curve {
	t.Helper()
	c.Defaults = policy.Standard()
	curve, err := simulate.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	return curve
}

func at(n float64) *float64 { return &n }

// jump is a service whose load grows from 1.2 to 4.2 at once: six tasks have 0.7 each,
// five 0.84.
func jump(start time.Duration) simulate.Case {
	return simulate.Case{
		Labels: labels("scaleMin=2 scaleMax=12"), Replicas: 2, Start: start, Range: time.Minute, Delay: 10 * time.Second,
		Up: at(0.8), Down: at(0.3), Load: []simulate.Load{{0, 1.2}, {5 * time.Minute, 4.2}}, For: 45 * time.Minute,
	}
}

// TestOneCauseOneAnswer: however long a task takes to start, no step is made for a load
// that the last one has answered already.
func TestOneCauseOneAnswer(t *testing.T) {
	for _, start := range []time.Duration{0, 10 * time.Second, 40 * time.Second, 90 * time.Second} {
		curve := run(t, jump(start))
		least, most := curve.Bounds()
		reached, ok := curve.Reached(6)
		if least != 2 || most != 6 || len(curve.Changes) != 4 || !ok || reached > 20*time.Minute {
			t.Errorf("start %s: from %d to %d in %d steps, 6 after %s\n%s", start, least, most, len(curve.Changes), reached, curve.Text(80))
		}
	}
}

func TestANoisyPlateauMovesNothing(t *testing.T) {
	for seed := range uint64(20) {
		curve := run(t, simulate.Case{
			Labels: labels("scaleMin=2 scaleMax=12"), Replicas: 4, Start: 10 * time.Second, Range: 10 * time.Second, Delay: 10 * time.Second,
			Noise: 0.1, Up: at(0.8), Down: at(0.5), Load: []simulate.Load{{0, 3.2}}, For: 2 * time.Hour, Seed: seed,
		})
		if least, most := curve.Bounds(); least < 4 || most > 5 || len(curve.Changes) > 1 {
			t.Errorf("seed %d: from %d to %d in %d steps\n%s", seed, least, most, len(curve.Changes), curve.Text(80))
		}
	}
}

// TestALoadIsFollowed: with a target the load itself says how many it needs, and noise of a
// tenth does not make it swing.
func TestALoadIsFollowed(t *testing.T) {
	for seed := range uint64(20) {
		curve := run(t, simulate.Case{
			Labels: labels("scaleMin=2 scaleMax=12 scaleMetric=@requests scaleTarget=1"), Replicas: 4, Start: 10 * time.Second, Range: 5 * time.Second, Delay: 10 * time.Second,
			Noise: 0.1, Load: []simulate.Load{{0, 4.3}}, For: 2 * time.Hour, Seed: seed,
		})
		if least, most := curve.Bounds(); least < 4 || most > 5 || len(curve.Changes) > 1 {
			t.Errorf("seed %d: from %d to %d in %d steps\n%s", seed, least, most, len(curve.Changes), curve.Text(80))
		}
	}
	curve := run(t, simulate.Case{
		Labels: labels("scaleMin=2 scaleMax=12 scaleMetric=@requests scaleTarget=10 scaleStabilizeDown=5m"), Replicas: 2, Start: 10 * time.Second, Range: time.Minute, Delay: 10 * time.Second,
		Load: []simulate.Load{{0, 15}, {10 * time.Minute, 95}, {30 * time.Minute, 25}}, For: time.Hour,
	})
	up, ok := curve.Reached(10)
	last := curve.Changes[len(curve.Changes)-1]
	if least, most := curve.Bounds(); least != 2 || most != 10 || !ok || up > 13*time.Minute || last.Decision.To != 3 || last.At < 35*time.Minute || last.Decision.Want != "target" {
		t.Errorf("10 after %s, at last %d after %s\n%s", up, last.Decision.To, last.At, curve.Text(80))
	}
}

func TestTheSameCaseIsTheSameCurve(t *testing.T) {
	c := jump(10 * time.Second)
	c.Noise = 0.5
	if a, b := run(t, c).Text(80), run(t, c).Text(80); a != b {
		t.Errorf("%s\nand then\n%s", a, b)
	}
	text := run(t, jump(40*time.Second)).Text(60)
	for _, want := range []string{"load  ▃", "    6 ┤", "5m18s  from 2 to 3: 1 alert asks for up", "4 changes; least 2, most 6, at the end 6 (bounds 2 to 12)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestACaseThatCannotBe(t *testing.T) {
	for why, change := range map[string]func(*simulate.Case){
		"range=0s":                             func(c *simulate.Case) { c.Range = 0 },
		"for=200h0m0s":                         func(c *simulate.Case) { c.For = 200 * time.Hour },
		"start=-1s":                            func(c *simulate.Case) { c.Start = -time.Second },
		"noise=2":                              func(c *simulate.Case) { c.Noise = 2 },
		"want up or down":                      func(c *simulate.Case) { c.Up, c.Down = nil, nil },
		"load: want one that begins at 0s":     func(c *simulate.Case) { c.Load = c.Load[1:] },
		"load from 5m0s on: want a later time": func(c *simulate.Case) { c.Load = append(c.Load, c.Load[1]) },
		"load of -1":                           func(c *simulate.Case) { c.Load[1].Total = -1 },
		"com.df.scaleMax":                      func(c *simulate.Case) { c.Labels = labels("scaleMax=many") },
		"the service has neither com.df.scaleMin": func(c *simulate.Case) { c.Labels = nil },
		"replicas=20000": func(c *simulate.Case) { c.Replicas = 20000 },
	} {
		c := jump(0)
		c.Defaults = policy.Standard()
		change(&c)
		if _, err := simulate.Run(c); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("error %v, want %s", err, why)
		}
	}
}

// draw is a service with any bounds, steps and times, without a load.
func draw(t *rapid.T) simulate.Case {
	number := func(name string, least, most int) int { return rapid.IntRange(least, most).Draw(t, name) }
	seconds := func(name string, least, most int) time.Duration {
		return time.Duration(number(name, least, most)) * time.Second
	}
	d := policy.Standard()
	d.Min = number("least", 0, 6)
	d.Max = number("most", max(d.Min, 1), 20)
	d.UpBy, d.DownBy = number("upBy", 1, 5), number("downBy", 1, 5)
	d.CooldownUp, d.CooldownDown = seconds("cooldownUp", 0, 300), seconds("cooldownDown", 0, 300)
	return simulate.Case{
		Defaults: d, Replicas: uint64(number("replicas", d.Min, d.Max)),
		Labels: map[string]string{
			"scaleMin": strconv.Itoa(d.Min), "scaleStabilizeUp": seconds("stabilizeUp", 0, 200).String(), "scaleStabilizeDown": seconds("stabilizeDown", 0, 200).String(),
		},
		Start: seconds("start", 0, 120), Range: seconds("range", 1, 120), Delay: seconds("delay", 0, 60),
		For: 30 * time.Minute, Seed: rapid.Uint64().Draw(t, "seed"),
	}
}

// TestNeverOutsideOfTheBoundsAndBoundedChanges: whatever the load, each change is one step,
// leads where it was asked for, keeps the cooldown, and keeps the limit of its label.
func TestNeverOutsideOfTheBoundsAndBoundedChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)
		limit := uint64(rapid.IntRange(1, 6).Draw(t, "limit"))
		c.Labels["scaleUpMost"] = fmt.Sprintf("%d/3m", limit)
		c.Up, c.Down = at(rapid.Float64Range(0.2, 1).Draw(t, "up")), at(rapid.Float64Range(0, 0.9).Draw(t, "down"))
		c.Noise = rapid.Float64Range(0, 1).Draw(t, "noise")
		load := rapid.Float64Range(0, float64(c.Defaults.Max)+2)
		c.Load = []simulate.Load{{0, load.Draw(t, "load")}, {7 * time.Minute, load.Draw(t, "then")}, {15 * time.Minute, load.Draw(t, "at last")}}
		curve, err := simulate.Run(c)
		if err != nil {
			t.Fatal(err)
		}
		p := curve.Policy
		if least, most := curve.Bounds(); least < p.Min || most > p.Max {
			t.Errorf("from %d to %d, outside of %d to %d", least, most, p.Min, p.Max)
		}
		for i, change := range curve.Changes {
			d := change.Decision
			step, cooldown := p.UpBy, p.CooldownUp
			if d.Direction == signal.Down {
				step, cooldown = p.DownBy, p.CooldownDown
			}
			if size := max(d.From, d.To) - min(d.From, d.To); size == 0 || size > step || (d.To > d.From) != (d.Direction == signal.Up) {
				t.Errorf("%s: from %d to %d, %s by at most %d", change.At, d.From, d.To, d.Direction, step)
			}
			if i > 0 && change.At-curve.Changes[i-1].At < cooldown {
				t.Errorf("%s: %s after the last change, and the cooldown is %s", change.At, change.At-curve.Changes[i-1].At, cooldown)
			}
			if added := addedBefore(curve.Changes[:i+1], 3*time.Minute); added > limit {
				t.Errorf("%s: %d were added within 3m, and %d may be", change.At, added, limit)
			}
		}
	})
}

// addedBefore is how many were added within a period that ends with the last change.
func addedBefore(changes []simulate.Change, period time.Duration) (sum uint64) {
	end := changes[len(changes)-1].At
	for _, c := range changes {
		if d := c.Decision; d.To > d.From && end-c.At < period {
			sum += d.To - d.From
		}
	}
	return sum
}

// TestNoOscillationOnANoisyPlateau: where a number is right for all that the noise makes of a
// load, which the thresholds are far enough apart for, the number goes there and stays, if
// a cooldown is as long as it takes until alerts speak of nothing but the time after a step.
func TestNoOscillationOnANoisyPlateau(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)
		c.Defaults.UpBy, c.Defaults.DownBy = 1, 1
		late := c.Start + c.Range + c.Delay
		c.Defaults.CooldownUp, c.Defaults.CooldownDown = max(c.Defaults.CooldownUp, late), max(c.Defaults.CooldownDown, late)
		c.Noise = rapid.Float64Range(0, 0.1).Draw(t, "noise")
		c.Up, c.Down = at(0.8), at(0.3)
		c.Load = []simulate.Load{{0, rapid.Float64Range(0, float64(c.Defaults.Max)).Draw(t, "load")}}
		c.For = time.Hour
		curve, err := simulate.Run(c)
		if err != nil {
			t.Fatal(err)
		}
		for i, change := range curve.Changes {
			if first := curve.Changes[0].Decision.Direction; change.Decision.Direction != first {
				t.Fatalf("change %d, at %s, is %s, and the first was %s\n%s", i+1, change.At, change.Decision.Direction, first, curve.Text(80))
			}
		}
	})
}

// TestOneCauseOneStep: a load for which one step up is enough leads to one, however long a
// task takes to start and an alert looks back. What is seen later than the alert says is
// made up for by one more step at most, if the cooldown is as long as that.
func TestOneCauseOneStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)
		c.Defaults.CooldownUp = max(c.Defaults.CooldownUp, c.Delay)
		c.Replicas = uint64(rapid.IntRange(1, 8).Draw(t, "before"))
		after := c.Replicas + uint64(c.Defaults.UpBy)
		c.Defaults.Max, c.Labels["scaleMin"] = 40, "1"
		c.Up = at(0.8)
		load := rapid.Float64Range(0.8*float64(c.Replicas)+0.01, 0.8*float64(after)-0.01).Draw(t, "load")
		c.Load = []simulate.Load{{0, 0.5 * float64(c.Replicas)}, {5 * time.Minute, load}}
		curve, err := simulate.Run(c)
		if err != nil {
			t.Fatal(err)
		}
		most := 1
		if c.Delay > 0 {
			most = 2
		}
		if n := len(curve.Changes); n < 1 || n > most || curve.Changes[0].Decision.To != after {
			t.Fatalf("%d changes, want one to %d, and %d at most\n%s", n, after, most, curve.Text(80))
		}
	})
}
