package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/wagglehq/waggle/compose/e2e/proc"
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

// Processes returns the processes of a container by their control group, with the numbers
// that they have on this machine.
func (l *Lab) Processes(ctx context.Context, node, container string) ([]proc.Process, error) {
	id, err := l.Node(node).Docker(ctx, "inspect", "-f", "{{.Id}}", container)
	if err != nil {
		return nil, err
	}
	return proc.InGroup(id)
}

// Processes returns all processes of a node: its engine, and what runs in containers.
func (n *Node) Processes() ([]proc.Process, error) {
	n.mu.Lock()
	init := n.init
	n.mu.Unlock()
	return proc.Family(init)
}

// Volume returns the folder of a volume on the node's disk.
func (n *Node) Volume(name string) string {
	return filepath.Join(n.dir, "data", "volumes", name, "_data")
}
