package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// run starts a loop whose passes take a given time and answers with given
// errors, and returns the times, since the start, at which passes began.
func run(t *testing.T, opts Options, passTakes time.Duration, results []error, script func(p *Poke)) []time.Duration {
	t.Helper()
	var began []time.Duration
	opts.Poke = NewPoke()
	start := time.Now()
	loop := New(opts, func(context.Context) error {
		began = append(began, time.Since(start))
		time.Sleep(passTakes) // fake time: this is the pass at work
		if len(results) > 0 {
			err := results[0]
			results = results[1:]
			return err
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	script(opts.Poke)
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	return began
}

func TestLoop(t *testing.T) {
	ms := time.Millisecond
	fail := errors.New("down")
	for _, c := range []struct {
		name    string
		opts    Options
		takes   time.Duration
		results []error
		script  func(p *Poke)
		want    []time.Duration
	}{
		{
			name: "a pass at the start and after every resync interval",
			opts: Options{Resync: time.Second}, script: func(*Poke) { time.Sleep(2500 * ms) },
			want: []time.Duration{0, 1000 * ms, 2000 * ms},
		},
		{
			name: "the first poke acts at once, those during a pass become one pass after it",
			opts: Options{Resync: time.Hour}, takes: 100 * ms,
			script: func(p *Poke) {
				time.Sleep(500 * ms)
				p.Now()
				for range 10 {
					time.Sleep(5 * ms)
					p.Now()
				}
				time.Sleep(time.Second)
			},
			want: []time.Duration{0, 500 * ms, 600 * ms},
		},
		{
			name: "a storm of pokes is held to one pass per pause",
			opts: Options{Resync: time.Hour, Pause: 100 * ms},
			script: func(p *Poke) {
				time.Sleep(150 * ms)
				for range 25 {
					p.Now()
					time.Sleep(10 * ms)
				}
				time.Sleep(time.Second)
			},
			want: []time.Duration{0, 150 * ms, 250 * ms, 350 * ms, 450 * ms},
		},
		{
			name: "a loop that gathers makes one pass of pokes that come close behind each other",
			opts: Options{Resync: time.Hour, Gather: 200 * ms},
			script: func(p *Poke) {
				time.Sleep(500 * ms)
				for range 10 {
					p.Now()
					time.Sleep(10 * ms)
				}
				time.Sleep(time.Second)
			},
			want: []time.Duration{0, 700 * ms},
		},
		{
			name: "failures are tried again with growing delay, and a success ends that",
			opts: Options{Resync: time.Hour}, results: []error{fail, fail, fail, nil},
			script: func(p *Poke) {
				time.Sleep(10 * time.Second)
				p.Now()
				time.Sleep(time.Second)
			},
			want: []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 10000 * ms},
		},
		{
			name: "pokes do not make a failing pass spin",
			opts: Options{Resync: time.Hour}, results: []error{fail, fail, fail},
			script: func(p *Poke) {
				for range 65 {
					p.Now()
					time.Sleep(10 * ms)
				}
			},
			want: []time.Duration{0, 100 * ms, 300 * ms},
		},
		{
			name: "of several times at which a pass is wanted the nearest counts",
			opts: Options{Resync: time.Hour},
			script: func(p *Poke) {
				time.Sleep(10 * ms)
				p.After(300 * ms)
				p.After(200 * ms)
				p.After(time.Minute)
				time.Sleep(time.Second)
				p.After(0)
				time.Sleep(time.Second)
			},
			want: []time.Duration{0, 210 * ms, 1010 * ms},
		},
		{
			name: "a pass that is wanted again does not make others wanted",
			opts: Options{Resync: time.Hour},
			script: func(p *Poke) {
				time.Sleep(10 * ms)
				for range 40 { // as many passes, each of which wants one in a second
					p.Now()
					time.Sleep(5 * ms)
					p.After(time.Second)
					time.Sleep(5 * ms)
				}
				time.Sleep(2 * time.Second)
			},
			want: append(every(10*ms, 41), 1405*ms),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := run(t, c.opts, c.takes, c.results, c.script)
				if len(got) < len(c.want) || len(got) > len(c.want)+1 {
					t.Fatalf("passes at %v, want %v", got, c.want)
				}
				for i, w := range c.want {
					if got[i] != w {
						t.Fatalf("passes at %v, want %v", got, c.want)
					}
				}
			})
		})
	}
}

// every are n times, that far apart.
func every(d time.Duration, n int) (out []time.Duration) {
	for i := range n {
		out = append(out, time.Duration(i)*d)
	}
	return out
}

func TestAFailureIsWarnedOfOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		away := errors.New("away")
		opts := Options{Name: "routes", Log: slog.New(slog.NewTextHandler(&logged, nil))}
		run(t, opts, 0, []error{away, away, away, errors.New("full"), away, nil, nil, away}, func(p *Poke) { time.Sleep(5 * time.Minute) })
		var lines []string
		for line := range strings.Lines(logged.String()) {
			_, line, _ = strings.Cut(line, "level=")
			line, _, _ = strings.Cut(line, " took=")
			lines = append(lines, line)
		}
		want := []string{
			`WARN msg="pass failed" loop=routes error=away`,
			`WARN msg="pass failed" loop=routes error=full`,
			`WARN msg="pass failed" loop=routes error=away`,
			`INFO msg="pass succeeded again" loop=routes`,
			`WARN msg="pass failed" loop=routes error=away`,
			`INFO msg="pass succeeded again" loop=routes`,
		}
		if !slices.Equal(lines, want) {
			t.Errorf("logged\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestAPassThatCannotBeMadeYet is neither a success nor a failure, and is not put off by a
// growing delay: what is learnt meanwhile is acted upon at once.
func TestAPassThatCannotBeMadeYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		reg := prometheus.NewRegistry()
		var passes []time.Duration
		known, poke, start := false, NewPoke(), time.Now()
		l := New(Options{Component: "bee", Name: "dance", Registry: reg, Poke: poke}, func(context.Context) error {
			passes = append(passes, time.Since(start))
			if !known {
				return fmt.Errorf("the catalog: %w", ErrNotYet)
			}
			return nil
		})
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		known = true
		poke.Now()
		synctest.Wait()
		if want := []time.Duration{0, 30 * time.Second, time.Minute, 61 * time.Second}; !slices.Equal(passes, want) {
			t.Errorf("passes at %v, want %v", passes, want)
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range families {
			if f.GetName() == "waggle_bee_passes_total" {
				for _, m := range f.GetMetric() {
					got = append(got, fmt.Sprint(m.GetLabel()[1].GetValue(), " ", m.GetCounter().GetValue()))
				}
			}
		}
		slices.Sort(got)
		if want := []string{"failed 0", "ok 1", "waiting 3"}; !slices.Equal(got, want) {
			t.Errorf("counted %v, want %v", got, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
