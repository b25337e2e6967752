// Package proc tells what the processes of this machine are, use and hold.
package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Process is a process with the number that it has where /proc was mounted.
type Process struct {
	PID, Parent int
	// Name is that of the program, Args its command line.
	Name string
	Args []string
	// CPU is what it has used, in and on behalf of user space.
	CPU time.Duration
	// Waited is what those of its children have used that have ended, and theirs.
	Waited time.Duration
	in     procfs.Proc
}

// tick is the unit of the kernel's times in /proc, as proc(5) describes it: USER_HZ, which is
// 100 on all architectures that Docker knows.
const tick = 10 * time.Millisecond

// Command is the command line.
func (p Process) Command() string { return strings.Join(p.Args, " ") }

// All returns all processes.
func All() ([]Process, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	var out []Process
	for _, p := range all {
		stat, err := p.Stat()
		var args []string
		if err == nil {
			args, err = p.CmdLine()
		}
		if ended(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", p.PID, err)
		}
		out = append(out, Process{
			PID: p.PID, Parent: stat.PPID, Name: stat.Comm, Args: args, CPU: time.Duration(stat.CPUTime() * float64(time.Second)),
			Waited: time.Duration(stat.CUTime+stat.CSTime) * tick, in: p,
		})
	}
	return out, nil
}

// ended tells whether a process could not be read because it has just ended.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// InGroup returns the processes whose control group has a text in its path, such as the
// ID of a container.
func InGroup(text string) ([]Process, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	var out []Process
	for _, p := range all {
		groups, err := p.in.Cgroups()
		if err != nil && !ended(err) {
			return nil, fmt.Errorf("process %d: %w", p.PID, err)
		}
		if slices.ContainsFunc(groups, func(g procfs.Cgroup) bool { return strings.Contains(g.Path, text) }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// Family returns a process and all that descend from it.
func Family(root int) ([]Process, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	var out []Process
	for _, p := range all {
		if p.PID == root {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no process %d", root)
	}
	for i := 0; i < len(out); i++ {
		for _, p := range all {
			if p.Parent == out[i].PID && p.PID != root {
				out = append(out, p)
			}
		}
	}
	return out, nil
}

// Used sums the processor time of a process, and of all that descend from it, whose
// command lines hold a word.
func Used(root int, word string) (time.Duration, error) {
	all, err := Family(root)
	sum := time.Duration(0)
	for _, p := range all {
		if strings.Contains(p.Command(), word) {
			sum += p.CPU
		}
	}
	return sum, err
}

// Memory sums what a process and all that descend from it hold, in bytes, what several
// share being counted once.
func Memory(root int) (uint64, error) {
	all, err := Family(root)
	sum := uint64(0)
	for _, p := range all {
		maps, err := p.in.ProcSMapsRollup()
		if err != nil {
			return 0, err
		}
		sum += maps.Pss
	}
	return sum, err
}

// Busy returns the share of the machine's processors that is at work, in percent,
// over the time of f, and f's error.
func Busy(f func() error) (int, error) {
	before, err := processors()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := processors()
	work, idle := after.work-before.work, after.idle-before.idle
	if err != nil || work+idle == 0 {
		return 0, err
	}
	return int(100 * work / (work + idle)), nil
}

// times are how long the processors were at work and were not, in seconds.
type times struct{ work, idle float64 }

func processors() (times, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return times{}, err
	}
	stat, err := fs.Stat()
	c := stat.CPUTotal
	// Guests are in the others already.
	return times{c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal, c.Idle + c.Iowait}, err
}

// Idle returns what sums of processor time grow by within d, while nothing is done, in
// percent of one core. Each of read returns one of them.
func Idle(ctx context.Context, d time.Duration, read ...func() (time.Duration, error)) ([]float64, error) {
	sums := func() ([]time.Duration, error) {
		out, errs := make([]time.Duration, len(read)), make([]error, len(read))
		for i, one := range read {
			out[i], errs[i] = one()
		}
		return out, errors.Join(errs...)
	}
	before, err := sums()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := tooltest.Pause(ctx, d); err != nil {
		return nil, err
	}
	after, err := sums()
	took := time.Since(began).Seconds()
	out := make([]float64, len(read))
	for i := range out {
		out[i] = 100 * (after[i] - before[i]).Seconds() / took
	}
	return out, err
}

// Listening returns the TCP addresses at which somebody listens in the network namespace of a
// process.
func Listening(pid int) ([]netip.AddrPort, error) {
	space, err := procfs.NewFS(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return nil, err
	}
	four, err := space.NetTCP() //nolint:staticcheck // netlink shows the own namespace alone.
	if err != nil {
		return nil, err
	}
	six, err := space.NetTCP6() //nolint:staticcheck // as above.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []netip.AddrPort
	for _, line := range slices.Concat(four, six) {
		if addr, ok := netip.AddrFromSlice(line.LocalAddr); ok && line.St == listens {
			out = append(out, netip.AddrPortFrom(addr.Unmap(), uint16(line.LocalPort))) //nolint:gosec // the kernel's ports have 16 bits.
		}
	}
	return out, nil
}

// listens is the state of a socket that waits for connections (include/net/tcp_states.h).
const listens = 10
