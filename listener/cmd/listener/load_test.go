package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"github.com/wagglehq/waggle/pkg/dockertest"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// swarmOf1000 is what a listener of a large swarm has to do with: a thousand services of
// five tasks each, thirty of which die and are replaced for ever, at the pace of Swarm: it
// waits five seconds before it starts a task again, which then lives for a moment.
func swarmOf1000(t *testing.T) *dockertest.Swarm {
	swarm := dockertest.New(t)
	name := func(i int) string { return fmt.Sprintf("shop%d_web", i) }
	for i := range 1000 {
		swarm.Create(dockertest.Service{Name: name(i), Replicas: 5, Networks: []string{"waggle"}, Labels: map[string]string{
			"com.df.notify": "true", "com.df.servicePath": fmt.Sprintf("/shop%d", i), "com.df.port": "8080",
			"com.df.scaleMin": "2", "com.df.scaleMax": "8",
		}})
		swarm.Settle(name(i))
	}
	states := []struct{ state, desired string }{{"ready", "ready"}, {"starting", "running"}, {"running", "running"}, {"failed", "shutdown"}}
	const restless, life = 30, 7 * time.Second
	step := time.NewTicker(life / time.Duration(restless*len(states)))
	t.Cleanup(step.Stop)
	go func() {
		for n := 0; t.Context().Err() == nil; n++ {
			select {
			case <-t.Context().Done():
				return
			case <-step.C:
			}
			s := states[n/restless%len(states)]
			tasks := make([]dockertest.Task, 5)
			for slot := range tasks {
				tasks[slot] = dockertest.Task{Slot: slot + 1, State: s.state, Desired: s.desired}
			}
			swarm.SetTasks(name(n%restless), tasks...)
		}
	}()
	return swarm
}

// TestThirtyCrashLoopsAmongAThousandServices runs the program itself, whose processor time
// nobody else's is mixed with. What it says of the processor is for a quiet machine to
// judge (5 % of a core are the goal, a scrape in 10 s included); the calls are not a matter of the machine.
func TestThirtyCrashLoopsAmongAThousandServices(t *testing.T) {
	swarm := swarmOf1000(t)
	admin, process := start(t, swarm.Host())
	tooltest.Within(t, time.Minute, "all services are published", func() error {
		var about struct{ Services int }
		if err := tooltest.Get(t.Context(), tooltest.Request{URL: "http://" + admin + "/v1/catalog"}, &about); err != nil {
			return err // It starts.
		}
		if about.Services != 1000 {
			return fmt.Errorf("%d are", about.Services)
		}
		return nil
	})
	<-time.After(7 * time.Second) // For five seconds after a start all count as moving.

	const span = 10 * time.Second
	calls := func() (n int) {
		for _, call := range []string{dockertest.Services, dockertest.Nodes, dockertest.Tasks, dockertest.Networks, dockertest.Inspect} {
			n += swarm.Calls(call)
		}
		return n
	}
	calls0, cpu0, began := calls(), used(t, process), time.Now()
	<-time.After(span / 2)
	if n := scrape(t, admin); n < 10_000 {
		t.Errorf("%d series of the swarm's state, want 11 of each service that runs", n)
	}
	<-time.After(span / 2)
	took := time.Since(began)
	perSecond := float64(calls()-calls0) / took.Seconds()
	t.Logf("%.1f calls of Docker's API per second, %.1f %% of a core", perSecond, 100*(used(t, process)-cpu0).Seconds()/took.Seconds())
	if perSecond > 20 {
		t.Errorf("%.1f calls of Docker's API per second, want at most 20", perSecond)
	}
	if perSecond == 0 {
		t.Error("nobody asked for the tasks that come and go")
	}
}

// scrape reads the metrics as Prometheus does, and returns how many series of the swarm's
// state there are.
func scrape(t *testing.T, admin string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/metrics", nil)
	tooltest.Must(t, err)
	res, err := http.DefaultClient.Do(req) // it asks for gzip, as Prometheus does
	tooltest.Must(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	tooltest.Must(t, err)
	return strings.Count(string(body), "\nswarm_")
}

// start runs the program, and returns where its admin port is.
func start(t *testing.T, docker string) (admin string, process int) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "listener")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	admin = tooltest.FreeAddress(t)
	cmd := exec.CommandContext(t.Context(), program,
		"-admin", admin, "-docker-host", docker, "-data-dir", t.TempDir(), "-nats-port", strconv.Itoa(tooltest.FreePort(t)), "-nats-open", "-log-level", "WARN")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Cancel()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return admin, cmd.Process.Pid
}

// used is the processor time of a process so far.
func used(t *testing.T, process int) time.Duration {
	t.Helper()
	p, err := procfs.NewProc(process)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(stat.CPUTime() * float64(time.Second))
}
