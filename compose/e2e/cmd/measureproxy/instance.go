package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/bus/embedded"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/catalogtest"
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
	children, err := family(p.pid())
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	if err == nil {
		// HAProxy may have a group of its own.
		for _, c := range children {
			_ = syscall.Kill(c.pid, syscall.SIGKILL)
		}
	}
	_ = p.cmd.Wait()
}

// url is the address of a path at the program's port.
func (p *program) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path) }

// freePort returns the number of a TCP port of the loopback that is free now.
func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// get asks once, on a connection of its own, and returns an error unless the answer is 200.
func get(ctx context.Context, url, host string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Host, req.Close = host, true
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch text, isText := v.(*string); {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %d: %.200s", url, res.StatusCode, body)
	case isText:
		*text = string(body)
		return nil
	case v != nil:
		return json.Unmarshal(body, v)
	}
	return nil
}

// token is that of the proxy's admin interface.
const token = "measure"

// upstream is an HAProxy that answers each request itself.
func (m *measurement) upstream(ctx context.Context) (*program, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return m.bare(ctx, "upstream", port, fmt.Sprintf(`global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout http-keep-alive 60s
frontend answers
  bind 127.0.0.1:%d
  http-request return status 200 content-type text/plain string "0123456789012345678901234567890123456789012345678901234567890123"
`, port))
}

// bare starts HAProxy on a configuration, in the mode in which the proxy runs its own.
func (m *measurement) bare(ctx context.Context, name string, port int, text string) (*program, error) {
	file := filepath.Join(m.dir, name+".cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := start(filepath.Join(m.dir, name+".log"), os.Environ(), m.haproxy, "-W", "-f", file)
	if err != nil {
		return nil, err
	}
	p.port = port
	if err := lab.Poll(ctx, name, func() error {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second) //nolint:noctx // it has a timeout
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
func (m *measurement) startWaggle(ctx context.Context, name string, n, port int, settings ...string) (_ *waggle, err error) {
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
	var ports [4]int
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return w, err
		}
	}
	if w.server, err = embedded.Start(embedded.Options{Dir: filepath.Join(dir, "nats"), Host: "127.0.0.1", Port: ports[0]}); err != nil {
		return w, err
	}
	if w.bus, err = bus.Connect(bus.Options{URL: w.server.URL(), Component: "listener"}); err != nil {
		return w, err
	}
	if err := lab.Poll(ctx, "buckets", func() error { return w.bus.Prepare(ctx, 1) }); err != nil {
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
		"SECRETS_DIR="+filepath.Join(dir, "secrets"), "HAPROXY="+m.haproxy, "TOKEN="+token, "LOG_FORMAT=text")
	began := time.Now()
	if w.program, err = start(dir+".log", append(env, settings...), m.waggle); err != nil {
		w.program = &program{}
		return w, err
	}
	w.port, w.stats, w.admin = ports[1], ports[2], ports[3]
	path, host := w.last()
	if err := lab.Poll(ctx, "an answer of "+name, func() error { return get(ctx, w.url(path), host, nil) }); err != nil {
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
	return lab.Poll(ctx, "the catalog to be written", func() error {
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

// metric reads the sum of a metric of the controller.
func (w *waggle) metric(ctx context.Context, port int, name string) (float64, error) {
	var text string
	if err := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), "", &text); err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(text) {
		if end := strings.IndexAny(line, "{ "); end < 0 || line[:end] != name {
			continue
		}
		fields := strings.Fields(line)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return sum, nil
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
