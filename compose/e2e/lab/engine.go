package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/wagglehq/waggle/compose/e2e/proc"
)

// Freeze stops the node's engine as SIGSTOP does, and Thaw lets it go on. Its
// containers go on running meanwhile.
func (n *Node) Freeze() error { return n.signalEngine(syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (n *Node) Thaw() error { return n.signalEngine(syscall.SIGCONT) }

func (n *Node) signalEngine(sig syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done == nil {
		return fmt.Errorf("lab: %s is not running", n.name)
	}
	all, err := proc.Family(n.init)
	if err != nil {
		return err
	}
	for _, p := range all {
		// Orphans of containers are children of the first process too.
		if p.Parent == n.init && p.Name == "dockerd" {
			return syscall.Kill(p.PID, sig)
		}
	}
	return errors.New("lab: " + n.name + " has no engine")
}

// Run runs a command of this machine in the node's network namespace, where its
// ports and rules are, and returns what it printed.
func (n *Node) Run(ctx context.Context, command ...string) (string, error) {
	return run(ctx, "nsenter", append([]string{"--net=" + n.slot.netns(n.name)}, command...)...)
}

// Shell runs a script on the node as somebody who has logged in there does: in a folder, with
// these variables besides PATH, and with the node's own engine. It sees the disk of this machine.
// What the script prints, in the order in which it does, is returned.
func (n *Node) Shell(ctx context.Context, folder string, env []string, script string) (string, error) {
	n.mu.Lock()
	init := n.init
	n.mu.Unlock()
	if init == 0 {
		return "", fmt.Errorf("lab: %s is not running", n.name)
	}
	spaces := fmt.Sprintf("/proc/%d/ns/", init)
	cmd := exec.CommandContext(ctx, "nsenter", "--mount="+spaces+"mnt", "--pid="+spaces+"pid", "--uts="+spaces+"uts", "--net="+spaces+"net",
		"--wd="+folder, "bash", "-c", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

// Mount lays an empty file system of so many bytes, in memory, over a folder of the
// node, for containers that are started from then on; its content is below the
// path that is returned. It goes with Unmount, or with the node.
func (n *Node) Mount(ctx context.Context, folder string, size int) (string, error) {
	_, err := n.inMounts(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "tmpfs", folder)
	return filepath.Join(n.root(), folder), err
}

// Unmount takes away what Mount has laid over a folder.
func (n *Node) Unmount(ctx context.Context, folder string) error {
	_, err := n.inMounts(ctx, "umount", "-l", folder)
	return err
}

func (n *Node) inMounts(ctx context.Context, command ...string) (string, error) {
	root := n.root()
	if root == "" {
		return "", fmt.Errorf("lab: %s is not running", n.name)
	}
	// The node's /proc knows only its own processes, and umount looks itself up in it.
	spaces := filepath.Dir(root) + "/ns/"
	return run(ctx, "nsenter", append([]string{"--mount=" + spaces + "mnt", "--pid=" + spaces + "pid"}, command...)...)
}

// Dir is a folder of the node's disk that outlives its power and is seen under the
// same path by this process and by the node's containers.
func (n *Node) Dir(name string) string { return filepath.Join(n.dir, name) }

// Off says whether the node's power is off.
func (n *Node) Off() bool { return n.root() == "" }
