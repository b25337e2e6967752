package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/acceptance"
	"github.com/wagglehq/waggle/compose/e2e/pace"
	"github.com/wagglehq/waggle/compose/e2e/report"
)

// watch is what the parts that measure the monitor share.
type watch struct {
	session
	dir, program    string
	few, many, runs int
	series, results int
}

// ofMonitor measures the monitor and its Prometheus, on the loopback.
func ofMonitor(ctx context.Context, args []string) (err error) {
	var m watch
	fs := flag.NewFlagSet("measure monitor", flag.ContinueOnError)
	choose := m.begin(fs, []part{
		{"few", 10 * time.Minute, func(ctx context.Context) error { return m.pace(ctx, m.few) }},
		{"many", 20 * time.Minute, func(ctx context.Context) error { return m.pace(ctx, m.many) }},
		{"glutton", 10 * time.Minute, m.glutton},
	})
	fs.IntVar(&m.few, "services-few", 10, "services when there are few")
	fs.IntVar(&m.many, "services", 1000, "services when there are many, each with a job and two alerts")
	fs.IntVar(&m.runs, "runs", 20, "how often each change is made")
	fs.IntVar(&m.series, "series", 500_000, "series of the service that has too many")
	fs.IntVar(&m.results, "results", 50_000, "results of the alert that has too many")
	parts, err := choose(args)
	if err != nil {
		return err
	}
	if m.dir, err = os.MkdirTemp("", "waggle-measure-monitor"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	if m.program, err = acceptance.Build(ctx, m.dir, "monitor"); err != nil {
		return err
	}
	if err := each(ctx, parts); err != nil {
		return err
	}
	return m.Missed()
}

// folder makes one of a name.
func (m *watch) folder(name string) (string, error) {
	dir := filepath.Join(m.dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// pace makes changes beside so many services.
func (m *watch) pace(ctx context.Context, services int) error {
	dir, err := m.folder(fmt.Sprint("pace", services))
	if err != nil {
		return err
	}
	got, err := pace.Measure(ctx, pace.Options{Monitor: m.program, Dir: dir, Services: services, Runs: m.runs})
	if err != nil {
		return err
	}
	m.Table(fmt.Sprintf("The monitor beside %d services with a job and two alerts each, from the catalog's telling it, %d runs", services, m.runs), "what", "worst", "median", "goal of the median", "")
	for _, row := range []struct {
		what string
		all  []time.Duration
		goal report.Goal
	}{
		{"a label: the rule is in force", got.Rule, report.AtMost(2000, "%.0f ms")},
		{"of it the pass: rendered, checked, loaded, verified", got.Pass, report.AtMost(1000, "%.0f ms")},
		{"a task runs: its target is listed", got.Listed, report.AtMost(1500, "%.0f ms")},
		{"a task runs: its first scrape, of one each 10 s", got.Scraped, report.AtMost(11500, "%.0f ms")},
	} {
		m.result(row.what, row.all, row.goal)
	}
	m.Table("The parts of a pass with a change of a rule", "part", "median", "worst")
	for _, name := range slices.Sorted(maps.Keys(got.Stages)) {
		m.Row(name, got.Stages[name], slices.Max(got.Stages[name]))
	}
	m.Table("Processor time of a change of a rule", "of", "median")
	m.Row("monitor and promtool", got.Spent)
	m.Row("Prometheus, which scrapes and evaluates meanwhile", got.Loading)
	m.Table("Reloads of Prometheus", "for", "reloads", "goal", "")
	m.Result(fmt.Sprintf("%d new targets", m.runs), float64(got.ReloadsOfTargets), report.AtMost(0, "%.0f"))
	m.Result("a scaling", float64(got.ReloadsOfScaling), report.AtMost(0, "%.0f"))
	m.Result("a scaling of a service with @replicas_less_than", float64(got.ReloadsOfReplicas), report.AtMost(1, "%.0f"))
	m.Table("Memory, at most", "program", "MB")
	for _, name := range slices.Sorted(maps.Keys(got.Peak)) {
		m.Row(name, got.Peak[name]>>20)
	}
	return nil
}

// result prints median and worst of times beside the goal of the median.
func (m *watch) result(what string, all []time.Duration, goal report.Goal) {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	m.Result(what, ms(report.Median(all)), goal, fmt.Sprintf("%.0f ms", ms(slices.Max(all))))
}

// glutton has one service ask for too much.
func (m *watch) glutton(ctx context.Context) error {
	dir, err := m.folder("glutton")
	if err != nil {
		return err
	}
	got, err := pace.Glut(ctx, pace.Options{Monitor: m.program, Dir: dir}, m.series, m.results)
	if err != nil {
		return err
	}
	m.Table(fmt.Sprintf("A service with %d series and an alert with %d results, beside ten others that are scraped every 2 s", m.series, m.results), "what", "")
	m.Row("its series that are kept", fmt.Sprintf("%.0f", got.Series))
	m.Row("the longest scrape of another", got.Scrapes)
	m.Row("the longest evaluation of another's rules", fmt.Sprintf("%.1f ms", 1000*got.Evaluation.Seconds()))
	m.Row("evaluations of others' rules that were left out", fmt.Sprintf("%.0f", got.Missed))
	m.Row("a change of another's label is in force after", got.Rule)
	m.Row("memory of Prometheus before, and at most, in MB", fmt.Sprintf("%d, %d", got.Alone>>20, got.Beside>>20))
	for _, name := range slices.Sorted(maps.Keys(got.Statuses)) {
		m.Row("what the monitor says of "+name, fmt.Sprint(got.Statuses[name].State, ": ", got.Statuses[name].Reason))
	}
	return nil
}
