package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// ending is how long a component may take to end.
const ending = time.Minute

// Component is a program that a case runs beside itself, as its container would, with its log in
// a file.
type Component struct {
	cmd *exec.Cmd
	log string
	// from is where its part of the log begins.
	from  int64
	ended chan struct{}
	how   error
}

// StartComponent starts a program, whose lines are appended to a log.
func StartComponent(program string, env []string, logFile string) (*Component, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	c := &Component{log: logFile, from: info.Size(), ended: make(chan struct{})}
	c.cmd = exec.Command(program) //nolint:noctx // the kernel ends it with this process, which is number 1
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = env, log, log
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.ended)
		c.how = errors.New("exit status 0")
		if err := c.cmd.Wait(); err != nil {
			c.how = err
		}
		if lines := c.Said(); len(lines) > 0 {
			c.how = fmt.Errorf("%w, its last words: %s", c.how, lines[len(lines)-1])
		}
	}()
	return c, nil
}

// HasEnded reports whether it has ended.
func (c *Component) HasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// Alive is nil until it has ended, and then says how.
func (c *Component) Alive() error {
	if c.HasEnded() {
		return c.how
	}
	return nil
}

// Succeeded reports whether it ended without an error. It must have ended.
func (c *Component) Succeeded() bool { return c.cmd.ProcessState.Success() }

// Said are the lines that it wrote to its log.
func (c *Component) Said() []string {
	text, err := os.ReadFile(c.log)
	if err != nil || int64(len(text)) <= c.from {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text[c.from:])), "\n")
}

// End sends a signal, unless it has ended, and waits for the end.
func (c *Component) End(signal syscall.Signal) error {
	if !c.HasEnded() {
		if err := c.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	select {
	case <-c.ended:
		return nil
	case <-time.After(ending):
		return fmt.Errorf("it has not ended %v after %v", ending, signal)
	}
}

// LogEnd is the end of a log, for a report; what is wrong if it cannot be read.
func LogEnd(file string) string {
	const most = 6000
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
