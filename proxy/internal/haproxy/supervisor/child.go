package supervisor

import (
	"syscall"
	"time"
)

// child is one process that is kept running. It belongs to the one goroutine of
// the supervisor.
type child struct {
	name string
	argv []string
	// before makes ready for a start; ended decides what the end means.
	before func()
	ended  func(c *child, status syscall.WaitStatus)
	// free is how many short lives in a row cost no pause, most the longest pause.
	free int
	most time.Duration
	// env are its variables, and user whom it runs as; expendable says that it is to end
	// first where memory does.
	env        []string
	user       *User
	expendable bool

	pid     int // 0 when it does not run
	group   int // of the present or the last process
	started time.Time
	short   int       // short lives in a row
	due     time.Time // when it is to start, zero if it is not
}

// pause grows with each short life in a row.
func pause(c *child) time.Duration {
	n := c.short - c.free
	if n <= 0 {
		return 0
	}
	return min(c.most, 100*time.Millisecond<<min(n-1, 10))
}

// signal reaches the process, if it runs.
func (c *child) signal(sig syscall.Signal) {
	if c.pid != 0 {
		_ = syscall.Kill(c.pid, sig) // not reaped yet, so the number is still its own
	}
}

// signalGroup reaches what is left of a child's process group, if anything is.
func (c *child) signalGroup(sig syscall.Signal) {
	if c.group != 0 {
		_ = syscall.Kill(-c.group, sig) // ESRCH is the usual answer: nothing is left
	}
}
