package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Inside returns a dialer that opens connections as a container on a node does,
// so that ports which nobody publishes can be asked. Addresses must be numeric.
func (l *Lab) Inside(ctx context.Context, node, container string) (func(context.Context, string, string) (net.Conn, error), error) {
	n := l.Node(node)
	pid, err := n.Docker(ctx, "inspect", "-f", "{{.State.Pid}}", container)
	if err != nil {
		return nil, err
	}
	root := n.root()
	if root == "" {
		return nil, fmt.Errorf("lab: %s is not running", node)
	}
	space := root + "/proc/" + pid + "/ns/net"
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialIn(ctx, space, network, address)
	}, nil
}

// dialIn opens a connection from another network namespace. A socket stays where
// it was made, so only its making needs the thread to be there.
func dialIn(ctx context.Context, space, network, address string) (net.Conn, error) {
	there, err := os.Open(space)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	runtime.LockOSThread()
	here, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter %s: %w", space, err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread must not be used again; it ends with its goroutine.
		if conn != nil {
			_ = conn.Close()
		}
		return nil, errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return conn, err
}

// Process is a process of a container, with the number that it has on this machine.
type Process struct {
	PID, Parent int
	// Args is its command line.
	Args []string
}

// Processes returns the processes of a container by their control group.
func (l *Lab) Processes(ctx context.Context, node, container string) ([]Process, error) {
	id, err := l.Node(node).Docker(ctx, "inspect", "-f", "{{.Id}}", container)
	if err != nil {
		return nil, err
	}
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var out []Process
	for _, file := range groups {
		dir := filepath.Dir(file)
		p, err := process(dir, id)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH):
			// It has ended meanwhile.
		case err != nil:
			return nil, err
		case p.PID != 0:
			out = append(out, p)
		}
	}
	return out, nil
}

// process reads one process, which has the number 0 if it is not in the container.
func process(dir, container string) (Process, error) {
	group, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil || !bytes.Contains(group, []byte(container)) {
		return Process{}, err
	}
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return Process{}, err
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return Process{}, err
	}
	p := Process{Args: strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")}
	// The second field, the name, is in parentheses and may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if p.PID, err = strconv.Atoi(filepath.Base(dir)); err != nil {
		return Process{}, err
	}
	p.Parent, err = strconv.Atoi(fields[1])
	return p, err
}

// Volume returns the folder of a volume on the node's disk.
func (n *Node) Volume(name string) string {
	return filepath.Join(n.dir, "data", "volumes", name, "_data")
}
