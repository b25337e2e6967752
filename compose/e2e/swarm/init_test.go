// Package swarm holds the tests that need a real swarm.
package swarm

import (
	"bytes"
	"cmp"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wagglehq/waggle/compose/e2e/lab"
	"github.com/wagglehq/waggle/pkg/tooltest"
)

// start starts a swarm of the test's own.
func start(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	ctx := tooltest.Context(t, 2*time.Minute)
	l, err := lab.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// initialise runs compose/init against an engine.
func initialise(t *testing.T, host string, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx := tooltest.Context(t, time.Minute)
	cmd := exec.CommandContext(ctx, "../../init", args...)
	cmd.Env = append(os.Environ(), append([]string{"WAGGLE_IMAGES=registry.example.com/waggle", "DOCKER_HOST=" + host}, env...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestInitMakesWhatIsMissingAndNothingTwice(t *testing.T) {
	// The listener's image makes the password of Alertmanager.
	images, tag := cmp.Or(os.Getenv("WAGGLE_IMAGES"), "waggle"), cmp.Or(os.Getenv("WAGGLE_TAG"), "dev")
	l := start(t, lab.Options{Managers: 1, Images: []string{images + "/listener:" + tag}})
	node := l.Node("m1")
	ours := []string{"WAGGLE_IMAGES=docker.io/" + images, "WAGGLE_TAG=" + tag}

	names, said, code := initialise(t, node.Host(), ours, "--skip-ports", "--env")
	if code != 0 {
		t.Fatalf("ended with %d: %s", code, said)
	}
	for _, want := range []string{"the network waggle, 10.90.0.0/16", "secret waggle_token_proxy", "secret waggle_token_scaler", "secret waggle_seal_key", "secret waggle_nats_listener", "secret waggle_nats_proxy", "secret waggle_nats_monitor", "secret waggle_nats_scaler", "secret waggle_alert_password", "secret waggle_alert_password_web"} {
		if !strings.Contains(said, "made the "+want) && !strings.Contains(said, "made "+want) {
			t.Errorf("it does not say that it made %s:\n%s", want, said)
		}
	}
	for _, want := range []string{"export WAGGLE_ALERTMANAGER_HASH=", "export WAGGLE_ALERT_WEBHOOK_SECRET=waggle_alert_webhook_"} {
		if !strings.Contains(names, want) {
			t.Errorf("it does not print %s:\n%s", want, names)
		}
	}
	is, err := node.Docker(t.Context(), "network", "inspect", "waggle", "--format", "{{.Driver}} {{.Attachable}} {{range .IPAM.Config}}{{.Subnet}}{{end}}")
	if err != nil || strings.TrimSpace(is) != "overlay true 10.90.0.0/16" {
		t.Errorf("the network is %q (%v)", is, err)
	}
	before, err := node.Docker(t.Context(), "secret", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}

	again, said, code := initialise(t, node.Host(), ours, "--skip-ports", "--env")
	if code != 0 || strings.Contains(said, "made") || again != names {
		t.Errorf("the second time: %d, %s%s", code, said, again)
	}
	after, err := node.Docker(t.Context(), "secret", "ls", "-q")
	if err != nil || after != before {
		t.Errorf("the secrets changed (%v)", err)
	}

	// Another receiver is another secret, since Docker changes none.
	other, said, code := initialise(t, node.Host(), append(ours, "ALERT_WEBHOOK=https://chat.example/hook"), "--skip-ports", "--env")
	if code != 0 || other == names {
		t.Errorf("another receiver: %d, %s%s", code, said, other)
	}
}

func TestInitSaysWhatIsWrong(t *testing.T) {
	l := start(t, lab.Options{Managers: 1, Workers: 1})
	manager, worker := l.Node("m1"), l.Node("w1")
	fails := func(name, host string, env []string, args []string, want ...string) {
		t.Helper()
		_, said, code := initialise(t, host, env, args...)
		if code != 1 {
			t.Errorf("%s: ended with %d", name, code)
		}
		for _, w := range want {
			if !strings.Contains(said, w) {
				t.Errorf("%s: it does not say %q:\n%s", name, w, said)
			}
		}
	}
	skip := []string{"--skip-ports"}
	fails("no engine", "unix:///nowhere.sock", nil, skip, "no Docker engine answers", "DOCKER_HOST")
	fails("a worker", worker.Host(), nil, skip, "this node is a worker", manager.Addr()+":2377")
	fails("an unknown flag", manager.Host(), nil, []string{"--nope"}, "unknown argument --nope")
	fails("a missing file", manager.Host(), []string{"ALERTMANAGER_CONFIG=/nope.yml"}, skip, "/nope.yml cannot be read")

	ln := tooltest.Listen(t, "127.0.0.1:0")
	port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	fails("a port that is taken", manager.Host(), []string{"WAGGLE_HTTP_PORT=" + port}, nil,
		"port "+port+" is taken by the process", "pid "+strconv.Itoa(os.Getpid()), "WAGGLE_HTTP_PORT")

	if _, err := manager.Docker(t.Context(), "network", "create", "waggle"); err != nil {
		t.Fatal(err)
	}
	fails("a network of another kind", manager.Host(), nil, skip, "no attachable overlay network", "docker network rm waggle")
	if _, err := manager.Docker(t.Context(), "network", "rm", "waggle"); err != nil {
		t.Fatal(err)
	}
	fails("a subnet that is none", manager.Host(), []string{"WAGGLE_SUBNET=10.90.0.0"}, skip, "WAGGLE_SUBNET")

	if _, err := worker.Docker(t.Context(), "swarm", "leave"); err != nil {
		t.Fatal(err)
	}
	fails("no swarm", worker.Host(), nil, skip, "this engine is in no swarm", "--init-swarm")
}
