// Package pace measures how soon a real monitor with a real Prometheus does what the catalog
// says, what that costs, and what one service that asks for too much costs the others. All of
// it is on the loopback.
package pace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// often is how often is looked whether something has come about.
const often = 10 * time.Millisecond

// world is a bus, a catalog on it, a monitor, and its Prometheus.
type world struct {
	server  *embedded.Server
	bus     *bus.Bus
	writer  *bus.CatalogWriter
	end     context.CancelFunc
	swarm   catalog.Snapshot
	monitor *exec.Cmd
	// gone is closed when the monitor has ended.
	gone chan struct{}
	log  *safeBuffer
	// admin and prometheus are where the two answer.
	admin, prometheus string
	exporters         []*http.Server
	// peak is the most memory that programs had, by name, as far as was looked.
	peak map[string]uint64
}

// safeBuffer is written by a process and read meanwhile.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is for a process.
func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// since is what was written after the first n bytes.
func (s *safeBuffer) since(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b.Bytes()[n:])
}

func (s *safeBuffer) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Len()
}

// open starts all of it, in a folder, with an empty catalog.
func open(ctx context.Context, program, dir string, settings ...string) (_ *world, err error) {
	w := &world{
		log: &safeBuffer{}, gone: make(chan struct{}), peak: map[string]uint64{}, end: func() {},
		swarm: catalog.Snapshot{Services: map[string]catalog.Service{}, Tasks: map[string][]catalog.Task{}, Nodes: map[string]catalog.Node{"n1": {ID: "n1", Hostname: "one", Role: "manager", State: "ready"}}},
	}
	defer func() {
		if err != nil {
			text := w.log.since(0)
			err = fmt.Errorf("%w\n%s", err, text[max(0, len(text)-2000):])
			w.close()
		}
	}()
	ports, err := tooltest.FreePorts(4)
	if err != nil {
		return w, err
	}
	w.admin, w.prometheus = fmt.Sprintf("127.0.0.1:%d", ports[1]), fmt.Sprintf("127.0.0.1:%d", ports[2])
	if w.server, err = embedded.Start(embedded.Options{Dir: filepath.Join(dir, "nats"), Host: "127.0.0.1", Port: ports[0]}); err != nil {
		return w, err
	}
	if w.bus, err = bus.Connect(bus.Options{URL: w.server.URL(), Component: "listener"}); err != nil {
		return w, err
	}
	if err := tooltest.Poll(ctx, tooltest.Slowly, "buckets", func(ctx context.Context) error { return w.bus.Prepare(ctx, 1) }); err != nil {
		return w, err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	w.writer, w.end = w.bus.CatalogWriter(func() {}), end
	go func() { _ = w.writer.Run(running) }() // It ends with its context.
	if err := w.publish(ctx); err != nil {
		return w, err
	}
	w.monitor = exec.Command(program) //nolint:noctx // close ends it with its children, which a context would not
	w.monitor.Env = append(append(os.Environ(),
		"ADMIN="+w.admin, "NATS_URL="+w.server.URL(), "DATA_DIR="+filepath.Join(dir, "data"), "OWN_STACK=", "LOG_FORMAT=text",
		"PROMETHEUS_URL=http://"+w.prometheus, fmt.Sprintf("PROMETHEUS_LISTEN=127.0.0.1:%d", ports[3]),
		"CONFIGS_DIR="+dir, "SECRETS_DIR="+dir), settings...)
	w.monitor.Stdout, w.monitor.Stderr = w.log, w.log
	w.monitor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := w.monitor.Start(); err != nil {
		w.monitor = nil
		return w, err
	}
	go func() {
		defer close(w.gone)
		_ = w.monitor.Wait() // What it ended with stands in its log.
	}()
	return w, tooltest.Poll(ctx, tooltest.Slowly, "the monitor", func(ctx context.Context) error {
		select {
		case <-w.gone:
			return tooltest.Final(errors.New("the monitor has ended"))
		default:
		}
		return tooltest.Get(ctx, tooltest.Request{URL: "http://" + w.admin + "/healthz"}, nil)
	})
}

func (w *world) close() {
	for _, e := range w.exporters {
		_ = e.Close() // Nobody asks it any more.
	}
	if w.monitor != nil {
		children, _ := proc.Family(w.monitor.Process.Pid) // None of one that has ended.
		_ = syscall.Kill(-w.monitor.Process.Pid, syscall.SIGKILL)
		for _, c := range children {
			_ = syscall.Kill(c.PID, syscall.SIGKILL)
		}
		<-w.gone
	}
	w.end()
	if w.bus != nil {
		w.bus.Close()
	}
	if w.server != nil {
		w.server.Stop()
	}
}

// service puts a service into the swarm, with labels as NAME=TEXT, and tasks at these
// addresses. The first of a name is older than all after it.
func (w *world) service(name string, addresses []string, labels ...string) {
	id := "id" + name
	svc := catalog.Service{
		ID: id, Name: name, Mode: catalog.Replicated, Replicas: uint64(len(addresses)), Networks: []string{"waggle"},
		CreatedAt: time.Unix(int64(len(w.swarm.Services)), 0).UTC(), Labels: map[string]string{catalog.Notify: "true"},
	}
	if old, ok := w.swarm.Services[id]; ok {
		svc.CreatedAt = old.CreatedAt
	}
	for _, l := range labels {
		key, text, _ := strings.Cut(l, "=")
		svc.Labels[catalog.Prefix+key] = text
	}
	w.swarm.Services[id] = svc
	tasks := []catalog.Task{}
	for i, address := range addresses {
		tasks = append(tasks, catalog.Task{
			ID: fmt.Sprint("task", i, name), Slot: i + 1, Node: "n1", State: "running", Desired: "running", Addresses: map[string][]string{"waggle": {address}},
		})
	}
	w.swarm.Tasks[id] = tasks
}

// publish brings the swarm to the bus.
func (w *world) publish(ctx context.Context) error {
	entries, tooLarge, err := catalog.EncodeAll(w.swarm)
	for _, t := range tooLarge {
		err = errors.Join(err, t)
	}
	if err != nil {
		return err
	}
	return tooltest.Poll(ctx, often, "the catalog to be written", func(ctx context.Context) error {
		seen, ok := w.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := w.writer.Write(ctx, seen, seen.Plan(entries))
		return err
	})
}

// get asks Prometheus.
func (w *world) get(ctx context.Context, path string, query url.Values, into any) error {
	return tooltest.Get(ctx, tooltest.Request{URL: "http://" + w.prometheus + path + "?" + query.Encode()}, into)
}

// number is the value of an expression with one result.
func (w *world) number(ctx context.Context, expr string) (float64, error) {
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := w.get(ctx, "/api/v1/query", url.Values{"query": {expr}}, &answer); err != nil {
		return 0, err
	}
	if n := len(answer.Data.Result); n != 1 {
		return 0, fmt.Errorf("%s has %d results", expr, n)
	}
	return strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
}

// rule returns how a rule of a service is evaluated.
func (w *world) rule(ctx context.Context, service, name string) (query, health, lastError string, err error) {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Query, Health, LastError string }
			}
		}
	}
	if err := w.get(ctx, "/api/v1/rules", url.Values{"rule_group[]": {service}, "exclude_alerts": {"true"}}, &answer); err != nil {
		return "", "", "", err
	}
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if r.Name == name {
				return r.Query, r.Health, r.LastError, nil
			}
		}
	}
	return "", "", "", fmt.Errorf("no rule %s", name)
}

