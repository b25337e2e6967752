package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/pkg/tooltest"
)

// hello makes an image of the server in testdata on the machine's engine.
func hello(t *testing.T) string {
	t.Helper()
	ctx := tooltest.Context(t, time.Minute)
	bin := filepath.Join(t.TempDir(), "hello")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./testdata/hello")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	content, err := os.ReadFile(bin)
	tooltest.Must(t, err)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	tooltest.Must(t, w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(content))}))
	_, err = w.Write(content)
	tooltest.Must(t, err)
	tooltest.Must(t, w.Close())

	image := fmt.Sprintf("waggle-lab-hello:%d", os.Getpid())
	load := exec.CommandContext(ctx, "docker", "import", "--change", `ENTRYPOINT ["/hello"]`, "-", image)
	load.Stdin = &archive
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import the image: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		// The test's own context is over by now.
		if _, err := run(context.WithoutCancel(ctx), "docker", "rmi", "-f", image); err != nil {
			t.Error(err)
		}
	})
	return image
}

// get asks a server in the lab, with a new connection each time.
func get(ctx context.Context, l *Lab, url string) (text string, err error) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: l.DialContext, DisableKeepAlives: true}}
	err = tooltest.Get(ctx, tooltest.Request{URL: url, Client: &client}, &text)
	return strings.TrimSpace(text), err
}

// status waits until the first manager gives a node this status.
func status(ctx context.Context, t *testing.T, l *Lab, node, want string) {
	t.Helper()
	tooltest.Must(t, tooltest.Poll(ctx, tooltest.Slowly, node+" to be "+want, func(context.Context) error {
		out, err := l.Node("m1").Docker(ctx, "node", "ls", "--filter", "name="+node, "--format", "{{.Status}}")
		if err == nil && out != want {
			err = errors.New("it is " + out)
		}
		return err
	}))
}

func TestSwarm(t *testing.T) {
	l, err := Start(tooltest.Context(t, time.Minute), Options{Workers: 1, Images: []string{hello(t)}, Log: t.Output()})
	tooltest.Must(t, err)
	closed := false
	t.Cleanup(func() {
		if !closed {
			tooltest.Must(t, l.Close())
		}
	})
	m1, w1 := l.Node("m1"), l.Node("w1")
	ctx := tooltest.Context(t, 90*time.Second)

	image, err := m1.Docker(ctx, "images", "--format", "{{.Repository}}:{{.Tag}}", "waggle-lab-hello")
	tooltest.Must(t, err)
	_, err = m1.Docker(ctx, "network", "create", "-d", "overlay", "--attachable", "green")
	tooltest.Must(t, err)
	_, err = m1.Docker(ctx, "service", "create", "-d", "--name", "hello", "--mode", "global", "--network", "green",
		"--endpoint-mode", "dnsrr", "--publish", "mode=host,target=8080,published=8088", image)
	tooltest.Must(t, err)

	names := map[string]string{}
	for _, node := range []string{"m1", "w1"} {
		tooltest.Must(t, tooltest.Poll(ctx, tooltest.Slowly, "the task on "+node, func(context.Context) error {
			names[node], err = get(ctx, l, "http://"+node+":8088/")
			return err
		}))
	}
	if names["m1"] == names["w1"] {
		t.Errorf("both nodes reach the same task %s", names["m1"])
	}
	for _, node := range []string{"m1", "w1"} {
		tooltest.Must(t, tooltest.Poll(ctx, tooltest.Slowly, "all tasks to be seen from "+node, func(context.Context) error {
			peers, err := get(ctx, l, "http://"+node+":8088/peers?of=hello")
			if err == nil && (!strings.Contains(peers, names["m1"]) || !strings.Contains(peers, names["w1"])) {
				err = fmt.Errorf("seen are %q of %v", peers, names)
			}
			return err
		}))
	}
	t.Logf("both tasks answer to each other on both nodes")

	out, err := l.Exec(ctx, "w1", names["w1"], "ip", "-o", "-4", "addr")
	tooltest.Must(t, err)
	if !strings.Contains(out, "10.12") {
		t.Errorf("the container's namespace shows no address of the overlay:\n%s", out)
	}

	tooltest.Must(t, w1.Cut())
	if _, err := get(ctx, l, "http://w1:8088/"); err == nil {
		t.Error("a node with a cut link answers")
	}
	tooltest.Must(t, w1.Mend())
	tooltest.Must(t, tooltest.Poll(ctx, tooltest.Slowly, "the mended node to answer", func(context.Context) error {
		_, err := get(ctx, l, "http://w1:8088/")
		return err
	}))

	began := time.Now()
	tooltest.Must(t, w1.Kill())
	status(ctx, t, l, "w1", "Down")
	t.Logf("the loss of a worker was noticed after %s", since(began))
	began = time.Now()
	tooltest.Must(t, w1.Start(ctx))
	status(ctx, t, l, "w1", "Ready")
	tooltest.Must(t, tooltest.Poll(ctx, tooltest.Slowly, "the node that came back to answer", func(context.Context) error {
		_, err := get(ctx, l, "http://w1:8088/")
		return err
	}))
	t.Logf("the worker was back and served after %s", since(began))

	closed = true
	tooltest.Must(t, l.Close())
	gone(t, l)
}

