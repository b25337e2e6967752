// Package supervisor is process 1 of the proxy's container. It keeps HAProxy and
// the controller running without letting one share the other's fate.
//
// Files from top to bottom: supervisor.go, ending.go, child.go, connections.go, memory.go, user.go, minimal.go.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/pkg/atomicfile"
	"github.com/wagglehq/waggle/proxy/internal/haproxy/runtime"
)

// Options say what to run.
type Options struct {
	// Haproxy is HAProxy's program, as a path or as a name to be found in PATH.
	Haproxy string
	// Config is the last good configuration. If HAProxy refuses it, it is moved to
	// the same name with ".refused" behind it, and Minimal takes its place, because
	// a reload reads the file that HAProxy was started with.
	Config string
	// Minimal is the text of a configuration that needs nothing but its port.
	Minimal string
	// MasterSocket is where the master is to listen; StatsSocket is the one named
	// in the configuration. What an earlier process left there is removed.
	MasterSocket, StatsSocket string
	// Controller is the command line of the controller, its program first.
	Controller []string
	// Environ are the variables of HAProxy, ControllerEnv those of the controller.
	Environ, ControllerEnv []string
	// HaproxyUser and ControllerUser are whom they run as. The controller's owns the
	// configuration, HAProxy's its sockets. To become them this process is root with the
	// privileges SETUID, SETGID and KILL.
	HaproxyUser, ControllerUser *User
	// Drain is how long requests may go on after the end of the context. For half of it at most
	// the ports stay open.
	Drain time.Duration
	Log   *slog.Logger
}

const (
	// settled is how long a process lives that did not fail at its start.
	settled = 5 * time.Second
	// checkLimit bounds a check of the configuration.
	checkLimit = 15 * time.Second
	// hopeless is how many failed starts in a row condemn a configuration that
	// passes the check.
	hopeless = 5
	// prSetChildSubreaper is PR_SET_CHILD_SUBREAPER of prctl(2).
	prSetChildSubreaper = 36
	// refusedSuffix marks a configuration that HAProxy did not take.
	refusedSuffix = ".refused"
)

// Run keeps both running until the context ends, and then stops them after their
// requests, at most Drain. It returns nil after that, or why it could not begin. A
// process that calls it must not wait for children elsewhere: Run takes in every
// child's end, orphans' too.
func Run(ctx context.Context, o Options) error {
	program, err := exec.LookPath(o.Haproxy)
	if err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	// The master executes itself anew at each reload, from whatever folder.
	if program, err = filepath.Abs(program); err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	if len(o.Controller) == 0 {
		return errors.New("supervise: no controller")
	}
	if err := o.prepare(); err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	// Without being process 1 it still gets the orphans of its own children.
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		return fmt.Errorf("supervise: %w", errno)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	defer func() { _ = null.Close() }()
	s := &supervisor{
		o: o, null: null, running: map[int]*child{},
		// HAProxy is to listen again within 500 ms, however often it dies.
		haproxy: &child{
			name: "haproxy", argv: []string{program, "-W", "-S", o.MasterSocket + ",mode,660", "-f", o.Config}, env: o.Environ, user: o.HaproxyUser,
			free: 3, most: 200 * time.Millisecond,
		},
		check:      &child{name: "check", argv: []string{program, "-c", "-f", o.Config}, env: o.Environ, user: o.HaproxyUser},
		controller: &child{name: "controller", argv: o.Controller, env: o.ControllerEnv, user: o.ControllerUser, most: 5 * time.Second, expendable: true},
	}
	s.haproxy.before = func() { _ = o.HaproxyUser.Do(func() error { s.tidy(); return nil }) }
	s.haproxy.ended = s.haproxyEnded
	s.check.ended = s.checkEnded
	s.controller.ended = s.controllerEnded
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	s.run(ctx, ended)
	return nil
}

// prepare makes what the first start needs.
func (o *Options) prepare() error {
	if err := o.ControllerUser.Do(o.configure); err != nil {
		return err
	}
	for _, socket := range []string{o.MasterSocket, o.StatsSocket} {
		dir := filepath.Dir(socket)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := o.openTo(dir); err != nil {
			return err
		}
	}
	return nil
}

