package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/load"
	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
)

// rival is one of those that are measured in turn.
type rival struct {
	name string
	of   *program
	path string
	host string
	// headers are sent besides; only wrk does that.
	headers []string
	rates   []float64
	costs   []float64 // processor seconds per request
}

// worker is in the command line of every HAProxy that is measured.
const worker = ".cfg"

// race gives each rival a slice of load after the other, again and again, so that what
// else the machine does meets all alike.
func (m *bench) race(ctx context.Context, keepAlive bool, rivals ...*rival) error {
	for _, r := range rivals {
		r.rates, r.costs = nil, nil
		if _, err := m.load(ctx, r, keepAlive, min(m.slice, time.Second)); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	for i := range m.slices {
		for j := range rivals {
			r := rivals[(i+j)%len(rivals)]
			before, err := proc.Used(r.of.pid(), worker)
			if err != nil {
				return err
			}
			l, err := m.load(ctx, r, keepAlive, m.slice)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			after, err := proc.Used(r.of.pid(), worker)
			if err != nil {
				return err
			}
			r.rates = append(r.rates, l.rate)
			r.costs = append(r.costs, (after-before).Seconds()/float64(l.requests))
		}
	}
	return nil
}

// loaded is what a slice gave.
type loaded struct {
	rate     float64
	requests int
}

// load sends as many requests as the connections take. wrk costs less than our own
// client, which is used where there is no wrk.
func (m *bench) load(ctx context.Context, r *rival, keepAlive bool, d time.Duration) (loaded, error) {
	if path, err := exec.LookPath("wrk"); err == nil {
		args := []string{"-t1", "-c" + strconv.Itoa(m.connections), fmt.Sprintf("-d%ds", max(1, int(d.Seconds()))), "-H", "Host: " + r.host}
		for _, h := range r.headers {
			args = append(args, "-H", h)
		}
		if !keepAlive {
			args = append(args, "-H", "Connection: close")
		}
		out, err := exec.CommandContext(ctx, path, append(args, r.of.url(r.path))...).CombinedOutput()
		if err != nil {
			return loaded{}, fmt.Errorf("wrk: %w: %s", err, out)
		}
		return parseWrk(string(out))
	}
	sum, err := load.Run(ctx, load.Config{
		URL: r.of.url(r.path), Host: r.host, Connections: m.connections, KeepAlive: keepAlive, Duration: d, Timeout: 10 * time.Second,
	})
	if err == nil && sum.Failed > 0 {
		err = fmt.Errorf("failed requests: %s", sum)
	}
	return loaded{sum.Rate, sum.Requests}, err
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s*([0-9]+) requests in `)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)`)
	wrkErrors   = regexp.MustCompile(`(?m)^\s*(Socket errors: connect [1-9].*|Socket errors: .*timeout [1-9].*|Non-2xx or 3xx responses: .*)$`)
)

// parseWrk reads what wrk prints. That connections are closed by the other side, as is
// asked for without keep-alive, counts as an error of reading there, and not here.
func parseWrk(text string) (loaded, error) {
	if line := wrkErrors.FindString(text); line != "" {
		return loaded{}, fmt.Errorf("wrk: %s", line)
	}
	requests, rate := wrkRequests.FindStringSubmatch(text), wrkRate.FindStringSubmatch(text)
	if requests == nil || rate == nil {
		return loaded{}, fmt.Errorf("wrk says %q", text)
	}
	n, err := strconv.Atoi(requests[1])
	r, errRate := strconv.ParseFloat(rate[1], 64)
	if err == nil && n == 0 {
		err = errors.New("wrk: no request was answered")
	}
	return loaded{r, n}, errors.Join(err, errRate)
}

// byHand is what somebody would write for one service, with the proxy's logging.
const byHand = `global
  stats socket %[1]s mode 600 level admin
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  option dontlognull
  option dontlog-normal
  option forwardfor
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  timeout http-keep-alive 15s
frontend services
  bind :{port}
  use_backend one if { path_beg / }
backend one
  server one 127.0.0.1:%[2]d
`

