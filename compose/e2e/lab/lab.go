// Package lab starts a real Docker Swarm of several nodes on one machine, for
// tests: one engine per node, each in network, mount, process and host name
// namespaces of its own, joined by a switch. The machine's own engine is only
// asked for images; its swarm is never touched. The engine is the dockerd that
// PATH leads to, with what it finds there itself, so that another PATH repeats
// tests with another version.
//
// There is no IPVS in such namespaces on every kernel, so services belong on
// overlays with the endpoint mode dnsrr and publish host-mode ports. A node has
// no default route: look-ups of an absent registry fail at once.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Options says what to start. The zero value is one manager without images.
type Options struct {
	// Managers and Workers count the nodes, named m1.. and w1..; at least one
	// manager is started.
	Managers, Workers int
	// Apart leaves the nodes as they are: engines in no swarm.
	Apart bool
	// Images are taken from the machine's own engine and loaded on every node.
	Images []string
	// Resolver has containers ask this machine, at the lab's HostAddr and port 53, for names that Docker does
	// not know, as where there is a DNS server; without it nobody answers them.
	Resolver bool
	// Dir is where the lab's folder is made, the system's temporary folder if
	// empty. Keep it short: sockets lie in it.
	Dir string
	// Log receives one line per step, and may be nil.
	Log io.Writer
}

// Lab is a running swarm.
type Lab struct {
	slot  *slot
	dir   string
	log   io.Writer
	nodes []*Node
}

// socketLimit is the longest path that fits the address of a unix socket, less
// what the engine appends to its folders.
const socketLimit = 107 - len("/m1/exec/containerd/containerd-debug.sock")

// Start starts the nodes, joins them and loads the images. When it returns,
// every node is ready. On an error nothing is left behind. The context bounds
// the start alone, not the life of the lab.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("lab: namespaces and engines need root; run the tests as root")
	}
	for _, tool := range []string{"ip", "nsenter", "unshare", "dockerd", "docker"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("lab: %w; 'make setup' installs it", err)
		}
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	s, err := acquire()
	if err != nil {
		return nil, err
	}
	return startOn(ctx, s, o)
}