// gone fails the test for everything that a closed lab has left.
func gone(t *testing.T, l *Lab) {
	t.Helper()
	mine := func(name string) bool { return name == l.slot.name() || strings.HasPrefix(name, l.slot.name()+"-") }

	spaces, err := l.slot.namespaces()
	tooltest.Must(t, err)
	for _, s := range spaces {
		t.Errorf("the network namespace %s is left", s)
	}
	links, err := net.Interfaces()
	tooltest.Must(t, err)
	for _, link := range links {
		if mine(link.Name) {
			t.Errorf("the link %s is left", link.Name)
		}
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/{,*/}" + l.slot.name() + "-*")
	tooltest.Must(t, err)
	if len(groups) > 0 {
		t.Errorf("control groups are left: %v", groups)
	}
	for _, path := range []string{l.dir, lockPath(l.slot.index)} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	tooltest.Must(t, err)
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte(l.dir+"/")) {
			t.Errorf("a process is left: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}

// Two labs at once are two swarms, and the next holder of a slot removes what a
// crashed one left.
func TestSlots(t *testing.T) {
	first, err := Start(tooltest.Context(t, time.Minute), Options{Log: t.Output()})
	tooltest.Must(t, err)

	// Without Close the engine goes on running, as after a crash of ours in
	// which the kernel did not get to kill it.
	crashed, err := Start(tooltest.Context(t, time.Minute), Options{Log: t.Output()})
	tooltest.Must(t, err)
	if first.slot.index == crashed.slot.index {
		t.Fatal("two labs share a slot")
	}
	second, err := startOn(tooltest.Context(t, time.Minute), crashed.slot, Options{Log: t.Output()})
	tooltest.Must(t, err)
	select {
	case <-crashed.nodes[0].done:
	default:
		t.Error("the crashed lab's engine is still running")
	}

	var ids []string
	for _, l := range []*Lab{first, second} {
		id, err := l.Node("m1").Docker(t.Context(), "info", "--format", "{{.Swarm.Cluster.ID}}")
		tooltest.Must(t, err)
		ids = append(ids, id)
	}
	if slices.Contains(ids, "") || ids[0] == ids[1] {
		t.Errorf("the two labs are the swarms %q", ids)
	}
	for _, l := range []*Lab{first, second} {
		tooltest.Must(t, l.Close())
		gone(t, l)
	}
}

func TestStartRefusesLongFolder(t *testing.T) {
	_, err := Start(tooltest.Context(t, time.Minute), Options{Dir: "/tmp/" + strings.Repeat("long", 20)})
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Fatalf("got %v, want a complaint about the folder", err)
	}
}