// status is what the monitor says of a service.
func (w *world) status(ctx context.Context, service string) (catalog.Status, error) {
	var st catalog.Status
	err := tooltest.Get(ctx, tooltest.Request{URL: "http://" + w.admin + "/v1/services/" + service}, &st)
	return st, err
}

// metric is the sum of one of the monitor's own.
func (w *world) metric(ctx context.Context, name string) (float64, error) {
	var text string
	if err := tooltest.Get(ctx, tooltest.Request{URL: "http://" + w.admin + "/metrics"}, &text); err != nil {
		return 0, err
	}
	return report.Metric(text, name)
}

// weigh notes how much memory monitor, promtool and Prometheus have.
func (w *world) weigh() {
	family, err := proc.Family(w.monitor.Process.Pid)
	if err != nil {
		return // It has just ended.
	}
	for _, p := range family {
		name := p.Name
		if p.PID == w.monitor.Process.Pid {
			name = "monitor"
		} else if strings.Contains(p.Command(), "promtool") {
			name = "promtool"
		} else if strings.Contains(p.Command(), "prometheus") {
			name = "prometheus"
		}
		if n, err := resident(p.PID); err == nil {
			w.peak[name] = max(w.peak[name], n)
		}
	}
}

// resident is what a process has in memory, in bytes.
func resident(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm of %d: %q", pid, text)
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize()), err
}

// spent is the processor time of the monitor, with the programs that it ran to their end, and
// of Prometheus.
func (w *world) spent() (monitor, prometheus time.Duration) {
	family, err := proc.Family(w.monitor.Process.Pid)
	if err != nil {
		return 0, 0 // It has ended, which whoever waits for it sees.
	}
	for _, p := range family {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields, ticks := strings.Fields(rest), 0
		if len(fields) < 15 {
			continue
		}
		// utime, stime, and both of children that have ended, see proc(5).
		for _, f := range fields[11:15] {
			n, _ := strconv.Atoi(f) // The kernel writes numbers there.
			ticks += n
		}
		used := time.Duration(ticks) * time.Second / 100
		switch {
		case p.PID == w.monitor.Process.Pid:
			monitor += used
		case !strings.Contains(p.Command(), "promtool"):
			prometheus += used
		}
	}
	return monitor, prometheus
}
