package bustest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/wagglehq/waggle/pkg/bus"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// Process is a nats-server of its own, as a user may have.
type Process struct {
	t      testing.TB
	binary string
	config string
	client string
	cmd    *exec.Cmd
	name   string
}

// Cluster starts n real nats-servers with the configuration that the listener prints
// for those keys; they end with the test.
func Cluster(t testing.TB, n int, keys map[string]string) []*Process {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "nats-server")
	// The version is the one that this module pins.
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("nats-server: %v\n%s", err, out)
	}
	printed, err := bus.ServerConfig(keys)
	if err != nil {
		t.Fatal(err)
	}
	var all []*Process
	var routes []string
	ports := freePorts(t, 2*n)
	for i := range n {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+ports[2*i]))
	}
	for i := range n {
		p := &Process{t: t, binary: binary, name: fmt.Sprintf("nats-%d", i+1), client: ports[2*i+1]}
		dir := t.TempDir()
		p.config = filepath.Join(dir, "nats.conf")
		text := uncomment(printed, "server_name", "cluster", "  name", "  listen", "  routes", "}")
		text = strings.NewReplacer(
			"server_name: nats-1", "server_name: "+p.name, `"0.0.0.0:6222"`, fmt.Sprintf("%q", ports[2*i]), `"0.0.0.0:4222"`, fmt.Sprintf("%q", p.client),
			`"/data"`, fmt.Sprintf("%q", dir),
		).Replace(text)
		text = regexp.MustCompile(`routes: \[.*\]`).ReplaceAllString(text, "routes: ["+strings.Join(routes, ", ")+"]")
		if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.Start()
		t.Cleanup(p.Kill)
		all = append(all, p)
	}
	return all
}

// uncomment makes lines count that begin so, up to the end of the first block.
func uncomment(text string, beginnings ...string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, "# ")
		if !ok {
			continue
		}
		for _, b := range beginnings {
			if strings.HasPrefix(rest, b) {
				lines[i] = rest
				if b == "}" {
					return strings.Join(lines, "\n")
				}
			}
		}
	}
	return strings.Join(lines, "\n")
}

func freePorts(t testing.TB, n int) []string {
	t.Helper()
	ports, err := tooltest.FreePorts(n)
	tooltest.Must(t, err)
	var out []string
	for _, port := range ports {
		out = append(out, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return out
}

// URL is where to connect.
func (p *Process) URL() string { return "nats://" + p.client }

// Name is what the server is called.
func (p *Process) Name() string { return p.name }

// Start starts the server, on its old store if it was killed.
func (p *Process) Start() {
	p.t.Helper()
	p.cmd = exec.CommandContext(context.Background(), p.binary, "-c", p.config, "-l", p.config+".log")
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// Kill ends the server as a power cut does, by SIGKILL.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}