// openTo lets HAProxy make its sockets in a folder: one in memory, as Docker mounts it, is
// root's, with the rights that the folder has in the image.
func (o *Options) openTo(dir string) error {
	if o.HaproxyUser == nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner == uint32(os.Geteuid()) {
		return os.Chmod(dir, 0o777|fs.ModeSticky)
	}
	return o.ControllerUser.Do(func() error { return os.Chmod(dir, info.Mode().Perm()|0o070) })
}

// configure writes a configuration if there is none, and lets HAProxy's group read what lies
// beside it: former versions ran all as one user, and kept keys from everybody else.
func (o *Options) configure() error {
	if _, err := os.Stat(o.Config); errors.Is(err, fs.ErrNotExist) {
		_, err := atomicfile.Write(o.Config, []byte(o.Minimal), 0o640)
		return err
	}
	if o.HaproxyUser == nil {
		return nil
	}
	dir := filepath.Dir(o.Config)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o040 == 0 {
			err = os.Chmod(filepath.Join(dir, e.Name()), info.Mode().Perm()|0o040)
		}
		if err != nil {
			// The controller writes each file anew.
			o.Log.Warn("HAProxy may not be able to read a file", "error", err)
		}
	}
	return nil
}

// supervisor is the one goroutine that starts children and takes in their ends,
// so that no end comes before the start is known.
type supervisor struct {
	o          Options
	null       *os.File
	running    map[int]*child
	haproxy    *child
	check      *child
	controller *child
	stopping   bool
}

func (s *supervisor) run(ctx context.Context, ended <-chan os.Signal) {
	now := time.Now()
	s.haproxy.due, s.controller.due = now, now
	look := time.NewTicker(drainPoll)
	defer look.Stop()
	look.Stop()
	last := &ending{haproxy: s.haproxy, controller: s.controller, master: runtime.NewMaster(s.o.MasterSocket)}
	end := func() { s.haproxy.signal(syscall.SIGTERM) }
	stages := []stage{
		{0, func() {
			last.begin(s.o.Drain)
			look.Reset(drainPoll)
		}},
		{s.o.Drain, func() {
			s.controller.signal(syscall.SIGTERM)
			end()
		}},
		{grace, s.killAll},
	}
	wake := time.NewTimer(0)
	defer wake.Stop()
	stop := ctx.Done()
	for !s.stopping || len(s.running) > 0 {
		select {
		case <-stop:
			stop, s.stopping = nil, true
			s.o.Log.Info("stopping", "drain", s.o.Drain)
			wake.Reset(0)
		case <-ended:
		case <-look.C:
			if last.look() {
				look.Stop()
				end()
			}
		case <-wake.C:
			if s.stopping && len(stages) > 0 {
				stages[0].act()
				stages = stages[1:]
				if len(stages) > 0 {
					wake.Reset(stages[0].after)
				}
			}
		}
		s.reap()
		if !s.stopping {
			wake.Reset(s.startDue())
		}
	}
	// Old workers are not ours to wait for by name; nothing of HAProxy stays.
	s.killAll()
	s.reap()
}

// stage is a step of the end, some time after the one before.
type stage struct {
	after time.Duration
	act   func()
}

// startDue starts what is due and returns how long until the next is.
func (s *supervisor) startDue() time.Duration {
	next := time.Hour
	for _, c := range []*child{s.check, s.haproxy, s.controller} {
		if c.due.IsZero() {
			continue
		}
		if wait := time.Until(c.due); wait > 0 {
			next = min(next, wait)
			continue
		}
		c.due = time.Time{}
		if c.before != nil {
			c.before()
		}
		if err := s.start(c); err != nil {
			s.o.Log.Error("a process did not start", "process", c.name, "error", err)
			c.short++
			c.due = time.Now().Add(time.Second)
			next = min(next, time.Second)
		}
	}
	// A check that hangs is ended; its failure by a signal proves nothing.
	if s.check.pid != 0 {
		left := checkLimit - time.Since(s.check.started)
		if left <= 0 {
			s.check.signal(syscall.SIGKILL)
			left = checkLimit
		}
		next = min(next, left)
	}
	return next
}

