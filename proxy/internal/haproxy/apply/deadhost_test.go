package apply_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/apply"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/silent"
)

// The variables that make another process of this program: one with a network of its own
// for the story, and the hosts in it.
const (
	apartEnv  = "WAGGLE_TEST_APART"
	farEnv    = "WAGGLE_TEST_FAR"
	reportEnv = "WAGGLE_TEST_REPORT"
)

func TestMain(m *testing.M) {
	if port := os.Getenv(farEnv); port != "" {
		fmt.Fprintln(os.Stderr, far(port, os.Getenv(reportEnv)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// far serves as a task on a host of its own. It writes down what arrives.
func far(port, report string) error {
	log, err := os.OpenFile(report, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", ":"+port)
	if err != nil {
		return err
	}
	srv := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(log, r.Method, r.URL.Path) // One write each, so that lines stay whole.
		switch {
		case r.Header.Get("Upgrade") != "":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(conn, conn)
		case strings.HasPrefix(r.URL.Path, "/slow"):
			<-time.After(2 * time.Second)
		case strings.HasPrefix(r.URL.Path, "/hang"):
			<-r.Context().Done()
		}
		_, _ = fmt.Fprint(w, r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr).IP)
	})}
	return srv.Serve(ln)
}

// apart runs a test again, in a network of its own.
func apart(t *testing.T) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), apartEnv+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// cables is a switch with a proxy and hosts.
type cables struct {
	*world
	report string
}

