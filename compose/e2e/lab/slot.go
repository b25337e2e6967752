package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// slots bounds how many labs run at once on one machine.
const slots = 32

// slot is a number that one lab holds while it lives. The names of everything
// that the kernel keeps for it are derived from the number, so that whoever gets
// the slot next can remove what a crashed holder left.
type slot struct {
	index int
	lock  *os.File
}

func (s *slot) name() string              { return fmt.Sprintf("wgl%d", s.index) }
func (s *slot) member(node string) string { return s.name() + "-" + node }
func (s *slot) netns(node string) string  { return "/run/netns/" + s.member(node) }
func (s *slot) uplink() string            { return s.name() + "-h" }
func (s *slot) addr(host int) string      { return fmt.Sprintf("10.97.%d.%d", s.index, host) }

func lockPath(index int) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("waggle-lab-%d.lock", index))
}

// errTaken says that another process holds a slot.
var errTaken = errors.New("taken")

// take holds one slot. The kernel releases the lock when the process ends,
// however it ends.
func take(index int) (*slot, error) {
	for {
		f, err := os.OpenFile(lockPath(index), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, errTaken
			}
			return nil, err
		}
		// The former holder removes the file before it lets go of the lock; a
		// lock on a removed file excludes nobody.
		held, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Stat(lockPath(index)); err == nil && os.SameFile(held, there) {
			return &slot{index: index, lock: f}, nil
		}
		f.Close()
	}
}

// acquire holds the first free slot whose addresses nobody else uses.
func acquire() (*slot, error) {
	for i := range slots {
		s, err := take(i)
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		used, err := s.addressed()
		if err != nil || used {
			if err := errors.Join(err, s.release()); err != nil {
				return nil, fmt.Errorf("lab: %w", err)
			}
			continue
		}
		return s, nil
	}
	return nil, fmt.Errorf("lab: all %d slots are taken", slots)
}

