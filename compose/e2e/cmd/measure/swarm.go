package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/compose/e2e/stack"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// fewOthers is how many other services are there from the start.
const fewOthers = 7

// swarm is a deployed Waggle and what to do with it.
type swarm struct {
	session
	*stack.Stack
	runs, services, others int
	// minute is how long requests are sent after a node was cut off.
	minute time.Duration
	// still is for how long nothing is done, for idle.
	still time.Duration
	// filled is how many other services there are.
	filled int
}

// onSwarm measures how fast Waggle follows a swarm.
func onSwarm(ctx context.Context, args []string) (err error) {
	var m swarm
	fs := flag.NewFlagSet("measure swarm", flag.ContinueOnError)
	choose := m.begin(fs, []part{
		{name: "latency", do: func(ctx context.Context) error { return m.latency(ctx, fmt.Sprintf("%d others", fewOthers)) }},
		{name: "changes", do: m.changes},
		{name: "updates", do: m.updates},
		{name: "catch", do: m.catch},
		{name: "kills", do: m.kills},
		{name: "own", do: m.own},
		{name: "ports", do: m.ports},
		{name: "dropped", do: m.dropped},
		{name: "many", do: m.many},
		{name: "deadnode", do: m.deadNode},
		{name: "idle", do: m.idle},
		{name: "idle-many", do: m.idleMany},
	})
	fs.IntVar(&m.runs, "runs", 3, "how often each is measured")
	fs.IntVar(&m.services, "services", 20, "services per run")
	fs.DurationVar(&m.minute, "minute", time.Minute, "how long requests are sent after a node was cut off, for deadnode")
	fs.DurationVar(&m.still, "still", time.Minute, "for how long nothing is done, for idle and idle-many")
	fs.IntVar(&m.others, "others", 200, "other services that are there when many are")
	hold := fs.Bool("hold", false, "leave the swarm as it is at the end, to look around in it, until SIGINT")
	parts, err := choose(args)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(parts, func(p part) bool { return p.name == "deadnode" }) {
		m.options.Workers = 2
	}
	// Otherwise there is another node, whose proxy is updated too, and which bears a part of
	// what is idle.
	m.options.Alone = !slices.ContainsFunc(parts, func(p part) bool { return !slices.Contains([]string{"ports", "dropped", "idle"}, p.name) })
	if m.Stack, err = stack.Deploy(ctx, m.options); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.fill(ctx, fewOthers); err != nil {
		return err
	}
	if err := each(ctx, parts); err != nil {
		return err
	}
	if *hold {
		m.Hold(ctx, m.log)
	}
	return nil
}

