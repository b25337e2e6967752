package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/proc"
	"github.com/wagglehq/waggle/compose/e2e/report"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/catalogtest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// program is a process with a log, started by this one.
type program struct {
	cmd  *exec.Cmd
	port int
}

// start starts a program in a group of its own.
func start(log string, env []string, path string, args ...string) (*program, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command(path, args...) //nolint:noctx // stop ends it with its children, which a context would not
	cmd.Env, cmd.Stdout, cmd.Stderr = env, file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &program{cmd: cmd}, nil
}

func (p *program) pid() int { return p.cmd.Process.Pid }

// stop ends the program and its children.
func (p *program) stop() {
	// HAProxy may have a group of its own.
	children, _ := proc.Family(p.pid()) // none of one that has ended
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	for _, c := range children {
		_ = syscall.Kill(c.PID, syscall.SIGKILL)
	}
	_ = p.cmd.Wait()
}

// url is the address of a path at the program's port.
func (p *program) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path) }

// get wants a good answer, on a connection of its own.
func get(ctx context.Context, url, host string, v any) error {
	return tooltest.Get(ctx, tooltest.Request{URL: url, Host: host, Token: token}, v)
}

// token is that of the proxy's admin interface.
const token = "token-of-measure"

// upstream is an HAProxy that answers each request itself.
func (m *bench) upstream(ctx context.Context) (*program, error) {
	return m.bare(ctx, "upstream", `global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout http-keep-alive 60s
frontend answers
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string "0123456789012345678901234567890123456789012345678901234567890123"
`)
}

// bare starts HAProxy on a configuration, in which {port} is a free port, in the mode in
// which the proxy runs its own.
func (m *bench) bare(ctx context.Context, name, text string) (*program, error) {
	ports, err := tooltest.FreePorts(1)
	if err != nil {
		return nil, err
	}
	text = strings.ReplaceAll(text, "{port}", strconv.Itoa(ports[0]))
	file := filepath.Join(m.dir, name+".cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := start(filepath.Join(m.dir, name+".log"), os.Environ(), m.haproxy, "-W", "-f", file)
	if err != nil {
		return nil, err
	}
	p.port = ports[0]
	if err := tooltest.Poll(ctx, tooltest.Slowly, name, func(context.Context) error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", p.port), time.Second) //nolint:noctx // it has a timeout
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// waggle is a proxy with the bus and the catalog that it follows.
type waggle struct {
	*program
	admin, stats int
	bus          *bus.Bus
	server       *embedded.Server
	writer       *bus.CatalogWriter
	stopWriter   context.CancelFunc
	services     []catalog.Service
	// took is how long it was from the start of the process to the first answer.
	took time.Duration
}

// startWaggle starts a proxy that routes services, which are all at one port of the
// loopback. Their addresses stand in their labels, so that no DNS is needed.
func (m *bench) startWaggle(ctx context.Context, name string, n, port int, settings ...string) (_ *waggle, err error) {
	w := &waggle{program: &program{}, services: catalogtest.Services(n)}
	for i := range w.services {
		labels := w.services[i].Labels
		labels[catalog.Prefix+"outboundHostname"], labels[catalog.Prefix+"port"] = "127.0.0.1", strconv.Itoa(port)
	}
	dir := filepath.Join(m.dir, name)
	for _, sub := range []string{"nats", "data", "run", "secrets"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lastWords(dir+".log"))
			w.stop()
		}
	}()
	ports, err := tooltest.FreePorts(4)
	if err != nil {
		return w, err
	}
	if w.server, err = embedded.Start(embedded.Options{Dir: filepath.Join(dir, "nats"), Host: "127.0.0.1", Port: ports[0]}); err != nil {
		return w, err
	}
	if w.bus, err = bus.Connect(bus.Options{URL: w.server.URL(), Component: "listener"}); err != nil {
		return w, err
	}
	if err := tooltest.Poll(ctx, tooltest.Slowly, "buckets", func(ctx context.Context) error { return w.bus.Prepare(ctx, 1) }); err != nil {
		return w, err
	}
	w.writer = w.bus.CatalogWriter(func() {})
	writing, stop := context.WithCancel(ctx)
	w.stopWriter = stop
	go func() { _ = w.writer.Run(writing) }() // it ends with its context
	if err := w.write(ctx); err != nil {
		return w, err
	}
	env := append(os.Environ(),
		fmt.Sprintf("DEFAULT_PORTS=%d", ports[1]), fmt.Sprintf("STATS_PORT=%d", ports[2]), fmt.Sprintf("ADMIN=127.0.0.1:%d", ports[3]),
		"NATS_URL="+w.server.URL(), "DATA_DIR="+filepath.Join(dir, "data"), "RUN_DIR="+filepath.Join(dir, "run"),
		"SECRETS_DIR="+filepath.Join(dir, "secrets"), "HAPROXY="+m.haproxy, "TOKEN="+token, "LOG_FORMAT=text",
		"OUTBOUND=127.0.0.1")
	began := time.Now()
	if w.program, err = start(dir+".log", append(env, settings...), m.waggle); err != nil {
		w.program = &program{}
		return w, err
	}
	w.port, w.stats, w.admin = ports[1], ports[2], ports[3]
	path, host := w.last()
	if err := tooltest.Poll(ctx, tooltest.Slowly, "an answer of "+name, func(ctx context.Context) error { return get(ctx, w.url(path), host, nil) }); err != nil {
		return w, err
	}
	w.took = time.Since(began)
	return w, nil
}

// lastWords is the end of a log.
func lastWords(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return fmt.Errorf("the proxy's last words: %s", bytes.TrimSpace(text[max(0, len(text)-2000):]))
}

// write publishes the services.
func (w *waggle) write(ctx context.Context) error {
	snapshot := catalog.Snapshot{Services: map[string]catalog.Service{}}
	for _, svc := range w.services {
		snapshot.Services[svc.ID] = svc
	}
	entries, tooLarge, err := catalog.EncodeAll(snapshot)
	for _, t := range tooLarge {
		err = errors.Join(err, t)
	}
	if err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "the catalog to be written", func(ctx context.Context) error {
		seen, ok := w.writer.Seen()
		if !ok {
			return bus.ErrNotSynced
		}
		_, err := w.writer.Write(ctx, seen, seen.Plan(entries))
		return err
	})
}

// last is a path, with its host, of the youngest service that has a domain.
func (w *waggle) last() (path, host string) {
	for i := len(w.services) - 1; i >= 0; i-- {
		if domains := w.services[i].Labels[catalog.Prefix+"serviceDomain"]; domains != "" {
			host, _, _ = strings.Cut(domains, ",")
			path, _, _ = strings.Cut(w.services[i].Labels[catalog.Prefix+"servicePath"], ",")
			return path, host
		}
	}
	return "/", ""
}

// metric reads the sum of a metric at a port.
func (w *waggle) metric(ctx context.Context, port int, name string) (float64, error) {
	var text string
	if err := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), "", &text); err != nil {
		return 0, err
	}
	return report.Metric(text, name)
}

// stop ends the proxy and its bus.
func (w *waggle) stop() {
	if w.cmd != nil {
		w.program.stop()
	}
	if w.stopWriter != nil {
		w.stopWriter()
	}
	if w.bus != nil {
		w.bus.Close()
	}
	if w.server != nil {
		w.server.Stop()
	}
}