func (c *cables) ip(args ...string) {
	c.t.Helper()
	if out, err := exec.CommandContext(c.t.Context(), "ip", args...).CombinedOutput(); err != nil {
		c.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// host starts a task at 10.9.0.N on a host of its own.
func (c *cables) host(n int) {
	c.t.Helper()
	program, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.CommandContext(c.t.Context(), program)
	cmd.Env = append(os.Environ(), farEnv+"="+strconv.Itoa(int(c.backend)), reportEnv+"="+c.report)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid, port, addr := strconv.Itoa(cmd.Process.Pid), cable(n), fmt.Sprintf("10.9.0.%d", n)
	c.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", pid)
	c.ip("link", "set", port, "master", "br0", "up")
	for _, args := range [][]string{{"addr", "add", addr + "/24", "dev", "eth0"}, {"link", "set", "eth0", "up"}} {
		inside := append([]string{"--net=/proc/" + pid + "/ns/net", "ip"}, args...)
		if out, err := exec.CommandContext(c.t.Context(), "nsenter", inside...).CombinedOutput(); err != nil {
			c.t.Fatalf("%v: %v: %s", inside, err, out)
		}
	}
	c.reached(n)
}

// reached waits until a host can be reached.
func (c *cables) reached(n int) {
	c.t.Helper()
	addr := fmt.Sprintf("10.9.0.%d:%d", n, c.backend)
	tooltest.Within(c.t, 20*time.Second, addr+" answers", func() error {
		d := net.Dialer{Timeout: time.Second}
		conn, err := d.DialContext(c.t.Context(), "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func cable(n int) string { return "port" + strconv.Itoa(n) }

// die is the loss of a host's power as others see it.
func (c *cables) die(n int) { c.t.Helper(); c.ip("link", "set", cable(n), "down") }

// live is the end of that.
func (c *cables) live(n int) {
	c.t.Helper()
	c.ip("link", "set", cable(n), "up")
	c.reached(n)
}

// arrived counts how often a request arrived at a task.
func (c *cables) arrived(method, path string) int {
	c.t.Helper()
	text, err := os.ReadFile(c.report)
	if err != nil {
		c.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if line == method+" "+path+"\n" {
			n++
		}
	}
	return n
}

// client is one connection of a client.
type client struct {
	t *testing.T
	net.Conn
	reader *bufio.Reader
}

func (c *cables) client() *client {
	c.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(c.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", c.hap.Port))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return &client{c.t, conn, bufio.NewReader(conn)}
}

// result is how a request ended.
type result struct {
	status int
	by     string
	took   time.Duration
	err    error
}

// send sends a request; its result comes when there is one.
func (c *client) send(method, path string) chan result {
	began := time.Now()
	out := make(chan result, 1)
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n", method, path); err != nil {
		out <- result{err: err}
		return out
	}
	go func() {
		res, err := http.ReadResponse(c.reader, &http.Request{Method: method})
		if err != nil {
			out <- result{err: err, took: time.Since(began)}
			return
		}
		body, err := io.ReadAll(res.Body)
		out <- result{res.StatusCode, string(body), time.Since(began), err}
	}()
	return out
}

// to makes these hosts the tasks of the service.
func (c *cables) to(hosts ...string) {
	c.t.Helper()
	c.deploy("shop", hosts, "servicePath", "/")
	c.apply()
}

const first, second = "10.9.0.1", "10.9.0.2"

// TestTheHostOfATaskDies needs no more rights than namespaces of its own.
func TestTheHostOfATaskDies(t *testing.T) {
	if os.Getenv(apartEnv) == "" {
		apart(t)
		return
	}
	c := &cables{report: filepath.Join(t.TempDir(), "report")}
	setup := &cables{world: &world{t: t}}
	setup.ip("link", "set", "lo", "up")
	setup.ip("link", "add", "br0", "type", "bridge")
	setup.ip("addr", "add", "10.9.0.254/24", "dev", "br0")
	setup.ip("link", "set", "br0", "up")
	// As in the stack file.
	if err := os.WriteFile("/proc/sys/net/ipv4/tcp_retries2", []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.world = newWorld(t)
	worker := runtime.New(c.hap.Stats)
	watch := silent.New(silent.Options{
		Unrepeatable: func(ctx context.Context, s silent.Server) error {
			return worker.EndUnrepeatable(ctx, s.Backend, s.Name)
		},
		All: func(ctx context.Context, s silent.Server) error {
			return worker.Do(ctx, runtime.EndSessions(s.Backend, s.Name))
		},
		Log: slog.New(slog.DiscardHandler),
	})
	go func() { _ = watch.Run(t.Context()) }()
	c.h = apply.New(apply.Options{
		Binary: tooltest.Path(t, "haproxy"), Dir: c.hap.Dir, Worker: worker, Master: runtime.NewMaster(c.hap.Master),
		Left: watch.Left, Log: slog.New(slog.DiscardHandler),
	})
	c.host(1)
	c.host(2)
	c.to(first)

	// An orderly stop: the address goes first, and what is under way finishes.
	slow := c.client().send(http.MethodPost, "/slow-orderly")
	c.await("/slow-orderly")
	c.to(second)
	if r := <-slow; r.status != http.StatusOK || r.by != first {
		t.Errorf("a request under way at an orderly stop ended with %+v", r)
	}

	// Before DNS knows. Each host gets half of the requests, whatever their connections
	// have carried before.
	c.to(first)
	get := c.client().send(http.MethodGet, "/slow-get")
	c.await("/slow-get")
	c.to(first, second)
	var kept []*client
	for range 16 {
		one := c.client()
		if r := <-one.send(http.MethodGet, "/"); r.status != http.StatusOK {
			t.Fatalf("while both are well: %+v", r)
		}
		kept = append(kept, one)
	}
	c.die(1)
	var gets, posts, fresh []chan result
	for i, k := range kept {
		if i%2 == 0 {
			gets = append(gets, k.send(http.MethodGet, "/"), c.client().send(http.MethodGet, "/"))
			continue
		}
		posts = append(posts, k.send(http.MethodPost, fmt.Sprintf("/kept%d", i)))
		fresh = append(fresh, c.client().send(http.MethodPost, "/new"))
	}
	again := 0
	for _, g := range gets {
		r := <-g
		if r.status != http.StatusOK || r.by != second || r.took > 7*time.Second {
			t.Errorf("a GET while a host is dead: %+v", r)
		}
		if r.took > time.Second {
			again++
		}
	}
	if again == 0 {
		t.Error("no GET met the dead host, so nothing was tried")
	}
	for i, p := range posts {
		r, n := <-p, c.arrived(http.MethodPost, fmt.Sprintf("/kept%d", 2*i+1))
		if r.took > 5*time.Second || r.status == http.StatusOK != (n == 1) || n > 1 {
			t.Errorf("a POST while a host is dead: %+v, and it arrived %d times", r, n)
		}
	}
	for _, p := range fresh {
		if r := <-p; r.status != http.StatusOK || r.by != second || r.took > 5*time.Second {
			t.Errorf("a POST on a new connection, of which nothing was sent to the dead host: %+v", r)
		}
	}
	if n := c.arrived(http.MethodPost, "/new"); n != len(fresh) {
		t.Errorf("%d POSTs arrived %d times", len(fresh), n)
	}
	if r := <-get; r.status != http.StatusOK || r.by != second || r.took > 10*time.Second {
		t.Errorf("a GET that the dead host had taken: %+v", r)
	}

	// From the moment at which DNS knows.
	c.live(1)
	c.to(first)
	hanging, late := c.client().send(http.MethodPost, "/hang"), c.client().send(http.MethodGet, "/slow-late")
	c.await("/hang")
	c.await("/slow-late")
	stream := c.client()
	if err := stream.upgrade(); err != nil {
		t.Fatal(err)
	}
	c.die(1)
	c.to(second)
	knew := time.Now()
	if r := <-hanging; r.status == http.StatusOK || time.Since(knew) > 2*time.Second {
		t.Errorf("a POST that the dead host had taken: %+v, %v after DNS knew", r, time.Since(knew))
	}
	if err := stream.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.reader.ReadByte(); errors.Is(err, os.ErrDeadlineExceeded) || time.Since(knew) > 2*time.Second {
		t.Errorf("a connection that carries something else: %v, %v after DNS knew", err, time.Since(knew))
	}
	if r := <-late; r.status != http.StatusOK || r.by != second || r.took > 10*time.Second {
		t.Errorf("a GET that the dead host had taken when DNS knew: %+v", r)
	}
	if n := c.arrived(http.MethodPost, "/hang"); n != 1 {
		t.Errorf("a POST arrived %d times", n)
	}
}

// await waits until a request has arrived at a task.
func (c *cables) await(path string) {
	c.t.Helper()
	tooltest.Within(c.t, 10*time.Second, path+" arrives", func() error {
		if c.arrived(http.MethodPost, path)+c.arrived(http.MethodGet, path) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
}

// upgrade makes a connection carry something else than HTTP, and sees that it does.
func (c *client) upgrade() error {
	if _, err := io.WriteString(c, "GET /up HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(res.Status)
	}
	if _, err := io.WriteString(c, "x"); err != nil {
		return err
	}
	_, err = c.reader.ReadByte()
	return err
}