// fill makes other services until there are so many.
func (m *swarm) fill(ctx context.Context, want int) error {
	if m.filled >= want {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	began := time.Now()
	if err := populate(ctx, m.Stack, numbered("other", m.filled, want)); err != nil {
		return err
	}
	m.filled = want
	fmt.Fprintf(m.log, "measure: %d other services are answered after %v\n", want, time.Since(began).Round(time.Millisecond))
	return m.quiet(ctx)
}

// quiet waits until the machine does little, for at most a minute.
func (m *swarm) quiet(ctx context.Context) error {
	for range 30 {
		busy, err := proc.Busy(func() error { return tooltest.Pause(ctx, 2*time.Second) })
		if err != nil {
			return err
		}
		if busy < 35 {
			return nil
		}
	}
	fmt.Fprintln(m.log, "measure: the machine does not become quiet")
	return nil
}

// sample is what one run gave.
type sample struct {
	median, worst time.Duration
	slow, busy    int
}

// sampled measures several runs, each of as many services as are asked for. one
// measures one service and returns a time for each of the rows that it fills.
func (m *swarm) sampled(ctx context.Context, rows int, one func(ctx context.Context, name string) ([]time.Duration, error)) ([][]sample, error) {
	out := make([][]sample, rows)
	for run := range m.runs {
		if err := m.quiet(ctx); err != nil {
			return nil, err
		}
		times := make([][]time.Duration, rows)
		slow := m.Slow()
		busy, err := proc.Busy(func() error {
			for i := range m.services {
				limited, cancel := context.WithTimeout(ctx, time.Minute)
				took, err := one(limited, fmt.Sprintf("measured%d-%d", run, i))
				cancel()
				if err != nil {
					return err
				}
				for row, d := range took {
					times[row] = append(times[row], d)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for row := range out {
			out[row] = append(out[row], sample{report.Median(times[row]), slices.Max(times[row]), m.Slow() - slow, busy})
		}
	}
	return out, nil
}

// show prints a row of samples: the median of the runs' medians, the worst of all.
func (m *swarm) show(what, where string, samples []sample) {
	var medians []time.Duration
	var worst []time.Duration
	var each, slow, busy []string
	for _, s := range samples {
		medians, worst = append(medians, s.median), append(worst, s.worst)
		each = append(each, report.Milliseconds(s.median)+"/"+report.Milliseconds(s.worst))
		slow = append(slow, fmt.Sprint(s.slow))
		busy = append(busy, fmt.Sprintf("%d %%", s.busy))
	}
	m.Row(what, where, report.Median(medians), slices.Max(worst), strings.Join(each, ", "), strings.Join(slow, ", "), strings.Join(busy, ", "))
}

// latency measures how long the manager's proxy takes to follow the swarm.
func (m *swarm) latency(ctx context.Context, where string) error {
	m.Table(fmt.Sprintf("Latency with %s, %d runs of %d services one after another, polled every 5 ms", where, m.runs, m.services),
		"from -> to", "with", "median", "worst", "each run, median/worst in ms", "requests over 250 ms in the run", "machine busy")
	for _, node := range []string{stack.Manager, stack.Worker} {
		place := "proxy and task on one node"
		if node != stack.Manager {
			place = "proxy and task on different nodes"
		}
		samples, err := m.sampled(ctx, 4, func(ctx context.Context, name string) ([]time.Duration, error) {
			appeared, err := m.Appear(ctx, stack.Demo{Name: name, Replicas: 1, Unchecked: true, Node: node, Labels: stack.Labels("/" + name)})
			if err != nil {
				return nil, err
			}
			// Each by itself, as if nothing had just happened.
			if err := tooltest.Pause(ctx, 300*time.Millisecond); err != nil {
				return nil, err
			}
			moved, left, err := m.Move(ctx, name, "/"+name, "/moved-"+name)
			if err != nil {
				return nil, err
			}
			if err := tooltest.Pause(ctx, 300*time.Millisecond); err != nil {
				return nil, err
			}
			gone, err := m.Vanish(ctx, name, "/moved-"+name)
			return []time.Duration{appeared, moved, left, gone}, err
		})
		if err != nil {
			return err
		}
		for row, what := range []string{"task running -> first answer", "label changed -> new path answers", "label changed -> old path gone", "service removed -> path gone"} {
			m.show(what, place, samples[row])
		}
	}
	return nil
}

// many is latency with many others.
func (m *swarm) many(ctx context.Context) error {
	if err := m.fill(ctx, m.others); err != nil {
		return err
	}
	return m.latency(ctx, fmt.Sprintf("%d others", m.others))
}

// loadTable begins a table of what became of requests.
func (m *swarm) loadTable(title string) {
	m.Table(title, "what", "connections", "requests", "failed", "of these", "reloads", "p50", "p99", "worst", "machine busy")
}

// loaded sends 500 requests per second on 20 connections to the manager's proxy while
// f runs, and for a second before and after, and prints a row.
func (m *swarm) loaded(ctx context.Context, what, path string, keepAlive bool, f func(context.Context) error) error {
	if err := m.quiet(ctx); err != nil {
		return err
	}
	before, err := m.Reloads(ctx)
	if err != nil {
		return err
	}
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var sent atomic.Int64
	var sum load.Report
	done := make(chan error, 1)
	busy, err := proc.Busy(func() error {
		go func() {
			var err error
			sum, err = load.Run(sending, load.Config{
				URL: "http://" + m.Addr(stack.Manager) + path, Rate: 500, Connections: 20, KeepAlive: keepAlive, Duration: 10 * time.Minute, Timeout: 10 * time.Second,
				Every: 50 * time.Millisecond, Progress: func(r load.Report) { sent.Add(int64(r.Requests)) },
			})
			done <- err
		}()
		flow := func() error {
			from := sent.Load()
			limited, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			return tooltest.Poll(limited, tooltest.Slowly, "requests", func(context.Context) error {
				if sent.Load() < from+500 {
					return errors.New("too few")
				}
				return nil
			})
		}
		err := flow()
		if err == nil {
			err = f(ctx)
		}
		if err == nil {
			err = flow()
		}
		stop()
		return errors.Join(err, <-done)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	// A controller that was started anew counts from zero.
	after, err := m.Reloads(ctx)
	reloads := fmt.Sprint(after - before)
	if after < before || err != nil {
		reloads = "counter began anew"
	}
	connections := "kept alive"
	if !keepAlive {
		connections = "one each"
	}
	m.Row(what, connections, sum.Requests, sum.Failed, sum.Reasons(), reloads,
		fmt.Sprintf("%.1f ms", sum.P50), fmt.Sprintf("%.1f ms", sum.P99), fmt.Sprintf("%.1f ms", sum.Max), fmt.Sprintf("%d %%", busy))
	return nil
}

// both measures with connections that are kept alive, and with one per request.
func (m *swarm) both(ctx context.Context, what, path string, f func(context.Context) error) error {
	for _, keepAlive := range []bool{true, false} {
		if err := m.loaded(ctx, what, path, keepAlive, f); err != nil {
			return err
		}
	}
	return nil
}

// with makes a service that is asked while others change, and removes it at the end.
func (m *swarm) with(ctx context.Context, d stack.Demo, f func() error) error {
	if err := m.Create(ctx, d); err != nil {
		return err
	}
	_, err := m.Running(ctx, d.Name, int(d.Replicas))
	if err == nil {
		_, err = m.Since(ctx, stack.Manager, d.Labels["com.df.servicePath"], stack.Answered)
	}
	if err == nil {
		err = f()
	}
	return errors.Join(err, m.Remove(ctx, d.Name))
}

// changes are 50 of other services.
func (m *swarm) changes(ctx context.Context) error {
	m.loadTable("500 requests/s on 20 connections while other services change 50 times, 5 per second")
	return m.with(ctx, stack.Demo{Name: "steady", Replicas: 1, Labels: stack.Labels("/steady")}, func() error {
		n := 0
		for _, kind := range []struct {
			what   string
			change func(context.Context, string) error
		}{
			{"paths", func(ctx context.Context, name string) error {
				return m.Relabel(ctx, name, stack.Labels(fmt.Sprintf("/path%d", n)))
			}},
			{"domains", func(ctx context.Context, name string) error {
				return m.Relabel(ctx, name, stack.Labels("/", "serviceDomain", fmt.Sprintf("d%d.acme.com,*.d%d.acme.com", n, n)))
			}},
			{"replicas", func(ctx context.Context, name string) error { return m.Scale(ctx, name, uint64(1+n/fewOthers%2)) }},
		} {
			err := m.both(ctx, kind.what, "/steady", func(ctx context.Context) error {
				for range 50 {
					n++
					if err := kind.change(ctx, fmt.Sprintf("other%d", n%fewOthers)); err != nil {
						return err
					}
					if err := tooltest.Pause(ctx, 200*time.Millisecond); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// updates are those of the service that is asked.
func (m *swarm) updates(ctx context.Context) error {
	m.loadTable("500 requests/s on 20 connections while the target itself is replaced or scaled")
	for _, d := range []stack.Demo{
		{Name: "first", Replicas: 1, Order: "start-first"},
		{Name: "second", Replicas: 2, Order: "stop-first"},
	} {
		d.Labels = stack.Labels("/" + d.Name)
		if err := m.with(ctx, d, func() error {
			return m.both(ctx, fmt.Sprintf("update --force, %s, replicas: %d", d.Order, d.Replicas), "/"+d.Name, func(ctx context.Context) error { return m.Force(ctx, d.Name) })
		}); err != nil {
			return err
		}
	}
	return m.with(ctx, stack.Demo{Name: "breathes", Replicas: 1, Labels: stack.Labels("/breathes")}, func() error {
		return m.both(ctx, "scale 1 -> 5 -> 1", "/breathes", func(ctx context.Context) error {
			return errors.Join(m.Resize(ctx, "breathes", 5), m.Resize(ctx, "breathes", 1))
		})
	})
}

// catch is what becomes of changes while somebody is away.
func (m *swarm) catch(ctx context.Context) error {
	m.Table(fmt.Sprintf("One service created, one relabelled, one removed while somebody is away, %d times", m.runs),
		"away", "all three right after its return, median", "worst", "machine busy")
	for i, part := range stack.Parts() {
		var times []time.Duration
		busy, err := proc.Busy(func() error {
			for run := range m.runs {
				c := stack.Catch{Part: part, Suffix: fmt.Sprintf("%d-%d", i, run)}
				if err := m.PrepareCatch(ctx, c); err != nil {
					return err
				}
				took, err := m.CatchUp(ctx, c)
				if err = errors.Join(err, m.EndCatch(ctx, c)); err != nil {
					return err
				}
				times = append(times, took)
			}
			return nil
		})
		if err != nil {
			return err
		}
		m.Row(part, times, slices.Max(times), fmt.Sprintf("%d %%", busy))
	}
	return nil
}

// again returns when everything works again after a trouble that just began: a
// label changes, and the new path answers.
func (m *swarm) again(ctx context.Context, to string) (time.Duration, error) {
	began := time.Now()
	if err := m.Relabel(ctx, "probe", stack.Labels(to)); err != nil {
		return 0, err
	}
	at, err := m.Since(ctx, stack.Manager, to, stack.Answered)
	return at.Sub(began), err
}

// kills sends SIGKILL to each part while requests flow.
func (m *swarm) kills(ctx context.Context) error {
	m.loadTable("500 requests/s on 20 connections while a process gets SIGKILL; a label changed at once after it")
	demos := stack.Demo{Name: "probe", Replicas: 1, Labels: stack.Labels("/probe")}
	var lines []string
	err := m.with(ctx, stack.Demo{Name: "steady", Replicas: 1, Labels: stack.Labels("/steady")}, func() error {
		return m.with(ctx, demos, func() error {
			n := 0
			trouble := func(what string, f func(context.Context) (string, error)) error {
				return m.both(ctx, what, "/steady", func(ctx context.Context) error {
					n++
					note, err := f(ctx)
					if err != nil {
						return err
					}
					took, err := m.again(ctx, fmt.Sprintf("/probe%d", n))
					if err == nil {
						err = m.Ready(ctx)
					}
					lines = append(lines, fmt.Sprintf("- %s: %sthe new path answered after %d ms", what, note, took.Milliseconds()))
					return err
				})
			}
			for _, k := range stack.Kills() {
				if err := trouble(k.Name, func(ctx context.Context) (string, error) {
					if k.Outage == 0 {
						return "", m.Kill(ctx, k)
					}
					took, err := m.Outage(ctx, k)
					return fmt.Sprintf("listening again after %d ms; ", took.Milliseconds()), err
				}); err != nil {
					return err
				}
			}
			return trouble("listener down, its store lost", func(ctx context.Context) (string, error) {
				return "", m.LoseStore(ctx, func() error { return nil })
			})
		})
	})
	fmt.Fprintf(m.Out, "\n%s\n", strings.Join(lines, "\n"))
	return err
}

// own are updates of Waggle's services.
func (m *swarm) own(ctx context.Context) error {
	m.loadTable("500 requests/s on 20 connections to one node while a service of Waggle gets update --force")
	return m.with(ctx, stack.Demo{Name: "steady", Replicas: 1, Labels: stack.Labels("/steady")}, func() error {
		for _, service := range []string{"listener", "monitor", "scaler", "alertmanager", "proxy"} {
			if err := m.both(ctx, service, "/steady", func(ctx context.Context) error { return m.Force(ctx, "waggle_"+service) }); err != nil {
				return err
			}
		}
		return nil
	})
}
