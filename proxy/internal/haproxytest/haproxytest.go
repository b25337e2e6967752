// Package haproxytest runs a real HAProxy for tests.
package haproxytest

import (
	"context"
	"crypto/tls"
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
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/render"
	"github.com/wagglehq/waggle/proxy/internal/settings/edge"
	"github.com/wagglehq/waggle/proxy/internal/wish/route"
)

// Instance is a running HAProxy in master-worker mode.
type Instance struct {
	// Dir is a new folder whose path is short enough for Unix sockets.
	Dir string
	// Config, Stats and Master are paths: the file, and the two sockets.
	Config, Stats, Master string
	// Port is the number of a free TCP port of 127.0.0.1.
	Port int
	// Files is the limit of open files; 0 leaves that of the test.
	Files int
	// Pid is that of the master.
	Pid int
}

// Global is the beginning of a configuration, with the stats socket.
const Global = `
global
  stats socket {dir}/stats.sock mode 660 level admin expose-fd listeners
  maxconn 500
  hard-stop-after 10s
`

// Start runs HAProxy on the configuration until the test ends, and returns when
// it serves. {dir} and {port} in the text are replaced.
func Start(t testing.TB, config string) *Instance {
	t.Helper()
	return StartIn(t, New(t), config)
}

// StartIn is Start for an instance that New has prepared.
func StartIn(t testing.TB, h *Instance, config string) *Instance {
	t.Helper()
	h.Write(t, config)
	// Not under a context: the group is killed below, not the master alone.
	cmd := exec.Command(tooltest.Path(t, "haproxy"), "-W", "-S", h.Master, "-f", h.Config) //nolint:noctx // see above.
	if h.Files > 0 {
		limited := fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, h.Files)
		cmd = exec.Command("/bin/sh", append([]string{"-c", limited}, cmd.Args...)...) //nolint:noctx,gosec // see above, and the arguments are ours.
	}
	log, err := os.Create(filepath.Join(h.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.Pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = syscall.Kill(-h.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("haproxy:\n%s", text)
		}
	})
	tooltest.Within(t, 10*time.Second, "HAProxy listens", func() error {
		return errors.Join(dial("unix", h.Stats), dial("unix", h.Master))
	})
	return h
}

// New prepares what Start needs, without starting anything.
func New(t testing.TB) *Instance {
	t.Helper()
	// t.TempDir is too long for a socket's path, which ends at 107 bytes.
	dir, err := os.MkdirTemp("", "hap") //nolint:usetesting // see above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &Instance{
		Dir: dir, Config: filepath.Join(dir, "haproxy.cfg"),
		Stats: filepath.Join(dir, "stats.sock"), Master: filepath.Join(dir, "master.sock"),
		Port: tooltest.FreePort(t),
	}
}

// Settings are those of a proxy that runs in the instance.
func (h *Instance) Settings() render.Settings {
	return render.Settings{Dir: h.Dir, StatsSocket: h.Stats, Binds: []edge.Bind{{Port: h.Port}}, Timeouts: render.DefaultTimeouts(), HardStopAfter: 10 * time.Second}
}

// StartEmpty starts an instance on the configuration of no services.
func StartEmpty(t testing.TB, h *Instance, s render.Settings) *render.Renderer {
	t.Helper()
	r, err := render.NewRenderer(s)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := r.Render(nil, route.Tables{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range file.MapNames() {
		if err := os.WriteFile(filepath.Join(h.Dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, entries := range empty.Lists {
		if err := os.WriteFile(filepath.Join(h.Dir, name), []byte(file.ListText(entries)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range empty.Scripts {
		if err := os.WriteFile(filepath.Join(h.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	StartIn(t, h, empty.Text())
	return r
}

// Shown is the certificate, in DER, that a client gets at a port of 127.0.0.1 who asks for
// a name.
func Shown(ctx context.Context, port int, name string) (string, error) {
	d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}} //nolint:gosec // what is shown is compared.
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return string(conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw), nil
}

// Write replaces the configuration file. {dir} and {port} are replaced.
func (h *Instance) Write(t testing.TB, config string) {
	t.Helper()
	text := strings.NewReplacer("{dir}", h.Dir, "{port}", fmt.Sprint(h.Port)).Replace(config)
	if err := os.WriteFile(h.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// URL is the address of a path at the instance's port.
func (h *Instance) URL(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", h.Port, path) }

// Load is a number of clients that ask without a pause, until Stop.
type Load struct {
	stop     context.CancelFunc
	wait     sync.WaitGroup
	mu       sync.Mutex // the clients count together
	requests int
	failed   []string
}

// StartLoad starts clients that ask for url, each on one keep-alive connection
// or on a new one for each request. Everything but 200 is a failure.
func StartLoad(t testing.TB, url string, clients int, keepAlive bool) *Load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &Load{stop: cancel}
	for range clients {
		l.wait.Go(func() {
			tr := &http.Transport{DisableKeepAlives: !keepAlive, MaxIdleConnsPerHost: 1}
			defer tr.CloseIdleConnections()
			for ctx.Err() == nil {
				// POST, because Go repeats a failed GET by itself.
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("x"))
				if err != nil {
					l.count(err.Error())
					return
				}
				res, err := tr.RoundTrip(req)
				switch {
				case err != nil:
					l.count(err.Error())
				default:
					_, err := io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					switch {
					case err != nil:
						l.count(err.Error())
					case res.StatusCode != http.StatusOK:
						l.count(res.Status)
					default:
						l.count("")
					}
				}
			}
		})
	}
	t.Cleanup(func() { l.Stop() })
	return l
}

func (l *Load) count(failure string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if failure != "" {
		l.failed = append(l.failed, failure)
	}
}

// Requests is the number of requests answered so far.
func (l *Load) Requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// Stop ends the load and returns the number of requests and the failures.
func (l *Load) Stop() (requests int, failures []string) {
	l.stop()
	l.wait.Wait()
	return l.requests, l.failed
}

func dial(network, address string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).Dial(network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}