// throughput compares with HAProxy without Waggle.
func (m *bench) throughput(ctx context.Context) error {
	up, err := m.upstream(ctx)
	if err != nil {
		return err
	}
	defer up.stop()
	alone, err := m.bare(ctx, "bare", fmt.Sprintf(byHand, m.dir+"/bare.sock", up.port))
	if err != nil {
		return err
	}
	defer alone.stop()
	usual, err := m.startWaggle(ctx, "usual", m.few, up.port)
	if err != nil {
		return err
	}
	defer usual.stop()
	unmeasured, err := m.startWaggle(ctx, "unmeasured", m.few, up.port, "SERVICE_METRICS=false")
	if err != nil {
		return err
	}
	defer unmeasured.stop()
	safe, err := m.startWaggle(ctx, "safe", m.few, up.port, "HTTP_REUSE=safe")
	if err != nil {
		return err
	}
	defer safe.stop()
	path, host := usual.last()
	bare := &rival{name: "bare HAProxy", of: alone, path: path, host: host}
	ours := &rival{name: "Waggle", of: usual.program, path: path, host: host}
	quiet := &rival{name: "Waggle without service metrics", of: unmeasured.program, path: path, host: host}
	careful := &rival{name: "Waggle, http-reuse safe", of: safe.program, path: path, host: host}
	m.Table(fmt.Sprintf("Throughput beside bare HAProxy, %d connections, medians of %d slices of %v in turn", m.connections, m.slices, m.slice),
		"what", "bare requests/s", "ours", "bare cpu/request", "ours", "ratio", "goal", "")
	show := func(mode string, r *rival, rate report.Goal, cost bool) {
		cells := []any{
			fmt.Sprintf("%.0f", report.Median(bare.rates)), fmt.Sprintf("%.0f", report.Median(r.rates)),
			fmt.Sprintf("%.1f us", 1e6*report.Median(bare.costs)), fmt.Sprintf("%.1f us", 1e6*report.Median(r.costs)),
		}
		m.Result(r.name+", "+mode+": requests/s", report.Median(report.Ratios(r.rates, bare.rates)), rate, cells...)
		if cost {
			m.Result(r.name+", "+mode+": cpu per request", report.Median(report.Ratios(r.costs, bare.costs)), report.AtMost(1.10, "%.2f"), cells...)
		}
	}
	if err := m.race(ctx, true, bare, ours, quiet); err != nil {
		return err
	}
	show("kept alive", ours, report.AtLeast(0.95, "%.2f"), true)
	show("kept alive", quiet, report.AtLeast(0.95, "%.2f"), true)
	with, without := *ours, *quiet
	if err := m.race(ctx, false, bare, ours, careful); err != nil {
		return err
	}
	show("new connections", ours, report.AtLeast(1.3, "%.2f"), true)
	show("new connections", careful, report.AtLeast(0.95, "%.2f"), true)
	m.Table("What service metrics cost, from the same slices", "what", "without", "with", "ratio", "goal", "")
	m.Result("kept alive: requests/s", report.Median(report.Ratios(with.rates, without.rates)), report.AtLeast(0.98, "%.3f"),
		fmt.Sprintf("%.0f", report.Median(without.rates)), fmt.Sprintf("%.0f", report.Median(with.rates)))
	m.Result("kept alive: cpu per request", report.Median(report.Ratios(with.costs, without.costs)), report.AtMost(1.02, "%.3f"),
		fmt.Sprintf("%.1f us", 1e6*report.Median(without.costs)), fmt.Sprintf("%.1f us", 1e6*report.Median(with.costs)))
	return nil
}

// routes compares many services with few.
func (m *bench) routes(ctx context.Context) error {
	up, err := m.upstream(ctx)
	if err != nil {
		return err
	}
	defer up.stop()
	var rivals []*rival
	for _, n := range []int{m.few, m.services} {
		w, err := m.startWaggle(ctx, fmt.Sprintf("routes%d", n), n, up.port)
		if err != nil {
			return err
		}
		defer w.stop()
		path, host := w.last()
		rivals = append(rivals, &rival{name: fmt.Sprintf("%d services", n), of: w.program, path: path, host: host})
	}
	if err := m.race(ctx, true, rivals...); err != nil {
		return err
	}
	m.Table(fmt.Sprintf("Processor time per request, medians of %d slices of %v in turn", m.slices, m.slice),
		"what", rivals[0].name, rivals[1].name, "ratio", "goal", "")
	m.Result("many services beside few: cpu per request", report.Median(report.Ratios(rivals[1].costs, rivals[0].costs)), report.AtMost(1.15, "%.2f"),
		fmt.Sprintf("%.1f us", 1e6*report.Median(rivals[0].costs)), fmt.Sprintf("%.1f us", 1e6*report.Median(rivals[1].costs)))
	return nil
}