// startOn starts a lab in a slot that is already held.
func startOn(ctx context.Context, s *slot, o Options) (*Lab, error) {
	l := &Lab{slot: s, log: o.Log}
	if l.log == nil {
		l.log = io.Discard
	}
	if err := l.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), l.Close())
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context, o Options) error {
	began := time.Now()
	parent := o.Dir
	if parent == "" {
		parent = os.TempDir()
	}
	l.dir = filepath.Join(parent, l.slot.name())
	if len(l.dir) > socketLimit {
		return fmt.Errorf("the folder %s is too long for the sockets in it, at most %d bytes fit", l.dir, socketLimit)
	}
	if err := l.slot.clean(); err != nil {
		return fmt.Errorf("clear what an earlier lab left: %w", err)
	}
	if err := l.slot.remember(l.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	if err := l.slot.switchUp(ctx); err != nil {
		return err
	}
	for i := range max(o.Managers, 1) {
		l.nodes = append(l.nodes, l.node(fmt.Sprintf("m%d", i+1), 11+i))
	}
	for i := range o.Workers {
		l.nodes = append(l.nodes, l.node(fmt.Sprintf("w%d", i+1), 51+i))
	}

	driver := storageDriver(l.dir)
	for _, n := range l.nodes {
		n.driver = driver
		if o.Resolver {
			n.resolver = l.HostAddr()
		}
	}
	// Saving the images needs none of the nodes, so it goes on beside.
	saved := make(chan error, 1)
	archive := filepath.Join(l.dir, "images.tar")
	go func() { saved <- save(ctx, archive, o.Images) }()
	err := each(l.nodes, func(n *Node) error { return n.start(ctx) })
	if err = errors.Join(err, <-saved); err != nil {
		return err
	}
	took := since(began)
	version, err := l.nodes[0].Docker(ctx, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		return err
	}
	fmt.Fprintf(l.log, "lab %s: %d engines %s answer after %s (%s)\n", l.slot.name(), len(l.nodes), version, took, driver)

	loaded := make(chan error, 1)
	go func() { loaded <- l.load(ctx, archive, o.Images) }()
	if !o.Apart {
		err = l.join(ctx, max(o.Managers, 1))
	}
	if err = errors.Join(err, <-loaded); err != nil {
		return err
	}
	what := "swarm"
	if o.Apart {
		what = "lot"
	}
	fmt.Fprintf(l.log, "lab %s: a %s of %d nodes is ready after %s\n", l.slot.name(), what, len(l.nodes), since(began))
	return nil
}

// join makes one swarm of the nodes and waits until the first sees all ready.
func (l *Lab) join(ctx context.Context, managers int) error {
	first := l.nodes[0]
	if _, err := first.Docker(ctx, "swarm", "init", "--advertise-addr", first.addr,
		"--default-addr-pool", "10.120.0.0/14", "--default-addr-pool-mask-length", "22"); err != nil {
		return err
	}
	manager, err := first.Docker(ctx, "swarm", "join-token", "-q", "manager")
	if err != nil {
		return err
	}
	worker, err := first.Docker(ctx, "swarm", "join-token", "-q", "worker")
	if err != nil {
		return err
	}
	// Managers join one after the other, since each changes the quorum.
	for _, n := range l.nodes[1:managers] {
		if _, err := n.Docker(ctx, "swarm", "join", "--token", manager, first.addr+":2377"); err != nil {
			return err
		}
	}
	if err := each(l.nodes[managers:], func(n *Node) error {
		_, err := n.Docker(ctx, "swarm", "join", "--token", worker, first.addr+":2377")
		return err
	}); err != nil {
		return err
	}
	return tooltest.Poll(ctx, tooltest.Slowly, "all nodes to be ready", func(context.Context) error {
		out, err := first.Docker(ctx, "node", "ls", "--format", "{{.Status}}")
		if err != nil {
			return err
		}
		if ready := strings.Count(out, "Ready"); ready != len(l.nodes) {
			return fmt.Errorf("%d of %d are", ready, len(l.nodes))
		}
		return nil
	})
}

// Load takes images from the machine's own engine and loads them on every node.
func (l *Lab) Load(ctx context.Context, images ...string) error {
	archive := filepath.Join(l.dir, "images.tar")
	if err := save(ctx, archive, images); err != nil {
		return err
	}
	return l.load(ctx, archive, images)
}

func (l *Lab) load(ctx context.Context, archive string, images []string) error {
	if len(images) == 0 {
		return nil
	}
	if err := each(l.nodes, func(n *Node) error {
		_, err := n.Docker(ctx, "load", "-q", "-i", archive)
		return err
	}); err != nil {
		return err
	}
	return os.Remove(archive)
}

func save(ctx context.Context, archive string, images []string) error {
	if len(images) == 0 {
		return nil
	}
	_, err := run(ctx, "docker", append([]string{"save", "-o", archive}, images...)...)
	return err
}

// Node returns a node by its name, and panics if there is none: a test that
// asks for it is wrong.
func (l *Lab) Node(name string) *Node {
	i := slices.IndexFunc(l.nodes, func(n *Node) bool { return n.name == name })
	if i < 0 {
		panic("lab: there is no node " + name)
	}
	return l.nodes[i]
}

// Nodes returns all nodes, managers first.
func (l *Lab) Nodes() []*Node { return slices.Clone(l.nodes) }

// HostAddr returns the address under which the nodes reach this machine.
func (l *Lab) HostAddr() string { return l.slot.addr(1) }

// DialContext opens a connection from this process to a port that a node
// publishes in host mode. The host of the address may be the name of a node, so
// that an http.Transport with this function understands http://w1:8080/.
func (l *Lab) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	for _, n := range l.nodes {
		if n.name == host {
			host = n.addr
		}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, net.JoinHostPort(host, port))
}

// Exec runs a command of this machine in the network namespace of a container
// on a node, and returns what it printed.
func (l *Lab) Exec(ctx context.Context, node, container string, command ...string) (string, error) {
	n := l.Node(node)
	pid, err := n.Docker(ctx, "inspect", "-f", "{{.State.Pid}}", container)
	if err != nil {
		return "", err
	}
	root := n.root()
	if root == "" {
		return "", fmt.Errorf("lab: %s is not running", node)
	}
	return run(ctx, "nsenter", append([]string{"--net=" + root + "/proc/" + pid + "/ns/net"}, command...)...)
}

// Close removes the lab altogether: processes, namespaces, links, control
// groups and files.
func (l *Lab) Close() error {
	each(l.nodes, func(n *Node) error { n.stop(); return nil }) //nolint:errcheck // Stopping a node cannot fail.
	return errors.Join(l.slot.clean(), l.slot.release())
}

// each calls f for all nodes at the same time and returns all errors.
func each(nodes []*Node, f func(*Node) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wg.Go(func() { errs[i] = f(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func since(t time.Time) time.Duration { return time.Since(t).Round(10 * time.Millisecond) }