func (s *supervisor) start(c *child) error {
	p, err := os.StartProcess(c.argv[0], c.argv, &os.ProcAttr{
		Files: []*os.File{s.null, os.Stdout, os.Stderr},
		Env:   c.env,
		// A group of its own: signals to ours go through Run, and what HAProxy
		// leaves behind can be reached together.
		Sys: &syscall.SysProcAttr{Setpgid: true, Credential: c.user.credential()},
	})
	if err != nil {
		return err
	}
	c.pid, c.group, c.started = p.Pid, p.Pid, time.Now()
	s.running[c.pid] = c
	if c.expendable {
		if err := c.user.Do(func() error { return dieFirst(c.pid) }); err != nil {
			s.o.Log.Warn("the kernel is not told whom to end first where memory ends", "process", c.name, "error", err)
		}
	}
	if c != s.check {
		s.o.Log.Info("a process started", "process", c.name, "pid", c.pid)
	}
	return p.Release() // its end is taken in by reap
}

// reap takes in every child that has ended, also orphans that became ours.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return // no child has ended, or there is none
		}
		c, ok := s.running[pid]
		if !ok {
			s.o.Log.Debug("an orphan ended", "pid", pid)
			continue
		}
		delete(s.running, pid)
		c.pid = 0
		if !s.stopping {
			c.ended(c, status)
		}
	}
}

func (s *supervisor) haproxyEnded(c *child, status syscall.WaitStatus) {
	lived := time.Since(c.started)
	s.o.Log.Error("HAProxy ended", "how", how(status), "lived", lived.Round(time.Millisecond))
	// What is left of it must not go on accepting with its old state.
	c.signalGroup(syscall.SIGUSR1)
	s.again(c, lived)
	if lived < settled && !killed(status) {
		// The file is bad, or a port is taken, or memory short. A check tells.
		c.due, s.check.due = time.Time{}, time.Now()
	}
}

func (s *supervisor) checkEnded(_ *child, status syscall.WaitStatus) {
	s.haproxy.due = time.Now().Add(pause(s.haproxy))
	refused := status.Exited() && status.ExitStatus() != 0
	if !refused && s.haproxy.short < hopeless {
		return
	}
	if err := s.o.ControllerUser.Do(s.fallBack); err != nil {
		s.o.Log.Error("HAProxy does not start", "config", s.o.Config, "error", err)
		return
	}
	s.haproxy.due = time.Now()
}

// killed tells an end from outside from one that HAProxy came to by itself. The
// master passes the end of its worker on, as a shell does.
func killed(status syscall.WaitStatus) bool {
	sig := status.Signal()
	if status.Exited() {
		sig = syscall.Signal(max(0, status.ExitStatus()-128))
	}
	return sig == syscall.SIGKILL || sig == syscall.SIGTERM
}

// fallBack puts the minimal configuration into the place of one that is refused.
func (s *supervisor) fallBack() error {
	text, err := os.ReadFile(s.o.Config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(text) == s.o.Minimal {
		return errors.New("even with the minimal configuration it fails")
	}
	if err == nil {
		if err := os.Rename(s.o.Config, s.o.Config+refusedSuffix); err != nil {
			return err
		}
	}
	if _, err := atomicfile.Write(s.o.Config, []byte(s.o.Minimal), 0o640); err != nil {
		return err
	}
	s.o.Log.Error("HAProxy does not start with the last good configuration: every request is answered with 503 until the controller has made another",
		"config", s.o.Config, "refused", s.o.Config+refusedSuffix)
	return nil
}

func (s *supervisor) controllerEnded(c *child, status syscall.WaitStatus) {
	lived := time.Since(c.started)
	s.o.Log.Error("the controller ended; HAProxy goes on", "how", how(status), "lived", lived.Round(time.Millisecond))
	s.again(c, lived)
}

// again makes a child start once more, sooner or later.
func (s *supervisor) again(c *child, lived time.Duration) {
	c.short++
	if lived >= settled {
		c.short = 1
	}
	c.due = time.Now().Add(pause(c))
}

// tidy removes the sockets that a dead HAProxy left, and the names under which it
// makes and replaces them.
func (s *supervisor) tidy() {
	for _, socket := range []string{s.o.MasterSocket, s.o.StatsSocket} {
		old := []string{socket}
		for _, pattern := range []string{".*.tmp", ".*.bak"} {
			// The only error is that of a bad pattern; such a path has no leftovers.
			found, _ := filepath.Glob(socket + pattern)
			old = append(old, found...)
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.o.Log.Warn("an old socket stays", "path", path, "error", err)
			}
		}
	}
}

// killAll ends everything that was started here.
func (s *supervisor) killAll() {
	for _, c := range []*child{s.haproxy, s.check, s.controller} {
		c.signalGroup(syscall.SIGKILL)
	}
}

func how(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}
