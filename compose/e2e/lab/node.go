package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Node is one machine of the swarm.
type Node struct {
	slot   *slot
	name   string
	addr   string
	dir    string
	driver string
	// resolver is where containers ask for names that Docker does not know; nowhere if empty.
	resolver string

	// Tests cut the power of one node while another goroutine looks into a
	// container on it, hence the lock around what changes with the power.
	mu   sync.Mutex
	init int
	done chan struct{}
}

func (l *Lab) node(name string, host int) *Node {
	return &Node{slot: l.slot, name: name, addr: l.slot.addr(host), dir: filepath.Join(l.dir, name)}
}

// Name returns the node's host name, which is its name in the swarm too.
func (n *Node) Name() string { return n.name }

// Addr returns the node's address, which this process reaches directly.
func (n *Node) Addr() string { return n.addr }

// Host returns the engine's address for a Docker client.
func (n *Node) Host() string { return "unix://" + filepath.Join(n.dir, "docker.sock") }

// Docker runs the docker command against the node's engine and returns what it
// printed, without the last line's end.
func (n *Node) Docker(ctx context.Context, args ...string) (string, error) {
	out, err := run(ctx, "docker", append([]string{"-H", n.Host()}, args...)...)
	if err != nil {
		return out, fmt.Errorf("%s: %w", n.name, err)
	}
	return out, nil
}

// Kill cuts the node's power: engine, containers and network are gone at once,
// and nobody is told. What was on its disk stays.
func (n *Node) Kill() error {
	// The link goes first, since a dying process still closes its connections.
	err := n.Cut()
	n.stop()
	return errors.Join(err, n.slot.unplug(n.name))
}

// Start turns the power on again and waits until the engine answers.
func (n *Node) Start(ctx context.Context) error {
	if n.root() != "" {
		return fmt.Errorf("lab: %s is running", n.name)
	}
	return n.start(ctx)
}

// Cut takes the node's link down; everything on it goes on running.
func (n *Node) Cut() error { return n.link("down") }

// Mend takes the node's link up again.
func (n *Node) Mend() error { return n.link("up") }

func (n *Node) link(state string) error {
	// Turning the power off must work even where the test's time is over.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := run(ctx, "ip", "-n", n.slot.name(), "link", "set", "p-"+n.name, state)
	return err
}

// EngineLog returns the end of what the node's engine wrote.
func (n *Node) EngineLog() string {
	log, err := os.ReadFile(filepath.Join(n.dir, "dockerd.log"))
	if err != nil {
		return err.Error()
	}
	if cut := len(log) - 4000; cut > 0 {
		log = log[cut:]
	}
	return string(log)
}

// boot is what the node's first process does. A shell stays the first process,
// because somebody has to reap what the container shims leave. The private /run
// gives each node its own docker.sock, as on a machine of its own.
const boot = `hostname "$1"
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs "$2/exec"
shift 2
"$@" &
wait
`

func (n *Node) start(ctx context.Context) error {
	if err := n.slot.plug(ctx, n.name, n.addr); err != nil {
		return err
	}
	exe := filepath.Join(n.dir, "exec")
	for _, path := range []string{exe, filepath.Join(n.dir, "data")} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
	}
	// An own configuration keeps the engine from reading the machine's.
	config, settings := filepath.Join(n.dir, "daemon.json"), "{}\n"
	if n.resolver != "" {
		settings = fmt.Sprintf("{\"dns\": [%q]}\n", n.resolver)
	}
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(n.dir, "dockerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()

	// nsenter keeps /sys/fs/cgroup, which `ip netns exec` would hide.
	cmd := exec.Command("nsenter", "--net="+n.slot.netns(n.name), "unshare", //nolint:noctx // The node lives until Kill or Close.
		"--mount", "--propagation", "slave", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child=KILL",
		"sh", "-c", boot, "sh", n.name, n.dir,
		"dockerd", "--config-file", config, "--data-root", filepath.Join(n.dir, "data"), "--exec-root", exe,
		"--pidfile", filepath.Join(exe, "docker.pid"), "-H", n.Host(), "-H", "unix:///run/docker.sock",
		"--cgroup-parent", "/"+n.slot.member(n.name), "--exec-opt", "native.cgroupdriver=cgroupfs", "--storage-driver", n.driver)
	cmd.Env = append(environment(), "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}

	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel kills the node when the thread that started it ends, so
		// that a crashed test leaves no engine; the thread must stay until then.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // It always ends by our signal.
		}
	}()
	if err := <-started; err != nil {
		return err
	}

	err = tooltest.Poll(ctx, tooltest.Slowly, n.name+"'s first process", func(context.Context) error {
		select {
		case <-done:
			return nil
		default:
		}
		init, err := child(cmd.Process.Pid)
		if err != nil {
			return err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.init, n.done = init, done
		return nil
	})
	if err != nil {
		_ = cmd.Process.Kill() // Its only failure is that the process is gone.
		<-done
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, n.name+"'s engine", func(context.Context) error {
		select {
		case <-done:
			return fmt.Errorf("it ended:\n%s", n.EngineLog())
		default:
		}
		_, err := n.Docker(ctx, "version", "--format", "{{.Server.Version}}")
		return err
	})
}

// stop kills the node's first process, with which the kernel ends all others,
// and waits until none is left.
func (n *Node) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done == nil {
		return
	}
	_ = syscall.Kill(n.init, syscall.SIGKILL) // Its only failure is that the process is gone.
	<-n.done
	n.init, n.done = 0, nil
	_ = os.Remove(filepath.Join(n.dir, "docker.sock")) // A stale socket would only make errors less clear.
}

// root returns the node's file system as this process sees it, empty while the
// power is off.
func (n *Node) root() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done == nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/root", n.init)
}

// child returns the one child of a process.
func child(pid int) (int, error) {
	out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(out))
	if len(fields) == 0 {
		return 0, errors.New("it has not been started yet")
	}
	return strconv.Atoi(fields[0])
}

// run runs a command and returns its output without the last line's end; the
// error carries what it complained about.
func run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environment()
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	text := strings.TrimRight(out.String(), "\n")
	if err != nil {
		return text, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return text, nil
}

// environment is this process's without what points the docker command
// elsewhere.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DOCKER_HOST=") && !strings.HasPrefix(v, "DOCKER_CONTEXT=") {
			env = append(env, v)
		}
	}
	return env
}

// storageDriver returns the best driver that works in a folder.
func storageDriver(dir string) string {
	probe := filepath.Join(dir, "probe")
	defer os.RemoveAll(probe)
	for _, sub := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(probe, sub), 0o700); err != nil {
			return "vfs"
		}
	}
	merged := filepath.Join(probe, "merged")
	options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", probe)
	if err := syscall.Mount("overlay", merged, "overlay", 0, options); err == nil {
		_ = syscall.Unmount(merged, syscall.MNT_DETACH) // The folder's removal would complain.
		return "overlay2"
	}
	if _, err := exec.LookPath("fuse-overlayfs"); err == nil {
		return "fuse-overlayfs"
	}
	return "vfs"
}