// addressed tells whether an interface that is not the slot's own lies in the
// slot's network.
func (s *slot) addressed() (bool, error) {
	_, own, err := net.ParseCIDR(s.addr(0) + "/24")
	if err != nil {
		return false, err
	}
	links, err := net.Interfaces()
	if err != nil {
		return false, err
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil || link.Name == s.uplink() {
			continue // An interface that vanishes meanwhile uses nothing.
		}
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && (own.Contains(ip.IP) || ip.Contains(own.IP)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// sweep clears the slots of labs whose process has crashed. Their lock files
// are still there, and nobody holds the locks.
func sweep() error {
	for i := range slots {
		if _, err := os.Stat(lockPath(i)); err != nil {
			continue
		}
		s, err := take(i)
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		if err := errors.Join(s.clean(), s.release()); err != nil {
			return fmt.Errorf("lab: clear what an earlier lab left: %w", err)
		}
	}
	return nil
}

// remember notes in the lock file where the lab keeps its files.
func (s *slot) remember(dir string) error {
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	_, err := s.lock.WriteAt([]byte(dir), 0)
	return err
}

func (s *slot) release() error {
	return errors.Join(os.Remove(s.lock.Name()), s.lock.Close())
}

// switchUp makes the switch that joins the nodes with each other and with this
// machine. It lies in a namespace of its own, because on the machine itself
// Docker's rules against forwarding would drop its frames.
func (s *slot) switchUp(ctx context.Context) error {
	sw := s.name()
	return script(ctx, [][]string{
		{"netns", "add", sw},
		{"-n", sw, "link", "set", "lo", "up"},
		{"-n", sw, "link", "add", "br0", "type", "bridge"},
		{"-n", sw, "link", "set", "br0", "up"},
		{"link", "add", s.uplink(), "type", "veth", "peer", "name", "host", "netns", sw},
		{"-n", sw, "link", "set", "host", "master", "br0", "up"},
		{"addr", "add", s.addr(1) + "/24", "dev", s.uplink()},
		{"link", "set", s.uplink(), "up"},
	})
}

// plug gives a node its namespace and joins it with the switch.
func (s *slot) plug(ctx context.Context, node, addr string) error {
	sw, ns, port := s.name(), s.member(node), "p-"+node
	return script(ctx, [][]string{
		{"netns", "add", ns},
		{"-n", ns, "link", "set", "lo", "up"},
		{"-n", sw, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns},
		{"-n", sw, "link", "set", port, "master", "br0", "up"},
		{"-n", ns, "addr", "add", addr + "/24", "dev", "eth0"},
		{"-n", ns, "link", "set", "eth0", "up"},
	})
}

// unplug removes a node's namespace with all that its engine configured there,
// as a loss of power would.
func (s *slot) unplug(node string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return script(ctx, [][]string{
		// Deleted by name, because the namespace itself goes a little later.
		{"-n", s.name(), "link", "del", "p-" + node},
		{"netns", "del", s.member(node)},
	})
}

func script(ctx context.Context, lines [][]string) error {
	for _, line := range lines {
		if _, err := run(ctx, "ip", line...); err != nil {
			return err
		}
	}
	return nil
}

// clean removes everything that bears the slot's name, whoever made it. It
// works as long as it must, whatever became of the test's context.
func (s *slot) clean() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	spaces, err := s.namespaces()
	if err != nil {
		return err
	}
	for _, ns := range spaces {
		// Killing who lives in a node's network ends the node's first process,
		// and with it all containers.
		if err := tooltest.Poll(ctx, tooltest.Slowly, "the processes of "+ns+" to end", func(context.Context) error {
			out, err := run(ctx, "ip", "netns", "pids", ns)
			if err != nil {
				return err
			}
			for _, field := range strings.Fields(out) {
				if pid, err := strconv.Atoi(field); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL) // It may have ended meanwhile.
				}
			}
			if out != "" {
				return errors.New("some are left")
			}
			return nil
		}); err != nil {
			return err
		}
		if _, err := run(ctx, "ip", "netns", "del", ns); err != nil {
			return err
		}
	}
	if _, err := net.InterfaceByName(s.uplink()); err == nil {
		// The link may be going already, with the namespace of its other end.
		if _, err := run(ctx, "ip", "link", "del", s.uplink()); err != nil {
			if _, there := net.InterfaceByName(s.uplink()); there == nil {
				return err
			}
		}
	}
	if err := tooltest.Poll(ctx, tooltest.Slowly, "the control groups to go", func(context.Context) error { return s.removeGroups() }); err != nil {
		return err
	}
	note, err := os.ReadFile(s.lock.Name())
	if err != nil {
		return err
	}
	if dir := string(note); filepath.Base(dir) == s.name() {
		return tooltest.Poll(ctx, tooltest.Slowly, dir+" to go", func(context.Context) error { return os.RemoveAll(dir) })
	}
	return nil
}

// namespaces returns the slot's network namespaces, nodes before the switch.
func (s *slot) namespaces() ([]string, error) {
	entries, err := os.ReadDir("/run/netns")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if e.Name() == s.name() || strings.HasPrefix(e.Name(), s.name()+"-") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, err
}

// removeGroups removes the control groups of all nodes, in each hierarchy of
// the first version or in the one of the second.
func (s *slot) removeGroups() error {
	var errs []error
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		tops, err := filepath.Glob(pattern + s.name() + "-*")
		errs = append(errs, err)
		for _, top := range tops {
			errs = append(errs, removeGroup(top))
		}
	}
	return errors.Join(errs...)
}

// removeGroup removes a group with its children. The files in it are the
// kernel's and go with it.
func removeGroup(group string) error {
	if info, err := os.Lstat(group); err != nil || !info.IsDir() {
		return nil // Hierarchies have links to each other, and groups vanish.
	}
	entries, err := os.ReadDir(group)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(group, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", group, err)
	}
	return nil
}
