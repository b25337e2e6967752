package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
	"github.com/wagglehq/waggle/proxy/internal/haproxytest"
)

// The supervisor takes in the ends of all children of its process, so the tests
// run it in a process of its own: this test binary, told by a variable what to be.
const roleVariable = "WAGGLE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role, rest, _ := strings.Cut(os.Getenv(roleVariable), " "); role {
	case "":
		os.Exit(m.Run())
	case "supervisor":
		os.Exit(superviseAs(rest))
	case "controller":
		os.Exit(controlAs(rest))
	}
}

func superviseAs(options string) int {
	var o Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		panic(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Log = log
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// The controller is this binary too, in another role.
	if err := os.Setenv(roleVariable, "controller "+filepath.Dir(o.Config)); err != nil {
		panic(err)
	}
	o.Environ, o.ControllerEnv = os.Environ(), os.Environ()
	if err := Run(ctx, o); err != nil {
		log.Error("failed", "error", err)
		return 1
	}
	return 0
}

// controlAs writes its number down, makes an orphan, and ends when asked to.
func controlAs(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := exec.Command("sh", "-c", "sleep 0.05 & sleep 0.1 &").Run(); err != nil { //nolint:noctx // it ends at once.
		panic(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "controller.pid"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		panic(err)
	}
	<-ctx.Done()
	return 0
}

// supervised is a supervisor in a process of its own.
type supervised struct {
	*haproxytest.Instance
	cmd   *exec.Cmd
	ended func() error
	log   string
}

// start runs a supervisor on a configuration, or on none if it is empty.
func start(t *testing.T, config string, change ...func(*Options)) *supervised {
	t.Helper()
	h := haproxytest.New(t)
	if config != "" {
		h.Write(t, config)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Haproxy: tooltest.Path(t, "haproxy"), Config: h.Config, Minimal: Minimal(h.Stats, []int{h.Port}),
		MasterSocket: h.Master, StatsSocket: h.Stats, Controller: []string{self}, Drain: 5 * time.Second,
	}
	for _, c := range change {
		c(&o)
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &supervised{Instance: h, cmd: exec.Command(self), log: filepath.Join(h.Dir, "log")} //nolint:noctx // it is stopped below.
	if o.HaproxyUser != nil {
		s.cmd = asInTheStack(t, h, o, self)
	}
	// The race detector would hold every process for a second at its end.
	s.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", roleVariable+"=supervisor "+string(text))
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = sync.OnceValue(s.cmd.Wait)
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		stuck := time.AfterFunc(15*time.Second, func() { _ = s.cmd.Process.Kill() })
		_ = s.ended()
		stuck.Stop()
		_ = log.Close()
		if t.Failed() {
			t.Log(s.logged(t))
		}
	})
	return s
}

func (s *supervised) logged(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// answers waits until a request is answered with the status.
func (s *supervised) answers(t *testing.T, status int) time.Duration {
	t.Helper()
	return tooltest.Within(t, 30*time.Second, fmt.Sprintf("a request is answered with %d", status), func() error {
		got, err := tooltest.Status(t.Context(), s.URL("/"))
		if err == nil && got != status {
			return fmt.Errorf("it was %d", got)
		}
		return err
	})
}

func (s *supervised) processes(t *testing.T) (p runtime.Processes) {
	t.Helper()
	tooltest.Within(t, 10*time.Second, "the master answers", func() (err error) {
		p, err = runtime.NewMaster(s.Master).ShowProc(t.Context())
		return err
	})
	return p
}

// controller waits for a controller other than before and returns its pid.
func (s *supervised) controller(t *testing.T, before int) (pid int) {
	t.Helper()
	tooltest.Within(t, 10*time.Second, "a new controller runs", func() error {
		text, err := os.ReadFile(filepath.Join(s.Dir, "controller.pid"))
		if err != nil {
			return err
		}
		if pid, err = strconv.Atoi(string(text)); err == nil && pid == before {
			return errors.New("still the old one")
		}
		return err
	})
	return pid
}

const lastGood = haproxytest.Global + `
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  option idle-close-on-response
frontend f
  bind 127.0.0.1:{port}
  http-request return status 200
`

func kill(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

func TestTheLastGoodConfigurationServesAtOnce(t *testing.T) {
	s := start(t, lastGood)
	s.answers(t, 200)
	if got, want := s.processes(t).Master.Pid, 0; got == want {
		t.Errorf("no master")
	}
	s.controller(t, 0)
}

func TestWithoutALastGoodOneTheMinimalServes(t *testing.T) {
	s := start(t, "")
	s.answers(t, 503)
	text, err := os.ReadFile(s.Config)
	if err != nil || string(text) != Minimal(s.Stats, []int{s.Port}) {
		t.Errorf("got %s, %v", text, err)
	}
	// The controller gives it another by a reload.
	s.Write(t, lastGood)
	if logs, err := runtime.NewMaster(s.Master).Reload(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	s.answers(t, 200)
}

func TestARefusedLastGoodOneIsPutAsideLoudly(t *testing.T) {
	s := start(t, lastGood+"\n  garbage here\n")
	s.answers(t, 503)
	aside, err := os.ReadFile(s.Config + refusedSuffix)
	if err != nil || !strings.Contains(string(aside), "garbage here") {
		t.Errorf("the refused file is not kept: %v", err)
	}
	log := s.logged(t)
	for _, want := range []string{"does not start with the last good configuration", "garbage"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	s.Write(t, lastGood)
	if logs, err := runtime.NewMaster(s.Master).Reload(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	s.answers(t, 200)
}

func TestATakenPortDoesNotCondemnTheConfiguration(t *testing.T) {
	blocker := httptest.NewServer(http.NotFoundHandler())
	defer blocker.Close()
	taken := blocker.Listener.Addr().String()
	s := start(t, strings.Replace(lastGood, "127.0.0.1:{port}", taken, 1))
	tooltest.Within(t, 10*time.Second, "a second attempt", func() error {
		if strings.Count(s.logged(t), "HAProxy ended") < 2 {
			return errors.New("not yet")
		}
		return nil
	})
	blocker.Close()
	tooltest.Within(t, 10*time.Second, "the last good one serves", func() error {
		status, err := tooltest.Status(t.Context(), "http://"+taken)
		if err == nil && status != 200 {
			return fmt.Errorf("status %d", status)
		}
		return err
	})
	if _, err := os.Stat(s.Config + refusedSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was put aside: %v", err)
	}
}

func TestAConfigurationThatNeverStartsIsPutAsideInTheEnd(t *testing.T) {
	blocker := httptest.NewServer(http.NotFoundHandler())
	defer blocker.Close()
	s := start(t, strings.Replace(lastGood, "127.0.0.1:{port}", blocker.Listener.Addr().String(), 1))
	s.answers(t, 503)
	if _, err := os.Stat(s.Config + refusedSuffix); err != nil {
		t.Errorf("it was not put aside: %v", err)
	}
}

func TestHAProxyListensAgainAfterBeingKilled(t *testing.T) {
	victims := map[string]func(runtime.Processes) int{
		"master": func(p runtime.Processes) int { return p.Master.Pid },
		"worker": func(p runtime.Processes) int { return p.Worker.Pid },
	}
	for name, victim := range victims {
		t.Run(name, func(t *testing.T) {
			s := start(t, lastGood)
			s.answers(t, 200)
			controller := s.controller(t, 0)
			var took []time.Duration
			for range 5 {
				before := s.processes(t)
				kill(t, victim(before), syscall.SIGKILL)
				begin := time.Now()
				tooltest.Within(t, 10*time.Second, "another worker answers", func() error {
					info, err := runtime.New(s.Stats).ShowInfo(t.Context())
					if err == nil && info.Pid == before.Worker.Pid {
						return errors.New("still the old one")
					}
					return err
				})
				s.answers(t, 200)
				took = append(took, time.Since(begin))
				if gone := s.processes(t); gone.Master.Pid == before.Master.Pid {
					t.Errorf("the master is the same: %+v", gone)
				}
			}
			// The median, because HAProxy's own start takes its time on a busy machine.
			slices.Sort(took)
			if median := took[len(took)/2]; median > 500*time.Millisecond {
				t.Errorf("listening again after %v, want 500 ms", took)
			}
			t.Logf("%s killed, listening again after %v (sorted)", name, took)
			if got := s.controller(t, 0); got != controller {
				t.Errorf("the controller is another: %d, was %d", got, controller)
			}
		})
	}
}

func TestTheControllersDeathIsNotHAProxys(t *testing.T) {
	s := start(t, lastGood)
	s.answers(t, 200)
	before := s.processes(t)
	keep := haproxytest.StartLoad(t, s.URL("/"), 4, true)
	short := haproxytest.StartLoad(t, s.URL("/"), 2, false)
	controller := s.controller(t, 0)
	for range 3 {
		kill(t, controller, syscall.SIGKILL)
		controller = s.controller(t, controller)
	}
	n, failed := keep.Stop()
	n2, failed2 := short.Stop()
	if len(failed)+len(failed2) > 0 || n == 0 || n2 == 0 {
		t.Errorf("%d and %d requests, failed: %q %q", n, n2, failed, failed2)
	}
	t.Logf("3 controllers killed: %d requests with keep-alive, %d without, none failed", n, n2)
	after := s.processes(t)
	if after.Master.Pid != before.Master.Pid || after.Worker.Pid != before.Worker.Pid {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestNoZombieStays(t *testing.T) {
	s := start(t, lastGood)
	s.answers(t, 200)
	s.controller(t, 0)
	kill(t, s.processes(t).Worker.Pid, syscall.SIGKILL)
	// Two orphans of the controller, an old master and its worker: all are reaped.
	tooltest.Within(t, 10*time.Second, "every orphan is reaped", func() error {
		if n := strings.Count(s.logged(t), "an orphan ended"); n < 2 {
			return fmt.Errorf("%d orphans ended", n)
		}
		return nil
	})
	s.answers(t, 200)
	tooltest.Within(t, 5*time.Second, "no zombie is left", func() error {
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			return err
		}
		for _, path := range stats {
			text, err := os.ReadFile(path)
			if err != nil {
				continue // it has gone meanwhile
			}
			_, rest, _ := strings.Cut(string(text), ") ")
			if f := strings.Fields(rest); len(f) > 1 && f[0] == "Z" && f[1] == strconv.Itoa(s.cmd.Process.Pid) {
				return fmt.Errorf("zombie: %s", text)
			}
		}
		return nil
	})
}

// gone waits until the kernel has ended processes.
func gone(t *testing.T, pids ...int) {
	t.Helper()
	tooltest.Within(t, 10*time.Second, "the processes are gone", func() error {
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("%d is left: %v", pid, err)
			}
		}
		return nil
	})
}

// drain is how long connections may go on.
func drain(d time.Duration) func(*Options) { return func(o *Options) { o.Drain = d } }

// slowly sends requests to a server that answers when it is let.
func slowly(t *testing.T, change ...func(*Options)) (s *supervised, release func(), answered <-chan int) {
	t.Helper()
	held, arrived := make(chan struct{}), make(chan struct{})
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(up.Close)
	s = start(t, strings.Replace(lastGood, "http-request return status 200", "default_backend b", 1)+
		"  timeout client 3m\nbackend b\n  timeout server 3m\n  server s "+up.Listener.Addr().String()+"\n", change...)
	s.answers(t, 200)
	s.controller(t, 0)
	status := make(chan int, 1)
	go func() {
		answer, _ := tooltest.Ask(t.Context(), tooltest.Request{URL: s.URL("/slow"), Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
		status <- answer.Status
	}()
	<-arrived
	return s, sync.OnceFunc(func() { close(held) }), status
}

// renewed waits until another worker serves, and the old one listens no more.
func (s *supervised) renewed(t *testing.T, before runtime.Processes) {
	t.Helper()
	tooltest.Within(t, time.Minute, "another worker serves", func() error {
		now, err := runtime.NewMaster(s.Master).ShowProc(t.Context())
		if err == nil && (now.Worker.Pid == 0 || now.Worker.Pid == before.Worker.Pid) {
			return errors.New("still the old one")
		}
		if err == nil && !strings.Contains(s.logged(t), fmt.Sprintf("(%d) : Proxy f stopped", before.Worker.Pid)) {
			return errors.New("the old one listens still")
		}
		return err
	})
}

// TestAStopServesWhileRequestsFinish: nobody else can have the ports before HAProxy has
// ended, so they are not closed for the sake of who is slow.
func TestAStopServesWhileRequestsFinish(t *testing.T) {
	s, release, answered := slowly(t, drain(5*time.Minute))
	p := s.processes(t)
	kill(t, s.cmd.Process.Pid, syscall.SIGTERM)
	s.renewed(t, p)
	for range 20 {
		if status, err := tooltest.Status(t.Context(), s.URL("/")); status != 200 {
			t.Fatalf("a new connection while the request goes on: %d, %v", status, err)
		}
	}
	release()
	if status := <-answered; status != 200 {
		t.Errorf("the running request was answered with %d", status)
	}
	if err := s.ended(); err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	gone(t, p.Master.Pid, p.Worker.Pid, s.controller(t, 0))
}

// TestAStopDoesNotWaitForSilentClients with its ports closed: browsers keep connections for
// minutes on which nothing is under way.
func TestAStopDoesNotWaitForSilentClients(t *testing.T) { stopsWithSilentClients(t) }

func stopsWithSilentClients(t *testing.T, change ...func(*Options)) {
	t.Helper()
	s, release, answered := slowly(t, append(change, drain(5*time.Minute))...)
	p := s.processes(t)
	kill(t, s.cmd.Process.Pid, syscall.SIGTERM)
	s.renewed(t, p)
	silent := &http.Client{Transport: &http.Transport{}}
	defer silent.CloseIdleConnections()
	if answer, err := tooltest.Ask(t.Context(), tooltest.Request{URL: s.URL("/"), Client: silent}); err != nil || answer.Status != 200 {
		t.Fatalf("who will be silent: %d, %v", answer.Status, err)
	}
	active := haproxytest.StartLoad(t, s.URL("/"), 2, true)
	release()
	if status := <-answered; status != 200 {
		t.Errorf("the running request was answered with %d", status)
	}
	began := time.Now()
	if err := s.ended(); err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	took := time.Since(began)
	n, failed := active.Stop()
	t.Logf("ended %v after the last request from before; %d others, %d refused", took, n, len(failed))
	if took > 2*time.Minute {
		t.Errorf("it took %v, as if the silent client had been waited for", took)
	}
	for _, f := range failed {
		// What the kernel had not yet handed to HAProxy when the ports were closed is reset.
		if !strings.Contains(f, "refused") && !strings.Contains(f, "reset") {
			t.Errorf("a client that keeps its connection: %s", f)
		}
	}
}

// A section of peers, and with it a table of clients, keeps HAProxy from ending for five
// seconds in which nobody has its ports. Where it is ended before, that is said in its log,
// which a busy machine does not change.
func TestAStopWithoutClientsIsShort(t *testing.T) {
	s := start(t, "", drain(time.Minute))
	s.answers(t, http.StatusServiceUnavailable)
	s.controller(t, 0)
	kill(t, s.cmd.Process.Pid, syscall.SIGTERM)
	if err := s.ended(); err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	if log := s.logged(t); !strings.Contains(log, "exited with code 143 (Terminated)") {
		t.Error("HAProxy was left to end by itself")
	}
}

func TestAStopHasAnEnd(t *testing.T) {
	s, release, answered := slowly(t, drain(200*time.Millisecond))
	defer release()
	p := s.processes(t)
	begin := time.Now()
	kill(t, s.cmd.Process.Pid, syscall.SIGTERM)
	if err := s.ended(); err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	if took := time.Since(begin); took < 200*time.Millisecond || took > 45*time.Second {
		t.Errorf("it took %v, want the drain of 200 ms and little more", took)
	}
	if status := <-answered; status == 200 {
		t.Errorf("the request was answered")
	}
	gone(t, p.Master.Pid, p.Worker.Pid)
}

func TestOldSocketsAreRemoved(t *testing.T) {
	s := start(t, lastGood, func(o *Options) {
		for _, path := range []string{o.MasterSocket, o.StatsSocket, o.StatsSocket + ".1234.tmp", o.MasterSocket + ".1234.bak"} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.answers(t, 200)
	s.processes(t)
	left, err := filepath.Glob(filepath.Join(s.Dir, "*.sock.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

func TestWithoutHAProxyItDoesNotBegin(t *testing.T) {
	dir := t.TempDir()
	err := Run(t.Context(), Options{Haproxy: filepath.Join(dir, "none"), Controller: []string{"x"}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestThePauseGrowsWithShortLives(t *testing.T) {
	c := &child{free: 3, most: 2 * time.Second}
	want := []time.Duration{0, 0, 0, 0, 100, 200, 400, 800, 1600, 2000, 2000}
	for i, w := range want {
		c.short = i
		if got := pause(c); got != w*time.Millisecond {
			t.Errorf("after %d short lives: got %v, want %v ms", i, got, int(w))
		}
	}
	c.short = 1000
	if got := pause(c); got != 2*time.Second {
		t.Errorf("got %v", got)
	}
}

func TestAKilledHAProxyIsNoBadConfiguration(t *testing.T) {
	exited := func(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }
	cases := map[string]struct {
		status syscall.WaitStatus
		want   bool
	}{
		"master killed":           {syscall.WaitStatus(syscall.SIGKILL), true},
		"worker killed":           {exited(137), true},
		"worker terminated":       {exited(143), true},
		"a configuration refused": {exited(1), false},
		"worker crashed":          {exited(139), false},
		"master crashed":          {syscall.WaitStatus(syscall.SIGSEGV), false},
		"ended well":              {exited(0), false},
	}
	for name, tc := range cases {
		if got := killed(tc.status); got != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
